"""What a feature's values are like: a line a feature and date, from one pass; lines of several dates can be merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from featurestore.frames.columns import column
from featurestore.frames.latest import latest_values
from featurestore.frames.statistics.even_points import at_shares, is_point, merged_grid, merged_points
from featurestore.frames.statistics.feature_statistics import QUANTILES
from featurestore.kinds.registry import kind_of

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
_SHARE, _THERE, _FEATURE, _RANK = "__share", "__there", "__feature", "__rank"


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
    ``distinct_values``; ``top``, the most frequent values with their rows; ``points``, from which quantiles are read
    (``even_points``), and ``distinct_sketch``. The same rows give the same lines, in any order and partitioning.
    """
    narrow = rows.select(*(_narrow(name, kind) for name, kind in kinds.items()))
    # By what they hold: rows that hold the same may take each other's place.
    share = F.pmod(F.xxhash64(*(column(name) for name in kinds)), F.lit(_SHARES))
    return _lines(narrow.withColumn(_SHARE, share).repartition(_SHARE), kinds, [])


def _narrow(name: str, word: str) -> Column:
    """All that is needed of a value."""
    return kind_of(word).narrowed(column(name)).alias(name)


def _lines(rows: DataFrame, kinds: Mapping[str, str], by: Sequence[str]) -> DataFrame:
    """A line a feature and ``by``, of rows that are spread by ``by`` and their share.

    Each share's values are sorted and summed up in that order, and the shares are merged without regard to theirs.
    """
    values = rows.select(
        *by, _SHARE, F.inline(F.array(*(_value(place, *named) for place, named in enumerate(kinds.items()))))
    )
    share = Window.partitionBy(*by, _SHARE, _FEATURE)
    in_order = share.orderBy(F.asc_nulls_last("number"), F.asc_nulls_last("hash"))
    ranked = values.select(
        "*", F.row_number().over(in_order).alias(_RANK), F.count("number").over(share).alias("numbers")
    )
    parts = ranked.groupBy(*by, _SHARE, _FEATURE).agg(*_summary())
    whole = parts.groupBy(*by, _FEATURE).agg(*_merged(), _merged_counts(F.col("top")).alias("counts"))
    return whole.select(*by, *_line(kinds))


def _value(place: int, name: str, word: str) -> Column:
    """A value as its feature's place and what is needed of it, of the same fields for every type."""
    kind, value = kind_of(word), column(name)
    return F.struct(
        F.lit(place).alias(_FEATURE),
        value.isNotNull().alias(_THERE),
        kind.number(value).alias("number"),
        kind.hashed(value).alias("hash"),
        (value.cast("string") if kind.has_frequent_values else F.lit(None).cast("string")).alias("text"),
    )


def _summary() -> list[Column]:
    number, count = F.col("number"), F.count("number")
    point = F.when(is_point(F.col(_RANK), F.col("numbers")) & number.isNotNull(), number)
    top = F.call_function("approx_top_k", F.col("text"), F.lit(_COUNTED), F.lit(_COUNTED))
    return [
        F.count(F.lit(1)).alias("rows"),
        F.count_if(~F.col(_THERE)).alias("nulls"),
        count.alias("numbers"),
        F.min(number).alias("minimum"),
        F.max(number).alias("maximum"),
        F.avg(number).alias("mean"),
        (F.var_pop(number) * count).alias("squares"),
        F.sort_array(F.collect_list(point)).alias("points"),
        F.hll_sketch_agg("hash").alias("distinct_sketch"),
        # Null counts as a value here.
        F.filter(top, lambda item: item["item"].isNotNull()).alias("top"),
    ]


def _merged() -> list[Column]:
    """Of lines of shares or dates one: all that follows from them in whatever order they come."""
    there = F.col("numbers") > 0
    moments = F.struct(F.col("numbers").cast("double").alias("numbers"), "mean", "squares")
    return [
        *(F.sum(name).cast("bigint").alias(name) for name in ("rows", "nulls", "numbers")),
        F.min("minimum").alias("minimum"),
        F.max("maximum").alias("maximum"),
        F.reduce(F.array_sort(F.collect_list(F.when(there, moments))), _no_moments(), _with_moments).alias("moments"),
        F.collect_list(F.when(there, F.struct("numbers", "points"))).alias("parts"),
        F.when(F.count("distinct_sketch") > 0, F.hll_union_agg("distinct_sketch")).alias("distinct_sketch"),
    ]


