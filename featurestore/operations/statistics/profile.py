"""Profile: statistics of every feature's values by date, recomputed only for dates with changed rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.display.description import Amount, Display, Table, count, counted, share
from featurestore.display.displayed import Displayed, Listing
from featurestore.errors import InvalidArgumentError, NotFoundError
from featurestore.frames.statistics.feature_profile import FEATURES_AT_ONCE, date_lines, merged_lines
from featurestore.frames.statistics.feature_statistics import FeatureStatistics, as_text, deviation_as_text
from featurestore.frames.timestamps import date_literal, partitions_of
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Context, Scope
from featurestore.operations.instants import argument_window
from featurestore.operations.job_run import RunningJob, recorded_run
from featurestore.stores.arrow import to_spark
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.small_tables.statistics import SCHEMA, Dates

PROFILE = "profile"
# The number of the lines' format; lines of another format are computed again.
_FORMAT = 2
_MEASURED = "Numbers of texts and arrays are of their lengths, of embeddings of their norms; times are UTC."
# Statistics by date keep fewer ranks than statistics of a whole period.
_STEPS_A_DATE = 100


@dataclass(frozen=True)
class GroupProfile:
    """One feature group: the number of event ``dates`` (or months) profiled, and of their ``rows``, after corrections.

    ``table_version``: the version of the group's table that was read.
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
        """One line per group."""
        columns = ("group", "version", "table version", "dates", "rows")
        rows = tuple(
            (result.group, result.version, result.table_version, count(result.dates), count(result.rows))
            for result in self.groups
        )
        dates = sum(result.dates for result in self.groups)
        title = f"{counted(len(self.groups), 'group')} profiled: {counted(dates, 'date')}"
        return Display(title, tables=(Table(columns, rows),))

    def __str__(self) -> str:
        return "\n".join(
            f"{result.group}: {counted(result.dates, 'date')} profiled, {counted(result.rows, 'row')}"
            for result in self.groups
        )


@dataclass(frozen=True)
class ProfiledGroup(Displayed):
    """The profiles of a group: each feature over all requested dates, and ``by_date``, oldest first."""

    tenant_id: str
    group: FeatureGroup
    features: tuple[FeatureStatistics, ...]
    by_date: tuple[FeatureStatistics, ...]

    @property
    def dates(self) -> list[date]:
        return sorted({line.date for line in self.by_date if line.date is not None})

    def display(self) -> Display:
        """One line per feature."""
        dates = self.dates
        period = f"{dates[0]} to {dates[-1]}" if dates else "no rows yet"
        return describe_statistics(self.features).about(f"{self.group.name} v{self.group.version}, {period}")

    def __repr__(self) -> str:
        return f"ProfiledGroup({self.group.name!r}, version={self.group.version}, dates={len(self.dates)})"


def describe_statistics(features: Sequence[FeatureStatistics]) -> Display:
    """One line per feature, or per date and feature."""
    if not features:
        return Display("no statistics yet; profile the group")
    with_dates = any(line.date is not None for line in features)
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
    for line in features:
        measures = (
            line.minimum,
            line.quantiles.get(0.05),
            line.quantiles.get(0.5),
            line.quantiles.get(0.95),
            line.maximum,
            line.mean,
        )
        numbers = [Amount(as_text(number, line.measure)) for number in measures]
        deviation = Amount(deviation_as_text(line.stddev, line.measure))
        facts = (
            line.feature,
            line.type,
            count(line.rows),
            share(line.null_share),
            count(line.distinct),
            *numbers,
            deviation,
        )
        rows.append((line.date, *facts) if with_dates else facts)
    title = f"{counted(len({line.feature for line in features}), 'feature')}"
    return Display(title, tables=(Table(("date", *columns) if with_dates else columns, tuple(rows), _MEASURED),))


