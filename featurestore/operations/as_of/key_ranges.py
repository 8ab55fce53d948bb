"""How a spine is spread over tasks: by ranges of the keys, so that each task opens few of the row groups.

The cuts only divide the work. Whatever they are, each spine row finds its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from featurestore.columnar.as_of.value_files import Bounds, Partition

# Whole numbers or UTF-8 bytes of the first join keys, in their order, and perhaps a moment after all of them.
Cut: TypeAlias = tuple[int | bytes, ...]

# A task that reads fewer rows is not worth its start.
ROWS_OF_A_TASK = 4_000_000
# Values so few are read by each task, and the spine stays where it is. So are more by few tasks, as long as they all
# read no more than ``_SEVERAL`` tasks would of these.
FEW_ROWS = 250_000
_SEVERAL = 20
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


def are_few(rows: int, tasks: int | None = None) -> bool:
    """Whether each of so many tasks, or of any number, reads the rows of values sooner than the spine is shuffled."""
    return rows <= FEW_ROWS * (1 if tasks is None else max(1, _SEVERAL // tasks))


def key_ranges(parts: Sequence[Part], least_tasks: int) -> KeyRanges:
    """Ranges with about equally many rows of values, for at least ``least_tasks`` tasks.

    A key with more rows than a task's share is also cut in time. The tasks of one range read the same row groups, so
    that ranges are divided only where there are too few.
    """
    rows = sum(part.rows for part in parts)
    cuts = _cuts(parts, max(least_tasks, -(-rows // ROWS_OF_A_TASK), 1))
    return KeyRanges(tuple(cuts), max(1, -(-least_tasks // (len(cuts) + 1))))


def _cuts(parts: Sequence[Part], tasks: int) -> list[Cut]:
    share = sum(part.rows for part in parts) / tasks
    cuts: list[Cut] = []
    rows, before = 0, None
    for part in sorted(parts, key=lambda part: (part.low, part.start)):
        # In the middle of a key, only time can divide it.
        cut = (*part.low, part.start) if part.is_one_key and part.bounds == before else part.low
        before = part.bounds
        is_full = rows + part.rows / 2 > share * (len(cuts) + 1)
        if is_full and len(cuts) < tasks - 1 and cut and (not cuts or cut > cuts[-1]):
            cuts.append(cut)
        rows += part.rows
    return cuts


def parts_of(partitions: Sequence[Partition]) -> list[Part]:
    """The parts of the values' files from which ranges are made.

    Of few files these are the row groups. Of more, they are the row groups of the partition with the most rows, which
    stand for those of all, or, if that has too many files, the files as the log describes them.
    """
    if _count(partitions) <= _MOST_OPENED:
        return [part for partition in partitions for part in _row_groups(partition)]
    largest = max(partitions, key=_rows)
    if len(largest.files) > _MOST_OPENED:
        return [Part(file.bounds, partition.start, file.rows) for partition in partitions for file in partition.files]
    share = sum(map(_rows, partitions)) / _rows(largest)
    return [replace(part, rows=round(part.rows * share)) for part in _row_groups(largest)]


def _count(partitions: Sequence[Partition]) -> int:
    return sum(len(partition.files) for partition in partitions)


def _rows(partition: Partition) -> int:
    return sum(file.rows for file in partition.files)


def _row_groups(partition: Partition) -> list[Part]:
    return [
        Part(group.bounds, partition.start, group.rows) for file in partition.files for group in file.open().row_groups
    ]
