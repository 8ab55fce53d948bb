"""Profile: what every feature's values are like, date by date, computed again only for dates whose rows changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.display.description import Amount, Display, Table, count, counted, share
from featurestore.display.displayed import Displayed, Listing
from featurestore.errors import InvalidArgumentError
from featurestore.frames.schema import TIME_COLUMNS, table_schema
from featurestore.frames.statistics.feature_profile import FEATURES_AT_ONCE, date_lines, merged_lines
from featurestore.frames.statistics.feature_statistics import FeatureStatistics, as_text, deviation_as_text
from featurestore.frames.timestamps import date_literal, partitions_of
from featurestore.operations.context import Context, Scope
from featurestore.operations.instants import argument_window
from featurestore.operations.job_run import RunningJob, recorded_run
from featurestore.stores.small_tables.statistics import Dates, Statistics, changed_dates

PROFILE = "profile"
# Lines that were computed in another way are computed again.
_FORMAT = 2
_MEASURED = "Numbers of texts and arrays are of their lengths, of embeddings of their norms; times are UTC."
# Of dates side by side fewer ranks are kept than of a period.
_STEPS_A_DATE = 100


@dataclass(frozen=True)
class GroupProfile:
    """One feature group: ``dates``, event dates (or months) that were profiled, with their ``rows``, as corrected.

    ``table_version``: of the group's table, up to which the tenant's rows count.
    """

    group: str
    version: int
    table_version: int
    dates: int
    rows: int


@dataclass(frozen=True)
class ProfileResult(Displayed):
    groups: tuple[GroupProfile, ...]

    def display(self) -> Display:
        """A line a group."""
        columns = ("group", "version", "table version", "dates", "rows")
        rows = tuple(
            (one.group, one.version, one.table_version, count(one.dates), count(one.rows)) for one in self.groups
        )
        title = (
            f"{counted(len(self.groups), 'group')} profiled: {counted(sum(one.dates for one in self.groups), 'date')}"
        )
        return Display(title, tables=(Table(columns, rows),))

    def __str__(self) -> str:
        return "\n".join(
            f"{one.group}: {counted(one.dates, 'date')} profiled, {counted(one.rows, 'row')}" for one in self.groups
        )


@dataclass(frozen=True)
class ProfiledGroup(Displayed):
    """What the profiles of a group say: each feature over all dates asked for, and ``by_date``, oldest first."""

    tenant_id: str
    group: FeatureGroup
    features: tuple[FeatureStatistics, ...]
    by_date: tuple[FeatureStatistics, ...]

    @property
    def dates(self) -> list[date]:
        return sorted({one.date for one in self.by_date if one.date is not None})

    def display(self) -> Display:
        """A line a feature."""
        dates = self.dates
        period = f"{dates[0]} to {dates[-1]}" if dates else "no rows yet"
        return describe_statistics(self.features).about(f"{self.group.name} v{self.group.version}, {period}")

    def __repr__(self) -> str:
        return f"ProfiledGroup({self.group.name!r}, version={self.group.version}, dates={len(self.dates)})"


def describe_statistics(features: Sequence[FeatureStatistics]) -> Display:
    """A line a feature, or a date and feature."""
    if not features:
        return Display("no statistics yet; profile the group")
    with_dates = any(one.date is not None for one in features)
    columns = (
        "feature",
        "type",
        "rows",
        "null",
        "distinct",
        "least",
        "5 %",
        "median",
        "95 %",
        "greatest",
        "mean",
        "deviation",
    )
    rows = []
    for one in features:
        told = (
            one.minimum,
            one.quantiles.get(0.05),
            one.quantiles.get(0.5),
            one.quantiles.get(0.95),
            one.maximum,
            one.mean,
        )
        numbers = [Amount(as_text(number, one.measure)) for number in told]
        deviation = Amount(deviation_as_text(one.stddev, one.measure))
        facts = (
            one.feature,
            one.type,
            count(one.rows),
            share(one.null_share),
            count(one.distinct),
            *numbers,
            deviation,
        )
        rows.append((one.date, *facts) if with_dates else facts)
    title = f"{counted(len({one.feature for one in features}), 'feature')}"
    return Display(title, tables=(Table(("date", *columns) if with_dates else columns, tuple(rows), _MEASURED),))


@dataclass(frozen=True)
class _Plan:
    """What to profile: the dates named, or (none named) all from a first to a last.

    ``contents``: what the group's mark will say; none where it stays, since not all dates were asked for.
    """

    table_version: int
    dates: tuple[date, ...] | None
    within: Dates
    contents: str | None
    is_done: bool = False

    @property
    def bounds(self) -> Dates:
        return (min(self.dates), max(self.dates)) if self.dates else self.within


def profile(
    scope: Scope,
    groups: str | Iterable[str] | None,
    *,
    start: Any,
    end: Any,
    full: bool,
) -> ProfileResult:
    """Bring the statistics of these groups (None: all in force) up to date; one result per group, by name.

    Event dates whose rows changed since the last profile are computed again, and no others; ``full`` computes all. With
    ``start`` and ``end`` only the dates (or months) that hold a part of ``[start, end)`` count: until all of a group was
    profiled once, they are computed each time. Raises NotFoundError, InvalidArgumentError.
    """
    dates = _asked(scope.context, start, end)
    results = []
    for group in _chosen(scope.context, groups):
        plan = _plan(scope, group, dates(group), full)
        with recorded_run(scope, PROFILE, group) as job:
            results.append(_carry_out(scope, group, plan, job))
    return ProfileResult(tuple(results))


def bring_up_to_date(scope: Scope, group: FeatureGroup) -> None:
    """Profile a group where anything changed; where nothing did, nothing is recorded either."""
    plan = _plan(scope, group, (None, None), False)
    if not plan.is_done:
        with recorded_run(scope, PROFILE, group) as job:
            _carry_out(scope, group, plan, job)


def statistics(scope: Scope, group: FeatureGroup, *, start: Any, end: Any, by_date: bool) -> Listing[FeatureStatistics]:
    """What the stored lines say of the dates that hold a part of ``[start, end)``: one a feature, or a date and feature."""
    lines = of_dates(scope, group, _asked(scope.context, start, end)(group))
    by, steps = (("event_date", "feature"), _STEPS_A_DATE) if by_date else (("feature",), 1_000)
    found = [FeatureStatistics.of(row.asDict(recursive=True)) for row in merged_lines(lines, by, steps).collect()]
    order = {name: place for place, name in enumerate(group.feature_names)}
    return Listing(sorted(found, key=lambda one: (one.date or date.min, order[one.feature])), describe_statistics)


def profiled(scope: Scope, group: FeatureGroup, *, start: Any, end: Any) -> ProfiledGroup:
    """The same over all the dates and by date, together."""
    whole, by_date = (statistics(scope, group, start=start, end=end, by_date=dated) for dated in (False, True))
    return ProfiledGroup(scope.tenant_id, group, tuple(whole), tuple(by_date))


def null_shares(scope: Scope, group: FeatureGroup) -> dict[str, float] | None:
    """By feature, the share of rows (as corrected) without a value, exact; none where rows changed since the last profile."""
    if not scope.layout.statistics.exists(scope.spark):
        return None
    if _plan(scope, group, (None, None), False).dates != ():
        return None
    found = statistics(scope, group, start=None, end=None, by_date=False)
    return {one.feature: one.null_share for one in found if one.null_share is not None}


def of_dates(scope: Scope, group: FeatureGroup, dates: Dates) -> DataFrame:
    """The stored lines of the group's features in force, of these event dates, both ends included."""
    lines = Statistics(scope.layout.statistics).lines(scope.spark, scope.tenant_id, group, dates)
    return lines.where(F.col("feature").isin(group.feature_names))


