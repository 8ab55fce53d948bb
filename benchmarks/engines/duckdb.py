"""DuckDB's ``ASOF JOIN`` over the same Parquet files, those of the Delta table's newest version; without Spark."""

from __future__ import annotations

import duckdb

from benchmarks.answers import MODULUS, WEIGHTS, Answers
from benchmarks.dataset import TIME, Dataset, GroupFiles, Kind


def run(dataset: Dataset) -> Answers:
    with duckdb.connect() as database:
        database.read_parquet(dataset.spine_files).create_view("spine")
        for group in dataset.groups:
            database.read_parquet(group.files).create_view(group.name)
        joined = database.sql(_join(dataset))
        answers = joined.aggregate(", ".join(_answers(dataset.options.output_columns)))
        return dict(zip(answers.columns, answers.fetchall()[0], strict=True))


def _join(dataset: Dataset) -> str:
    """The join's SQL; all names are the data set's own, none is a user's."""
    features = [_feature(name, group, dataset) for group in dataset.groups for name in group.features]
    joins = " ".join(_asof_join(group, dataset) for group in dataset.groups)
    return f"SELECT spine.*, {', '.join(features)} FROM spine {joins}"


def _asof_join(group: GroupFiles, dataset: Dataset) -> str:
    same_key = " AND ".join(f"spine.{key} = {group.name}.{key}" for key in dataset.keys)
    return f"ASOF LEFT JOIN {group.name} ON {same_key} AND spine.{TIME} >= {group.name}.{TIME}"


def _feature(name: str, group: GroupFiles, dataset: Dataset) -> str:
    lifetime = dataset.options.ttl_microseconds
    if lifetime is None:
        return f"{group.name}.{name}"
    age = f"epoch_us(spine.{TIME}) - epoch_us({group.name}.{TIME})"
    return f"CASE WHEN {age} <= {lifetime} THEN {group.name}.{name} END AS {name}"


def _answers(columns: dict[str, Kind]) -> list[str]:
    aggregates = ["CAST(count(*) AS DOUBLE) AS rows"]
    for name, kind in columns.items():
        number = _number(name, kind)
        aggregates += [
            f'CAST(count({name}) AS DOUBLE) AS "{name} count"',
            f'coalesce(sum({number}), 0) AS "{name} sum"',
            f'coalesce(sum({number} * (id % {WEIGHTS})), 0) AS "{name} weighted"',
        ]
    return aggregates


def _number(name: str, kind: Kind) -> str:
    numbers = {
        "double": name,
        "long": f"{name} % {MODULUS}",
        "timestamp": f"epoch_us({name}) % {MODULUS}",
        "string": f"length({name})",
    }
    return f"CAST({numbers[kind]} AS DOUBLE)"
