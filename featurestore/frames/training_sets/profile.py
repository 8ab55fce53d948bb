"""The profile of a training set's rows by Spark; see ``columnar/training_sets/set_profile.py``."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.columnar.training_sets.set_profile import AGE_PERCENTILES, DayProfile, SetProfile
from featurestore.frames.columns import column
from featurestore.frames.timestamps import utc_date
from featurestore.late_spark import BooleanType, Column, DataFrame, F, NumericType

# percentile_approx is exact to one part in this number, and wholly if there are fewer rows.
_ACCURACY = 10_000
_MICROS_A_SECOND = 1e6


def profile_rows(
    rows: DataFrame, instants: str, features: Sequence[str], events: Sequence[str], label: str | None, part: str | None
) -> SetProfile:
    """Two passes over the rows. ``instants``, ``events``: columns of instants. Percentiles of ages are approximate."""
    found = [F.count(column(name)).alias(f"found_{place}") for place, name in enumerate(features)]
    ages = [_ages(instants, name).alias(f"ages_{place}") for place, name in enumerate(events)]
    [figures] = rows.agg(F.count(F.lit(1)).alias("rows"), *found, *ages).collect()
    return SetProfile(
        rows=figures["rows"],
        found={name: figures[f"found_{place}"] for place, name in enumerate(features)},
        ages={
            name: None if (measured := figures[f"ages_{place}"]) is None else tuple(measured)
            for place, name in enumerate(events)
        },
        days=_days(rows, instants, events, label, part),
    )


def _ages(instants: str, event: str) -> Column:
    micros = F.unix_micros(column(instants)) - F.unix_micros(column(event))
    return F.percentile_approx(micros / F.lit(_MICROS_A_SECOND), list(AGE_PERCENTILES), _ACCURACY)


def _days(
    rows: DataFrame, instants: str, events: Sequence[str], label: str | None, part: str | None
) -> tuple[DayProfile, ...]:
    of_part = F.lit(None).cast("string") if part is None else column(part)
    matched = [F.count(column(name)) for name in events]
    by_day = (
        rows.where(column(instants).isNotNull())
        .groupBy(utc_date(column(instants)).alias("day"), of_part.alias("part"))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            (F.lit(0) if label is None else F.count(column(label))).cast("long").alias("labelled"),
            F.sum(_label_value(rows, label)).alias("label_sum"),
            (F.array(*matched) if matched else F.array().cast("array<long>")).alias("matched"),
        )
    )
    days = [DayProfile(**(row.asDict() | {"matched": tuple(row["matched"])})) for row in by_day.collect()]
    return tuple(sorted(days, key=lambda day: (day.day, day.part or "")))


def _label_value(rows: DataFrame, label: str | None) -> Column:
    if label is not None and isinstance(rows.schema[label].dataType, BooleanType | NumericType):
        return column(label).cast("double")
    return F.lit(None).cast("double")
