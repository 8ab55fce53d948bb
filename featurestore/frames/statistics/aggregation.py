"""A feature's values in calendar buckets: sum, average, count, least, greatest, spread, percentile."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Literal, get_args

from featurestore.frames.columns import column
from featurestore.frames.statistics.calendar import Every, bucket_end, bucket_start
from featurestore.late_spark import Column, DataFrame, F, T, Window

Function = Literal["sum", "avg", "count", "min", "max", "stddev", "approx_percentile"]
FUNCTIONS: tuple[str, ...] = get_args(Function)
# The functions that apply to values of any type, not only to numbers.
OF_ANY_TYPE = ("count",)
BUCKET_COLUMNS = ("bucket_start", "bucket_end", "value")

_VALUE, _START, _RANK, _VALUES = "__value", "__bucket_start", "__rank", "__values"


@cache
def _whole() -> tuple[type[T.DataType], ...]:
    return (T.IntegerType, T.LongType)


# Holds any whole number of 64 bits; a bucket may have up to 10^18 of them.
_EXACT = "decimal(20,0)"
_LONGEST = 2**63
# A share and a number of values; their product has 38 digits, so none is rounded.
_SHARE, _COUNT = "decimal(19,18)", "decimal(18,0)"


def presence(values: DataFrame, feature: str) -> DataFrame:
    """The same rows with true in place of each value: all that counting needs, whatever the feature's type."""
    return values.withColumn(feature, F.when(column(feature).isNotNull(), F.lit(True)))


def aggregate_buckets(
    values: DataFrame,
    keys: Sequence[str],
    feature: str,
    function: Function,
    every: Every,
    zone: str,
    percentile: float = 0.5,
) -> DataFrame:
    """One row per bucket of the zone's calendar that has values, and combination of ``keys``.

    Columns: the keys, ``bucket_start`` (included) and ``bucket_end`` (not), both instants, and ``value``. ``values``
    has one row per entity and event timestamp. Nulls do not count as values.

    ``sum`` of whole numbers is an exact long (the query fails if a long cannot hold it), of others a double. ``avg``
    and ``stddev`` are doubles; ``avg`` of whole numbers is computed from their exact sum; ``stddev`` is that of a
    sample (divided by n - 1), and null for one value. ``count`` is a long. ``min``, ``max`` and ``approx_percentile``
    are values of the feature, in its type; the percentile is the least value such that at least the share
    ``percentile`` of the values is at or below it.
    """
    present = values.where(column(feature).isNotNull()).select(
        *(column(key) for key in keys),
        bucket_start(F.col("event_timestamp"), every, zone).alias(_START),
        column(feature).alias(_VALUE),
    )
    whole = isinstance(values.schema[feature].dataType, _whole())
    bucket = [*(column(key) for key in keys), F.col(_START)]
    if function == "approx_percentile":
        aggregated = _at_share(present, bucket, percentile)
    else:
        aggregated = present.groupBy(*bucket).agg(_aggregate(function, feature, whole).alias(_VALUE))
    return aggregated.select(
        *(column(key) for key in keys),
        F.col(_START).alias("bucket_start"),
        bucket_end(F.col(_START), every, zone).alias("bucket_end"),
        F.col(_VALUE).alias("value"),
    )


def _at_share(values: DataFrame, bucket: Sequence[Column], share: float) -> DataFrame:
    """The row of each bucket at this share, by the rank of its value.

    Spark's own sketches compute in doubles: above 2^53 their results are no values of the feature, and they depend on
    the order of rows.
    """
    by = Window.partitionBy(*bucket)
    ranked = values.withColumn(_RANK, F.row_number().over(by.orderBy(_VALUE))).withColumn(
        _VALUES, F.count(F.lit(1)).over(by)
    )
    exact = F.lit(Decimal(repr(float(share))).quantize(Decimal("1e-18"))).cast(_SHARE)
    rank = F.ceil(F.col(_VALUES).cast(_COUNT) * exact)
    return ranked.where(F.col(_RANK) == F.greatest(rank, F.lit(1)))


def _aggregate(function: Function, feature: str, whole: bool) -> Column:
    value = F.col(_VALUE)
    if function == "sum":
        return _exact_sum(value, feature) if whole else F.sum(value)
    if function == "stddev":
        # In some sessions the result for one value would be NaN.
        return F.when(F.count(value) > 1, F.stddev_samp(value))
    if function == "avg" and whole:
        return F.sum(value.cast(_EXACT)).cast("double") / F.count(value)
    return {"avg": F.avg, "count": F.count, "min": F.min, "max": F.max}[function](value)


def _exact_sum(value: Column, feature: str) -> Column:
    """The sum, as decimals: longs would wrap around silently in some sessions, depending on the order of rows."""
    total = F.sum(value.cast(_EXACT))
    fits = (total >= F.lit(-_LONGEST).cast(_EXACT)) & (total < F.lit(str(_LONGEST)).cast(_EXACT))
    message = F.concat(F.lit(f"the sum of {feature} in a bucket is "), total.cast("string"), F.lit(", beyond a long; "))
    advice = F.lit("aggregate narrower buckets or fewer entities, or declare the feature as double")
    return F.when(fits, total.cast("bigint")).otherwise(F.raise_error(F.concat(message, advice)).cast("bigint"))