@dataclass(frozen=True)
class _Plan:
    """What to profile: the ``dates``, or if they are None all dates ``within`` a first and a last.

    ``contents``: the new contents of the group's mark; None keeps the mark, because the request does not cover all
    dates.
    """

    table_version: int
    dates: tuple[date, ...] | None
    within: Dates
    contents: str | None
    is_done: bool = False
    # Of a group in place, the state to read.
    pin: SourcePin | None = None

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
    """Bring the statistics of these groups (None: all current ones) up to date; one result per group, by name.

    Only event dates with rows that changed since the last profile are computed again; ``full`` computes all dates. With
    ``start`` and ``end``, only dates (or months) that overlap ``[start, end)`` count: until the whole group has
    been profiled once, these dates are computed again on every call. Of all groups, those in place are left out whose
    table the tenant does not have. Raises NotFoundError, InvalidArgumentError.
    """
    dates = _requested_dates(scope.context, start, end)
    results = []
    for group in _chosen(scope.context, groups):
        if groups is None and not _is_there(scope, group):
            continue
        plan = _plan(scope, group, dates(group), full)
        with recorded_run(scope, PROFILE, group) as job:
            results.append(_carry_out(scope, group, plan, job))
    return ProfileResult(tuple(results))


def bring_up_to_date(scope: Scope, group: FeatureGroup) -> None:
    """Profile a group if anything changed; otherwise do nothing and record no run."""
    plan = _plan(scope, group, (None, None), False)
    if not plan.is_done:
        with recorded_run(scope, PROFILE, group) as job:
            _carry_out(scope, group, plan, job)


def statistics(scope: Scope, group: FeatureGroup, *, start: Any, end: Any, by_date: bool) -> Listing[FeatureStatistics]:
    """The stored statistics of dates that overlap ``[start, end)``: one per feature, or per date and feature."""
    dates = _requested_dates(scope.context, start, end)(group)
    if not scope.statistics.lines(scope.tenant_id, group, dates).num_rows:
        return Listing((), describe_statistics)
    lines = of_dates(scope, group, dates)
    by, steps = (("event_date", "feature"), _STEPS_A_DATE) if by_date else (("feature",), 1_000)
    merged = [FeatureStatistics.of(row.asDict(recursive=True)) for row in merged_lines(lines, by, steps).collect()]
    order = {name: place for place, name in enumerate(group.feature_names)}
    return Listing(sorted(merged, key=lambda line: (line.date or date.min, order[line.feature])), describe_statistics)


def profiled(scope: Scope, group: FeatureGroup, *, start: Any, end: Any) -> ProfiledGroup:
    """The group's statistics over all the dates, together with those by date."""
    whole, by_date = (statistics(scope, group, start=start, end=end, by_date=dated) for dated in (False, True))
    return ProfiledGroup(scope.tenant_id, group, tuple(whole), tuple(by_date))


def null_shares(scope: Scope, group: FeatureGroup) -> dict[str, float] | None:
    """By feature, the exact share of rows (after corrections) without a value; None if rows changed since then."""
    if not scope.statistics.table.exists() or _plan(scope, group, (None, None), False).dates != ():
        return None
    lines = scope.statistics.lines(scope.tenant_id, group)
    totals = lines.group_by("feature").aggregate([("rows", "sum"), ("nulls", "sum")]).to_pylist()
    counts = {row["feature"]: (row["nulls_sum"], row["rows_sum"]) for row in totals}
    return {name: counts[name][0] / counts[name][1] for name in group.feature_names if counts.get(name, (0, 0))[1]}


def of_dates(scope: Scope, group: FeatureGroup, dates: Dates) -> DataFrame:
    """The stored lines of the group's current features on these event dates, both bounds included."""
    lines = to_spark(scope.spark, scope.statistics.lines(scope.tenant_id, group, dates))
    return lines.where(F.col("feature").isin(group.feature_names))


def _is_there(scope: Scope, group: FeatureGroup) -> bool:
    try:
        return group.in_place is None or bool(scope.context.in_place(group).pin(scope.tenant_id))
    except NotFoundError:
        return False


def _chosen(context: Context, groups: str | Iterable[str] | None) -> list[FeatureGroup]:
    if groups is None:
        return context.refresh().stored_feature_groups()
    names = [groups] if isinstance(groups, str) else list(dict.fromkeys(groups))
    return sorted((context.group_with_values(name) for name in names), key=lambda group: group.name)


