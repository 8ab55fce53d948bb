"""Build a training set: sample, join as of, split, save, verify, audit, publish; without Spark where it can be."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import reduce

from featurestore.columnar.training_sets.splits import SPLIT
from featurestore.errors import InvariantError
from featurestore.frames.fingerprint import fingerprint_text
from featurestore.frames.training_sets.missing import with_missing
from featurestore.late_spark import DataFrame, F, Observation, Row
from featurestore.operations.as_of.join import as_of_values
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.suppress import suppressions
from featurestore.operations.erasure.training_sets import erase_again_from_set
from featurestore.operations.reading.request import Spine
from featurestore.operations.repeats.training_sets import up_to_date
from featurestore.operations.saved_sets.saved_rows import known_words
from featurestore.operations.training_sets.examples import (
    PartToBuild,
    SparkPart,
    content_columns,
    examples_of,
    measured,
)
from featurestore.operations.training_sets.local_build import LocalPart
from featurestore.operations.training_sets.parts import made_from, with_split
from featurestore.operations.training_sets.publish import Check, WrittenRows, lost_or_changed, no_check, publish
from featurestore.operations.training_sets.request import TrainingSetPlan
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.runner import this_runner
from featurestore.stores.small_tables.suppression import Suppression
from featurestore.stores.training_sets.local_rows import LocalRows, begin_in_tasks
from featurestore.stores.training_sets.manifests import PART, GroupSnapshot, Manifest, PartSnapshot, SplitCuts


@dataclass(frozen=True)
class Built:
    """The manifest of a version, and whether it was built now: False if it was up to date, so that nothing was."""

    manifest: Manifest
    is_new: bool


def build_training_set(scope: Scope, spine: Spine, plan: TrainingSetPlan) -> Built:
    """Build and publish a new version, unless the newest one is up to date and the plan does not want another.

    Grain: one row per spine row (or row of the sample), without rows of erased entities, which the manifest counts,
    and, with ``missing="drop"``, without rows that lack a feature. Columns: the spine's, the features, one
    ``<group>__event_timestamp`` per lookup, a label that is a feature, and ``split``. Before the version is published,
    its rows are checked: they must be as many as the spine's, with the spine's own content unchanged. Raises
    SpineError, InvariantError.
    """
    erased = suppressions(scope)
    with examples_of(scope, spine, plan, erased) as examples:
        if isinstance(examples, LocalPart):
            return _built_here(scope, examples, plan, erased)
        return _built_in_spark(scope, [examples], plan, erased)


def _built_here(scope: Scope, here: LocalPart, plan: TrainingSetPlan, erased: Sequence[Suppression]) -> Built:
    """The version of examples that this process joins."""
    content = made_from(scope.context, plan, here.asked, here.groups)
    current = _current(scope, plan, content, here.groups)
    if current is not None:
        return Built(current, is_new=False)
    scope.progress.host("in_process")
    scope.progress.rows(0, here.examples.rows.num_rows)
    return _erased_again(scope, publish(scope, here.joined(scope, plan), plan, made_from=content), plan, erased)


def _current(
    scope: Scope, plan: TrainingSetPlan, content: str | None, groups: Sequence[GroupSnapshot]
) -> Manifest | None:
    """The newest version if it is up to date, and another is not wanted; ``content``: None if none ever is."""
    if content is None or plan.new_version:
        return None
    return up_to_date(scope, plan.request.name, content, groups, strict=plan.request.strict)


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
) -> Built:
    """Join the parts, append them to the saved rows of ``base`` (if any), verify and publish.

    ``check`` is called with the manifest before it is published; if it raises, nothing is published. If the newest
    version is up to date (``up_to_date``), it is returned before anything is joined; see ``TrainingSetPlan``.
    """
    erased = suppressions(scope)
    with ExitStack() as stack:
        return _built_in_spark(scope, [measured(scope, part, plan, stack) for part in parts], plan, erased, base, check)


def _built_in_spark(
    scope: Scope,
    parts: Sequence[SparkPart],
    plan: TrainingSetPlan,
    erased: Sequence[Suppression],
    base: Manifest | None = None,
    check: Check = no_check,
) -> Built:
    content = _made_from(scope.context, parts, plan, base)
    current = _current(scope, plan, content, parts[0].groups)
    if current is not None:
        return Built(current, is_new=False)
    joined = [_joined(scope, part, plan) for part in parts]
    rows = _RowsToWrite(scope, plan, joined, parts[0].part, base)
    return _erased_again(scope, publish(scope, rows, plan, base, check, content), plan, erased)


def _erased_again(scope: Scope, manifest: Manifest, plan: TrainingSetPlan, erased: Sequence[Suppression]) -> Built:
    """The version as it is once no row of an entity is left that was erased since the suppressions ``erased``."""
    if suppressions(scope) == erased:
        return Built(manifest, is_new=True)
    # An erasure that began in the meantime may have searched the sets before this one was published.
    erase_again_from_set(scope, manifest, plan.join.key_lookups)
    return Built(scope.training_sets.get(scope.tenant_id, manifest.name, manifest.version), is_new=True)


def _made_from(
    context: Context, parts: Sequence[SparkPart], plan: TrainingSetPlan, base: Manifest | None
) -> str | None:
    """The hash by which a later build recognises the version; None for a rebuild and an extension."""
    if base is not None or plan.rebuilt_from is not None:
        return None
    [part] = parts
    return made_from(context, plan, part.asked, part.groups)


def _joined(scope: Scope, asked: SparkPart, plan: TrainingSetPlan) -> _Joined:
    part, before, snapshots = asked.part, asked.before, asked.groups
    spine = part.spine
    if part.join is not None:
        plan = replace(plan, join=part.join)
    versions = {(snapshot.name, snapshot.version): snapshot.state for snapshot in snapshots}
    fingerprint = content_columns(spine.columns)
    join = replace(plan.join, table_versions=versions)
    joined = as_of_values(scope, spine, join, is_local=part.is_local)
    after = remaining = Observation()
    complete = with_missing(joined.observe(after, *fingerprint), plan.join.feature_columns, plan.request.missing)
    if plan.request.missing == "drop":
        remaining = Observation()
        complete = complete.observe(remaining, *fingerprint)
    rows, cuts = with_split(scope.context, spine, complete, plan)
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
            frames.insert(0, before.observe(self.saved, *content_columns(self.base.columns)))
        rows = reduce(DataFrame.unionByName, frames)
        observed = rows.observe(self.whole, *content_columns(self.columns))
        if len(frames) > 1:
            observed = observed.observe(self.whole_spine, *content_columns(self.spine_columns))
        # The commit names its runner, so that an erasure can distinguish rows in progress from rows that a crash left.
        saved = observed if len(frames) > 1 else observed.drop(PART)
        if table.native is not None and known_words(saved.schema) is not None:
            begin_in_tasks(table.native, saved, this_runner())
        else:
            table.append(saved, metadata=this_runner())

    def checked(self, table: DeltaTable, version: int) -> WrittenRows:
        """Compare what was observed of the rows as they were written with the spine, and with the files."""
        for part in self.parts:
            if part.is_changed:
                raise lost_or_changed(self.plan, version, part.before["rows"], part.after.get["rows"])
        files = LocalRows.of(table.native)
        in_files = self.whole.get["rows"] if files is None else sum(file.rows for file in files.files)
        if in_files != self.whole.get["rows"]:
            raise lost_or_changed(self.plan, version, self.whole.get["rows"], in_files)
        if self.base is not None and fingerprint_text(self.saved.get) != self.base.content_hash:
            raise InvariantError(
                f"training set {self.plan.request.name!r}: the saved rows of version {self.base.version}, the version "
                f"to extend, are not the rows that it was published with; version {version} is not published. Build a "
                "new set instead"
            )
        parts = tuple(part.snapshot for part in self.parts)
        is_one = self.base is None and len(parts) == 1
        return WrittenRows(
            columns=tuple(self.columns),
            spine_columns=tuple(self.spine_columns),
            row_count=self.whole.get["rows"],
            content_hash=fingerprint_text(self.whole.get),
            spine_fingerprint=parts[0].spine_fingerprint if is_one else fingerprint_text(self.whole_spine.get),
            parts=parts,
            spine_rows=sum(part.before["rows"] for part in self.parts),
            split=self.parts[0].split,
            sampled_from=self.first.sampled_from,
            suppressed=self.first.suppressed,
        )
