"""The as-of join of a part of a spine, as a task of Spark runs it; executors need Arrow and NumPy, not this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any

import pyarrow as pa

from featurestore.columnar.as_of.join import as_of_join
from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.spine_keys import SpineRows, key_column
from featurestore.columnar.as_of.value_files import Partition
from featurestore.columnar.fixed_width import as_arrow, as_numpy, plain_values
from featurestore.columnar.ranks import one_array

# A task joins so many rows, or so many bytes, of its spine at a time, which bounds its memory.
_SLICE_ROWS, _SLICE_BYTES = 2_000_000, 512 * 1024**2
_BATCH_ROWS = 1 << 16
# Instants outside the years 1 to 9999 take no value, by any host.
_INSTANTS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
_REGISTRY = Lock()


@dataclass(frozen=True)
class TaskLookup:
    """A lookup in a task.

    - ``keys``: the spine's columns in the order of the join keys, and ``key_types`` those of the values;
    - ``outputs``: by feature its output column, in the order of the output; ``event_output``: that of the newest event
      timestamp, or None;
    - ``offset``: how long after a spine row's time it looks values up, in microseconds.
    """

    keys: tuple[str, ...]
    key_types: tuple[pa.DataType, ...]
    rules: AsOfRules
    types: Mapping[str, pa.DataType]
    partitions: Sequence[Partition]
    outputs: Mapping[str, str]
    event_output: str | None
    offset: int


@dataclass(frozen=True)
class TaskJoin:
    """The lookups of a task by the same keys, and the spine's columns, one of which has the instants."""

    lookups: tuple[TaskLookup, ...]
    instants: str
    columns: tuple[str, ...]

    def joined(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of the batches with the lookups' columns; those of the batches may have any names."""
        for rows in _slices(batches):
            joined = self._with_values(rows.rename_columns(list(self.columns)))
            yield from joined.to_batches(max_chunksize=_BATCH_ROWS)

    def _with_values(self, rows: pa.Table) -> pa.Table:
        first = self.lookups[0]
        keys = [key_column(rows.column(name), kind) for name, kind in zip(first.keys, first.key_types, strict=True)]
        spine = SpineRows.of(keys, in_years(rows.column(self.instants)))
        columns = {name: rows.column(name) for name in self.columns}
        for lookup in self.lookups:
            taken = as_of_join(
                spine.later(lookup.offset),
                lookup.partitions,
                lookup.rules,
                lookup.types,
                with_event=lookup.event_output is not None,
            )
            columns |= {output: taken.features[name] for name, output in lookup.outputs.items()}
            if lookup.event_output is not None:
                columns[lookup.event_output] = taken.event
        return pa.table(columns)


def _slices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _SLICE_ROWS or size >= _SLICE_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(waiting)


def in_years(instants: pa.ChunkedArray) -> pa.Array:
    """Instants in UTC; those outside the years that the store knows are null, so that they take no value."""
    array = one_array(instants).cast(pa.timestamp("us", "UTC"))
    moments = plain_values(array)
    outside = (moments < _INSTANTS[0]) | (moments > _INSTANTS[1])
    if not outside.any():
        return array
    return as_arrow(moments, ~outside & as_numpy(array.is_valid()), array.type)


def by_value(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function, which carries all of this package that it needs, so that executors need not have it."""
    carried = _carried(run)

    def run_carried(rows: Any) -> Any:
        import pickle

        return pickle.loads(carried)(rows)

    return run_carried


def pair_by_value(run: Callable[[pa.Table, pa.Table], pa.Table]) -> Callable[[pa.Table, pa.Table], pa.Table]:
    """The same for a function of two tables."""
    carried = _carried(run)

    def run_carried(left: pa.Table, right: pa.Table) -> pa.Table:
        import pickle

        return pickle.loads(carried)(left, right)

    return run_carried


def _carried(run: Callable[..., Any]) -> bytes:
    """The function, pickled with the modules of this package that it needs."""
    import pyspark.cloudpickle

    cloudpickle: Any = pyspark.cloudpickle
    package = import_module(__name__.partition(".")[0])
    with _REGISTRY:
        cloudpickle.register_pickle_by_value(package)
        try:
            carried: bytes = cloudpickle.dumps(run)
            return carried
        finally:
            cloudpickle.unregister_pickle_by_value(package)