def _requested_dates(context: Context, start: Any, end: Any) -> Callable[[FeatureGroup], Dates]:
    """A function from a group to the event dates that overlap the window."""
    if start is None and end is None:
        return lambda group: (None, None)
    if start is None or end is None:
        raise InvalidArgumentError("give both start and end, or neither for all dates")
    window = argument_window(start, end, context.settings.timestamp_zone)
    return lambda group: partitions_of(window, group.partition_by)


def _plan(scope: Scope, group: FeatureGroup, within: Dates, full: bool) -> _Plan:
    pin = None if group.in_place is None else scope.context.in_place(group).pin(scope.tenant_id)
    version = scope.table(group).values.version() if pin is None else pin.version or 0
    contents = _contents(group, pin)
    mark = scope.statistics.mark(scope.tenant_id, group)
    new_mark = contents if within == (None, None) else None
    if full or mark is None or mark.contents != contents or mark.table_version > version:
        return _Plan(version, None, within, new_mark, pin=pin)
    if mark.table_version == version:
        return _Plan(version, (), within, None, is_done=True)
    changed = scope.table(group).changed_dates(scope.tenant_id, mark.table_version, version)
    if changed is None:
        return _Plan(version, None, within, new_mark)
    dates = tuple(sorted(day for day in changed if _inside(day, within)))
    return _Plan(version, dates, within, new_mark, is_done=not dates and new_mark is None)


def _contents(group: FeatureGroup, pin: SourcePin | None) -> str:
    """What decides on the statistics beside the table's version; of a group in place its whole state and columns."""
    contents: dict[str, object] = {
        "format": _FORMAT,
        "nulls": group.nulls,
        "features": {feature.name: feature.type for feature in group.features},
    }
    if pin is not None:
        # A state that is not known is another one each time.
        state = pin.model_dump_json() if pin.is_known else uuid4().hex
        columns = "" if group.in_place is None else group.in_place.to_json()
        contents["in_place"] = sha256(f"{columns}\n{state}".encode()).hexdigest()
    return json.dumps(contents, sort_keys=True)


def _inside(day: date, within: Dates) -> bool:
    first, last = within
    return (first is None or first <= day) and (last is None or day <= last)


def _carry_out(scope: Scope, group: FeatureGroup, plan: _Plan, job: RunningJob) -> GroupProfile:
    rows = dates = 0
    if not plan.is_done:
        lines = _lines(scope, group, plan)
        by_date = lines.group_by("event_date").aggregate([("rows", "max")])
        dates, rows = by_date.num_rows, pc.sum(by_date.column("rows_max")).as_py() or 0
        scope.step("profile.computed")
        where = plan.within if plan.dates is None else list(plan.dates)
        scope.statistics.replace(lines, scope.tenant_id, group, where, plan.table_version, plan.contents, scope.now())
    job.report({"dates": dates, "rows": rows}, table_version=plan.table_version)
    return GroupProfile(group.name, group.version, plan.table_version, dates, rows)


def _lines(scope: Scope, group: FeatureGroup, plan: _Plan) -> pa.Table:
    """One row per changed date and feature; a job of Spark's."""
    if plan.dates == ():
        return SCHEMA.empty_table()
    slices = [_slice(scope, group, plan, features) for features in _slices(group.features)]
    return reduce(DataFrame.unionByName, slices).toArrow()


def _slice(scope: Scope, group: FeatureGroup, plan: _Plan, features: Sequence[Feature]) -> DataFrame:
    kinds = {feature.name: feature.type for feature in features}
    columns = ["event_date", *group.join_keys, *TIME_COLUMNS, *kinds]
    values = scope.read_values(group, columns, plan.bounds, version=plan.pin or plan.table_version)
    if plan.dates is not None:
        values = values.where(F.col("event_date").isin([date_literal(day) for day in plan.dates]))
    return date_lines(values, group.join_keys, kinds, group.nulls)


def _slices(features: Sequence[Feature]) -> Iterator[Sequence[Feature]]:
    for first in range(0, len(features), FEATURES_AT_ONCE):
        yield features[first : first + FEATURES_AT_ONCE]
