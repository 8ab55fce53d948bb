"""Comparison of two versions of a training set: the rows in both, the features that differ, their distributions."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.frames.as_of.examples import identity
from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T, W

_FIRST, _SECOND, _IN_A, _VALUES = "__first", "__second", "__in_a", "__values"
_COPY, _EQUAL, _PAIR, _A, _B = "__copy", "__equal", "__pair", "__a", "__b"


def compared(a: DataFrame, b: DataFrame, spine: Sequence[str], values: Sequence[str]) -> DataFrame:
    """One row of counts; a row is in both versions if both have a row with its values in the ``spine`` columns.

    ``only_a``, ``only_b`` and ``both`` count every copy of a row. ``changed`` counts the rows in both that differ in
    any of ``values``, ``changed_i`` those that differ in the value i. Rows that are equal in all values are paired
    first, the others in the order of their values. Only hashes are shuffled, never values.
    """
    rows = _hashed(a, spine, values, True).unionByName(_hashed(b, spine, values, False)).repartition(_FIRST, _SECOND)
    copy = F.row_number().over(W.partitionBy(_FIRST, _SECOND, _VALUES, _IN_A).orderBy(_IN_A))
    sides = F.count(F.lit(1)).over(W.partitionBy(_FIRST, _SECOND, _VALUES, _COPY))
    matched = rows.withColumn(_COPY, copy).withColumn(_EQUAL, sides == 2)
    pair = F.row_number().over(W.partitionBy(_FIRST, _SECOND, _EQUAL, _IN_A).orderBy(_VALUES, _COPY))
    pairs = (
        matched.withColumn(_PAIR, pair)
        .groupBy(_FIRST, _SECOND, _EQUAL, _PAIR)
        .agg(
            F.max(F.when(F.col(_IN_A), F.col(_VALUES))).alias(_A),
            F.max(F.when(~F.col(_IN_A), F.col(_VALUES))).alias(_B),
        )
    )
    in_a, in_b = F.col(_A).isNotNull(), F.col(_B).isNotNull()
    return pairs.agg(
        F.count_if(in_a & ~in_b).alias("only_a"),
        F.count_if(in_b & ~in_a).alias("only_b"),
        F.count_if(in_a & in_b).alias("both"),
        F.count_if(in_a & in_b & (F.col(_A) != F.col(_B))).alias("changed"),
        *(
            F.count_if(in_a & in_b & (F.col(_A)[index] != F.col(_B)[index])).alias(f"changed_{index}")
            for index in range(len(values))
        ),
    )


def _hashed(rows: DataFrame, spine: Sequence[str], values: Sequence[str], in_a: bool) -> DataFrame:
    # Without a common column, no row of one version is in the other.
    first, second = identity([column(name) for name in spine] or [F.lit(in_a)])
    hashes = [F.xxhash64(column(name).isNull(), column(name)) for name in values]
    return rows.select(
        first.alias(_FIRST),
        second.alias(_SECOND),
        (F.array(*hashes) if hashes else F.array().cast("array<bigint>")).alias(_VALUES),
        F.lit(in_a).alias(_IN_A),
    )


def summarised(rows: DataFrame, features: Sequence[str]) -> DataFrame:
    """One row: ``rows``, and for each feature ``missing_i`` (a count), ``mean_i`` and ``stddev_i`` (of the sample).

    Mean and deviation are of numbers and booleans (true is 1); they are null for other types and for too few values.
    """
    figures = [F.count(F.lit(1)).alias("rows")]
    for index, name in enumerate(features):
        number = _number(rows, name)
        figures += [
            F.count_if(column(name).isNull()).alias(f"missing_{index}"),
            F.avg(number).alias(f"mean_{index}"),
            F.stddev_samp(number).alias(f"stddev_{index}"),
        ]
    return rows.agg(*figures)


def _number(rows: DataFrame, name: str) -> Column:
    kind = rows.schema[name].dataType
    if isinstance(kind, T.BooleanType):
        return column(name).cast("int").cast("double")
    return column(name).cast("double") if isinstance(kind, T.NumericType) else F.lit(None).cast("double")


def is_category(rows: DataFrame, name: str) -> bool:
    return isinstance(rows.schema[name].dataType, T.StringType | T.BooleanType)


def most_frequent(rows: DataFrame, features: Sequence[str], top: int) -> DataFrame:
    """One row per feature and value, for the ``top`` most frequent values of each feature; nulls do not count.

    Columns: ``feature`` (its place), ``value`` (as text), ``n``, ``rank`` from 1 on. Values that are equally frequent
    are in their own order.
    """
    pairs = F.array(
        *(
            F.struct(F.lit(index).alias("feature"), column(name).cast("string").alias("value"))
            for index, name in enumerate(features)
        )
    )
    counted = (
        rows.select(F.inline(pairs))
        .where(F.col("value").isNotNull())
        .groupBy("feature", "value")
        .agg(F.count("*").alias("n"))
    )
    rank = F.row_number().over(W.partitionBy("feature").orderBy(F.desc("n"), "value"))
    return counted.withColumn("rank", rank).where(F.col("rank") <= top).orderBy("feature", "rank")
