"""The lock of one table: who shares it, who waits, and that nobody waits for a process that has ended."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from featurestore.errors import TableBusyError
from featurestore.stores import writer_lock
from featurestore.stores.writer_lock import Engine, WriterLock

# ``python -c`` with the lock's path, the engine, and the seconds to hold it; says when it has it.
_HOLD = """
import sys, time
from pathlib import Path
from featurestore.stores.writer_lock import WriterLock
with WriterLock(Path(sys.argv[1]), 60.0).held(sys.argv[2]):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""
# The same, again and again, as fast as it can.
_HOLD_AGAIN_AND_AGAIN = """
import sys, time
from pathlib import Path
from featurestore.stores.writer_lock import WriterLock
lock = WriterLock(Path(sys.argv[1]), 60.0)
print("held", flush=True)
while True:
    with lock.held("delta-rs"):
        time.sleep(0.002)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "groups__visits_v1__values.lock"


@contextmanager
def other_process(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the program; it has said that it holds the lock."""
    words = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def is_free(path: Path, engine: Engine = "delta-rs") -> bool:
    """Whether another thread gets the lock at once."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            with WriterLock(path, 0.05).held(engine):
                answers.append(True)
        except TableBusyError:
            answers.append(False)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answers[0]


def _can_lock(path: Path) -> bool:
    program = "import sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(timeout=0)"
    return subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=False).returncode == 0


def test_threads_of_one_engine_share_the_lock(path: Path) -> None:
    with WriterLock(path, 5.0).held("Spark"):
        assert is_free(path, "Spark")
        assert not is_free(path, "delta-rs")
    with WriterLock(path, 5.0).held("delta-rs"):
        assert is_free(path, "delta-rs")
        assert not is_free(path, "Spark")
    assert is_free(path, "Spark")


def test_all_who_share_must_leave_before_another_engine_enters(path: Path) -> None:
    lock, order = WriterLock(path, 5.0), []
    first_left, second_in = threading.Event(), threading.Event()

    def second() -> None:
        with lock.held("Spark"):
            second_in.set()
            first_left.wait(5)
            time.sleep(0.1)
            order.append("second of Spark")

    def third() -> None:
        second_in.wait(5)
        with lock.held("delta-rs"):
            order.append("delta-rs")

    threads = [threading.Thread(target=second), threading.Thread(target=third)]
    with lock.held("Spark"):
        for thread in threads:
            thread.start()
        second_in.wait(5)
    first_left.set()
    for thread in threads:
        thread.join()
    assert order == ["second of Spark", "delta-rs"]


def test_a_thread_may_hold_the_lock_several_times_and_by_both_engines(path: Path) -> None:
    lock = WriterLock(path, 0.2)
    with lock.held("Spark"), lock.held("Spark"), lock.held("delta-rs"):
        assert not _can_lock(path)
    assert _can_lock(path)
    assert is_free(path, "delta-rs")


def test_the_error_names_the_holder_the_table_and_the_lock(path: Path) -> None:
    lock = WriterLock(path, 0.3)
    with other_process(_HOLD, path, "Spark", 60) as holder, pytest.raises(TableBusyError) as caught, lock.held("Spark"):
        pass
    assert f"table groups__visits_v1__values: process {holder.pid}, by Spark, since 20" in str(caught.value)
    assert f"still holds its lock {path.resolve()} after 0.3 seconds; nothing was written" in str(caught.value)


def test_the_error_says_so_if_the_holder_is_not_known(path: Path) -> None:
    with other_process(_HOLD, path, "Spark", 60):
        for text in (None, ""):
            holder = path.with_suffix(".holder")
            holder.unlink() if text is None else holder.write_text(text)
            with (
                pytest.raises(TableBusyError, match="another writer still holds"),
                WriterLock(path, 0.05).held("Spark"),
            ):
                pass


def test_a_thread_waits_no_longer_than_its_time(path: Path) -> None:
    waited: list[float] = []

    def wait() -> None:
        begun = time.monotonic()
        with pytest.raises(TableBusyError), WriterLock(path, 0.5).held("delta-rs"):
            pass
        waited.append(time.monotonic() - begun)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    with other_process(_HOLD, path, "Spark", 60):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(waited) == 3
    assert all(0.4 < seconds < 2 for seconds in waited)


@pytest.mark.parametrize("engine", ["Spark", "delta-rs"])
def test_another_process_waits_whatever_its_engine(path: Path, engine: Engine) -> None:
    with other_process(_HOLD, path, "delta-rs", 0.5):
        begun = time.monotonic()
        with WriterLock(path, 30.0).held(engine):
            assert time.monotonic() - begun > 0.2


def test_a_killed_holder_frees_the_lock(path: Path) -> None:
    with other_process(_HOLD, path, "Spark", 60) as holder:
        assert not is_free(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert is_free(path)
    # The name that the killed one left is replaced, and the file goes with the next holder.
    assert not path.with_suffix(".holder").exists()


def test_a_process_that_writes_again_and_again_lets_others_in(path: Path) -> None:
    with other_process(_HOLD_AGAIN_AND_AGAIN, path), other_process(_HOLD_AGAIN_AND_AGAIN, path):
        begun = time.monotonic()
        for _ in range(10):
            with WriterLock(path, 20.0).held("delta-rs"):
                pass
        assert time.monotonic() - begun < 20


@contextmanager
def relayed_lock(path: Path) -> Iterator[WriterLock]:
    """Two threads that overlap: they would hold the lock for ever, if a thread could always join."""
    lock, is_over = WriterLock(path, 20.0), threading.Event()

    def write() -> None:
        while not is_over.is_set():
            with lock.held("Spark"):
                time.sleep(0.05)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.025)
    try:
        yield lock
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_threads_that_relay_the_lock_let_another_process_in(path: Path) -> None:
    with relayed_lock(path), other_process(_HOLD, path, "delta-rs", 0):
        pass


def test_threads_that_relay_the_lock_let_another_engine_in(path: Path) -> None:
    with relayed_lock(path) as lock:
        begun = time.monotonic()
        with lock.held("delta-rs"):
            assert time.monotonic() - begun < 5


def test_a_forked_process_neither_has_nor_frees_its_parents_lock(path: Path) -> None:
    lock = WriterLock(path, 0.1)
    with lock.held("delta-rs"):
        child = os.fork()
        if child == 0:
            # In the child: nothing here may raise, or pytest would go on in it.
            code = 1
            try:
                gc.collect()
                with lock.held("delta-rs"):
                    code = 2
            except TableBusyError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not _can_lock(path)
        assert path.with_suffix(".holder").exists()
    assert _can_lock(path)


def test_a_process_that_was_forked_while_writing_leaves_the_lock_to_its_parent(path: Path) -> None:
    program = """
