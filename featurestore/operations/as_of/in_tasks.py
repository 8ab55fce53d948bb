"""The as-of join in Spark's tasks: only the spine is spread, and each task reads the row groups that it needs."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.definitions.values.durations import microseconds
from featurestore.frames.as_of.spine import instant_column, with_instants
from featurestore.frames.as_of.spread import spread_by_key
from featurestore.frames.columns import column, numbered
from featurestore.late_spark import DataFrame, StructField, StructType, T, from_arrow_type
from featurestore.operations.as_of.key_ranges import KeyRanges, are_few, key_ranges, least_tasks_of, parts_of
from featurestore.operations.as_of.lookup_files import LookupFiles
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import AsOfRequest
from featurestore.stores.value_files.faults import value_file_errors
from featurestore.stores.value_files.task_join import TaskJoin, TaskLookup, by_value


def joined_in_tasks(scope: Scope, spine: DataFrame, request: AsOfRequest, lookups: Sequence[LookupFiles]) -> DataFrame:
    """The spine's own columns followed by the lookups'; lazy. The files are those of ``lookups``, whenever it runs."""
    instants, rows = request.timestamp_column, spine
    if not isinstance(spine.schema[instants].dataType, T.TimestampType):
        instants = instant_column(spine)
        rows = with_instants(spine, request.timestamp_column, scope.settings.timestamp_zone, instants)
    for keyed, ranges in zip(_by_keys(lookups), spread_of(scope, lookups), strict=True):
        if ranges is not None:
            names = list(keyed[0].lookup.keys.values())
            rows = spread_by_key(rows, names, instants, ranges.cuts, ranges.pieces)
        elif not are_few(_value_rows(keyed)):
            rows = rows.coalesce(_least_tasks(scope))
        rows = _joined(rows, keyed, instants)
    outputs = [name for each in lookups for name in each.output_types]
    return rows.select(*(column(name) for name in (*spine.columns, *outputs)))


def spread_of(scope: Scope, lookups: Sequence[LookupFiles]) -> list[KeyRanges | None]:
    """How the spine is spread for each combination of key columns; None where each of its partitions reads all."""
    least_tasks = _least_tasks(scope)
    return [_spread(keyed, least_tasks) for keyed in _by_keys(lookups)]


def _spread(keyed: Sequence[LookupFiles], least_tasks: int) -> KeyRanges | None:
    if are_few(_value_rows(keyed), least_tasks):
        return None
    with value_file_errors(*(each.files.table for each in keyed)):
        return key_ranges(parts_of([partition for each in keyed for partition in each.files.partitions]), least_tasks)


def _least_tasks(scope: Scope) -> int:
    return least_tasks_of(scope.spark.conf.get("spark.sql.shuffle.partitions"))


def _value_rows(keyed: Sequence[LookupFiles]) -> int:
    return sum(file.rows for each in keyed for partition in each.files.partitions for file in partition.files)


def _by_keys(lookups: Sequence[LookupFiles]) -> list[list[LookupFiles]]:
    """The lookups by the same columns of the spine with the same types of keys."""
    found: dict[tuple[object, ...], list[LookupFiles]] = {}
    for each in lookups:
        found.setdefault((*each.lookup.keys.values(), *each.key_types), []).append(each)
    return list(found.values())


def _joined(rows: DataFrame, keyed: Sequence[LookupFiles], instants: str) -> DataFrame:
    join = TaskJoin(tuple(_task_lookup(each) for each in keyed), instants, tuple(rows.columns))
    outputs = [StructField(name, from_arrow_type(kind)) for each in keyed for name, kind in each.output_types.items()]
    return numbered(rows).mapInArrow(by_value(join.joined), StructType([*rows.schema.fields, *outputs]))


def _task_lookup(each: LookupFiles) -> TaskLookup:
    lookup = each.lookup
    return TaskLookup(
        keys=tuple(lookup.keys.values()),
        key_types=each.key_types,
        rules=each.rules,
        types=each.types,
        partitions=each.files.partitions,
        outputs={name: lookup.outputs[name] for name in lookup.features},
        event_output=lookup.event_timestamp_output if each.with_event else None,
        offset=microseconds(lookup.offset),
    )
