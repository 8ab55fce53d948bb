"""The as-of join in this process: an Arrow spine and the files of values, without Spark."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from featurestore.columnar.as_of.join import as_of_join
from featurestore.columnar.as_of.spine_keys import SpineKeys, SpineRows, key_column
from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array
from featurestore.columnar.schema import key_fields
from featurestore.columnar.spark_names import spark_name
from featurestore.columnar.spine_checks import check_keys, check_outputs, check_timestamp_column, not_an_instant
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import from_micros
from featurestore.frames.as_of.spine import SpineBounds
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.kinds.kind import Moments
from featurestore.kinds.moment import TIMESTAMP
from featurestore.operations.as_of.lookup_files import JoinFiles, LookupFiles
from featurestore.operations.reading.request import AsOfRequest
from featurestore.operations.windows.window_lookup import WindowLookup
from featurestore.stores.value_files.faults import value_file_errors


def check_local_spine(spine: pa.Table, request: AsOfRequest) -> None:
    """Raise SpineError if the spine lacks a requested column, or has one that collides with an output."""
    check_timestamp_column(spine.column_names, request.timestamp_column)
    check_outputs(spine.column_names, request.columns)
    request.derived.check_spine(spine.column_names)
    words = {field.name: _word(field.type) for field in spine.schema}
    for lookup in request.all_lookups:
        expected = {field.name: _word(field.type) for field in key_fields(lookup.group)}
        check_keys(words, lookup.keys, expected, lookup.group.name)


def _word(kind: pa.DataType) -> str:
    """The type in Spark's words, or in Arrow's if Spark has none."""
    if pa.types.is_large_string(kind):
        return "string"
    try:
        return spark_name(kind)
    except UndecidedError:
        return str(kind)


def spine_instants(spine: pa.Table, timestamp_column: str, zone: str | None) -> pa.Array:
    """The spine's timestamps as instants, read in ``zone`` if they are naive; raises SpineError if they are none."""
    column = one_array(spine.column(timestamp_column))
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    reading = None if is_text else TIMESTAMP.read_arrow(column, Moments(zone))
    if reading is None:
        raise not_an_instant(timestamp_column, _word(column.type))
    return reading.value


def bounds_of(instants: pa.Array) -> SpineBounds:
    """The number of rows, the earliest and the latest instant."""
    moments = as_numpy(instants.drop_null())
    if not len(moments):
        return SpineBounds(len(instants), None, None)
    return SpineBounds(len(instants), from_micros(int(moments.min())), from_micros(int(moments.max())))


@dataclass(frozen=True)
class NumberedRows:
    """The spine's rows for one lookup after another; those that look up by the same columns share their numbers."""

    spine: pa.Table
    instants: pa.Array
    _rows: dict[tuple[Any, ...], SpineRows] = field(default_factory=dict)

    def of(self, each: LookupFiles | WindowLookup) -> SpineRows:
        """The rows at the times at which the lookup looks for values."""
        named = (*each.lookup.keys.values(), *each.key_types)
        if named not in self._rows:
            self._rows[named] = SpineRows.of(_keys(self.spine, each), self.instants)
        return self._rows[named].later(microseconds(each.lookup.offset))


def joined_in_process(spine: pa.Table, instants: pa.Array, files: JoinFiles) -> dict[str, Any]:
    """The output columns of all lookups, in the order of the spine; see ``as_of_join`` and ``windowed`` for the rules.

    Raises StorageError for a file that is gone or damaged.
    """
    rows, columns = NumberedRows(spine, instants), dict[str, Any]()
    for each in files.lookups:
        with value_file_errors(each.files.table):
            taken = as_of_join(
                rows.of(each),
                each.files.partitions,
                each.rules,
                each.types,
                with_event=each.with_event,
                threads=threads(),
            )
        columns |= {each.lookup.outputs[name]: taken.features[name] for name in each.lookup.features}
        if each.with_event:
            columns[each.lookup.event_timestamp_output] = taken.event
    for window in files.windows:
        found = window.of_rows(rows.of(window), threads())
        columns |= {output: found[result] for result, output in window.outputs.items()}
    return columns


def spine_keys(spine: pa.Table, each: LookupFiles) -> SpineKeys:
    """The spine's distinct keys of a lookup."""
    return SpineKeys.of(_keys(spine, each))[0]


def _keys(spine: pa.Table, each: LookupFiles | WindowLookup) -> list[Any]:
    names = each.lookup.keys.values()
    return [key_column(spine.column(name), kind) for name, kind in zip(names, each.key_types, strict=True)]


def threads() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
