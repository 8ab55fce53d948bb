"""Drift: whether a group's features are spread as they were, in an earlier period or in a training set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Literal, TypeAlias

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

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
from featurestore.operations.context import Scope
from featurestore.operations.job_run import recorded_run
from featurestore.operations.statistics.periods import Period, PeriodLike, last_whole, months_before, read_period
from featurestore.operations.statistics.profile import bring_up_to_date, of_dates
from featurestore.operations.training_sets.training_set import TrainingSet
from featurestore.stores.training_sets.manifests import Manifest

DRIFT = "drift"
TRAINING_SET = "training_set:"
Compared: TypeAlias = PeriodLike | TrainingSet

Argument: TypeAlias = Literal["baseline", "current"]

# What is compared where nothing is said.
_DAYS: dict[Argument, str] = {"baseline": "28d", "current": "7d"}
_MONTHS: dict[Argument, int] = {"baseline": 3, "current": 1}
_ORDER: dict[Status, int] = {"drifted": 0, "warning": 1, "ok": 2}
# A sign beside the word, so that a column can be read at a glance without colours.
MARKS: dict[Status, str] = {"drifted": "▲ drifted", "warning": "△ warning", "ok": "ok"}
_TONES: dict[Status, Tone] = {"drifted": "bad", "warning": "warning", "ok": "good"}
_MEASURES = ("psi", "jensen_shannon", "kolmogorov_smirnov", "null_share_change")


@dataclass(frozen=True)
class DriftResult(Displayed):
    """A group's features in two periods, those that drifted first, then by name; ``docs/statistics_and_drift.md``."""

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
        return [one.feature for one in self.features if one.status == status]

    @property
    def drifted(self) -> list[str]:
        return self.of_status("drifted")

    def require_none(self) -> None:
        """Raise DriftError where a feature drifted."""
        told = [f"\n- {one.feature}: {'; '.join(one.reasons)}" for one in self.features if one.status == "drifted"]
        if told:
            raise DriftError(
                f"{len(told)} of {len(self.features)} features of {self.group!r} drifted from {self.baseline} to "
                f"{self.current}:{''.join(told)}"
            )

    def to_pandas(self) -> pd.DataFrame:
        """A row a feature: feature, status, the measures, null shares and rows of both sides, reasons."""
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
                *(getattr(one, name) for name in ("feature", "type", "status", *_MEASURES)),
                one.baseline.null_share,
                one.current.null_share,
                one.baseline.rows,
                one.current.rows,
                "; ".join(one.reasons),
            )
            for one in self.features
        ]
        return pd.DataFrame(rows, columns=[*columns, "reasons"])

    def display(self) -> Display:
        """A line a feature: its status, and each measure."""
        columns = ("feature", "status", *(name.replace("_", " ") for name in _MEASURES), "why")
        rows = [
            (
                one.feature,
                Mark(MARKS[one.status], _TONES[one.status]),
                *(None if (value := getattr(one, name)) is None else Amount(f"{value:.3f}") for name in _MEASURES),
                "\n".join(one.reasons),
            )
            for one in self.features
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
            [head, *(f"  {one.feature}: {'; '.join((one.status, *one.reasons))}" for one in self.features)]
        )


@dataclass(frozen=True, kw_only=True)
class DriftRequest:
    """The two sides to compare (None: the default periods), the features (None: all), and whether to profile first."""

    baseline: Compared | None
    current: Compared | None
    features: Iterable[str] | None
    refresh: bool


def drift(scope: Scope, group: FeatureGroup, request: DriftRequest) -> DriftResult:
    """Compare two periods of a group's statistics, or a saved training set with a period; judged by the group's ``drift``.

    - A period is ``"2026-11-01/2026-11-08"`` or a pair of dates (the first day is included, the end is not), or a length as
      ``"7d"``: the current one ends with yesterday (UTC), the baseline before the current one begins.
    - A training set is ``"training_set:churn"``, ``"training_set:churn@3"`` or the set itself; its features are those that were
      looked up in this group, under their names there. Its nulls are rows without a match, and are told, not judged.
    - Without any: the last 7 days against the 28 before, or the last month against the 3 before.
    - ``refresh`` brings the group's statistics up to date first.

    Raises NotFoundError (also where a side has no rows), InvalidArgumentError. It does not raise for drift: see
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
        found = _compared(scope, group, before, now, chosen)
        result = DriftResult(scope.tenant_id, group.name, group.version, str(before), str(now), group.drift, found)
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
    found = [compare(a[in_a], b[in_b], group.drift, name, judge_nulls) for name, in_a, in_b in pairs]
    return tuple(sorted(found, key=lambda one: (_ORDER[one.status], one.feature)))


@dataclass(frozen=True)
class _Saved:
    """A training set, with the group's features by their names there."""

    training_set: TrainingSet
    columns: Mapping[str, Feature]

    def __str__(self) -> str:
        return f"training set {self.training_set.name} v{self.training_set.version}"