import os, sys, time
from pathlib import Path
from featurestore.stores.writer_lock import WriterLock
with WriterLock(Path(sys.argv[1]), 60.0).held("Spark"):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print("held", flush=True)
        time.sleep(60)
"""
    with other_process(program, path):
        assert not _can_lock(path)
        assert path.with_suffix(".holder").exists()


def test_a_fault_while_the_lock_is_held_frees_it(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), WriterLock(path, 1.0).held("Spark"):
        _ = 1 / 0
    assert _can_lock(path)


def test_a_holder_that_cannot_leave_its_name_holds_the_lock_all_the_same(path: Path) -> None:
    # As on a full disk.
    path.with_suffix(".holder").mkdir(parents=True)
    with WriterLock(path, 1.0).held("Spark"):
        assert not _can_lock(path)
    assert _can_lock(path)


def test_one_file_by_two_paths_is_one_lock(path: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tmp_path)
    alias = tmp_path / "alias" / "locks" / path.name
    with WriterLock(path, 0.1).held("Spark"), WriterLock(alias, 0.1).held("Spark"):
        assert not _can_lock(path)


def test_locks_that_nobody_holds_cost_no_memory(path: Path) -> None:
    for number in range(50):
        with WriterLock(path.with_name(f"table{number}.lock"), 1.0).held("Spark"):
            pass
    gc.collect()
    assert [known for known in writer_lock._gates if known.parent == path.parent.resolve()] == []
