"""Read a catalogue: from the registry and, for one tenant, from profiles, the run ledger and manifests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.statistics.feature_profile import merged_lines
from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.operations.catalog.model import (
    Catalog,
    GroupEntry,
    GroupNumbers,
    SavedVersion,
    TrainingSetEntry,
)
from featurestore.operations.context import Context, Scope
from featurestore.operations.statistics.stats import GroupStats, get_stats
from featurestore.stores.arrow import to_spark
from featurestore.stores.small_tables.registry import RegistryState
from featurestore.stores.small_tables.runs import Run
from featurestore.stores.training_sets.manifests import Manifest

# The rank steps in a drawing of a distribution, and the dates in a drawing of a group's rows.
_STEPS = 200
_DATES = 90

Version = tuple[str, int]


def read_catalog(context: Context, scope: Scope | None = None) -> Catalog:
    """The current definitions and, if a scope is given, what the store knows about its tenant's data.

    This reads what profiles, runs and builds recorded, and computes no statistics. Of the values themselves it reads
    only event timestamps, one scan per group, to find the newest. It reads nothing of other tenants.
    """
    state = context.refresh()
    numbers = {} if scope is None else _numbers(scope)
    manifests = [] if scope is None else scope.training_sets.list(scope.tenant_id)
    applied = _applied(context)
    return Catalog(
        tenant_id=None if scope is None else scope.tenant_id,
        built_at=context.clock().astimezone(UTC),
        code_version=context.code_version,
        entities=tuple(state.entities()),
        groups=tuple(_entry(state, group, applied, numbers.get(_key(group))) for group in state.feature_groups()),
        training_sets=_training_sets(state, manifests),
        derived_features=tuple(state.derived_features()),
    )


def _key(group: FeatureGroup) -> Version:
    return (group.name, group.version)


def _entry(
    state: RegistryState, group: FeatureGroup, applied: dict[Version, datetime], numbers: GroupNumbers | None
) -> GroupEntry:
    versions = (known.version for known in state.all_feature_groups() if known.name == group.name)
    return GroupEntry(
        group=group,
        revision=state.feature_group_entry(group.name).revision,
        applied_at=applied[_key(group)],
        older_versions=tuple(version for version in versions if version != group.version),
        numbers=numbers,
    )


def _applied(context: Context) -> dict[Version, datetime]:
    """The time when each group's newest state was applied."""
    newest: dict[Version, datetime] = {}
    for row in context.registry.history().to_pylist():
        if row["kind"] == "feature_group":
            key, applied = (row["name"], row["version"]), row["applied_at"].astimezone(UTC)
            newest[key] = max(applied, newest.get(key, applied))
    return newest


def _training_sets(state: RegistryState, manifests: Sequence[Manifest]) -> tuple[TrainingSetEntry, ...]:
    declared = {definition.name: definition for definition in state.training_sets()}
    saved: dict[str, list[SavedVersion]] = defaultdict(list)
    for manifest in manifests:
        saved[manifest.name].append(_saved(manifest))
    return tuple(
        TrainingSetEntry(name, declared.get(name), tuple(saved.get(name, ()))) for name in sorted({*declared, *saved})
    )


def _saved(manifest: Manifest) -> SavedVersion:
    severities = [finding.severity for finding in manifest.audit]
    return SavedVersion(
        version=manifest.version,
        created_at=manifest.created_at.astimezone(UTC),
        rows=manifest.row_count,
        label=manifest.label,
        features=len(manifest.feature_columns),
        groups=tuple(sorted({snapshot.name for part in manifest.all_parts for snapshot in part.groups})),
        errors=severities.count("error"),
        warnings=severities.count("warning"),
        content_hash=manifest.content_hash,
    )


@dataclass(frozen=True)
class _Profile:
    statistics: dict[Version, dict[str, FeatureStatistics]]
    rows_by_date: dict[Version, list[tuple[date, int]]]
    computed: dict[Version, datetime]


def _numbers(scope: Scope) -> dict[Version, GroupNumbers]:
    profiled = _profiled(scope)
    runs = _last_runs(scope)
    all_stats = get_stats(scope, entities=False, profiled=False)
    stats_by_group = {(stats.group, stats.version): stats for stats in all_stats}
    return {key: _group_numbers(stats, profiled, runs.get(key, [])) for key, stats in stats_by_group.items()}


def _group_numbers(stats: GroupStats, profiled: _Profile, runs: Sequence[Run]) -> GroupNumbers:
    key = (stats.group, stats.version)
    statistics = profiled.statistics.get(key, {})
    return GroupNumbers(
        rows=stats.rows,
        oldest=stats.oldest,
        newest=stats.newest,
        bytes=stats.bytes,
        last_write=stats.last_write,
        profiled_at=profiled.computed.get(key),
        statistics=tuple(statistics[name] for name in stats.features if name in statistics),
        rows_by_date=tuple(profiled.rows_by_date.get(key, ())),
        runs=tuple(runs),
    )


def _profiled(scope: Scope) -> _Profile:
    """The tenant's stored profiles: statistics, and rows by date, each in one query for all groups."""
    stored = scope.statistics.of_tenant(scope.tenant_id)
    dated = stored.filter(stored.column("event_date").is_valid())
    if not dated.num_rows:
        return _Profile({}, {}, {})
    lines = to_spark(scope.spark, dated)
    statistics: dict[Version, dict[str, FeatureStatistics]] = defaultdict(dict)
    for row in merged_lines(lines, ("feature_group", "group_version", "feature"), _STEPS).collect():
        line = FeatureStatistics.of(row.asDict(recursive=True))
        statistics[(row["feature_group"], row["group_version"])][line.feature] = line
    dates: dict[Version, list[tuple[date, int]]] = defaultdict(list)
    computed: dict[Version, datetime] = {}
    by_date = ["feature_group", "group_version", "event_date"]
    for row in (
        dated.group_by(by_date).aggregate([("rows", "max"), ("computed_at", "max")]).sort_by("event_date").to_pylist()
    ):
        key = (row["feature_group"], row["group_version"])
        dates[key].append((row["event_date"], row["rows_max"]))
        at = row["computed_at_max"].astimezone(UTC)
        computed[key] = max(at, computed.get(key, at))
    return _Profile(statistics, {key: days[-_DATES:] for key, days in dates.items()}, computed)


def _last_runs(scope: Scope) -> dict[Version, list[Run]]:
    last: dict[Version, list[Run]] = defaultdict(list)
    for run in sorted(scope.runs.last_of_each(scope.tenant_id), key=lambda run: run.job):
        last[(run.feature_group, run.group_version)].append(run)
    return last
