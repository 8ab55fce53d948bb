"""The lock that writers of one local Delta table hold, so that no commit replaces another.

A commit must create its log file only if no other has. On a local disk Spark's check and its rename are two steps,
which are exclusive only among the threads of one JVM; delta-rs links the file, which is exclusive, but does not see
Spark's rename coming. So the threads of one process share the lock while they write by the same engine, and everybody
else waits. Object stores create a file exclusively by themselves and need no lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from featurestore.errors import TableBusyError

Engine = Literal["Spark", "delta-rs"]
_POLL_SECONDS = 0.02


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


@dataclass
class _Gate:
    """This process's hold on one lock file: how many threads write, and by which engine."""

    path: Path
    changed: threading.Condition = field(default_factory=threading.Condition)
    engine: Engine | None = None
    writers: dict[int, int] = field(default_factory=dict)
    file_lock: FileLock | None = None

    def enter(self, engine: Engine, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        me = threading.get_ident()
        with self.changed:
            while not self._is_open_to(engine, me):
                if not self.changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise self._busy(timeout)
            if not self.writers:
                self._lock_file(engine, max(0.0, deadline - time.monotonic()), timeout)
                self.engine = engine
            self.writers[me] = self.writers.get(me, 0) + 1

    def _is_open_to(self, engine: Engine, me: int) -> bool:
        # A thread that holds the lock calls the other engine in the middle of its own write, which then waits for it.
        return not self.writers or self.engine == engine or set(self.writers) == {me}

    def leave(self) -> None:
        me = threading.get_ident()
        with self.changed:
            self.writers[me] -= 1
            if not self.writers[me]:
                del self.writers[me]
            if not self.writers:
                assert self.file_lock is not None
                with suppress(FileNotFoundError):
                    _holder(self.path).unlink()
                self.file_lock.release()
                self.engine = None
            self.changed.notify_all()

    def _lock_file(self, engine: Engine, remaining: float, timeout: float) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.file_lock is None:
            self.file_lock = FileLock(self.path, thread_local=False)
        try:
            self.file_lock.acquire(timeout=remaining, poll_interval=_POLL_SECONDS)
        except Timeout as error:
            raise self._busy(timeout) from error
        since = datetime.now(UTC).isoformat(timespec="seconds")
        _holder(self.path).write_text(f"process {os.getpid()}, by {engine}, since {since}", encoding="utf-8")

    def _busy(self, timeout: float) -> TableBusyError:
        try:
            holder = _holder(self.path).read_text(encoding="utf-8")
        except OSError:
            holder = "another writer"
        return TableBusyError(
            f"table {self.path.stem}: {holder} still holds its lock {self.path} after {timeout:g} seconds; nothing was "
            "written. Wait for that writer, or stop it (the lock is then free), and try again; the setting "
            "lock_timeout makes writers wait longer"
        )


def _holder(lock: Path) -> Path:
    return lock.with_suffix(".holder")


# The lock of a file belongs to the process, so all stores that the process has opened share it.
_gates: dict[Path, _Gate] = {}
_gates_lock = threading.Lock()


def _gate(path: Path) -> _Gate:
    with _gates_lock:
        return _gates.setdefault(path, _Gate(path))


def _forget_gates() -> None:
    """A forked process holds none of its parent's locks."""
    global _gates, _gates_lock
    _gates, _gates_lock = {}, threading.Lock()


os.register_at_fork(after_in_child=_forget_gates)