_Side: TypeAlias = Period | _Saved


def _side(scope: Scope, group: FeatureGroup, name: Argument, given: Compared | None, ends_at: date) -> _Side:
    """What an argument means; a period that is given by its length ends at ``ends_at``."""
    if isinstance(given, str) and given.startswith(TRAINING_SET):
        manifest = scope.training_sets.get(scope.spark, scope.tenant_id, *_reference(name, given))
        given = TrainingSet(scope.context, manifest)
    if isinstance(given, TrainingSet):
        return _saved(scope.tenant_id, group, name, given)
    if given is None and group.partition_by == "month":
        return months_before(ends_at, _MONTHS[name])
    return read_period(name, _DAYS[name] if given is None else given, ends_at, group.partition_by)


def _reference(name: str, given: str) -> tuple[str, int | None]:
    named, at, version = given.removeprefix(TRAINING_SET).partition("@")
    if at and not version.isdigit():
        raise InvalidArgumentError(f"{name}: {given!r} names no version; write 'training_set:churn@3', or leave it out")
    return check_name(named), int(version) if at else None


def _saved(tenant_id: str, group: FeatureGroup, name: str, given: TrainingSet) -> _Saved:
    if given.manifest.tenant_id != tenant_id:
        raise InvalidArgumentError(f"{name}: the training set is not of tenant {tenant_id!r}; give one of its own")
    columns = _columns_of(given.manifest, group)
    if not columns:
        looked_up = sorted({lookup.group for lookup in given.manifest.features})
        raise NotFoundError(
            f"{name}: training set {given.name!r} has no features of {group.name!r}; it has those of {looked_up}"
        )
    return _Saved(given, columns)


def _columns_of(manifest: Manifest, group: FeatureGroup) -> dict[str, Feature]:
    """Each column that was looked up in the group, with its feature as it was then."""
    definitions = {snapshot.name: snapshot.group for snapshot in manifest.groups}
    looked_up = [(lookup.group, feature) for lookup in manifest.features for feature in lookup.features]
    return {
        name: definitions[group.name].feature(feature)
        for name, (of_group, feature) in zip(manifest.feature_columns, looked_up, strict=True)
        if of_group == group.name
    }


def _pairs(before: _Side, now: _Side, chosen: Sequence[str]) -> list[tuple[str, str, str]]:
    """What is compared: its name, and what it is called in the two sides. A training set's names count."""
    sets = [side for side in (before, now) if isinstance(side, _Saved)]
    if not sets:
        return [(name, name, name) for name in chosen]
    return [
        (name, _called(before, name, feature), _called(now, name, feature))
        for name, feature in sets[0].columns.items()
        if feature.name in chosen and all(name in one.columns for one in sets)
    ]


def _called(side: _Side, name: str, feature: Feature) -> str:
    return name if isinstance(side, _Saved) else feature.name


def _statistics(scope: Scope, group: FeatureGroup, sides: Sequence[_Side]) -> list[dict[str, FeatureStatistics]]:
    """Of each side, every feature's by its name there; raises NotFoundError where a side has no rows."""
    found = [_lines_of(scope, group, side).withColumn("side", F.lit(i)) for i, side in enumerate(sides)]
    whole = reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), found)
    told: list[dict[str, FeatureStatistics]] = [{} for _ in sides]
    for row in merged_lines(whole, ("side", "feature")).collect():
        told[row["side"]][row["feature"]] = FeatureStatistics.of(row.asDict(recursive=True))
    for side, features in zip(sides, told, strict=True):
        if not any(one.rows for one in features.values()):
            raise NotFoundError(f"{group.name!r} has no profiled rows in {side}; there is nothing to compare")
    return told


def _lines_of(scope: Scope, group: FeatureGroup, side: _Side) -> DataFrame:
    if isinstance(side, Period):
        return of_dates(scope, group, (side.first, side.last))
    kinds = {name: feature.type for name, feature in side.columns.items()}
    names = list(kinds)
    slices = [names[first : first + FEATURES_AT_ONCE] for first in range(0, len(names), FEATURES_AT_ONCE)]
    parts = [lines(side.training_set.rows, {name: kinds[name] for name in part}) for part in slices]
    return reduce(DataFrame.unionByName, parts)
