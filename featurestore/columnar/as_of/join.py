"""The as-of join of one lookup: partitions of values from the newest to the oldest, several at a time.

A spine row asks the partition that its time lies in. If nothing of its key is visible there, it asks the one before,
and so on. So every partition is read once, no partition prepares values for spine rows that may not need them, and the
older ones are read only for the keys that are still asked for.

Memory: each thread holds the keys and times of one chunk (a partition, several small ones, or a part of a large one),
and the features of the row groups from which it takes values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

import numpy as np
import pyarrow as pa

from featurestore.columnar.as_of.asking import Answers, Asking, merged
from featurestore.columnar.as_of.blocks import Block, open_chunks, plan_blocks
from featurestore.columnar.as_of.chunk_rows import ChunkRows
from featurestore.columnar.as_of.gathered import Places
from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.columnar.as_of.value_files import Partition
from featurestore.columnar.as_of.value_rows import order_of_codes

# Spine rows that a thread sorts by span at a time.
_PART = 1 << 16


@dataclass(frozen=True)
class Taken:
    """By feature the values as of each spine row; ``event``: the newest event timestamp among them, if requested."""

    features: dict[str, pa.ChunkedArray]
    event: pa.Array | None


def as_of_join(
    spine: SpineRows,
    partitions: Sequence[Partition],
    rules: AsOfRules,
    types: Mapping[str, pa.DataType],
    *,
    with_event: bool = False,
    threads: int = 1,
) -> Taken:
    """The values of each feature as of each spine row, in the order of the spine; null without any.

    - A value row matches if ``T - ttl <= event_timestamp <= T``, both ends included, exact to the microsecond.
    - ``nulls="skip"``: each feature takes its latest non-null value; ``"keep"``: all features take those of the latest
      row. The TTL applies to this value or row; an older one does not replace it.
    - The latest is the greatest by event timestamp, then created timestamp, then the tuple of ``rules.features`` (see
      ``latest_order``).
    - ``known_at``: see ``AsOfRules``.

    ``partitions`` ascend and are disjoint in event time; keys and times of values are never null. ``types``: of the
    features. Raises InvariantError if a value newer than its spine row were taken, and whatever opening or reading a
    file raises.
    """
    blocks = plan_blocks(partitions, spine.keys, rules)
    answers = Answers.of(spine, rules, types, with_event)
    with ThreadPoolExecutor(threads) as pool:
        own = _rows_by_span(spine, blocks, pool)
        _in_parallel(blocks, partial(_run, answers, own), pool)
    return Taken(answers.features(), answers.event())


def _run(
    answers: Answers, own: Sequence[list[Places]], block: Block, newer: Sequence[Future[list[Asking]]]
) -> list[Asking]:
    codes = answers.spine.codes
    mine = np.concatenate(own[block.span])
    asking = Asking(answers.rules.features, mine[order_of_codes(codes[mine])])
    earlier = cache(lambda: merged((answers.unexpired(each, block.end) for done in newer for each in done.result()),
                                   codes))  # fmt: skip
    return _answered(block, asking, earlier, answers)


def _answered(block: Block, own: Asking, earlier: Callable[[], list[Asking]], answers: Answers) -> list[Asking]:
    """Answer the spine rows of the block's own time, then those that newer blocks left; returns those it leaves.

    ``earlier`` waits for the newer blocks. A block that nobody asks opens no file.
    """
    codes = answers.spine.codes
    left: list[Asking] = []
    if not len(own.rows) and not earlier():
        return left
    for chunk in open_chunks(block, answers.spine.keys):
        rows = ChunkRows(block, chunk, answers)
        left += rows.answer(own.within(codes, chunk.codes))
        for asking in earlier():
            left += rows.answer(asking.within(codes, chunk.codes))
    return merged(left, codes)


def _rows_by_span(spine: SpineRows, blocks: Sequence[Block], pool: Executor) -> list[list[Places]]:
    """For each span, the spine rows whose time lies in it or after it, but not in a newer one; in several parts."""
    starts = np.array(list(dict.fromkeys(block.start for block in blocks))[::-1], np.int64)
    # A stable sort of few distinct numbers is fast if they are short.
    short = np.int16 if len(starts) < 2**15 else np.int64

    def part(first: int) -> list[Places]:
        rows = slice(first, first + _PART)
        place = np.searchsorted(starts, spine.times[rows], "right").astype(short)
        place[spine.codes[rows] < 0] = 0
        order = np.argsort(place, kind="stable") + first
        cuts = np.cumsum(np.bincount(place, minlength=len(starts) + 1))
        return [order[low:high] for low, high in pairwise(cuts.tolist())]

    parts = list(pool.map(part, range(0, max(len(spine.codes), 1), _PART)))
    return [list(of_span) for of_span in zip(*parts, strict=True)][::-1]


def _in_parallel(
    blocks: Sequence[Block], run: Callable[[Block, Sequence[Future[list[Asking]]]], list[Asking]], pool: Executor
) -> None:
    """Run all blocks, each with the futures of the span that is newer by one.

    Blocks start in their order and wait only for earlier ones, so some block can always go on.
    """
    newer: list[Future[list[Asking]]] = []
    current: list[Future[list[Asking]]] = []
    waiting: deque[Future[list[Asking]]] = deque()
    for at, block in enumerate(blocks):
        if at and block.span != blocks[at - 1].span:
            newer, current = current, []
        current.append(pool.submit(run, block, newer))
        waiting.append(current[-1])
    newer = current = []
    try:
        # What is done is dropped, since it holds the numbers of the rows that were left.
        while waiting:
            waiting.popleft().result()
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
