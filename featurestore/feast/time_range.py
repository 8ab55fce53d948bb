"""The entity rows of a retrieval that names a range of time, and no entities."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
from feast.infra.offline_stores.offline_utils import DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL

from featurestore.feast.entity_rows import EntityRows
from featurestore.feast.source_table import SourceTable, time_columns
from featurestore.feast.views import Renamed, SourceColumns, ViewLookup
from featurestore.stores.outside.casts import INSTANT
from featurestore.stores.outside.rows import WantedColumn

_EVENT = DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL


def entities_in_range(
    views: Sequence[tuple[ViewLookup, SourceTable]], start: datetime, end: datetime, *, each_row: bool
) -> EntityRows:
    """The distinct entities that have a row within ``[start, end]`` in one of the views, at the end of the range.

    ``each_row``: at the time of each of these rows instead. Of a key that a view does not have, its rows hold null.
    """
    parts = [_distinct(lookup, table, start, end, each_row=each_row) for lookup, table in views]
    keyed = [part for part in parts if part.column_names]
    if not keyed:
        # All views are without an entity.
        return EntityRows(pa.table({_EVENT: pa.array([end], INSTANT)}), _EVENT)
    whole = pa.concat_tables(keyed, promote_options="permissive")
    distinct = whole.group_by(whole.column_names).aggregate([])
    if not each_row:
        distinct = distinct.append_column(_EVENT, pa.repeat(pa.scalar(end, INSTANT), distinct.num_rows))
    in_order = [_EVENT, *(name for name in distinct.column_names if name != _EVENT)]
    return EntityRows(distinct.select(in_order).sort_by([(name, "ascending") for name in in_order]), _EVENT)


def _distinct(lookup: ViewLookup, table: SourceTable, start: datetime, end: datetime, *, each_row: bool) -> pa.Table:
    names = table.schema.names
    own, times = Renamed(lookup.source, names), SourceColumns.of(lookup.source, names)
    keys = {column: WantedColumn(own.source(key)) for key, column in lookup.keys.items()}
    columns = keys | time_columns(times.event, None)
    rows = table.read(columns, required=[*keys, _EVENT], ranges={_EVENT: (start, end)})
    wanted = [*keys, *([_EVENT] if each_row else [])]
    return rows.select(wanted).group_by(wanted).aggregate([]) if wanted else rows.select([])
