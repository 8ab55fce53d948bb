"""A group's expectations of every run, and which of them a batch of good rows breaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from featurestore.definitions.feature_group import Expectations, FeatureGroup
from featurestore.definitions.values.durations import format_duration
from featurestore.definitions.values.time_window import from_micros
from featurestore.frames.columns import column
from featurestore.late_spark import Column, F

_ROWS, _NEWEST, _NULLS = "good_rows", "newest_event", "nulls_of_"


@dataclass(frozen=True)
class RunTotals:
    """Of the good rows of a run: their number, the newest event timestamp (microseconds since 1970; None without rows),
    and by feature the number of nulls.
    """

    rows: int
    newest: int | None
    nulls: dict[str, int]

    @classmethod
    def of(cls, counted: Mapping[str, Any], group: FeatureGroup) -> RunTotals:
        """From the values of the columns ``run_totals``."""
        nulls = {name: counted[f"{_NULLS}{index}"] for index, name in enumerate(group.feature_names)}
        return cls(counted[_ROWS], counted[_NEWEST], nulls)


def run_totals(group: FeatureGroup, is_good: Column) -> list[Column]:
    """Aggregates of checked rows from which ``RunTotals`` are made."""
    nulls = [
        F.count_if(is_good & column(name).isNull()).alias(f"{_NULLS}{index}")
        for index, name in enumerate(group.feature_names)
    ]
    newest = F.max(F.when(is_good, F.unix_micros("event_timestamp"))).alias(_NEWEST)
    return [F.count_if(is_good).alias(_ROWS), newest, *nulls]


def broken_expectations(totals: RunTotals, group: FeatureGroup, window_end: datetime, failed: int) -> list[str]:
    """A message for each expectation that the rows break, with the actual and the expected value.

    The share of no rows is 0, so without rows only ``min_rows`` and ``max_age`` can be broken.
    """
    if group.expect is None:
        return []
    return list(_broken(group.expect, group, window_end, totals.rows, totals.newest, totals.nulls, failed))


def _broken(
    expect: Expectations,
    group: FeatureGroup,
    window_end: datetime,
    rows: int,
    newest: int | None,
    missing: dict[str, Any],
    failed: int,
) -> Iterator[str]:
    if expect.min_rows is not None and rows < expect.min_rows:
        yield f"min_rows: {rows} {'row' if rows == 1 else 'rows'}, expected at least {expect.min_rows}"
    if expect.max_age is not None:
        if newest is None:
            yield (
                f"max_age: no rows, expected one of the last {format_duration(expect.max_age)} before "
                f"{window_end.isoformat()}"
            )
        elif window_end - from_micros(newest) > expect.max_age:
            yield (
                f"max_age: the newest event timestamp is {from_micros(newest).isoformat()}, expected one of the last "
                f"{format_duration(expect.max_age)} before {window_end.isoformat()}"
            )
    if expect.max_failed_share is not None and failed > expect.max_failed_share * (rows + failed):
        yield (
            f"max_failed_share: {failed} of {rows + failed} rows broke rules, expected at most "
            f"{expect.max_failed_share:.1%}"
        )
    shares = expect.max_null_share
    limits = shares if isinstance(shares, dict) else dict.fromkeys(group.feature_names, shares)
    for name, limit in limits.items():
        if limit is not None and missing[name] > limit * rows:
            yield f"max_null_share: {name} is null in {missing[name]} of {rows} rows, expected at most {limit:.1%}"
