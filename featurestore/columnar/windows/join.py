"""Windowed features of a spine: chunks of keys, several at a time.

Within a chunk, rows are sorted once, each length of window is searched once, and no function depends on how many events
a window has: see ``in_order.py`` and ``as_seen.py``.

Memory: the columns of the events that features need, and the results; each thread holds the rows of one chunk, and of
these about thirty longs each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.columnar.fixed_width import plain_values
from featurestore.columnar.ranks import one_array
from featurestore.columnar.windows.chunk_windows import ChunkWindows
from featurestore.columnar.windows.chunks import Chunk, chunks_of
from featurestore.columnar.windows.event_columns import EventColumn
from featurestore.columnar.windows.event_rows import EventRows
from featurestore.columnar.windows.functions import NUMERIC, results
from featurestore.columnar.windows.outputs import Output
from featurestore.columnar.windows.rules import KnownAt, WindowRules
from featurestore.errors import SchemaError


def windowed(
    spine: SpineRows, events: EventRows, features: Sequence[WindowRules], *, known_at: KnownAt, threads: int = 1
) -> dict[str, pa.ChunkedArray]:
    """Each feature of each spine row, in the order of the spine.

    - At a spine row's time T the events of its key with ``T - window < event_timestamp <= T`` count, exact to the
      microsecond.
    - ``known_at``: None counts of each event the version that was created last; a moment, in microseconds since 1970,
      only rows created at or before it, and of these the one created last; ``"event"`` the same with T. A row that was
      superseded counts nowhere, whatever replaced it; ``where`` applies to the rows that remain.
    - Nulls, NaN and infinities in ``of`` are ignored. Without events ``count`` and ``count_distinct`` are 0, and all
      other functions null; so is ``stddev``, which is that of a sample, with fewer than two.
    - ``first``, ``last`` and ``last_n`` (newest first) order by event timestamp, created timestamp and value.
    - ``min``, ``max`` and ``approx_percentile`` (nearest rank) give a value of the window; -0.0 is below 0.0, but for
      ``count_distinct`` they are one value.
    - Sums of whole numbers and of decimals are exact; those of doubles are the exact sum, rounded once. See
      ``ExactNumbers.quotients`` and ``deviations`` for ``avg`` and ``stddev``. So the order and the division of rows
      change no bit.

    Raises SchemaError if a function does not apply to the type of its column, and TransformationError if a sum is
    beyond the longs.
    """
    columns = {name: EventColumn.of(name, events.columns[name]) for name in _named(each.of for each in features)}
    masks = {name: _mask(events, name) for name in _named(each.where for each in features)}
    for rules in features:
        _check(rules, columns)
    rows = len(spine.codes)
    outputs = [Output(rules, rows, columns.get(rules.of or "")) for rules in features]

    def fill(chunk: Chunk) -> None:
        windows = ChunkWindows.of(chunk, events, columns, masks, (spine.codes, spine.times), known_at)
        for rules, output in zip(features, outputs, strict=True):
            output.put(windows.spine, results(rules, windows))

    chunks = chunks_of(events.codes, events.visible(known_at), spine.codes, spine.keys.count)
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, chunks):
            pass
    return {rules.name: output.arrow() for rules, output in zip(features, outputs, strict=True)}


def _named(names: Iterable[str | None]) -> set[str]:
    return {name for name in names if name is not None}


def _mask(events: EventRows, name: str) -> NDArray[np.bool_]:
    column = events.columns[name]
    if not pa.types.is_boolean(column.type):
        raise SchemaError(
            f"column {name!r} of the events is a condition and must be boolean; its type is {column.type}"
        )
    return plain_values(one_array(column))


def _check(rules: WindowRules, columns: dict[str, EventColumn]) -> None:
    if rules.of is None:
        if rules.function != "count":
            raise SchemaError(
                f"feature {rules.name!r}: {rules.function} needs a column of the events; only count has none"
            )
        return
    column = columns[rules.of]
    if rules.function in NUMERIC and not column.is_number:
        raise SchemaError(
            f"feature {rules.name!r}: {rules.function} needs numbers; column {rules.of!r} of the events has type "
            f"{column.kind}"
        )
