"""Features of Feast's views as of each entity row, by the as-of kernel."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.as_of.join import as_of_join
from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.columnar.ranks import one_array
from featurestore.columnar.values.latest_order import CREATED, EVENT
from featurestore.definitions.values.durations import microseconds
from featurestore.errors import SchemaError, SpineError
from featurestore.feast.entity_rows import EntityRows
from featurestore.feast.source_table import SourceTable, Values, time_columns
from featurestore.feast.views import Renamed, SourceColumns, ViewLookup
from featurestore.stores.outside.casts import plain_type
from featurestore.stores.outside.rows import WantedColumn
from featurestore.stores.value_files.faults import value_file_errors

# The key of a view without an entity, which all its rows have.
_ANY = "any"


def looked_up(
    entities: EntityRows, lookup: ViewLookup, table: SourceTable, *, by_created: bool, threads: int | None = None
) -> dict[str, pa.ChunkedArray]:
    """By output column the values as of each entity row: those of the latest row at or before its time.

    Feast's rules: the latest row is taken as a whole, by event time, then created time; it must not be older than the
    view's TTL, both ends included. ``by_created``: only rows that were created at or before the entity row's time, of
    which a row without a created time is none.
    """
    schema = table.schema
    own, times = Renamed(lookup.source, schema.names), SourceColumns.of(lookup.source, schema.names)
    by_created = by_created and times.created is not None
    keys = {f"key_{place}": own.source(name) for place, name in enumerate(lookup.keys)}
    features = {f"feature_{place}": own.source(name) for place, name in enumerate(lookup.outputs)}
    columns = {name: WantedColumn(source, key_type(lookup, schema.field(source))) for name, source in keys.items()}
    columns |= time_columns(times.event, times.created, without_created=not by_created)
    columns |= {name: WantedColumn(source) for name, source in features.items()}
    asked = {
        name: asked_key(lookup, entities.rows, column, columns[name].type)
        for name, column in zip(keys, lookup.keys.values(), strict=True)
    }
    required = [*keys, EVENT, *([CREATED] if by_created else [])]
    if keys:
        values = table.values(columns, required=required, asked=pa.table(asked))
    else:
        values = _of_any(table.read(columns, required=required, ranges={}), table.name)
        asked = {_ANY: pa.repeat(pa.scalar(0), entities.rows.num_rows)}
    rules = AsOfRules(
        keys=tuple(asked),
        features=tuple(features),
        ttl=None if lookup.ttl is None else microseconds(lookup.ttl),
        nulls="keep",
        known_at="event" if by_created else None,
    )
    spine = SpineRows.of(list(asked.values()), entities.instants)
    types = {name: values.types[name] for name in features}
    with value_file_errors(values.place):
        taken = as_of_join(spine, values.partitions, rules, types, threads=threads or os.cpu_count() or 1)
    return {output: taken.features[name] for name, output in zip(features, lookup.outputs.values(), strict=True)}


def _of_any(rows: pa.Table, place: str) -> Values:
    """Values of a view without an entity."""
    return Values.in_memory(rows.append_column(_ANY, pa.repeat(pa.scalar(0), rows.num_rows)), 1, place)


def key_type(lookup: ViewLookup, stored: pa.Field) -> pa.DataType:
    """The type in which the kernel compares a join key; raises SchemaError for one that it does not compare."""
    kind = plain_type(stored.type)
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return kind if pa.types.is_signed_integer(kind) else pa.int64()
    if pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_date32(kind) or pa.types.is_timestamp(kind):
        return kind
    raise SchemaError(
        f"{lookup.name}: its join key {stored.name!r} is {kind} in source {lookup.source.name!r}; keys are whole "
        "numbers, texts, dates, timestamps or booleans: cast it in the source"
    )


def asked_key(lookup: ViewLookup, rows: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    """A key column of the entity rows in the type of the source's; raises SpineError if the two do not compare.

    A whole number that a frame holds as a double, since some rows have none, is a whole number. A number or a time that
    the source's type cannot hold is the key of no row: null.
    """
    column = one_array(rows.column(name))
    own = plain_type(column.type)
    if pa.types.is_null(own):
        return pa.nulls(len(column), kind)
    if pa.types.is_integer(kind) and pa.types.is_floating(own):
        is_held = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 2.0**53))
        return pc.if_else(is_held, column, pa.scalar(None, own)).cast(pa.int64())
    if pa.types.is_integer(kind) and own == pa.uint64():
        return pc.if_else(pc.less(column, pa.scalar(2**63, own)), column, pa.scalar(None, own)).cast(pa.int64())
    if pa.types.is_integer(kind) and pa.types.is_integer(own):
        return column if pa.types.is_signed_integer(own) else column.cast(pa.int64())
    if own == kind:
        return column.cast(kind)
    if pa.types.is_temporal(own) and pa.types.is_temporal(kind):
        times = column.cast(own)
        found = times.cast(kind, safe=False)
        return pc.if_else(pc.equal(found.cast(own, safe=False), times), found, pa.scalar(None, kind))
    raise SpineError(
        f"{lookup.name}: its join key is {kind} in source {lookup.source.name!r}, and column {name!r} of the entity "
        f"rows is {own}; give it the same type"
    )
