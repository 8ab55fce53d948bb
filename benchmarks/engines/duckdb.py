"""DuckDB's ``ASOF JOIN`` over the same Parquet files, those of the Delta table's newest version; without Spark.

The result need not keep the spine's order, which saves a little memory. With nulls to skip, each feature is joined by
itself, to the rows that have it. (Filling the values forward with ``last_value(... IGNORE NULLS)`` takes four fifths of
the time, but would then need each value's own time for the TTL.)
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from benchmarks.dataset import TIME, Dataset, GroupFiles


@dataclass(frozen=True)
class _Side:
    """The right side of a join: its name, the rows as SQL, and the features taken from it."""

    name: str
    rows: str
    features: list[str]


def first_look(dataset: Dataset) -> None:
    with duckdb.connect() as database:
        for files in (dataset.spine_files, *(group.files for group in dataset.groups)):
            database.read_parquet(files).limit(1).fetchall()


def join(dataset: Dataset) -> pa.Table:
    with duckdb.connect() as database:
        database.execute("SET preserve_insertion_order = false")
        database.read_parquet(dataset.spine_files).create_view("spine")
        for group in dataset.groups:
            database.read_parquet(group.files).create_view(group.name)
        return database.sql(_sql(dataset)).to_arrow_table()


def _sql(dataset: Dataset) -> str:
    """The join's SQL; all names are the data set's own, none is a user's."""
    sides = [side for group in dataset.groups for side in _sides(group, dataset)]
    features = [_feature(name, side.name, dataset) for side in sides for name in side.features]
    return f"SELECT spine.*, {', '.join(features)} FROM spine {' '.join(_asof_join(side, dataset) for side in sides)}"


def _sides(group: GroupFiles, dataset: Dataset) -> list[_Side]:
    """What is joined to the spine: the group, or with nulls to skip, each of its features."""
    if not dataset.options.skips_nulls:
        return [_Side(group.name, group.name, group.features)]
    keys = ", ".join(dataset.keys)
    return [
        _Side(name, f"(SELECT {keys}, {TIME}, {name} FROM {group.name} WHERE {name} IS NOT NULL)", [name])
        for name in group.features
    ]


def _asof_join(side: _Side, dataset: Dataset) -> str:
    same_key = " AND ".join(f"spine.{key} = {side.name}.{key}" for key in dataset.keys)
    return f"ASOF LEFT JOIN {side.rows} AS {side.name} ON {same_key} AND spine.{TIME} >= {side.name}.{TIME}"


def _feature(name: str, side: str, dataset: Dataset) -> str:
    lifetime = dataset.options.ttl_microseconds
    if lifetime is None:
        return f"{side}.{name}"
    age = f"epoch_us(spine.{TIME}) - epoch_us({side}.{TIME})"
    return f"CASE WHEN {age} <= {lifetime} THEN {side}.{name} END AS {name}"
