"""Windowed features of a Spark spine: its rows and the events meet in Spark's tasks, by hashes of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurestore.columnar.as_of.spine_keys import SpineRows, key_column
from featurestore.columnar.events.event_columns import key_name
from featurestore.columnar.events.windowed_rows import WindowedFeatures
from featurestore.definitions.values.durations import microseconds
from featurestore.frames.as_of.python_tasks import check_tasks
from featurestore.frames.as_of.spine import instant_column, with_instants
from featurestore.frames.columns import column, numbered
from featurestore.late_spark import Column, DataFrame, StructField, StructType, from_arrow_type
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import AsOfRequest
from featurestore.operations.windows.event_tables import bucket
from featurestore.operations.windows.window_lookup import WindowLookup
from featurestore.stores.value_files.task_join import in_years, pair_by_value

_BUCKET = "__bucket"


@dataclass(frozen=True)
class WindowTask:
    """What a task computes for rows of a spine: features of one group, by columns of the spine.

    - ``keys``: the spine's columns in the order of the join keys, and ``key_types`` those of the events;
    - ``columns``: the spine's own, one of which, ``instants``, has its times; ``offset``: how much later they look;
    - ``outputs``: by result its output column, in their order, with its type.
    """

    keys: tuple[str, ...]
    key_types: tuple[pa.DataType, ...]
    columns: tuple[str, ...]
    instants: str
    offset: int
    computed: WindowedFeatures
    outputs: tuple[tuple[str, str, pa.DataType], ...]

    def joined(self, rows: pa.Table, events: pa.Table) -> pa.Table:
        """The rows, whose columns may have any names and end with their bucket, with the outputs."""
        names = rows.column_names[:-1]
        spine = dict(zip(self.columns, rows.columns, strict=False))
        keys = [key_column(spine[name], kind) for name, kind in zip(self.keys, self.key_types, strict=True)]
        numbered = SpineRows.of(keys, in_years(spine[self.instants])).later(self.offset)
        found = self.computed.of_rows(numbered, events.drop_columns([_BUCKET]))
        own = dict(zip(names, rows.columns, strict=False))
        return pa.table(own | {output: found[result].cast(kind) for result, output, kind in self.outputs})


def with_windows(scope: Scope, rows: DataFrame, request: AsOfRequest, lookups: Sequence[WindowLookup]) -> DataFrame:
    """The rows followed by the outputs of the lookups; lazy. Raises SpineError for columns that Python's tasks lack."""
    check_tasks(rows.schema, "windowed features")
    instants = instant_column(rows)
    joined = with_instants(rows, request.timestamp_column, scope.settings.timestamp_zone, instants)
    for each in lookups:
        joined = _joined(scope, joined, each, instants)
    outputs = [name for each in lookups for name in each.output_types]
    return joined.select(*(column(name) for name in (*rows.columns, *outputs)))


def _joined(scope: Scope, rows: DataFrame, each: WindowLookup, instants: str) -> DataFrame:
    lookup, types = each.lookup, each.output_types
    task = WindowTask(
        keys=tuple(lookup.keys.values()),
        key_types=each.key_types,
        columns=tuple(rows.columns),
        instants=instants,
        offset=microseconds(lookup.offset),
        computed=each.computed,
        outputs=tuple((result, output, types[output]) for result, output in _in_order(each)),
    )
    events = each.events.frame()
    events = events.withColumn(_BUCKET, bucket(scope, [column(key_name(place)) for place in range(len(task.keys))]))
    spine = numbered(rows)
    keys = [_as(spine[rows.columns.index(name)], kind) for name, kind in zip(task.keys, task.key_types, strict=True)]
    left = spine.withColumn(_BUCKET, bucket(scope, keys)).groupBy(_BUCKET)
    added = [StructField(output, from_arrow_type(kind)) for _, output, kind in task.outputs]
    schema = StructType([*spine.schema.fields, *added])
    joined = left.cogroup(events.groupBy(_BUCKET)).applyInArrow(pair_by_value(task.joined), schema)
    return joined.toDF(*rows.columns, *types)


def _in_order(each: WindowLookup) -> list[tuple[str, str]]:
    """Results with their output columns, in the order of ``output_types``."""
    of_output = {output: result for result, output in each.outputs.items()}
    return [(of_output[output], output) for output in each.output_types]


def _as(key: Column, kind: pa.DataType) -> Column:
    """A key in the type of the events' key; null for one that it cannot be, which no event has."""
    return key.try_cast(from_arrow_type(kind))
