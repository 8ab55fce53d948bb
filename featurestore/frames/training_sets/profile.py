"""The profile of a training set's rows: how complete each feature is, how old it was, the label over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featurestore.frames.columns import column
from featurestore.frames.timestamps import utc_date
from featurestore.late_spark import BooleanType, Column, DataFrame, F, NumericType

AGE_PERCENTILES = (0.05, 0.5, 0.95)
# percentile_approx is exact to one part in this number.
_ACCURACY = 10_000
_MICROS_A_SECOND = 1e6


def profile_features(rows: DataFrame, timestamp_column: str, features: Mapping[str, str | None]) -> DataFrame:
    """One row per feature, in the order of ``features``, from one pass over the rows.

    Columns: ``position``, ``feature``, ``rows``, ``found`` (rows in which it is not null), and ``age_low``,
    ``age_median``, ``age_high``: percentiles 5, 50 and 95 of the seconds between a row's timestamp and the newest event
    timestamp of the values from the feature's group, over the rows that have any.

    ``features`` maps each feature to the column of that event timestamp, or to None. The ages are null for None, and
    for a feature that is null in all rows.
    """
    if not features:
        raise ValueError("no features to profile")
    # Features of one lookup share its event timestamp, so ages are measured once per lookup.
    measured = {name: f"ages_{index}" for index, name in enumerate(dict.fromkeys(filter(None, features.values())))}
    counted = [F.count(column(feature)).alias(f"found_{index}") for index, feature in enumerate(features)]
    ages = [_ages(timestamp_column, name).alias(alias) for name, alias in measured.items()]
    lines = [
        _line(index, feature, measured.get(event_timestamp or ""))
        for index, (feature, event_timestamp) in enumerate(features.items())
    ]
    figures = rows.agg(F.count(F.lit(1)).alias("rows"), *counted, *ages)
    return figures.select(F.inline(F.array(*lines))).orderBy("position")


def _ages(timestamp_column: str, event_timestamp: str) -> Column:
    micros = F.unix_micros(column(timestamp_column)) - F.unix_micros(column(event_timestamp))
    return F.percentile_approx(micros / F.lit(_MICROS_A_SECOND), list(AGE_PERCENTILES), _ACCURACY)


def _line(index: int, feature: str, ages: str | None) -> Column:
    count = F.col(f"found_{index}")
    measured = F.lit(None).cast("array<double>") if ages is None else F.when(count > 0, F.col(ages))
    return F.struct(
        F.lit(index).alias("position"),
        F.lit(feature).alias("feature"),
        F.col("rows"),
        count.alias("found"),
        *(F.get(measured, F.lit(at)).alias(name) for at, name in enumerate(("age_low", "age_median", "age_high"))),
    )


def profile_days(
    rows: DataFrame,
    timestamp_column: str,
    label: str | None,
    event_timestamps: Sequence[str] = (),
    split: str | None = None,
) -> DataFrame:
    """One row per UTC date of the timestamps and part of the split.

    Columns: ``day``, ``split`` (null if ``split`` is None), ``rows``, ``labelled`` (rows with a label that is not
    null), ``label_sum`` (true counts 1; null for a label that is neither boolean nor a number), and ``matched``: for
    each of ``event_timestamps`` the rows in which it is not null.
    """
    part = F.lit(None).cast("string") if split is None else column(split)
    matched = [F.count(column(name)) for name in event_timestamps]
    return (
        rows.groupBy(utc_date(column(timestamp_column)).alias("day"), part.alias("split"))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            (F.lit(0) if label is None else F.count(column(label))).cast("long").alias("labelled"),
            F.sum(_label_value(rows, label)).alias("label_sum"),
            (F.array(*matched) if matched else F.array().cast("array<long>")).alias("matched"),
        )
        .orderBy("day", "split")
    )


def _label_value(rows: DataFrame, label: str | None) -> Column:
    if label is not None and isinstance(rows.schema[label].dataType, BooleanType | NumericType):
        return column(label).cast("double")
    return F.lit(None).cast("double")
