"""Profiles of features' values: one line per feature and date, from one pass; lines of several dates can be merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from featurestore.frames.columns import column
from featurestore.frames.corrections import latest_values
from featurestore.frames.statistics.even_points import at_shares, is_point, merged_grid, merged_points
from featurestore.frames.statistics.feature_statistics import QUANTILES
from featurestore.kinds.registry import kind_of
from featurestore.late_spark import Column, DataFrame, F, Window

# Features in one aggregation. Resolving corrections compares rows of this width, so that twice as many features cost
# four times as much; for wider groups, each slice of columns is a pass of its own.
FEATURES_AT_ONCE = 16
# The number of most frequent values that a line keeps. Their counts are exact if a date has fewer than _COUNTED
# different values.
TOP = 50
_COUNTED = 1_000
# The same for several dates merged; the remaining values are reported as one.
MERGED_TOP = 200
# The number of tasks that share a date's rows.
_SHARES = 16
_SHARE, _PRESENT, _FEATURE, _RANK = "__share", "__present", "__feature", "__rank"


def date_lines(
    values: DataFrame, keys: Sequence[str], kinds: Mapping[str, str], nulls: Literal["skip", "keep"]
) -> DataFrame:
    """One line per feature and ``event_date``, of a group's rows as written: corrections are resolved first.

    ``values`` has ``event_date``, the keys, both timestamps, and the features; ``kinds``: feature -> type. A key and
    event timestamp counts as one row, even if all its features are null. Columns as in ``lines``.
    """
    share = F.pmod(F.xxhash64(*(column(key) for key in keys)), F.lit(_SHARES)).alias(_SHARE)
    time = [F.col(name) for name in ("event_date", "event_timestamp", "created_timestamp")]
    narrow = values.select(
        *time, share, *(column(key) for key in keys), *(_narrow(name, kind) for name, kind in kinds.items())
    )
    # By date, so that few tasks summarize each date, and by share, so that all rows of a key are together.
    spread = narrow.withColumn(_PRESENT, F.lit(True)).repartition("event_date", _SHARE)
    rows = latest_values(spread, ["event_date", _SHARE, *keys], [*kinds, _PRESENT], nulls)
    return _lines(rows, kinds, ["event_date"])


def lines(rows: DataFrame, kinds: Mapping[str, str]) -> DataFrame:
    """One line per column, of rows that all count, such as those of a training set; ``kinds``: column -> feature type.

    Columns: ``feature, type, measure, rows, nulls``; ``numbers``, ``minimum, maximum, mean`` and ``squares`` (the sum
    of squared deviations from the mean) of the measure's numbers; ``quantiles`` at the shares ``QUANTILES``;
    ``distinct_values``; ``top``, the most frequent values with their rows; ``points``, from which quantiles are read
    (``even_points``), and ``distinct_sketch``. The same rows give the same lines, in any order and partitioning.
    """
    narrow = rows.select(*(_narrow(name, kind) for name, kind in kinds.items()))
    # By content: rows of equal content are interchangeable.
    share = F.pmod(F.xxhash64(*(column(name) for name in kinds)), F.lit(_SHARES))
    return _lines(narrow.withColumn(_SHARE, share).repartition(_SHARE), kinds, [])


def _narrow(name: str, word: str) -> Column:
    """The part of a value that a profile needs."""
    return kind_of(word).narrowed(column(name)).alias(name)


def _lines(rows: DataFrame, kinds: Mapping[str, str], by: Sequence[str]) -> DataFrame:
    """One line per feature and ``by``, of rows that are partitioned by ``by`` and their share.

    Each share's values are sorted and summed in that order; merging the shares does not depend on their order.
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
    """A value as its feature's place and the parts that a summary needs, in the same fields for every type."""
    kind, value = kind_of(word), column(name)
    return F.struct(
        F.lit(place).alias(_FEATURE),
        value.isNotNull().alias(_PRESENT),
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
        F.count_if(~F.col(_PRESENT)).alias("nulls"),
        count.alias("numbers"),
        F.min(number).alias("minimum"),
        F.max(number).alias("maximum"),
        F.avg(number).alias("mean"),
        (F.var_pop(number) * count).alias("squares"),
        F.sort_array(F.collect_list(point)).alias("points"),
        F.hll_sketch_agg("hash").alias("distinct_sketch"),
        # approx_top_k counts null as a value.
        F.filter(top, lambda item: item["item"].isNotNull()).alias("top"),
    ]


