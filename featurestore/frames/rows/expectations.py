"""What a group's expectations of every run are compared with, as aggregates of checked rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featurestore.columnar.rows.expectations import RunTotals
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.columns import column
from featurestore.late_spark import Column, F

_ROWS, _NEWEST, _NULLS = "good_rows", "newest_event", "nulls_of_"


def total_columns(group: FeatureGroup, is_good: Column) -> list[Column]:
    """Aggregates of checked rows from which ``run_totals`` makes its result."""
    nulls = [
        F.count_if(is_good & column(name).isNull()).alias(f"{_NULLS}{index}")
        for index, name in enumerate(group.feature_names)
    ]
    newest = F.max(F.when(is_good, F.unix_micros("event_timestamp"))).alias(_NEWEST)
    return [F.count_if(is_good).alias(_ROWS), newest, *nulls]


def run_totals(counted: Mapping[str, Any], group: FeatureGroup) -> RunTotals:
    """The totals of the good rows, from the values of ``total_columns``."""
    nulls = {name: counted[f"{_NULLS}{index}"] for index, name in enumerate(group.feature_names)}
    return RunTotals(counted[_ROWS], counted[_NEWEST], nulls)
