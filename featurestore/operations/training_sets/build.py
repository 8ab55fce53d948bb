"""Build a training set: sample, join as of, split, save, verify, audit, publish; without Spark where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from featurestore.columnar.training_sets.splits import SPLIT
from featurestore.errors import InvariantError
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text
from featurestore.frames.training_sets.missing import with_missing
from featurestore.frames.training_sets.sampling import sample_rows
from featurestore.late_spark import Column, DataFrame, F, Observation, Row
from featurestore.operations.as_of.join import as_of_values
from featurestore.operations.context import Scope
from featurestore.operations.erasure.suppress import suppressions, without_erased_entities
from featurestore.operations.erasure.training_sets import erase_again_from_set
from featurestore.operations.reading.request import AsOfRequest, Spine, as_spine, local_spine
from featurestore.operations.training_sets.local_build import rows_without_spark
from featurestore.operations.training_sets.parts import group_snapshots, with_split
from featurestore.operations.training_sets.publish import (
    Check,
    WrittenRows,
    check_sample,
    lost_or_changed,
    no_check,
    publish,
)
from featurestore.operations.training_sets.request import TrainingSetPlan, check_columns
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.runner import this_runner
from featurestore.stores.small_tables.suppression import Suppression
from featurestore.stores.training_sets.manifests import PART, GroupSnapshot, Manifest, PartSnapshot, SplitCuts


def build_training_set(scope: Scope, spine: Spine, plan: TrainingSetPlan) -> Manifest:
    """Build and publish a new version; return its manifest.

    Grain: one row per spine row (or row of the sample), without rows of erased entities, which the manifest counts,
    and, with ``missing="drop"``, without rows that lack a feature. Columns: the spine's, the features, one
    ``<group>__event_timestamp`` per lookup, a label that is a feature, and ``split``. Before the version is published,
    its rows are checked: they must be as many as the spine's, with the spine's own content unchanged. Raises
    SpineError, InvariantError.
    """
    if not isinstance(spine, DataFrame):
        erased = suppressions(scope)
        rows = rows_without_spark(scope, local_spine(scope.context, spine, plan.join), plan, erased)
        if rows is not None:
            return _erased_again(scope, publish(scope, rows, plan), plan, erased)
    whole, is_local = as_spine(scope.context, spine, plan.join), not isinstance(spine, DataFrame)
    check_columns(whole, plan)
    whole, suppressed = without_erased_entities(scope, whole, plan.join.key_lookups)
    if plan.request.sample_size is None:
        return build_parts(scope, [PartToBuild(whole, suppressed=suppressed, is_local=is_local)], plan)
    # Persist: the same rows must be counted, sampled and joined.
    persisted = whole.persist()
    try:
        rows_of_spine = persisted.count()
        sample = sample_rows(persisted, plan.request.sample_size, plan.request.seed, plan.request.strata)
        part = PartToBuild(sample, sampled_from=rows_of_spine, suppressed=suppressed, is_local=is_local)
        return build_parts(scope, [part], plan)
    finally:
        persisted.unpersist()


@dataclass(frozen=True)
class PartToBuild:
    """Spine rows, the lookups to join them by (None: the plan's), and the table versions to read (None: the newest)."""

    spine: DataFrame
    join: AsOfRequest | None = None
    table_versions: Mapping[tuple[str, int], int] | None = None
    # The number of rows that the spine was sampled from; None if it is not a sample.
    sampled_from: int | None = None
    # The number of rows of erased entities that were removed from the spine.
    suppressed: int = 0
    # Whether the rows came from this process, and so fit in its memory.
    is_local: bool = False


@dataclass(frozen=True)
class _Joined:
    """A part's rows as they will be saved, and the fingerprints that show whether the spine's rows are unchanged."""

    rows: DataFrame
    before: Row
    after: Observation
    remaining: Observation
    groups: tuple[GroupSnapshot, ...]
    split: SplitCuts | None

    @property
    def snapshot(self) -> PartSnapshot:
        return PartSnapshot(
            row_count=self.remaining.get["rows"],
            spine_fingerprint=fingerprint_text(self.remaining.get),
            groups=self.groups,
        )

    @property
    def is_changed(self) -> bool:
        return fingerprint_text(self.after.get) != fingerprint_text(self.before)


def build_parts(
    scope: Scope,
    parts: Sequence[PartToBuild],
    plan: TrainingSetPlan,
    base: Manifest | None = None,
    check: Check = no_check,
) -> Manifest:
    """Join the parts, append them to the saved rows of ``base`` (if any), verify and publish.

    ``check`` is called with the manifest before it is published; if it raises, nothing is published.
    """
    # Persist: the same rows must be fingerprinted, bounded and joined.
    persisted = [replace(part, spine=part.spine.persist()) for part in parts]
    erased = suppressions(scope)
    try:
        joined = [_joined(scope, part, plan) for part in persisted]
        rows = _RowsToWrite(scope, plan, joined, parts[0], base)
        manifest = publish(scope, rows, plan, base, check)
    finally:
        for part in persisted:
            part.spine.unpersist()
    return _erased_again(scope, manifest, plan, erased)


def _erased_again(scope: Scope, manifest: Manifest, plan: TrainingSetPlan, erased: Sequence[Suppression]) -> Manifest:
    """The manifest as it is once no row of an entity is left that was erased since the suppressions ``erased``."""
    if suppressions(scope) == erased:
        return manifest
    # An erasure that began in the meantime may have searched the sets before this one was published.
    erase_again_from_set(scope, manifest, plan.join.key_lookups)
    return scope.training_sets.get(scope.tenant_id, manifest.name, manifest.version)


def _joined(scope: Scope, part: PartToBuild, plan: TrainingSetPlan) -> _Joined:
    spine = part.spine
    if part.join is not None:
        plan = replace(plan, join=part.join)
    snapshots = group_snapshots(scope.context, plan, part.table_versions or {})
    versions = {(snapshot.name, snapshot.version): snapshot.table_version for snapshot in snapshots}
    fingerprint = fingerprint_columns([column(name) for name in sorted(spine.columns)])
    before = spine.agg(*fingerprint).collect()[0]
    check_sample(plan, part.sampled_from, before["rows"])
    join = replace(plan.join, table_versions=versions)
    joined = as_of_values(scope, spine, join, is_local=part.is_local)
    after, remaining = Observation(), Observation()
    complete = with_missing(joined.observe(after, *fingerprint), plan.join.feature_columns, plan.request.missing)
    rows, cuts = with_split(scope.context, spine, complete.observe(remaining, *fingerprint), plan)
    return _Joined(rows, before, after, remaining, snapshots, cuts)


@dataclass(frozen=True)
class _RowsToWrite:
    """The joined rows of all parts, after those of ``base``; see ``publish.Rows``. ``first``: the first part."""

    scope: Scope
    plan: TrainingSetPlan
    parts: Sequence[_Joined]
    first: PartToBuild
    base: Manifest | None
    saved: Observation = field(default_factory=Observation)
    whole_spine: Observation = field(default_factory=Observation)
    whole: Observation = field(default_factory=Observation)

    @property
    def columns(self) -> list[str]:
        return self.parts[0].rows.columns

    @property
    def spine_columns(self) -> list[str]:
        added = {*self.plan.join.columns, *([SPLIT] if self.plan.request.split else [])}
        return [name for name in self.columns if name not in added]

    def write(self, table: DeltaTable) -> None:
        first = 0 if self.base is None else len(self.base.all_parts)
        frames = [part.rows.withColumn(PART, F.lit(index + first)) for index, part in enumerate(self.parts)]
        if self.base is not None:
            before = self.scope.training_sets.read_with_part(self.base)
            frames.insert(0, before.observe(self.saved, *_content(self.base.columns)))
        rows = reduce(DataFrame.unionByName, frames)
        observed = rows.observe(self.whole_spine, *_content(self.spine_columns))
        observed = observed.observe(self.whole, *_content(self.columns))
        # The commit names its runner, so that an erasure can distinguish rows in progress from rows that a crash left.
        table.append(observed if len(frames) > 1 else observed.drop(PART), metadata=this_runner())

    def checked(self, table: DeltaTable, version: int) -> WrittenRows:
        """Compare what was observed of the rows as they were written with the spine."""
        for part in self.parts:
            if part.is_changed:
                raise lost_or_changed(self.plan, version, part.before["rows"], part.after.get["rows"])
        if self.base is not None and fingerprint_text(self.saved.get) != self.base.content_hash:
            raise InvariantError(
                f"training set {self.plan.request.name!r}: the saved rows of version {self.base.version}, the version "
                f"to extend, are not the rows that it was published with; version {version} is not published. Build a "
                "new set instead"
            )
        return WrittenRows(
            columns=tuple(self.columns),
            spine_columns=tuple(self.spine_columns),
            row_count=self.whole.get["rows"],
            content_hash=fingerprint_text(self.whole.get),
            spine_fingerprint=fingerprint_text(self.whole_spine.get),
            parts=tuple(part.snapshot for part in self.parts),
            spine_rows=sum(part.before["rows"] for part in self.parts),
            split=self.parts[0].split,
            sampled_from=self.first.sampled_from,
            suppressed=self.first.suppressed,
        )


def _content(columns: Sequence[str]) -> list[Column]:
    return fingerprint_columns([column(name) for name in sorted(columns)])
