"""Build a training set: sample, join as of, split, save, verify, audit, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce

from featurestore.definitions.finding import Finding
from featurestore.errors import InvariantError, LeakageError
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text
from featurestore.frames.training_sets.missing import with_missing
from featurestore.frames.training_sets.sampling import sample_rows
from featurestore.frames.training_sets.splits import SPLIT
from featurestore.late_spark import Column, DataFrame, F, Observation, Row
from featurestore.operations.as_of.join import as_of_values
from featurestore.operations.auditing.audit import audit_training_set
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.suppress import suppressions, without_erased_entities
from featurestore.operations.erasure.training_sets import erase_again_from_set
from featurestore.operations.reading.request import AsOfRequest, Spine, as_spine
from featurestore.operations.training_sets.parts import group_snapshots, lookup_of, with_split
from featurestore.operations.training_sets.request import TrainingSetPlan, check_columns
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.runner import this_runner
from featurestore.stores.training_sets.manifests import PART, GroupSnapshot, Manifest, PartSnapshot, SplitCuts

# Called with the manifest of rows that are written but not published; raises if the rows are wrong.
Check = Callable[[Manifest], None]


def no_check(manifest: Manifest) -> None:
    """Make no check beyond those of every build; for builds that are not compared with another."""


def build_training_set(scope: Scope, spine: Spine, plan: TrainingSetPlan) -> Manifest:
    """Build and publish a new version; return its manifest.

    Grain: one row per spine row (or row of the sample), without rows of erased entities, which the manifest counts,
    and, with ``missing="drop"``, without rows that lack a feature. Columns: the spine's, the features, one
    ``<group>__event_timestamp`` per lookup, a label that is a feature, and ``split``. Before the version is published,
    its rows are checked: they must be as many as the spine's, with the spine's own content unchanged. Raises
    SpineError, InvariantError.
    """
    whole, is_local = as_spine(scope.context, spine, plan.join), not isinstance(spine, DataFrame)
    check_columns(whole, plan)
    whole, suppressed = without_erased_entities(scope, whole, plan.join.key_lookups)
    if plan.request.sample_size is None:
        return build_parts(scope, [PartToBuild(whole, suppressed=suppressed, is_local=is_local)], plan)
    # Persist: the same rows must be counted, sampled and joined.
    persisted = whole.persist()
    try:
        rows = persisted.count()
        sample = sample_rows(persisted, plan.request.sample_size, plan.request.seed, plan.request.strata)
        part = PartToBuild(sample, sampled_from=rows, suppressed=suppressed, is_local=is_local)
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
        manifest = _publish(scope, joined, plan, parts[0], base, check)
    finally:
        for part in persisted:
            part.spine.unpersist()
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
    _check_sample(part, before["rows"], plan)
    join = replace(plan.join, table_versions=versions)
    joined = as_of_values(scope, spine, join, is_local=part.is_local)
    after, remaining = Observation(), Observation()
    complete = with_missing(joined.observe(after, *fingerprint), plan.join.feature_columns, plan.request.missing)
    rows, cuts = with_split(scope.context, spine, complete.observe(remaining, *fingerprint), plan)
    return _Joined(rows, before, after, remaining, snapshots, cuts)


def _check_sample(part: PartToBuild, rows: int, plan: TrainingSetPlan) -> None:
    if part.sampled_from is None or plan.request.sample_size is None:
        return
    if rows != min(plan.request.sample_size, part.sampled_from):
        raise InvariantError(
            f"training set {plan.request.name!r}: a sample of {plan.request.sample_size} of {part.sampled_from} rows "
            f"came out with {rows}; the spine changed between two reads of it. Save or cache it first"
        )


def _publish(
    scope: Scope,
    parts: Sequence[_Joined],
    plan: TrainingSetPlan,
    first: PartToBuild,
    base: Manifest | None,
    check: Check,
) -> Manifest:
    version = scope.training_sets.next_version(scope.tenant_id, plan.request.name)
    table = scope.training_sets.rows_table(scope.tenant_id, plan.request.name, version)
    with _removed_unless_checked(scope.context, table):
        manifest = _written(scope, version, parts, plan, first, base)
        scope.step("training_set.written")
        check(manifest)
        manifest = manifest.model_copy(update={"audit": _audited(scope, manifest, plan)})
        scope.training_sets.check_readable(manifest)
    scope.step("training_set.checked")
    scope.training_sets.publish(manifest)
    return manifest


@contextmanager
def _removed_unless_checked(context: Context, table: DeltaTable) -> Iterator[None]:
    """Remove a version's rows if a check of them fails: nobody would ever read or remove them.

    If another writer has written to the table in the meantime, its rows are not only this build's, and stay.
    """
    try:
        yield
    except Exception:
        if table.exists() and table.version() == 0:
            context.training_sets.remove_rows(context.files, table)
        raise


def _written(
    scope: Scope,
    version: int,
    parts: Sequence[_Joined],
    plan: TrainingSetPlan,
    first: PartToBuild,
    base: Manifest | None,
) -> Manifest:
    """Write the rows and compare them with the spine; return the manifest of the written rows, still without audit."""
    now = scope.now()
    sampled_from = first.sampled_from
    table = scope.training_sets.rows_table(scope.tenant_id, plan.request.name, version)
    columns = parts[0].rows.columns
    added = {*plan.join.columns, *([SPLIT] if plan.request.split else [])}
    spine_columns = [name for name in columns if name not in added]

    saved = Observation()
    frames = [part.rows.withColumn(PART, F.lit(index + _parts_of(base))) for index, part in enumerate(parts)]
    if base is not None:
        before = scope.training_sets.read_with_part(base)
        frames.insert(0, before.observe(saved, *_content(base.columns)))
    rows = reduce(DataFrame.unionByName, frames)
    whole_spine, whole = Observation(), Observation()
    observed = rows.observe(whole_spine, *_content(spine_columns)).observe(whole, *_content(columns))
    # The commit names its runner, so that an erasure can distinguish rows in progress from rows that a crash left.
    table.append(observed if len(frames) > 1 else observed.drop(PART), metadata=this_runner())

    _check_unchanged(parts, plan, version)
    if base is not None and fingerprint_text(saved.get) != base.content_hash:
        raise InvariantError(
            f"training set {plan.request.name!r}: the saved rows of version {base.version}, the version to extend, "
            f"are not the rows that it was published with; version {version} is not published. Build a new set instead"
        )
    snapshots = (*(base.all_parts if base is not None else ()), *(part.snapshot for part in parts))
    spine_rows = sum(part.before["rows"] for part in parts)
    dropped = spine_rows - sum(part.snapshot.row_count for part in parts)
    return Manifest(
        tenant_id=scope.tenant_id,
        name=plan.request.name,
        version=version,
        description=plan.request.description,
        created_at=now,
        location=str(table),
        row_count=whole.get["rows"],
        content_hash=fingerprint_text(whole.get),
        label=plan.label,
        timestamp_column=plan.join.timestamp_column,
        features=tuple(lookup_of(lookup) for lookup in plan.join.lookups),
        full_feature_names=plan.request.full_feature_names,
        known_at=plan.join.known_at,
        columns=tuple(columns),
        spine_columns=tuple(spine_columns),
        key_columns=plan.key_columns,
        feature_columns=tuple(plan.join.feature_columns),
        event_timestamp_columns=tuple(lookup.event_timestamp_output for lookup in plan.join.lookups),
        spine_fingerprint=fingerprint_text(whole_spine.get),
        spine_rows_before_sampling=whole.get["rows"] + dropped if sampled_from is None else sampled_from,
        sample_size=plan.request.sample_size,
        seed=plan.request.seed,
        split=parts[0].split,
        groups=parts[-1].groups,
        code_version=scope.context.code_version,
        label_lookup=None if plan.join.label is None else lookup_of(plan.join.label),
        label_offset=timedelta(0) if plan.join.label is None else plan.join.label.offset,
        stratify_by=plan.request.strata,
        missing=plan.request.missing,
        rows_dropped=dropped + (0 if base is None else base.rows_dropped),
        expand_vectors=plan.request.expand_vectors,
        rebuilt_from=plan.rebuilt_from,
        extends=None if base is None else base.version,
        parts=snapshots if len(snapshots) > 1 else (),
        rows_suppressed=first.suppressed + (0 if base is None else base.rows_suppressed),
    )


def _audited(scope: Scope, manifest: Manifest, plan: TrainingSetPlan) -> tuple[Finding, ...]:
    """The audit's findings in the written rows; a strict plan raises LeakageError for any error or warning."""
    findings = audit_training_set(scope, manifest)
    faults = [finding for finding in findings if finding.severity != "info"]
    if plan.request.strict and faults:
        lines = "".join(f"\n- {finding}" for finding in faults)
        raise LeakageError(
            f"training set {plan.request.name!r}: the audit found {len(faults)} faults; with strict=True "
            f"version {manifest.version} is not published:{lines}"
        )
    return findings


def _check_unchanged(parts: Sequence[_Joined], plan: TrainingSetPlan, version: int) -> None:
    for part in parts:
        if part.is_changed:
            raise InvariantError(
                f"training set {plan.request.name!r}: the spine had {part.before['rows']} rows and "
                f"{part.after.get['rows']} came out, or their own columns changed; version {version} is not "
                "published. Please report this with the definitions"
            )


def _parts_of(base: Manifest | None) -> int:
    return 0 if base is None else len(base.all_parts)


def _content(columns: Sequence[str]) -> list[Column]:
    return fingerprint_columns([column(name) for name in sorted(columns)])
