"""Each entity's newest valid vector of each model version: what an index of vectors holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from featurestore.frames.columns import column
from featurestore.frames.latest import sort_value
from featurestore.frames.schema import TIME_COLUMNS
from featurestore.frames.vectors.similarity import VectorColumns

# Names of features begin with a letter, so that none of theirs is one of these.
MODEL, VECTOR = "_model", "_embedding"
_ORDER, _VALUE, _TAKEN = "__order", "__value", "__taken"


def newest_vectors(values: DataFrame, columns: VectorColumns, times: Mapping[str, str]) -> DataFrame:
    """One row an entity and model version: keys, ``MODEL``, ``VECTOR``, both timestamps, the others.

    The vectors are those that ``latest_similarities`` compares, of all model versions at once, and the others are the
    values that it filters by. ``nulls="skip"``: the latest vector of each model version, and of each other column its
    latest value, whatever the model; ``"keep"``: the latest row as a whole, where it has a vector. The order is that of the
    as-of join. An entity whose newest vector is zero in all dims, which has no direction, has no row of that model version.
    ``times``: other column -> name for the event timestamp that its value has; only with ``skip``.
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
    newest = _kept(rows, columns) if columns.nulls == "keep" else _skipped(rows, columns, times)
    return newest.where(_has_direction(F.col(VECTOR)))


def only_vectors(values: DataFrame, columns: VectorColumns, times: Mapping[str, str]) -> DataFrame:
    """The same, where no entity has two rows: without a shuffle."""
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
    """One row, ``rows``: how many rows the entity with the most has; null where there is none."""
    return values.groupBy(*map(column, keys)).count().agg(F.max("count").alias("rows"))


def _kept(rows: DataFrame, columns: VectorColumns) -> DataFrame:
    named = [VECTOR, MODEL, *TIME_COLUMNS, *columns.others]
    row = F.struct(*(column(name) for name in named))
    latest = rows.groupBy(*map(column, columns.keys)).agg(F.max_by(row, F.col(_ORDER)).alias(_TAKEN))
    return latest.select(*map(column, columns.keys), *(F.col(_TAKEN)[name].alias(name) for name in named))


def _skipped(rows: DataFrame, columns: VectorColumns, times: Mapping[str, str]) -> DataFrame:
    row = F.struct(VECTOR, *TIME_COLUMNS)
    latest = [F.max_by(row, F.when(F.col(VECTOR).isNotNull(), F.col(_ORDER))).alias(_TAKEN)]
    for name in columns.others:
        taken = F.struct(F.col(_ORDER), column(name).alias(_VALUE))
        latest.append(F.max(F.when(column(name).isNotNull(), taken)).alias(name))
    # By the keys alone, so that what follows, by keys and model and then by keys, shuffles no vector again.
    together = rows.repartition(*map(column, columns.keys))
    by_model = together.groupBy(*map(column, columns.keys), MODEL).agg(*latest)
    of_entity = W.partitionBy(*map(column, columns.keys))
    others = {name: F.max(column(name)).over(of_entity) for name in columns.others}
    of_all_models = by_model.withColumns(others) if others else by_model
    return of_all_models.where(F.col(_TAKEN).isNotNull()).select(
        *map(column, columns.keys),
        MODEL,
        *(F.col(_TAKEN)[name].alias(name) for name in (VECTOR, *TIME_COLUMNS)),
        *(column(name)[_VALUE].alias(name) for name in columns.others),
        *(column(name)[_ORDER]["event_timestamp"].alias(times[name]) for name in columns.others if name in times),
    )


def _has_direction(vector: Column) -> Column:
    square = F.call_function("vector_inner_product", vector, vector)
    # The square of small numbers may be zero in single precision.
    return F.when(square > 0, F.lit(True)).otherwise(F.exists(vector, lambda number: number != 0))
