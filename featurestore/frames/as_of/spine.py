"""The spine: its required columns, and its bounds, which limit the scan of the feature tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from featurestore.columnar import spine_checks
from featurestore.columnar.names import check_names
from featurestore.columnar.spine_checks import check_timestamp_column, not_an_instant
from featurestore.definitions.values.time_window import from_micros, to_micros
from featurestore.frames.as_of.spine_types import check_carried
from featurestore.frames.columns import column
from featurestore.kinds.kind import Moments
from featurestore.kinds.moment import TIMESTAMP
from featurestore.late_spark import Column, DataFrame, F, T


@dataclass(frozen=True)
class SpineBounds:
    """Number of rows, earliest and latest timestamp (None if no row has one), and estimated keys and examples."""

    rows: int
    earliest: datetime | None
    latest: datetime | None
    # Estimated distinct keys, by the columns of the key.
    keys: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    # Estimated distinct (all keys, instant).
    examples: int = 0

    def dates(self, ttl: timedelta | None, offset: timedelta = timedelta(0)) -> tuple[date | None, date] | None:
        """The first and last UTC date of values that a row may take, both included; None if no row takes any.

        ``offset``: how long after its timestamp a row looks values up. The first date is None without a lower bound.
        """
        if self.earliest is None or self.latest is None:
            return None
        try:
            first = None if ttl is None else (self.earliest + offset - ttl).date()
        except OverflowError:
            first = None
        try:
            return first, (self.latest + offset).date()
        except OverflowError:
            return first, date.max


def check_spine(spine: DataFrame, timestamp_column: str) -> None:
    """Raise SpineError for same names, for columns that cannot be carried, or if the timestamp column is missing."""
    check_names(spine.columns, "spine")
    check_carried(spine.schema)
    check_timestamp_column(spine.columns, timestamp_column)


def instant_column(spine: DataFrame) -> str:
    """An unused column name, for the spine's timestamp as an instant."""
    return instant_name(spine.columns)


def instant_name(columns: Collection[str]) -> str:
    """A name that is not among the columns, for their timestamp as an instant."""
    name = "__instant"
    while name in columns:
        name = f"_{name}"
    return name


def with_instants(spine: DataFrame, timestamp_column: str, zone: str | None, name: str) -> DataFrame:
    """The spine with a column ``name``: its timestamp as an instant, read in ``zone`` if it is naive.

    Raises SpineError if the column's type cannot be read as an instant.
    """
    kind = spine.schema[timestamp_column].dataType
    is_text = isinstance(kind, T.StringType)
    reading = None if is_text else TIMESTAMP.read_column(column(timestamp_column), kind, Moments(zone))
    if reading is None:
        raise not_an_instant(timestamp_column, kind.simpleString())
    return spine.withColumn(name, reading.value)


def check_keys(
    rows: DataFrame,
    keys: Mapping[str, str],
    types: Mapping[str, T.DataType],
    group: str,
    what: str = "spine",
    remedy: str = spine_checks.ADD_KEY,
) -> None:
    """The same as ``spine_checks.check_keys``, for a Spark DataFrame and types of Spark."""
    words = {field.name: field.dataType.simpleString() for field in rows.schema}
    expected = {key: kind.simpleString() for key, kind in types.items()}
    spine_checks.check_keys(words, keys, expected, group, what=what, remedy=remedy)


def spine_bounds(spine: DataFrame, instants: str, keys: Sequence[tuple[str, ...]] = ()) -> SpineBounds:
    """The bounds of a spine; runs one job over its column of instants and its keys."""
    time = F.unix_micros(column(instants))
    every = [column(name) for name in dict.fromkeys(name for names in keys for name in names)]
    row = spine.agg(
        F.count(F.lit(1)),
        F.min(time),
        F.max(time),
        F.approx_count_distinct(F.xxhash64(*every, time)),
        *(F.approx_count_distinct(F.xxhash64(*(column(name) for name in names))) for names in keys),
    ).collect()[0]
    rows, low, high, examples, *distinct = row
    return SpineBounds(
        rows=rows,
        earliest=None if low is None else from_micros(low),
        latest=None if high is None else from_micros(high),
        keys=dict(zip(keys, distinct, strict=True)),
        examples=examples,
    )


def guarded(spine: DataFrame, instants: str, bounds: SpineBounds) -> DataFrame:
    """The spine; its query raises INVARIANT if a timestamp is outside the bounds that pruned the scan.

    Otherwise a spine with different rows on each run (``rand()``, a table that changed) would silently lose matches.
    """
    time = F.unix_micros(column(instants))
    outside: Column = time.isNotNull()
    if bounds.earliest is not None and bounds.latest is not None:
        outside = ~time.between(to_micros(bounds.earliest), to_micros(bounds.latest))
    message = F.lit("INVARIANT: the spine changed between two reads of it; save or cache it first, then join")
    return spine.where(F.when(outside, F.raise_error(message).cast("boolean")).otherwise(F.lit(True)))
