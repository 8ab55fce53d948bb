"""Each entity's newest valid vector of each model version: the rows of an index of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.columnar.values.newest_vectors import MODEL, VECTOR, VectorColumns
from featurestore.frames.columns import column
from featurestore.frames.corrections import sort_value
from featurestore.late_spark import Column, DataFrame, F, W

_ORDER, _VALUE, _LATEST = "__order", "__value", "__latest"


def newest_vectors(values: DataFrame, columns: VectorColumns, times: Mapping[str, str]) -> DataFrame:
    """One row per entity and model version: keys, ``MODEL``, ``VECTOR``, both timestamps, the others.

    The vectors are those that ``latest_similarities`` compares, of all model versions at once, and the others are the
    values that it filters by. ``nulls="skip"``: the latest vector of each model version, and the latest value of each
    other column, whatever the model; ``"keep"``: the latest row as a whole, if it has a vector. Rows are in the order
    of the as-of join. If an entity's newest vector is zero in all dims, it has no direction, and the entity has no row
    of that model version. ``times``: other column -> name for the event timestamp of its value; only with ``skip``.
    """
    content = [sort_value(values, name) for name in columns.features]
    order = F.struct(*TIME_COLUMNS, *(part.alias(f"__content_{index}") for index, part in enumerate(content)))
    rows = values.select(
        *(column(key) for key in columns.keys),
        *TIME_COLUMNS,
        column(columns.vector).alias(VECTOR),
        column(columns.model).alias(MODEL),
        *(column(name) for name in columns.others),
        order.alias(_ORDER),
    )
    newest = _latest_rows(rows, columns) if columns.nulls == "keep" else _latest_values(rows, columns, times)
    return newest.where(_has_direction(F.col(VECTOR)))


def only_vectors(values: DataFrame, columns: VectorColumns, times: Mapping[str, str]) -> DataFrame:
    """The same for values in which no entity has two rows; needs no shuffle."""
    rows = values.where(column(columns.vector).isNotNull() & _has_direction(column(columns.vector)))
    at = F.col("event_timestamp")
    return rows.select(
        *(column(key) for key in columns.keys),
        column(columns.model).alias(MODEL),
        column(columns.vector).alias(VECTOR),
        *TIME_COLUMNS,
        *(column(name) for name in columns.others),
        *(F.when(column(name).isNotNull(), at).alias(times[name]) for name in columns.others if name in times),
    )


def most_rows_an_entity(values: DataFrame, keys: Sequence[str]) -> DataFrame:
    """One row: ``rows``, the number of rows of the entity with the most rows; null if there are no rows."""
    return values.groupBy(*map(column, keys)).count().agg(F.max("count").alias("rows"))


def _latest_rows(rows: DataFrame, columns: VectorColumns) -> DataFrame:
    names = [VECTOR, MODEL, *TIME_COLUMNS, *columns.others]
    row = F.struct(*(column(name) for name in names))
    latest = rows.groupBy(*map(column, columns.keys)).agg(F.max_by(row, F.col(_ORDER)).alias(_LATEST))
    return latest.select(*map(column, columns.keys), *(F.col(_LATEST)[name].alias(name) for name in names))


def _latest_values(rows: DataFrame, columns: VectorColumns, times: Mapping[str, str]) -> DataFrame:
    row = F.struct(VECTOR, *TIME_COLUMNS)
    latest = [F.max_by(row, F.when(F.col(VECTOR).isNotNull(), F.col(_ORDER))).alias(_LATEST)]
    for name in columns.others:
        value = F.struct(F.col(_ORDER), column(name).alias(_VALUE))
        latest.append(F.max(F.when(column(name).isNotNull(), value)).alias(name))
    # By the keys alone, so that the grouping by keys and model and the window by keys shuffle no vector again.
    together = rows.repartition(*map(column, columns.keys))
    by_model = together.groupBy(*map(column, columns.keys), MODEL).agg(*latest)
    of_entity = W.partitionBy(*map(column, columns.keys))
    others = {name: F.max(column(name)).over(of_entity) for name in columns.others}
    of_all_models = by_model.withColumns(others) if others else by_model
    return of_all_models.where(F.col(_LATEST).isNotNull()).select(
        *map(column, columns.keys),
        MODEL,
        *(F.col(_LATEST)[name].alias(name) for name in (VECTOR, *TIME_COLUMNS)),
        *(column(name)[_VALUE].alias(name) for name in columns.others),
        *(column(name)[_ORDER]["event_timestamp"].alias(times[name]) for name in columns.others if name in times),
    )


def _has_direction(vector: Column) -> Column:
    square = F.call_function("vector_inner_product", vector, vector)
    # In single precision, the square of small numbers may be zero.
    return F.when(square > 0, F.lit(True)).otherwise(F.exists(vector, lambda number: number != 0))