def _chosen(context: Context, groups: str | Iterable[str] | None) -> list[FeatureGroup]:
    if groups is None:
        return context.refresh().feature_groups()
    names = [groups] if isinstance(groups, str) else list(dict.fromkeys(groups))
    return sorted((context.group(name) for name in names), key=lambda group: group.name)


def _asked(context: Context, start: Any, end: Any) -> Callable[[FeatureGroup], Dates]:
    """From a group to the event dates that hold a part of the window."""
    if start is None and end is None:
        return lambda group: (None, None)
    if start is None or end is None:
        raise InvalidArgumentError("give both start and end, or neither for all dates")
    window = argument_window(start, end, context.settings.timestamp_zone)
    return lambda group: partitions_of(window, group.partition_by)


def _plan(scope: Scope, group: FeatureGroup, within: Dates, full: bool) -> _Plan:
    values = scope.table(group).values
    version = values.version(scope.spark)
    contents = _contents(group)
    mark = Statistics(scope.layout.statistics).mark(scope.spark, scope.tenant_id, group)
    moved = contents if within == (None, None) else None
    if full or mark is None or mark.contents != contents or mark.table_version > version:
        return _Plan(version, None, within, moved)
    if mark.table_version == version:
        return _Plan(version, (), within, None, is_done=True)
    changed = changed_dates(scope.spark, values, scope.tenant_id, mark.table_version, version)
    if changed is None:
        return _Plan(version, None, within, moved)
    dates = tuple(sorted(day for day in changed if _inside(day, within)))
    return _Plan(version, dates, within, moved, is_done=not dates and moved is None)


