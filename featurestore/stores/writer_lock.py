"""The lock that writers of one local Delta table hold, so that no commit replaces another.

A commit must create its log file only if no other has. On a local disk Spark's check and its rename are two steps,
which are exclusive only among the threads of one JVM; delta-rs links the file, which is exclusive, but does not see
Spark's rename coming. So the threads of one process share the lock while they write by the same engine, and everybody
else waits. A vacuum waits for all of them. Object stores create a file exclusively by themselves and need no lock.

Nobody starves. Among processes, whoever waits for the lock holds a second lock, its turn, which the next writer must
take first; so a process that writes again and again cannot come back before those who wait. Among the threads of one
process, the first to come is the first to write, and a thread joins the writers only while no other process waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from featurestore.errors import TableBusyError

# A vacuum commits by neither and removes files that a writer has not committed yet, so it shares with no writer.
Engine = Literal["Spark", "delta-rs", "vacuum"]
_POLL_SECONDS = 0.02


class Lock(Protocol):
    """What a writer holds during one commit."""

    def held(self, engine: Engine) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class WriterLock:
    """The lock file of one table, and the seconds that a writer waits for it."""

    path: Path
    timeout: float

    @contextmanager
    def held(self, engine: Engine) -> Iterator[None]:
        """Hold the lock for one commit; a thread may hold it several times. Raises TableBusyError after ``timeout``."""
        gate = _gate(self.path)
        gate.enter(engine, self.timeout)
        try:
            yield
        finally:
            gate.leave()


@dataclass(eq=False)
class _Gate:
    """This process's hold on one lock file: which threads write, and by which engines each entered."""

    path: Path
    process: int = field(default_factory=os.getpid)
    changed: threading.Condition = field(default_factory=threading.Condition)
    engine: Engine | None = None
    writers: dict[int, list[Engine]] = field(default_factory=dict)
    # The threads that wait, in the order in which they came.
    queue: deque[int] = field(default_factory=deque)
    file_lock: FileLock = field(init=False)
    turn: FileLock = field(init=False)

    def __post_init__(self) -> None:
        self.file_lock = FileLock(self.path, thread_local=False)
        self.turn = FileLock(self.path.with_suffix(".turn"), thread_local=False)

    def enter(self, engine: Engine, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        me = threading.get_ident()
        with self.changed:
            if me not in self.writers:
                self._wait_in_line(me, engine, deadline, timeout)
            elif engine != self.engine:
                # A writer calls the other engine in the middle of its own write, which then waits for that.
                self._wait(lambda: set(self.writers) == {me}, deadline, timeout)
            self.writers.setdefault(me, []).append(engine)

    def _wait_in_line(self, me: int, engine: Engine, deadline: float, timeout: float) -> None:
        self.queue.append(me)
        try:
            self._wait(lambda: self.queue[0] == me and self._is_open_to(engine), deadline, timeout)
            if not self.writers:
                self._lock_file(engine, deadline, timeout)
                self.engine = engine
        except BaseException:
            # Interrupted after the file was locked.
            if not self.writers and self.file_lock.is_locked:
                self.file_lock.release(force=True)
            raise
        finally:
            self.queue.remove(me)
            self.changed.notify_all()

    def _wait(self, is_ready: Callable[[], bool], deadline: float, timeout: float) -> None:
        if not self.changed.wait_for(is_ready, max(0.0, deadline - time.monotonic())):
            raise self._busy(timeout)

    def _is_open_to(self, engine: Engine) -> bool:
        if not self.writers:
            return True
        # A thread that writes by the other engine meanwhile has the table for itself.
        is_shared = all(used == engine for engines in self.writers.values() for used in engines)
        return is_shared and not self._others_wait()

    def _others_wait(self) -> bool:
        """Whether another process waits for the lock that this one holds."""
        try:
            with self.turn.acquire(timeout=0):
                return False
        except Timeout:
            return True

    def leave(self) -> None:
        if os.getpid() != self.process:
            # A process that was forked in the middle of a write: the lock is its parent's.
            return
        me = threading.get_ident()
        with self.changed:
            self.writers[me].pop()
            if not self.writers[me]:
                del self.writers[me]
            if not self.writers:
                with suppress(OSError):
                    _holder(self.path).unlink()
                self.file_lock.release()
                self.engine = None
            self.changed.notify_all()

    def _lock_file(self, engine: Engine, deadline: float, timeout: float) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.turn.acquire(timeout=max(0.0, deadline - time.monotonic()), poll_interval=_POLL_SECONDS):
                self.file_lock.acquire(timeout=max(0.0, deadline - time.monotonic()), poll_interval=_POLL_SECONDS)
        except Timeout as error:
            raise self._busy(timeout) from error
        since = datetime.now(UTC).isoformat(timespec="seconds")
        # It only informs; on a full disk the write itself says what is wrong.
        with suppress(OSError):
            _holder(self.path).write_text(f"process {os.getpid()}, by {engine}, since {since}", encoding="utf-8")

    def _busy(self, timeout: float) -> TableBusyError:
        holder = ""
        with suppress(OSError):
            holder = _holder(self.path).read_text(encoding="utf-8")
        return TableBusyError(
            f"table {self.path.stem}: {holder or 'another writer'} still holds its lock {self.path} after "
            f"{timeout:g} seconds; nothing was written. Wait for that writer, or stop it (the lock is then free), and "
            "try again; the setting lock_timeout makes writers wait longer"
        )


def _holder(lock: Path) -> Path:
    return lock.with_suffix(".holder")


# The lock of a file belongs to the process, so all stores that the process has opened share it. A gate goes when no
# thread is at it.
_gates: WeakValueDictionary[Path, _Gate] = WeakValueDictionary()
_gates_lock = threading.Lock()


def _gate(path: Path) -> _Gate:
    # The same file by another path would exclude the threads that share it.
    resolved = path.resolve()
    with _gates_lock:
        gate = _gates.get(resolved)
        if gate is None:
            gate = _gates[resolved] = _Gate(resolved)
        return gate


def _forget_gates() -> None:
    """A forked process holds none of its parent's locks."""
    global _gates, _gates_lock
    _gates, _gates_lock = WeakValueDictionary(), threading.Lock()


os.register_at_fork(after_in_child=_forget_gates)
