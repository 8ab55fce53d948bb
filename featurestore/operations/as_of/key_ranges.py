"""How a spine is spread over tasks: by ranges of the keys, so that each task opens few of the row groups.

The cuts only divide the work. Whatever they are, each spine row finds its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from featurestore.columnar.as_of.value_files import Bounds, Partition, ValueFile

# Whole numbers or UTF-8 bytes of the first join keys, in their order, and perhaps a moment after all of them.
Cut: TypeAlias = tuple[int | bytes, ...]

# A task that reads fewer rows is not worth its start.
ROWS_OF_A_TASK = 4_000_000
# Values so few are read by each task, and the spine stays where it is.
FEW_ROWS = 250_000
# Spark's own number of a shuffle's tasks.
_SPARKS_TASKS = 200
# The driver opens at most so many files for the bounds of their row groups.
_MOST_OPENED = 64


@dataclass(frozen=True)
class KeyRanges:
    """Where the spine is cut: rows before the first of ``cuts``, between each two, and from the last.

    ``pieces``: into how many tasks a hash divides the rows of each range.
    """

    cuts: tuple[Cut, ...]
    pieces: int

    @property
    def tasks(self) -> int:
        return (len(self.cuts) + 1) * self.pieces


@dataclass(frozen=True)
class Part:
    """Rows of values with keys within bounds, and event timestamps from ``start`` on."""

    bounds: tuple[Bounds, ...]
    start: int
    rows: int

    @property
    def low(self) -> Cut:
        """The least key, as far as the bounds tell it: those of a column mean nothing unless all before it are one."""
        low: list[int | bytes] = []
        for least, greatest in self.bounds:
            if least is None:
                break
            low.append(least)
            if least != greatest:
                break
        return tuple(low)

    @property
    def is_one_key(self) -> bool:
        return all(low is not None and low == high for low, high in self.bounds)


def least_tasks_of(shuffle_partitions: str | None) -> int:
    """The least number of tasks by Spark's setting, which on Databricks may be the word ``auto``."""
    return int(shuffle_partitions) if shuffle_partitions and shuffle_partitions.isdigit() else _SPARKS_TASKS


def key_ranges(parts: Sequence[Part], least_tasks: int) -> KeyRanges:
    """Ranges with about equally many rows of values, for at least ``least_tasks`` tasks.

    A key with more rows than a task's share is also cut in time.
    """
    total = sum(part.rows for part in parts)
    tasks = max(least_tasks, -(-total // ROWS_OF_A_TASK), 1)
    cuts = _cuts(parts, total / tasks)
    return KeyRanges(tuple(cuts), max(1, round(tasks / (len(cuts) + 1))))


def _cuts(parts: Sequence[Part], share: float) -> list[Cut]:
    cuts: list[Cut] = []
    rows = 0
    for part in sorted(parts, key=lambda part: (part.low, part.start)):
        cut = (*part.low, part.start) if part.is_one_key and _is_within(cuts, part.low) else part.low
        if rows + part.rows / 2 > share and cut and (not cuts or cut > cuts[-1]):
            cuts.append(cut)
            rows = 0
        rows += part.rows
    return cuts


def _is_within(cuts: Sequence[Cut], key: Cut) -> bool:
    """Whether the last cut is already in the middle of, or at the start of, this key."""
    return bool(cuts) and cuts[-1][: len(key)] == key


def parts_of(partitions: Iterable[Partition]) -> list[Part]:
    """The parts of files as the log describes them; of large files that are few, the row groups."""
    files = [(partition.start, file) for partition in partitions for file in partition.files]
    opened = sorted(files, key=lambda each: -each[1].rows)[:_MOST_OPENED]
    whole = files if len(files) > _MOST_OPENED else []
    return (
        [part for start, file in opened for part in _row_groups(start, file)]
        if not whole
        else [Part(file.bounds, start, file.rows) for start, file in whole]
    )


def _row_groups(start: int, file: ValueFile) -> list[Part]:
    return [Part(group.bounds, start, group.rows) for group in file.open().row_groups]
