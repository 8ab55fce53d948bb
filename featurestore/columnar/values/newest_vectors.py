"""Each entity's newest vector per model version; ``frames/vectors/newest_vectors.py`` has the same rule for Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy, plain_values
from featurestore.columnar.ranks import one_array, ranks, tuple_ranks
from featurestore.columnar.values.latest_order import (
    CREATED,
    EVENT,
    Nulls,
    is_valid,
    last_of_runs,
    last_valid,
    latest_last,
    starts_of_runs,
)

# The name of a feature begins with a letter, so no feature has one of these names.
MODEL, VECTOR = "_model", "_embedding"


@dataclass(frozen=True)
class VectorColumns:
    """The columns of an entity's keys, of its vector and of the vector's model, and ``others`` to return.

    ``features``: the vector and the features among ``others``, in declared order.
    """

    keys: tuple[str, ...]
    vector: str
    model: str
    others: tuple[str, ...]
    features: tuple[str, ...]
    nulls: Nulls


def newest_vectors(rows: pa.Table, columns: VectorColumns, times: Mapping[str, str]) -> pa.Table:
    """One row per entity and model version: keys, ``MODEL``, ``VECTOR``, both timestamps, the others, their ``times``.

    ``nulls="skip"``: the latest vector of each model version, and the latest value of each other column, whatever the
    model; ``"keep"``: the latest row as a whole, if it has a vector. Rows are in the order of the as-of join. If an
    entity's newest vector is zero in all dims, it has no direction, and the entity has no row of that model version.
    ``times``: other column -> name for the event timestamp of its value; only with ``skip``. Keys and both timestamps
    must not be null.
    """
    entities = tuple_ranks([rows.column(key) for key in columns.keys])
    order = latest_last(rows, entities, columns.features)
    starts = starts_of_runs(entities[order])
    if columns.nulls == "keep":
        newest = last_of_runs(order, starts)
        newest = newest[_has_direction(rows.column(columns.vector), newest)]
        return _taken(rows, columns, times, newest, dict.fromkeys(columns.others, newest))
    newest = _last_of_each_model(rows, columns, entities, order)
    newest = newest[_has_direction(rows.column(columns.vector), newest)]
    runs = np.searchsorted(entities[order][starts], entities[newest])
    positions = {}
    for name in columns.others:
        last = last_valid(is_valid(rows.column(name))[order], starts)[runs]
        positions[name] = np.where(last >= 0, order[last], -1)
    return _taken(rows, columns, times, newest, positions)


def _last_of_each_model(
    rows: pa.Table, columns: VectorColumns, entities: NDArray[np.int64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The position of the latest row with a vector, of each entity and model version."""
    candidates = order[is_valid(rows.column(columns.vector))[order]]
    models = ranks(rows.column(columns.model))[candidates]
    # Both are below 2^31, the most rows of an Arrow table in one piece; a model that is not named is -1.
    groups = (entities[candidates] << np.int64(32)) | (models + 1)
    _, from_the_end = np.unique(groups[::-1], return_index=True)
    last: NDArray[np.int64] = candidates[len(candidates) - 1 - from_the_end]
    return last


def _has_direction(vectors: pa.ChunkedArray, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the vectors at these positions are not null and have a number other than zero."""
    taken = one_array(vectors.take(pa.array(positions)))
    found = is_valid(taken)
    present = taken.drop_null()
    lengths = as_numpy(present.value_lengths())
    held = np.zeros(len(present), bool)
    firsts = (np.cumsum(lengths) - lengths)[lengths > 0]
    if len(firsts):
        held[lengths > 0] = np.logical_or.reduceat(plain_values(present.flatten()) != 0, firsts)
    found[found] = held
    return found


def _taken(
    rows: pa.Table,
    columns: VectorColumns,
    times: Mapping[str, str],
    newest: NDArray[np.int64],
    positions: Mapping[str, NDArray[np.int64]],
) -> pa.Table:
    """The rows at ``newest``, with each other column from its own positions; null at -1."""
    at = pa.array(newest)
    taken = {name: rows.column(name).take(at) for name in columns.keys}
    taken |= {MODEL: rows.column(columns.model).take(at), VECTOR: rows.column(columns.vector).take(at)}
    taken |= {name: rows.column(name).take(at) for name in (EVENT, CREATED)}
    places = {name: pa.array(places, mask=places < 0) for name, places in positions.items()}
    taken |= {name: rows.column(name).take(place) for name, place in places.items()}
    taken |= {times[name]: rows.column(EVENT).take(place) for name, place in places.items() if name in times}
    return pa.table(taken)


def with_all_entities(newest: pa.Table, entities: pa.Table) -> pa.Table:
    """The newest vectors, and one row of nulls for each entity without one; the entities are distinct keys."""
    keys = entities.column_names
    entities = entities.cast(pa.schema([newest.schema.field(name) for name in keys]))
    lacking = entities.join(newest.select(keys), keys, join_type="left anti")
    nulls: Sequence[Any] = [
        lacking.column(field.name) if field.name in keys else pa.nulls(lacking.num_rows, field.type)
        for field in newest.schema
    ]
    return pa.concat_tables([newest, pa.table(nulls, schema=newest.schema)])
