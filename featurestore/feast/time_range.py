"""The entity rows of a retrieval that names a range of time, and no entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa
from feast.infra.offline_stores.offline_utils import DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL

from featurestore.errors import SchemaError
from featurestore.feast.entity_rows import EntityRows
from featurestore.feast.join import key_type
from featurestore.feast.source_table import SourceTable, time_columns
from featurestore.feast.views import Renamed, SourceColumns, ViewLookup
from featurestore.stores.outside.casts import INSTANT, wider_type
from featurestore.stores.outside.rows import WantedColumn

_EVENT = DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL


def entities_in_range(
    views: Sequence[tuple[ViewLookup, SourceTable]], start: datetime, end: datetime, *, each_row: bool
) -> EntityRows:
    """The distinct entities that have a row within ``[start, end]`` in one of the views, at the end of the range.

    ``each_row``: at the time of each of these rows instead. Of a key that a view does not have, its rows hold null.
    Raises SchemaError if no type holds one key of two views.
    """
    schemas = [table.schema for _, table in views]
    kinds = _key_kinds([lookup for lookup, _ in views], schemas)
    parts = [
        _distinct(lookup, table, schema.names, kinds, start, end, each_row=each_row)
        for (lookup, table), schema in zip(views, schemas, strict=True)
    ]
    keyed = [part for part in parts if part.column_names]
    if not keyed:
        # All views are without an entity.
        return EntityRows(pa.table({_EVENT: pa.array([end], INSTANT)}), _EVENT)
    whole = pa.concat_tables(keyed, promote_options="default")
    distinct = whole.group_by(whole.column_names).aggregate([])
    if not each_row:
        distinct = distinct.append_column(_EVENT, pa.repeat(pa.scalar(end, INSTANT), distinct.num_rows))
    in_order = [_EVENT, *(name for name in distinct.column_names if name != _EVENT)]
    return EntityRows(distinct.select(in_order).sort_by([(name, "ascending") for name in in_order]), _EVENT)


def _key_kinds(lookups: Sequence[ViewLookup], schemas: Sequence[pa.Schema]) -> dict[str, pa.DataType]:
    """By column of the entity rows the type that holds the keys of all views."""
    kinds: dict[str, pa.DataType] = {}
    first: dict[str, str] = {}
    for lookup, schema in zip(lookups, schemas, strict=True):
        own = Renamed(lookup.source, schema.names)
        for key, column in lookup.keys.items():
            kind = key_type(lookup, schema.field(own.source(key)))
            both = wider_type(kinds.get(column, kind), kind)
            if both is None:
                raise SchemaError(
                    f"entity column {column!r} is {kinds[column]} in {first[column]}, and {kind} in {lookup.name}, so "
                    "that their entities cannot be listed together; ask for each view alone, or cast the key in a "
                    "source"
                )
            kinds[column] = both
            first.setdefault(column, lookup.name)
    return kinds


def _distinct(
    lookup: ViewLookup,
    table: SourceTable,
    names: Sequence[str],
    kinds: Mapping[str, pa.DataType],
    start: datetime,
    end: datetime,
    *,
    each_row: bool,
) -> pa.Table:
    own, times = Renamed(lookup.source, names), SourceColumns.of(lookup.source, names)
    keys = {column: WantedColumn(own.source(key), kinds[column]) for key, column in lookup.keys.items()}
    columns = keys | time_columns(times.event, None)
    rows = table.read(columns, required=[*keys, _EVENT], ranges={_EVENT: (start, end)})
    wanted = [*keys, *([_EVENT] if each_row else [])]
    return rows.select(wanted).group_by(wanted).aggregate([]) if wanted else rows.select([])
