"""How rows are spread over the tasks that write them."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.columnar.rows.file_layout import KeyRanges
from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame, F


def by_date(rows: DataFrame) -> DataFrame:
    """All rows of an event date in one task; adaptive execution joins small dates."""
    return rows.repartition(column("event_date"))


def by_key_range(rows: DataFrame, ranges: KeyRanges, order: Sequence[str]) -> DataFrame:
    """Each task has a range of event dates and, on the large dates, of the columns ``order``.

    The rows of every other date stay in one task. Spark runs a job that samples the ranges.
    """
    is_large = column("event_date").isin(*ranges.dates)
    keys = (F.when(is_large, column(name)) for name in order)
    return rows.repartitionByRange(ranges.tasks, column("event_date"), *keys)
