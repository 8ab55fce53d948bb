"""A bar of rows, with the time left, on a terminal; and at the end rows, seconds and the host, on any stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from featurestore.operations import progress
from featurestore.spark_start import share_of_running_tasks

_EVERY_SECONDS = 0.5


class _Count(TextColumn):
    """The done units, and all of them if they are known."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{total} {task.fields['unit']}")


class RowsBar(progress.Progress):
    """A bar that operations move; between two calls of theirs it follows the tasks of Spark's jobs."""

    def __init__(self, console: Console, text: str, unit: str, shown: bool) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), _Count(""))
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, *times, console=console, transient=True, disable=not shown)
        self._task = self._bar.add_task(text, total=None, unit=unit)
        self._hosts: list[str] = []
        self._began = monotonic()

    def rows(self, done: int, total: int | None = None) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def host(self, name: str) -> None:
        self._hosts.append(name)

    def describe(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def advance(self, units: int) -> None:
        self._bar.advance(self._task, units)

    @property
    def first_host(self) -> str | None:
        return self._hosts[0] if self._hosts else None

    @property
    def seconds(self) -> float:
        return monotonic() - self._began

    @contextmanager
    def running(self) -> Iterator[RowsBar]:
        """Show the bar while the block runs."""
        if self._bar.disable:
            yield self
            return
        ended = Event()
        watch = Thread(target=self._follow_tasks, args=(ended,), daemon=True)
        with self._bar:
            watch.start()
            try:
                yield self
            finally:
                ended.set()
                watch.join()

    def _follow_tasks(self, ended: Event) -> None:
        """Estimate rows by the share of Spark's tasks that are done; the bar never moves back."""
        while not ended.wait(_EVERY_SECONDS):
            task, share = self._bar.tasks[0], share_of_running_tasks()
            if task.total is not None and share is not None:
                self._bar.update(self._task, completed=max(task.completed, share * task.total))
