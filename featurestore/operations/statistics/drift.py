"""Drift: compare the distributions of a group's features with an earlier period or a training set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Literal, TypeAlias

from featurestore.arguments import checked
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import DriftThresholds, FeatureGroup
from featurestore.definitions.names import check_name
from featurestore.display.description import Amount, Display, Mark, Table, Tone
from featurestore.display.displayed import Displayed
from featurestore.errors import DriftError, InvalidArgumentError, NotFoundError
from featurestore.frames.statistics.drift import FeatureDrift, Status, compare
from featurestore.frames.statistics.feature_profile import FEATURES_AT_ONCE, lines, merged_lines
from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.late_pandas import pd
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Scope
from featurestore.operations.job_run import recorded_run
from featurestore.operations.saved_sets.saved_set import SavedSet
from featurestore.operations.statistics.periods import Period, PeriodLike, last_whole, months_before, read_period
from featurestore.operations.statistics.profile import bring_up_to_date, of_dates
from featurestore.stores.training_sets.manifests import Manifest

DRIFT = "drift"
TRAINING_SET = "training_set:"
Compared: TypeAlias = PeriodLike | SavedSet

Argument: TypeAlias = Literal["baseline", "current"]

# The default periods, for groups partitioned by day and by month.
_DAYS: dict[Argument, str] = {"baseline": "28d", "current": "7d"}
_MONTHS: dict[Argument, int] = {"baseline": 3, "current": 1}
_ORDER: dict[Status, int] = {"drifted": 0, "warning": 1, "ok": 2}
# A sign beside the word makes a column readable at a glance without colours.
MARKS: dict[Status, str] = {"drifted": "▲ drifted", "warning": "△ warning", "ok": "ok"}
_TONES: dict[Status, Tone] = {"drifted": "bad", "warning": "warning", "ok": "good"}
_MEASURES = ("psi", "jensen_shannon", "kolmogorov_smirnov", "null_share_change")


@dataclass(frozen=True)
class DriftResult(Displayed):
    """A group's features in two periods, the worst status first, then by name; see ``docs/statistics_and_drift.md``."""

    tenant_id: str
    group: str
    version: int
    baseline: str
    current: str
    thresholds: DriftThresholds
    features: tuple[FeatureDrift, ...]

    @checked
    def of_status(self, status: Status) -> list[str]:
        """The names of the features that are ``ok``, ``warning`` or ``drifted``."""
        return [drift.feature for drift in self.features if drift.status == status]

    @property
    def drifted(self) -> list[str]:
        return self.of_status("drifted")

    def require_none(self) -> None:
        """Raise DriftError if any feature drifted."""
        drifted = [drift for drift in self.features if drift.status == "drifted"]
        if drifted:
            reasons = "".join(f"\n- {drift.feature}: {'; '.join(drift.reasons)}" for drift in drifted)
            raise DriftError(
                f"{len(drifted)} of {len(self.features)} features of {self.group!r} drifted from {self.baseline} to "
                f"{self.current}:{reasons}"
            )

    def to_pandas(self) -> pd.DataFrame:
        """One row per feature: feature, type, status, the measures, null shares and rows of both sides, reasons."""
        columns = [
            "feature",
            "type",
            "status",
            *_MEASURES,
            "null_share_before",
            "null_share_now",
            "rows_before",
            "rows_now",
        ]
        rows = [
            (
                *(getattr(drift, name) for name in ("feature", "type", "status", *_MEASURES)),
                drift.baseline.null_share,
                drift.current.null_share,
                drift.baseline.rows,
                drift.current.rows,
                "; ".join(drift.reasons),
            )
            for drift in self.features
        ]
        return pd.DataFrame(rows, columns=[*columns, "reasons"])

    def display(self) -> Display:
        """One line per feature: its status, and each measure."""
        columns = ("feature", "status", *(name.replace("_", " ") for name in _MEASURES), "why")
        rows = [
            (
                drift.feature,
                Mark(MARKS[drift.status], _TONES[drift.status]),
                *(None if (value := getattr(drift, name)) is None else Amount(f"{value:.3f}") for name in _MEASURES),
                "\n".join(drift.reasons),
            )
            for drift in self.features
        ]
        title = f"{self.group}: {self.baseline} -> {self.current}"
        numbers = ", ".join(f"{len(self.of_status(status))} {status}" for status in _ORDER)
        return Display(title, lines=(numbers,), tables=(Table(columns, tuple(rows)),))

    def __repr__(self) -> str:
        numbers = ", ".join(f"{status}={len(self.of_status(status))}" for status in _ORDER)
        return f"DriftResult({self.group!r}, {self.baseline!r} -> {self.current!r}, {numbers})"

    def __str__(self) -> str:
        head = f"{self.group}: {self.baseline} -> {self.current}"
        return "\n".join(
            [head, *(f"  {drift.feature}: {'; '.join((drift.status, *drift.reasons))}" for drift in self.features)]
        )


