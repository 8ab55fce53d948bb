"""What can be counted in a training set's rows that betrays a leak: values from the future, doubled rows, a sample for more."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.frames.as_of.examples import identity
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash

_SCALARS = (T.NumericType, T.BooleanType, T.DatetimeType, T.StringType)
_SAMPLING_SEED, _ROWS_SEED = 101, 102
_RESOLUTION = 1_000_000
_MICROS_A_SECOND = 1e6
_FIRST, _SECOND, _ROW = "__example_first", "__example_second", "__row"


def overview(
    rows: DataFrame, instants: str, event_timestamps: Sequence[str], features: Sequence[str], label: str | None
) -> DataFrame:
    """One row, from one pass: ``rows``; ``unmatched_i`` (rows in which the event timestamp i is null), ``newer_i`` (in which it
    is after the row's instant) and ``seconds_i`` (by how much at most; null where none is); ``missing_i`` (rows in which the feature i is null);
    ``unlabelled``; ``one_label`` (whether all labels that there are are the same; null where there are none)."""
    time = F.unix_micros(column(instants))
    ahead = [F.unix_micros(column(name)) - time for name in event_timestamps]
    hashed = F.lit(None).cast("long") if label is None else F.when(column(label).isNotNull(), F.xxhash64(column(label)))
    return rows.agg(
        F.count(F.lit(1)).alias("rows"),
        *(F.count_if(column(name).isNull()).alias(f"unmatched_{i}") for i, name in enumerate(event_timestamps)),
        *(F.count_if(micros > 0).alias(f"newer_{i}") for i, micros in enumerate(ahead)),
        *(
            F.max(F.when(micros > 0, micros / F.lit(_MICROS_A_SECOND))).alias(f"seconds_{i}")
            for i, micros in enumerate(ahead)
        ),
        *(F.count_if(column(name).isNull()).alias(f"missing_{i}") for i, name in enumerate(features)),
        F.count_if(hashed.isNull()).alias("unlabelled"),
        (F.min(hashed) == F.max(hashed)).alias("one_label"),
    )


def doubled(rows: DataFrame, example: Sequence[str], spine: Sequence[str]) -> DataFrame:
    """One row: examples (the values of ``example``, none of them null) that are there more than once.

    ``examples``; ``rows`` beyond the first of each; ``copies``: those of them that are another row's copy in all
    columns of ``spine``. One shuffle of hashes.
    """
    complete = rows.where(F.lit(True) if not example else _all_there(example))
    first, second = identity([column(name) for name in example])
    hashed = complete.select(
        first.alias(_FIRST), second.alias(_SECOND), row_hash([column(name) for name in spine]).alias(_ROW)
    )
    # Nearly all rows differ: counting them before they are spread would gain nothing.
    spread = hashed.repartition(_FIRST, _SECOND)
    different = spread.groupBy(_FIRST, _SECOND, _ROW).agg(F.count(F.lit(1)).alias("n"))
    by_example = different.groupBy(_FIRST, _SECOND).agg(F.sum("n").alias("n"), F.sum(F.col("n") - 1).alias("copies"))
    return by_example.where(F.col("n") > 1).agg(
        F.count(F.lit(1)).alias("examples"),
        F.coalesce(F.sum(F.col("n") - 1), F.lit(0)).alias("rows"),
        F.coalesce(F.sum("copies"), F.lit(0)).alias("copies"),
    )


def _all_there(names: Sequence[str]) -> Column:
    there = column(names[0]).isNotNull()
    for name in names[1:]:
        there = there & column(name).isNotNull()
    return there


def sampled(rows: DataFrame, spine: Sequence[str], size: int, total: int) -> DataFrame:
    """About ``size`` of the ``total`` rows (all, where there are fewer), by a hash of their spine columns: the same on
    every run. Never more than twice ``size``, also where copies of one row are very many."""
    if total <= size:
        return rows
    threshold = _RESOLUTION * size // total
    chosen = F.pmod(row_hash([column(name) for name in spine], _SAMPLING_SEED), F.lit(_RESOLUTION)) < F.lit(threshold)
    return rows.where(chosen).limit(2 * size)


def is_comparable(kind: T.DataType) -> bool:
    """Whether values of this type are compared with a label; arrays and embeddings are not."""
    return isinstance(kind, _SCALARS)


def comparable_values(rows: DataFrame, name: str) -> Column:
    """A column as what can be compared in memory: numbers, dates and instants as doubles (a spine's NaN as null), all else
    as its xxhash64."""
    value, kind = column(name), rows.schema[name].dataType
    if isinstance(kind, T.NumericType):
        number = value.cast("double")
        return F.when(~F.isnan(number), number)
    if isinstance(kind, T.BooleanType):
        return value.cast("int").cast("double")
    if isinstance(kind, T.DateType):
        return F.unix_date(value).cast("double")
    if isinstance(kind, T.TimestampType):
        return F.unix_micros(value).cast("double")
    return F.when(value.isNotNull(), F.xxhash64(value))


def can_be_equal(rows: DataFrame, left: str, right: str) -> bool:
    """Whether values of the two columns can be equal: numbers and booleans with each other, else those of one type."""
    kinds = [rows.schema[name].dataType for name in (left, right)]
    numbers = all(isinstance(kind, T.NumericType | T.BooleanType) for kind in kinds)
    return numbers or kinds[0] == kinds[1]


def hashed(names: Sequence[str]) -> Column:
    return row_hash([column(name) for name in names], _ROWS_SEED)