def _contents(group: FeatureGroup) -> str:
    features = {feature.name: feature.type for feature in group.features}
    return json.dumps({"format": _FORMAT, "nulls": group.nulls, "features": features}, sort_keys=True)


def _inside(day: date, within: Dates) -> bool:
    first, last = within
    return (first is None or first <= day) and (last is None or day <= last)


def _carry_out(scope: Scope, group: FeatureGroup, plan: _Plan, job: RunningJob) -> GroupProfile:
    rows = dates = 0
    if not plan.is_done:
        # Kept, so that a write that meets another one does not compute it again.
        lines = _lines(scope, group, plan).persist()
        try:
            told = lines.groupBy("event_date").agg(F.max("rows").alias("rows")).agg(F.count("*"), F.sum("rows"))
            dates, rows = (number or 0 for number in told.collect()[0])
            scope.step("profile.computed")
            where = plan.within if plan.dates is None else list(plan.dates)
            Statistics(scope.layout.statistics).replace(
                lines, scope.tenant_id, group, where, plan.table_version, plan.contents, scope.now()
            )
        finally:
            lines.unpersist()
    job.report({"dates": dates, "rows": rows}, table_version=plan.table_version)
    return GroupProfile(group.name, group.version, plan.table_version, dates, rows)


def _lines(scope: Scope, group: FeatureGroup, plan: _Plan) -> DataFrame:
    if plan.dates == ():
        return scope.spark.createDataFrame([], table_schema("event_date date, rows bigint"))
    slices = [_slice(scope, group, plan, features) for features in _slices(group.features)]
    return reduce(DataFrame.unionByName, slices)


def _slice(scope: Scope, group: FeatureGroup, plan: _Plan, features: Sequence[Feature]) -> DataFrame:
    kinds = {feature.name: feature.type for feature in features}
    columns = ["event_date", *group.join_keys, *TIME_COLUMNS, *kinds]
    values = scope.table(group).read_values(
        scope.spark, scope.tenant_id, columns, plan.bounds, version=plan.table_version
    )
    if plan.dates is not None:
        values = values.where(F.col("event_date").isin([date_literal(day) for day in plan.dates]))
    return date_lines(values, group.join_keys, kinds, group.nulls)


def _slices(features: Sequence[Feature]) -> Iterator[Sequence[Feature]]:
    for first in range(0, len(features), FEATURES_AT_ONCE):
        yield features[first : first + FEATURES_AT_ONCE]