def _merged_counts(top: Column) -> Column:
    """By value the rows of all shares."""
    maps = F.transform(
        F.collect_list(top),
        lambda pairs: F.map_from_entries(
            F.transform(pairs, lambda pair: F.struct(pair["item"].alias("key"), pair["count"].alias("value")))
        ),
    )
    none, both = F.lit(0).cast("bigint"), lambda _, one, other: F.coalesce(one, none) + F.coalesce(other, none)
    empty = F.create_map().cast("map<string,bigint>")
    return F.reduce(maps, empty, lambda whole, part: F.map_zip_with(whole, part, both))


def _first(pairs: Column, most: int) -> Column:
    """Of (minus the rows, value) the first ones; values that are equally frequent in their own order."""
    return F.transform(
        F.slice(F.array_sort(pairs), 1, most),
        lambda pair: F.struct(pair["value"].alias("value"), (-pair["minus"]).alias("rows")),
    )


def _line(kinds: Mapping[str, str]) -> list[Column]:
    """The columns of a line, of what was merged."""

    def of_feature(values: Sequence[str | bool]) -> Column:
        return F.get(F.array(*(F.lit(value) for value in values)), F.col(_FEATURE))

    pairs = F.transform(
        F.map_entries("counts"), lambda entry: F.struct((-entry["value"]).alias("minus"), entry["key"].alias("value"))
    )
    has_top = of_feature([kind_of(word).has_frequent_values for word in kinds.values()])
    distinct_sketch = F.when(
        of_feature([kind_of(word).measure for word in kinds.values()]) != "none", F.col("distinct_sketch")
    )
    points = F.coalesce(merged_points(F.col("parts"), F.col("numbers")), F.array().cast("array<double>"))
    return [
        of_feature(list(kinds)).alias("feature"),
        of_feature(list(kinds.values())).alias("type"),
        of_feature([kind_of(word).measure for word in kinds.values()]).alias("measure"),
        *(F.col(name) for name in ("rows", "nulls", "numbers", "minimum", "maximum")),
        *_moments(),
        at_shares(points, QUANTILES).alias("quantiles"),
        F.hll_sketch_estimate(distinct_sketch).alias("distinct_values"),
        F.when(has_top, _first(pairs, TOP)).alias("top"),
        points.alias("points"),
        distinct_sketch.alias("distinct_sketch"),
    ]


def _moments() -> list[Column]:
    there = F.col("numbers") > 0
    return [F.when(there, F.col("moments")[name]).alias(name) for name in ("mean", "squares")]


def merged_lines(lines: DataFrame, by: Sequence[str] = ("feature",), steps: int = 1_000) -> DataFrame:
    """Lines of several dates as one a feature (or whatever ``by`` says): columns as ``lines``, without the sketches.

    Counts, minimum and maximum are exact; mean and squares are merged by Chan, Golub and LeVeque, Updating formulae and a
    pairwise algorithm for computing sample variances (1979). ``grid``: the numbers at the ranks 0, 1 / ``steps``, ..., 1.
    ``top``: a value that is not among a date's most frequent is undercounted by at most the last of those, a date.
    """
    whole = lines.groupBy(*by).agg(*(F.max(name).alias(name) for name in ("type", "measure")), *_merged())
    grid = merged_grid(F.col("parts"), F.col("numbers"), steps)
    ends = F.concat(F.array("minimum"), F.slice(grid, 2, steps - 1), F.array("maximum"))
    told = whole.select(
        *by,
        *(
            F.col(name)
            for name in ("type", "measure", "rows", "nulls", "numbers", "minimum", "maximum")
            if name not in by
        ),
        *_moments(),
        F.hll_sketch_estimate("distinct_sketch").alias("distinct_values"),
        F.when(F.col("numbers") > 0, ends).alias("grid"),
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