@dataclass(frozen=True, kw_only=True)
class DriftRequest:
    """The two sides to compare (None: the default periods), the features (None: all), and whether to profile first."""

    baseline: Compared | None
    current: Compared | None
    features: Iterable[str] | None
    refresh: bool


def drift(scope: Scope, group: FeatureGroup, request: DriftRequest) -> DriftResult:
    """Compare two periods of a group's statistics, or a training set with a period, by the group's thresholds.

    - A period is ``"2026-11-01/2026-11-08"`` or a pair of dates (the first day is included, the end is not), or a
      length such as ``"7d"``: the current period then ends with yesterday (UTC), and the baseline ends where the
      current period begins.
    - A training set is ``"training_set:churn"``, ``"training_set:churn@3"`` or the set itself. Its features are those
      that were looked up in this group, under their names in the set. Its nulls are rows without a match; the result
      reports them but does not judge them.
    - By default the last 7 days are compared with the 28 before, or the last month with the 3 before.
    - ``refresh`` brings the group's statistics up to date first.

    Raises NotFoundError (also if a side has no rows), InvalidArgumentError. Drift itself raises nothing: see
    ``DriftResult.require_none``.
    """
    names = group.feature_names if request.features is None else request.features
    chosen = [group.feature(name).name for name in names]
    today = last_whole(scope.now(), group.partition_by)
    now = _side(scope, group, "current", request.current, today)
    before = _side(scope, group, "baseline", request.baseline, now.first if isinstance(now, Period) else today)
    with recorded_run(scope, DRIFT, group) as job:
        if request.refresh and (isinstance(before, Period) or isinstance(now, Period)):
            bring_up_to_date(scope, group)
        compared = _compared(scope, group, before, now, chosen)
        result = DriftResult(scope.tenant_id, group.name, group.version, str(before), str(now), group.drift, compared)
        job.report(
            {status: result.of_status(status) for status in ("drifted", "warning")}
            | {"periods": [str(before), str(now)]}
        )
    return result


def _compared(
    scope: Scope, group: FeatureGroup, before: _Side, now: _Side, chosen: Sequence[str]
) -> tuple[FeatureDrift, ...]:
    a, b = _statistics(scope, group, (before, now))
    judge_nulls = type(before) is type(now)
    pairs = _pairs(before, now, chosen)
    missing = sorted({name for name, in_a, in_b in pairs if in_a not in a or in_b not in b})
    if missing:
        raise NotFoundError(
            f"features {missing} of {group.name!r} are not profiled yet; profile the group, or leave refresh on"
        )
    compared = [compare(a[in_a], b[in_b], group.drift, name, judge_nulls) for name, in_a, in_b in pairs]
    return tuple(sorted(compared, key=lambda drift: (_ORDER[drift.status], drift.feature)))


@dataclass(frozen=True)
class _Saved:
    """A training set, and the group's features by their column names in the set."""

    training_set: SavedSet
    columns: Mapping[str, Feature]

    def __str__(self) -> str:
        return f"training set {self.training_set.name} v{self.training_set.version}"


_Side: TypeAlias = Period | _Saved


