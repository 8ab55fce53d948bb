"""A group's expectations of every run, and which of them a batch of good rows breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.definitions.feature_group import Expectations, FeatureGroup
from featurestore.definitions.values.durations import format_duration
from featurestore.definitions.values.time_window import from_micros


@dataclass(frozen=True)
class RunTotals:
    """Of the good rows of a run: their number, the newest event timestamp (microseconds since 1970; None without rows),
    and by feature the number of nulls.
    """

    rows: int
    newest: int | None
    nulls: dict[str, int]


def run_totals(good: pa.Table, group: FeatureGroup) -> RunTotals:
    """The totals of these rows, all of them good."""
    newest = pc.max(good.column("event_timestamp").cast(pa.int64())).as_py()
    return RunTotals(good.num_rows, newest, {name: good.column(name).null_count for name in group.feature_names})


def broken_expectations(totals: RunTotals, group: FeatureGroup, window_end: datetime, failed: int) -> list[str]:
    """A message for each expectation that the rows break, with the actual and the expected value.

    The share of no rows is 0, so without rows only ``min_rows`` and ``max_age`` can be broken.
    """
    if group.expect is None:
        return []
    return list(_broken(group.expect, totals, group, window_end, failed))


def _broken(
    expect: Expectations, totals: RunTotals, group: FeatureGroup, window_end: datetime, failed: int
) -> Iterator[str]:
    rows, newest = totals.rows, totals.newest
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
        if limit is not None and totals.nulls[name] > limit * rows:
            yield f"max_null_share: {name} is null in {totals.nulls[name]} of {rows} rows, expected at most {limit:.1%}"