def _merged() -> list[Column]:
    """Merge lines of several shares or dates into one; the result does not depend on their order."""
    has_numbers = F.col("numbers") > 0
    moments = F.struct(F.col("numbers").cast("double").alias("numbers"), "mean", "squares")
    return [
        *(F.sum(name).cast("bigint").alias(name) for name in ("rows", "nulls", "numbers")),
        F.min("minimum").alias("minimum"),
        F.max("maximum").alias("maximum"),
        F.reduce(F.array_sort(F.collect_list(F.when(has_numbers, moments))), _no_moments(), _with_moments).alias(
            "moments"
        ),
        F.collect_list(F.when(has_numbers, F.struct("numbers", "points"))).alias("parts"),
        F.when(F.count("distinct_sketch") > 0, F.hll_union_agg("distinct_sketch")).alias("distinct_sketch"),
    ]


def _merged_counts(top: Column) -> Column:
    """A map of each value to its rows in all shares."""
    maps = F.transform(
        F.collect_list(top),
        lambda pairs: F.map_from_entries(
            F.transform(pairs, lambda pair: F.struct(pair["item"].alias("key"), pair["count"].alias("value")))
        ),
    )
    zero, empty = F.lit(0).cast("bigint"), F.create_map().cast("map<string,bigint>")

    def add(_: Column, left: Column, right: Column) -> Column:
        return F.coalesce(left, zero) + F.coalesce(right, zero)

    return F.reduce(maps, empty, lambda whole, part: F.map_zip_with(whole, part, add))


def _first(pairs: Column, most: int) -> Column:
    """The first ``most`` pairs of (minus the rows, value); values that are equally frequent are in their own order."""
    return F.transform(
        F.slice(F.array_sort(pairs), 1, most),
        lambda pair: F.struct(pair["value"].alias("value"), (-pair["minus"]).alias("rows")),
    )


def _line(kinds: Mapping[str, str]) -> list[Column]:
    """The columns of a line, from the merged ones."""

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
    has_numbers = F.col("numbers") > 0
    return [F.when(has_numbers, F.col("moments")[name]).alias(name) for name in ("mean", "squares")]


def merged_lines(lines: DataFrame, by: Sequence[str] = ("feature",), steps: int = 1_000) -> DataFrame:
    """Merge lines of several dates into one per feature (or per ``by``): columns as in ``lines``, without the sketches.

    Counts, minimum and maximum are exact; mean and squares are merged by Chan, Golub and LeVeque, Updating formulae and
    a pairwise algorithm for computing sample variances (1979). ``grid``: the numbers at the ranks 0, 1 / ``steps``,
    ..., 1. ``top``: for each date on which a value is not among the most frequent, its count is too low by at most the
    count of the least frequent of those.
    """
    whole = lines.groupBy(*by).agg(*(F.max(name).alias(name) for name in ("type", "measure")), *_merged())
    grid = merged_grid(F.col("parts"), F.col("numbers"), steps)
    ends = F.concat(F.array("minimum"), F.slice(grid, 2, steps - 1), F.array("maximum"))
    merged = whole.select(
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
    return merged.join(_merged_top(lines, by), list(by), "left")


def _no_moments() -> Column:
    return F.struct(*(F.lit(0.0).alias(name) for name in ("numbers", "mean", "squares")))


def _with_moments(whole: Column, part: Column) -> Column:
    numbers = whole["numbers"] + part["numbers"]
    distance = part["mean"] - whole["mean"]
    share = part["numbers"] / numbers
    return F.struct(
        numbers.alias("numbers"),
        (whole["mean"] + distance * share).alias("mean"),
        # In this order, since the square of the distance alone may overflow a double.
        (whole["squares"] + part["squares"] + distance * (distance * (whole["numbers"] * share))).alias("squares"),
    )


def _merged_top(lines: DataFrame, by: Sequence[str]) -> DataFrame:
    values = lines.select(*by, F.inline("top")).groupBy(*by, "value").agg((-F.sum("rows")).alias("minus"))
    return values.groupBy(*by).agg(_first(F.collect_list(F.struct("minus", "value")), MERGED_TOP).alias("top"))
