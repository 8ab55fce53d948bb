"""What a feature's values are like: a line a feature and date, from one pass; lines of several dates can be merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.types import parse_type
from featurestore.frames.columns import column
from featurestore.frames.feature_statistics import QUANTILES
from featurestore.frames.latest import latest_values

# Features side by side in one aggregation. Corrections are resolved by comparing rows as wide as these, so that twice as
# many cost four times as much; of wider groups each slice of columns is a pass of its own.
FEATURES_AT_ONCE = 16
# Most frequent values that a line keeps. They are counted exactly as long as a date has fewer than so many different ones.
TOP = 50
_COUNTED = 1_000
# Of several dates together; what is left out is told as one.
MERGED_TOP = 200
# The tasks that share a date's rows.
_SHARES = 16
_SHARE, _THERE, _ROWS = "__share", "__there", "__rows"

_MEASURES = {
    "double": "value",
    "float": "value",
    "long": "value",
    "int": "value",
    "boolean": "truth",
    "string": "length",
    "timestamp": "microseconds",
    "date": "days",
    "array<double>": "length",
    "array<string>": "length",
    "embedding": "norm",
    "json": "none",
}
_TOP_TYPE = "array<struct<value:string,rows:bigint>>"


def measure_of(kind: str) -> str:
    """What the numbers of a feature of this type are of; see ``FeatureStatistics.measure``."""
    return _MEASURES[parse_type(kind).word]


def date_lines(
    values: DataFrame, keys: Sequence[str], kinds: Mapping[str, str], nulls: Literal["skip", "keep"]
) -> DataFrame:
    """A line a feature and ``event_date``, of a group's rows as written: corrections are resolved first.

    ``values`` has ``event_date``, the keys, both timestamps, and the features, of which ``kinds`` tells the types. A key
    and event timestamp is one row, also where all its features are null. Columns as ``lines``.
    """
    share = F.pmod(F.xxhash64(*(column(key) for key in keys)), F.lit(_SHARES)).alias(_SHARE)
    time = [F.col(name) for name in ("event_date", "event_timestamp", "created_timestamp")]
    narrow = values.select(
        *time, share, *(column(key) for key in keys), *(_narrow(name, kind) for name, kind in kinds.items())
    )
    # Spread by date, so that what is summed up of a date comes from few tasks, and by key.
    spread = narrow.withColumn(_THERE, F.lit(True)).repartition("event_date", _SHARE)
    rows = latest_values(spread, ["event_date", _SHARE, *keys], [*kinds, _THERE], nulls)
    return _lines(rows, kinds, ["event_date"])


def lines(rows: DataFrame, kinds: Mapping[str, str]) -> DataFrame:
    """A line a column, of rows that all count, as those of a training set; ``kinds`` tells the columns' feature types.

    Columns: ``feature, type, measure, rows, nulls``; ``numbers``, ``minimum, maximum, mean`` and ``squares`` (the sum of
    squared deviations from the mean) of what the measure tells; ``quantiles`` at the shares ``QUANTILES``;
    ``distinct_values``; ``top``, the most frequent values with their rows; ``quantile_sketch`` and ``distinct_sketch``.
    """
    return _lines(rows.select(*(_narrow(name, kind) for name, kind in kinds.items())), kinds, [])


def _narrow(name: str, kind: str) -> Column:
    """All that is needed of a value: of an array its hash and its number, of a JSON text that it is there."""
    feature = parse_type(kind)
    value = column(name)
    if feature.word == "json":
        narrow = F.lit(True)
    elif feature.is_array:
        number = F.call_function("vector_norm", value) if feature.is_embedding else F.size(value)
        narrow = F.struct(F.xxhash64(value).alias("hash"), number.cast("double").alias("number"))
    else:
        return value.alias(name)
    return F.when(value.isNotNull(), narrow).alias(name)


def _lines(rows: DataFrame, kinds: Mapping[str, str], by: Sequence[str]) -> DataFrame:
    # By position: a column's name may have any characters.
    told = rows.groupBy(*by).agg(
        F.count(F.lit(1)).alias(_ROWS), *(_summary(name, kind).alias(f"__{i}") for i, (name, kind) in _counted(kinds))
    )
    return told.select(*by, F.inline(F.array(*(_line(f"__{i}", name, kind) for i, (name, kind) in _counted(kinds)))))


def _counted(kinds: Mapping[str, str]) -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(kinds.items()))


def _summary(name: str, kind: str) -> Column:
    """One struct of aggregates, of the same fields for every type."""
    number = _number(name, kind)
    count = F.count(number)
    return F.struct(
        F.count_if(column(name).isNull()).alias("nulls"),
        count.alias("numbers"),
        F.min(number).alias("minimum"),
        F.max(number).alias("maximum"),
        F.avg(number).alias("mean"),
        (F.var_pop(number) * count).alias("squares"),
        F.kll_sketch_agg_double(number).alias("quantile_sketch"),
        _distinct(name, kind).alias("distinct_sketch"),
        _top(name, kind).alias("top"),
    )


def _number(name: str, kind: str) -> Column:
    value, measure = column(name), measure_of(kind)
    if parse_type(kind).is_array:
        # The norm of a vector may be beyond a float.
        number = value["number"]
        return F.when(F.abs(number) < F.lit(float("inf")), number)
    numbers = {
        "value": value,
        "truth": value.cast("int"),
        "length": F.char_length(value),
        "microseconds": F.unix_micros(value),
        "days": F.unix_date(value),
        "none": F.lit(None),
    }
    return numbers[measure].cast("double")


def _distinct(name: str, kind: str) -> Column:
    feature = parse_type(kind)
    if feature.word == "json":
        return F.lit(None).cast("binary")
    hashed = column(name)["hash"] if feature.is_array else F.xxhash64(column(name))
    return F.hll_sketch_agg(F.when(column(name).isNotNull(), hashed))


def _top(name: str, kind: str) -> Column:
    """The most frequent values, null not among them, most frequent first."""
    if kind not in ("string", "boolean"):
        return F.lit(None).cast(_TOP_TYPE)
    # Null counts as a value here.
    found = F.call_function("approx_top_k", column(name).cast("string"), F.lit(TOP + 1), F.lit(_COUNTED))
    pairs = F.transform(
        F.filter(found, lambda item: item["item"].isNotNull()),
        lambda item: F.struct((-item["count"]).alias("minus"), item["item"].alias("value")),
    )
    return _first(pairs, TOP)


def _first(pairs: Column, most: int) -> Column:
    """Of (minus the rows, value) the first ones; values that are equally frequent in their own order."""
    return F.transform(
        F.slice(F.array_sort(pairs), 1, most),
        lambda pair: F.struct(pair["value"].alias("value"), (-pair["minus"]).alias("rows")),
    )


def _line(summary: str, name: str, kind: str) -> Column:
    told = F.col(summary)
    return F.struct(
        F.lit(name).alias("feature"),
        F.lit(kind).alias("type"),
        F.lit(measure_of(kind)).alias("measure"),
        F.col(_ROWS).alias("rows"),
        *(told[field].alias(field) for field in ("nulls", "numbers", "minimum", "maximum", "mean", "squares")),
        _at_ranks(told["quantile_sketch"], told["numbers"], QUANTILES).alias("quantiles"),
        F.hll_sketch_estimate(told["distinct_sketch"]).alias("distinct_values"),
        *(told[field].alias(field) for field in ("top", "quantile_sketch", "distinct_sketch")),
    )


def _at_ranks(sketch: Column, numbers: Column, ranks: Sequence[float]) -> Column:
    """The numbers at these ranks; null without any. The ranks must be a constant, and are long."""
    constant = F.split(F.lit(" ".join(repr(rank) for rank in ranks)), " ").cast("array<double>")
    # A sketch of nothing may not be asked.
    return F.call_function("kll_sketch_get_quantile_double", F.when(numbers > 0, sketch), constant)


def merged_lines(lines: DataFrame, by: Sequence[str] = ("feature",), steps: int = 1_000) -> DataFrame:
    """Lines of several dates as one a feature (or whatever ``by`` says): columns as ``lines``, without the sketches.

    Counts, minimum and maximum are exact; mean and squares are merged by Chan, Golub and LeVeque, Updating formulae and a
    pairwise algorithm for computing sample variances (1979). ``grid``: the numbers at the ranks 0, 1 / ``steps``, ..., 1.
    ``top``: a value that is not among a date's most frequent is undercounted by at most the last of those, a date.
    """
    counts = [F.sum(name).cast("bigint").alias(name) for name in ("rows", "nulls", "numbers")]
    part = F.struct(F.col("numbers").cast("double").alias("numbers"), "mean", "squares")
    parts = F.array_sort(F.collect_list(F.when(F.col("numbers") > 0, part)))
    whole = lines.groupBy(*by).agg(
        *(F.max(name).alias(name) for name in ("type", "measure")),
        *counts,
        F.min("minimum").alias("minimum"),
        F.max("maximum").alias("maximum"),
        F.reduce(parts, _no_moments(), _with_moments).alias("moments"),
        F.kll_merge_agg_double("quantile_sketch").alias("quantile_sketch"),
        F.when(F.count("distinct_sketch") > 0, F.hll_union_agg("distinct_sketch")).alias("distinct_sketch"),
    )
    ranks = [step / steps for step in range(steps + 1)]
    there = F.col("numbers") > 0
    told = whole.select(
        *by,
        *(
            F.col(name)
            for name in ("type", "measure", "rows", "nulls", "numbers", "minimum", "maximum")
            if name not in by
        ),
        F.when(there, F.col("moments")["mean"]).alias("mean"),
        F.when(there, F.col("moments")["squares"]).alias("squares"),
        F.hll_sketch_estimate("distinct_sketch").alias("distinct_values"),
        _at_ranks(F.col("quantile_sketch"), F.col("numbers"), ranks).alias("grid"),
    )
    return told.join(_merged_top(lines, by), list(by), "left")


def _no_moments() -> Column:
    return F.struct(*(F.lit(0.0).alias(name) for name in ("numbers", "mean", "squares")))


def _with_moments(whole: Column, part: Column) -> Column:
    numbers = whole["numbers"] + part["numbers"]
    apart = part["mean"] - whole["mean"]
    share = part["numbers"] / numbers
    return F.struct(
        numbers.alias("numbers"),
        (whole["mean"] + apart * share).alias("mean"),
        # In this order, since the square alone may be beyond a double.
        (whole["squares"] + part["squares"] + apart * (apart * (whole["numbers"] * share))).alias("squares"),
    )


def _merged_top(lines: DataFrame, by: Sequence[str]) -> DataFrame:
    values = lines.select(*by, F.inline("top")).groupBy(*by, "value").agg((-F.sum("rows")).alias("minus"))
    return values.groupBy(*by).agg(_first(F.collect_list(F.struct("minus", "value")), MERGED_TOP).alias("top"))