def _side(scope: Scope, group: FeatureGroup, name: Argument, value: Compared | None, ends_at: date) -> _Side:
    """The side that an argument means; a period that is a length ends at ``ends_at``."""
    if isinstance(value, str) and value.startswith(TRAINING_SET):
        manifest = scope.training_sets.get(scope.tenant_id, *_reference(name, value))
        value = SavedSet(scope.context, manifest)
    if isinstance(value, SavedSet):
        return _saved(scope.tenant_id, group, name, value)
    if value is None and group.partition_by == "month":
        return months_before(ends_at, _MONTHS[name])
    return read_period(name, _DAYS[name] if value is None else value, ends_at, group.partition_by)


def _reference(argument: str, reference: str) -> tuple[str, int | None]:
    name, at, version = reference.removeprefix(TRAINING_SET).partition("@")
    if at and not version.isdigit():
        raise InvalidArgumentError(
            f"{argument}: {reference!r} names no version; write 'training_set:churn@3', or leave the version out"
        )
    return check_name(name), int(version) if at else None


def _saved(tenant_id: str, group: FeatureGroup, name: str, training_set: SavedSet) -> _Saved:
    if training_set.manifest.tenant_id != tenant_id:
        raise InvalidArgumentError(f"{name}: the training set is not of tenant {tenant_id!r}; give one of its own")
    columns = _columns_of(training_set.manifest, group)
    if not columns:
        looked_up = sorted({lookup.group for lookup in training_set.manifest.features})
        raise NotFoundError(
            f"{name}: training set {training_set.name!r} has no features of {group.name!r}; it has those of {looked_up}"
        )
    return _Saved(training_set, columns)


def _columns_of(manifest: Manifest, group: FeatureGroup) -> dict[str, Feature]:
    """Each column that was looked up in the group, with its feature as it was defined then."""
    definitions = {snapshot.name: snapshot.group for snapshot in manifest.groups}
    return {
        name: definitions[group.name].feature(feature)
        for name, lookup, feature in manifest.looked_up
        if lookup.group == group.name
    }


def _pairs(before: _Side, now: _Side, chosen: Sequence[str]) -> list[tuple[str, str, str]]:
    """For each feature: the name to report, its name on the side before, and its name on the side now.

    If a side is a training set, the name to report is the set's column.
    """
    sets = [side for side in (before, now) if isinstance(side, _Saved)]
    if not sets:
        return [(name, name, name) for name in chosen]
    return [
        (name, _name_in(before, name, feature), _name_in(now, name, feature))
        for name, feature in sets[0].columns.items()
        if feature.name in chosen and all(name in each.columns for each in sets)
    ]


def _name_in(side: _Side, name: str, feature: Feature) -> str:
    return name if isinstance(side, _Saved) else feature.name


def _statistics(scope: Scope, group: FeatureGroup, sides: Sequence[_Side]) -> list[dict[str, FeatureStatistics]]:
    """Each side's statistics by the feature's name in that side; raises NotFoundError if a side has no rows."""
    lines_by_side = [_lines_of(scope, group, side).withColumn("side", F.lit(i)) for i, side in enumerate(sides)]
    whole = reduce(lambda first, second: first.unionByName(second, allowMissingColumns=True), lines_by_side)
    by_side: list[dict[str, FeatureStatistics]] = [{} for _ in sides]
    for row in merged_lines(whole, ("side", "feature")).collect():
        by_side[row["side"]][row["feature"]] = FeatureStatistics.of(row.asDict(recursive=True))
    for side, statistics in zip(sides, by_side, strict=True):
        if not any(each.rows for each in statistics.values()):
            raise NotFoundError(f"{group.name!r} has no profiled rows in {side}; there is nothing to compare")
    return by_side


def _lines_of(scope: Scope, group: FeatureGroup, side: _Side) -> DataFrame:
    if isinstance(side, Period):
        return of_dates(scope, group, (side.first, side.last))
    kinds = {name: feature.type for name, feature in side.columns.items()}
    names = list(kinds)
    slices = [names[first : first + FEATURES_AT_ONCE] for first in range(0, len(names), FEATURES_AT_ONCE)]
    parts = [lines(side.training_set.rows, {name: kinds[name] for name in part}) for part in slices]
    return reduce(DataFrame.unionByName, parts)
