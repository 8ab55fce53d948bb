"""Write a version's rows, check and audit them, and publish them with a manifest: the end of every build."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from featurestore.definitions.finding import Finding
from featurestore.errors import InvariantError, LeakageError
from featurestore.operations.auditing.audit import audit_training_set
from featurestore.operations.context import Context, Scope
from featurestore.operations.training_sets.recorded import asked_lookups, derived_snapshots, input_of, lookup_of
from featurestore.operations.training_sets.request import TrainingSetPlan
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.training_sets.manifests import Manifest, PartSnapshot, SplitCuts

# Called with the manifest of rows that are written but not published; raises if the rows are wrong.
Check = Callable[[Manifest], None]


def no_check(manifest: Manifest) -> None:
    """Make no check beyond those of every build; for builds that are not compared with another."""


@dataclass(frozen=True)
class WrittenRows:
    """What a manifest says of the written rows, with those of the version that they extend, if any.

    - ``parts``: the new parts, without rows that were dropped; ``spine_rows``: their rows with these;
    - ``sampled_from``: the number of rows that the spine was sampled from; None if it is not a sample;
    - ``suppressed``: the number of rows of erased entities that were removed from the spine.
    """

    columns: tuple[str, ...]
    spine_columns: tuple[str, ...]
    row_count: int
    content_hash: str
    spine_fingerprint: str
    parts: tuple[PartSnapshot, ...]
    spine_rows: int
    split: SplitCuts | None
    sampled_from: int | None
    suppressed: int


class Rows(Protocol):
    """The rows of a new version."""

    def write(self, table: DeltaTable) -> None:
        """Write the rows as the table's first commit."""

    def checked(self, table: DeltaTable, version: int) -> WrittenRows:
        """Compare the written rows with the spine; raises InvariantError if a row was lost, doubled or changed."""


def publish(
    scope: Scope,
    rows: Rows,
    plan: TrainingSetPlan,
    base: Manifest | None = None,
    check: Check = no_check,
    made_from: str | None = None,
) -> Manifest:
    """Write the rows as the next version, check and audit them, and publish them.

    ``base``: the version that the rows extend. ``check`` is called with the manifest before it is published; if it or
    any other check raises, nothing is published, and the rows are removed. ``made_from``: the hash of what the version
    is made from, if a later build may recognise it. Raises InvariantError, LeakageError.
    """
    now = scope.now()
    version = scope.training_sets.next_version(scope.tenant_id, plan.request.name)
    table = scope.training_sets.rows_table(scope.tenant_id, plan.request.name, version)
    rows.write(table)
    with _removed_unless_checked(scope.context, table):
        manifest = _manifest(scope, version, table, now, rows.checked(table, version), plan, base)
        scope.progress.rows(manifest.row_count, manifest.row_count)
        scope.step("training_set.written")
        check(manifest)
        manifest = manifest.model_copy(update={"audit": _audited(scope, manifest, plan), "made_from": made_from})
        scope.training_sets.check_readable(manifest)
    scope.step("training_set.checked")
    scope.training_sets.publish(manifest)
    scope.step("training_set.published")
    return manifest


def lost_or_changed(plan: TrainingSetPlan, version: int, before: int, after: int) -> InvariantError:
    """The error that the written rows are not those of the spine; ``before`` and ``after``: their numbers."""
    return InvariantError(
        f"training set {plan.request.name!r}: the spine had {before} rows and {after} came out, or their own columns "
        f"changed; version {version} is not published. Please report this with the definitions"
    )


@contextmanager
def _removed_unless_checked(context: Context, table: DeltaTable) -> Iterator[None]:
    """Remove a version's rows if a check of them fails: nobody would ever read or remove them.

    If another writer has written to the table in the meantime, its rows are not only this build's, and stay.
    """
    try:
        yield
    except Exception:
        if table.exists() and table.version() == 0:
            files = context.files if table.path is None else context.files_at(table.path)
            context.training_sets.remove_rows(files, table)
        raise


def _manifest(
    scope: Scope,
    version: int,
    table: DeltaTable,
    now: datetime,
    rows: WrittenRows,
    plan: TrainingSetPlan,
    base: Manifest | None,
) -> Manifest:
    """The manifest of the written rows, still without audit."""
    parts = (*(base.all_parts if base is not None else ()), *rows.parts)
    dropped = rows.spine_rows - sum(part.row_count for part in rows.parts)
    return Manifest(
        tenant_id=scope.tenant_id,
        name=plan.request.name,
        version=version,
        description=plan.request.description,
        created_at=now,
        location=str(table),
        row_count=rows.row_count,
        content_hash=rows.content_hash,
        label=plan.label,
        timestamp_column=plan.join.timestamp_column,
        features=tuple(lookup_of(lookup) for lookup in plan.join.lookups),
        full_feature_names=plan.request.full_feature_names,
        known_at=plan.join.known_at,
        columns=rows.columns,
        spine_columns=rows.spine_columns,
        key_columns=plan.key_columns,
        feature_columns=tuple(plan.join.feature_columns),
        event_timestamp_columns=tuple(lookup.event_timestamp_output for lookup in plan.join.lookups),
        spine_fingerprint=rows.spine_fingerprint,
        spine_rows_before_sampling=rows.row_count + dropped if rows.sampled_from is None else rows.sampled_from,
        sample_size=plan.request.sample_size,
        seed=plan.request.seed,
        split=rows.split,
        groups=rows.parts[-1].groups,
        code_version=scope.context.code_version,
        label_lookup=None if plan.join.label is None else lookup_of(plan.join.label),
        label_offset=timedelta(0) if plan.join.label is None else plan.join.label.offset,
        stratify_by=plan.request.strata,
        missing=plan.request.missing,
        rows_dropped=dropped + (0 if base is None else base.rows_dropped),
        expand_vectors=plan.request.expand_vectors,
        rebuilt_from=plan.rebuilt_from,
        extends=None if base is None else base.version,
        parts=parts if len(parts) > 1 else (),
        derived=derived_snapshots(plan.join),
        inputs=tuple(map(input_of, plan.join.inputs)),
        requested=asked_lookups(plan.join) if plan.join.derived.columns else (),
        rows_suppressed=rows.suppressed + (0 if base is None else base.rows_suppressed),
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
