"""Divide the partitions of values into blocks, which threads work on, and a block into chunks that fit memory.

Small partitions that follow each other are one block. Large ones are cut by key: by the bounds of files into blocks,
and by the bounds of row groups into chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.segments import Segment, Segments
from featurestore.columnar.as_of.spine_keys import Codes, SpineKeys
from featurestore.columnar.as_of.value_files import Partition, ValueFile
from featurestore.columnar.fixed_width import Mask

# A block of fewer rows is not worth its overhead; a chunk of more rows, or of more bytes of files, takes much memory.
_FEW_ROWS = 100_000
_MOST_ROWS, _MOST_BYTES = 4_000_000, 256 * 1024**2


@dataclass(frozen=True)
class Block:
    """The files of a span of time for keys with numbers from ``codes[0]`` up to ``codes[1]``.

    ``span`` counts from 0 for the newest; ``start``: of its first partition; ``end``: after all its event timestamps.
    """

    span: int
    start: int
    end: int | None
    codes: tuple[int, int]
    files: tuple[ValueFile, ...]


@dataclass(frozen=True)
class Chunk:
    """The row groups for keys with numbers from ``codes[0]`` up to ``codes[1]``, in the order of files.

    ``starts`` and ``ends``: for each row group the range of numbers in which the keys of its rows lie.
    """

    codes: tuple[int, int]
    row_groups: tuple[Segment, ...]
    starts: Codes
    ends: Codes

    def holding(self, codes: Codes) -> Mask:
        """Which row groups may hold rows of these keys; ``codes`` ascend."""
        met: Mask = np.searchsorted(codes, self.starts) < np.searchsorted(codes, self.ends)
        return met

    def segments(self, chosen: Mask) -> Segments:
        return Segments.of([self.row_groups[at] for at in np.flatnonzero(chosen)])

    def within(self, low: int, high: int) -> Chunk:
        """The row groups with keys with numbers from ``low`` up to ``high``."""
        met = np.flatnonzero((self.starts < np.minimum(self.ends, high)) & (low < self.ends))
        return Chunk((low, high), tuple(self.row_groups[at] for at in met), self.starts[met], self.ends[met])


def plan_blocks(partitions: Sequence[Partition], keys: SpineKeys, rules: AsOfRules) -> list[Block]:
    """The blocks, from the newest to the oldest; those of one span cover the numbers of all keys."""
    known = [Partition(each.start, tuple(file for file in each.files if _is_known(file, rules))) for each in partitions]
    spans: list[list[Partition]] = []
    for partition in known:
        if not partition.files:
            continue
        if spans and _weight([*_files(spans[-1]), *partition.files]) * _MOST_ROWS <= _FEW_ROWS:
            spans[-1].append(partition)
        else:
            spans.append([partition])
    ends = [*(span[0].start for span in spans[1:]), None]
    blocks: list[Block] = []
    for number, (span, end) in enumerate(reversed(list(zip(spans, ends, strict=False)))):
        for codes, files in _cut_by_files(_files(span), keys):
            blocks.append(Block(number, span[0].start, end, codes, files))
    return blocks


def _files(span: Sequence[Partition]) -> tuple[ValueFile, ...]:
    return tuple(file for partition in span for file in partition.files)


def _is_known(file: ValueFile, rules: AsOfRules) -> bool:
    """Whether the file may have rows that ``known_at`` keeps."""
    created = file.created[0]
    return not isinstance(rules.known_at, int) or created is None or created <= rules.known_at


def _weight(files: Sequence[ValueFile]) -> float:
    """The share of a full chunk that the files' rows are."""
    return max(sum(file.rows for file in files) / _MOST_ROWS, sum(file.bytes for file in files) / _MOST_BYTES)


def _cut_by_files(files: Sequence[ValueFile], keys: SpineKeys) -> list[tuple[tuple[int, int], tuple[ValueFile, ...]]]:
    whole = (0, keys.count)
    if _weight(files) <= 1:
        return [(whole, tuple(files))]
    starts, ends = keys.ranges_of([file.bounds for file in files])
    ranges = list(zip(starts.tolist(), ends.tolist(), strict=True))
    cuts = cut_points([(*codes, _weight([file])) for codes, file in zip(ranges, files, strict=True)], whole)
    return [
        (
            (low, high),
            tuple(file for file, (first, end) in zip(files, ranges, strict=True) if first < high and low < end),
        )
        for low, high in pairwise(cuts)
    ]


def cut_points(ranges: Sequence[tuple[int, int, float]], whole: tuple[int, int]) -> list[int]:
    """The ends of consecutive ranges of numbers, from ``whole[0]`` to ``whole[1]``, each with a weight of about one.

    ``ranges``: start, end and weight of the parts. Cuts are at the starts of parts, so that few lie on both sides.
    """
    cuts, total = [whole[0]], 0.0
    for start, _, weight in sorted(ranges):
        if total + weight > 1 and start > cuts[-1] and total:
            cuts.append(start)
            total = 0.0
        total += weight
    return [*cuts, whole[1]]


def open_chunks(block: Block, keys: SpineKeys) -> list[Chunk]:
    """Open the block's files, and divide their row groups, by key, into chunks that fit memory."""
    low, high = block.codes
    starts, ends = keys.ranges_of([file.bounds for file in block.files])
    met = np.flatnonzero((starts < np.minimum(ends, high)) & (low < ends))
    opened = [block.files[at].open() for at in met]
    groups = [group for file in opened for group in file.row_groups]
    segments = [Segment(file, at, group.rows) for file in opened for at, group in enumerate(file.row_groups)]
    whole = Chunk(block.codes, tuple(segments), *keys.ranges_of([group.bounds for group in groups]))
    weights = [max(group.rows / _MOST_ROWS, group.bytes / _MOST_BYTES) for group in groups]
    weight = np.where(whole.starts < whole.ends, weights, 0.0)
    if weight.sum() <= 1:
        return [whole.within(low, high)]
    ranges = zip(np.maximum(whole.starts, low).tolist(), whole.ends.tolist(), weight.tolist(), strict=True)
    cuts = cut_points([each for each in ranges if each[2]], block.codes)
    return [whole.within(first, end) for first, end in pairwise(cuts)]
