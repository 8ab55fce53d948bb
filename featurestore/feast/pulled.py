"""The rows of one source within a range of time: all of them, or the latest of each entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.data_source import DataSource
from feast.errors import FeastJoinKeysDuringMaterialization
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from numpy.typing import NDArray

from featurestore.columnar.ranks import tuple_ranks
from featurestore.columnar.values.latest_order import CREATED, EVENT, last_of_runs, latest_last, starts_of_runs
from featurestore.feast.source_table import SourceTable, time_columns
from featurestore.stores.outside.rows import WantedColumn


@dataclass(frozen=True)
class PulledColumns:
    """Columns of a source, by its own names; ``features`` are all columns if none are named."""

    keys: Sequence[str]
    features: Sequence[str]
    event: str
    created: str | None


def pulled(
    source: DataSource,
    table: SourceTable,
    wanted: PulledColumns,
    start: datetime | None,
    end: datetime | None,
    *,
    latest: bool,
) -> pa.Table:
    """The rows whose event time is within ``[start, end]``; None for no bound.

    ``latest``: of each entity only the row that the as-of join would take. Rows of a source without keys are of one
    entity, which Feast's placeholder names. Raises FeastJoinKeysDuringMaterialization
    if the source lacks a key.
    """
    names = table.schema.names
    if not set(wanted.keys) <= set(names):
        raise FeastJoinKeysDuringMaterialization(source.name, set(wanted.keys), set(names))
    times = [wanted.event, *([wanted.created] if wanted.created else [])]
    chosen = list(dict.fromkeys((*wanted.keys, *wanted.features, *times))) if wanted.features else names
    columns = {_own(name): WantedColumn(name) for name in chosen} | time_columns(wanted.event, wanted.created)
    rows = table.read(columns, required=[EVENT], ranges={EVENT: (_utc(start), _utc(end))})
    if latest:
        rows = rows.take(pa.array(_latest(rows, wanted)))
    found = rows.select([_own(name) for name in chosen]).rename_columns(chosen)
    for name in times:
        # What has no time zone is in UTC.
        own = found.column(name)
        instants = pc.if_else(pc.is_valid(own), rows.column(EVENT if name == wanted.event else CREATED), None)
        found = found.set_column(chosen.index(name), name, instants)
    if not wanted.keys:
        found = found.append_column(DUMMY_ENTITY_ID, pa.repeat(pa.scalar(DUMMY_ENTITY_VAL), found.num_rows))
    return found


def _latest(rows: pa.Table, wanted: PulledColumns) -> NDArray[np.int64]:
    """The positions of the latest row of each entity, in the order of the rows."""
    entities = np.zeros(rows.num_rows, np.int64)
    if wanted.keys:
        entities = tuple_ranks([rows.column(_own(name)) for name in wanted.keys])
    order = latest_last(rows, entities, [_own(name) for name in wanted.features])
    return np.sort(last_of_runs(order, starts_of_runs(entities[order])))


def _own(name: str) -> str:
    """A column of the source beside the two times."""
    return f"own_{name}"


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)
