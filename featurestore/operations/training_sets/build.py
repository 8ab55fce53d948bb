"""Build a training set: sample, join as of, split, save, verify, audit, publish; without Spark where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from featurestore.columnar.training_sets.splits import SPLIT
from featurestore.errors import InvariantError
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text
from featurestore.frames.training_sets.memory_size import row_bytes
from featurestore.frames.training_sets.missing import with_missing
from featurestore.frames.training_sets.sampling import sample_of
from featurestore.late_spark import Column, DataFrame, F, Observation, Row, to_arrow_schema
from featurestore.operations.as_of.join import as_of_values
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.suppress import suppressions, without_erased_entities
from featurestore.operations.erasure.training_sets import erase_again_from_set
from featurestore.operations.reading.request import AsOfRequest, Spine, as_spine, local_spine
from featurestore.operations.repeats.training_sets import up_to_date
from featurestore.operations.saved_sets.saved_rows import known_words
from featurestore.operations.training_sets.local_build import LocalExamples, LocalPart, local_examples, local_part
from featurestore.operations.training_sets.parts import group_snapshots, made_from, with_split
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
from featurestore.stores.training_sets.local_rows import LocalRows, begin_in_tasks
from featurestore.stores.training_sets.manifests import PART, GroupSnapshot, Manifest, PartSnapshot, SplitCuts

# A spine of Spark that takes at most so many bytes here is joined and written here, which costs no more jobs. A driver
# takes eight times as much from its executors unless it was told otherwise.
_MOST_COLLECTED = 1 << 27
_BYTES = "bytes"


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
    if not isinstance(spine, DataFrame):
        examples = local_examples(scope, local_spine(scope.context, spine, plan.join), plan, erased)
        here = None if examples is None else local_part(scope, examples, plan)
        if here is not None:
            return _built_here(scope, here, plan, erased)
    whole = as_spine(scope.context, spine, plan.join)
    check_columns(whole, plan)
    remaining, suppressed = without_erased_entities(scope, whole, plan.join.key_lookups)
    # Persist: the same rows must be counted, sampled and joined.
    persisted = remaining.persist()
    try:
        part = _part(persisted, suppressed, plan, is_local=not isinstance(spine, DataFrame))
        collected = _collected(scope, part)
        here = None if collected is None else local_part(scope, collected, plan)
        if here is None:
            return build_parts(scope, [part], plan)
        return _built_here(scope, here, plan, erased)
    finally:
        persisted.unpersist()


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


def _part(spine: DataFrame, suppressed: int, plan: TrainingSetPlan, is_local: bool) -> PartToBuild:
    """The spine, or its sample, measured."""
    words, size = known_words(spine.schema), plan.request.sample_size
    width = F.lit(None).cast("bigint") if words is None else row_bytes(words)
    if size is None:
        measured = spine.agg(*_content(spine.columns), F.coalesce(F.sum(width), F.lit(0)).alias(_BYTES)).collect()[0]
        needed = None if words is None else measured[_BYTES]
        return PartToBuild(spine, suppressed=suppressed, is_local=is_local, measured=measured, bytes=needed)
    sample = sample_of(spine, size, plan.request.seed, plan.request.strata, F.coalesce(width, F.lit(0)))
    needed = None if words is None else min(size, sample.total) * sample.largest
    return PartToBuild(sample.rows, None, None, sample.total, suppressed, is_local, bytes=needed)


def _collected(scope: Scope, part: PartToBuild) -> LocalExamples | None:
    """The part's rows in this process; None if they are not known to fit, or if the join runs elsewhere."""
    if part.is_local or not scope.context.is_native or scope.settings.as_of_host in ("in_tasks", "by_shuffle"):
        return None
    if part.bytes is None or part.bytes > _MOST_COLLECTED:
        return None
    rows = part.spine.toArrow().cast(to_arrow_schema(part.spine.schema, timezone="UTC"))
    fingerprint = None if part.measured is None else fingerprint_text(part.measured)
    return LocalExamples(rows, part.sampled_from, part.suppressed, fingerprint)


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
    # The rows' number and fingerprint, if they are persisted and were counted already.
    measured: Row | None = None
    # At most about what the rows take in this process; None if nobody knows.
    bytes: int | None = None


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
    # Persist: the same rows must be fingerprinted, bounded and joined.
    persisted = [part if part.measured else replace(part, spine=part.spine.persist()) for part in parts]
    erased = suppressions(scope)
    try:
        measured = [_measured(scope, part, plan) for part in persisted]
        content = _made_from(scope.context, measured, plan, base)
        current = _current(scope, plan, content, measured[0].groups)
        if current is not None:
            return Built(current, is_new=False)
        joined = [_joined(scope, part, plan) for part in measured]
        rows = _RowsToWrite(scope, plan, joined, parts[0], base)
        manifest = publish(scope, rows, plan, base, check, content)
    finally:
        for part in persisted:
            if part.measured is None:
                part.spine.unpersist()
    return _erased_again(scope, manifest, plan, erased)


def _erased_again(scope: Scope, manifest: Manifest, plan: TrainingSetPlan, erased: Sequence[Suppression]) -> Built:
    """The version as it is once no row of an entity is left that was erased since the suppressions ``erased``."""
    if suppressions(scope) == erased:
        return Built(manifest, is_new=True)
    # An erasure that began in the meantime may have searched the sets before this one was published.
    erase_again_from_set(scope, manifest, plan.join.key_lookups)
    return Built(scope.training_sets.get(scope.tenant_id, manifest.name, manifest.version), is_new=True)


@dataclass(frozen=True)
class _Measured:
    """A part whose spine is counted and hashed, and the table versions that it will be joined with."""

    part: PartToBuild
    before: Row
    groups: tuple[GroupSnapshot, ...]


def _measured(scope: Scope, part: PartToBuild, plan: TrainingSetPlan) -> _Measured:
    if part.join is not None:
        plan = replace(plan, join=part.join)
    snapshots = group_snapshots(scope.context, plan, part.table_versions or {})
    before = part.measured or part.spine.agg(*_content(part.spine.columns)).collect()[0]
    check_sample(plan, part.sampled_from, before["rows"])
    scope.progress.rows(0, before["rows"])
    return _Measured(part, before, snapshots)


def _made_from(
    context: Context, parts: Sequence[_Measured], plan: TrainingSetPlan, base: Manifest | None
) -> str | None:
    """The hash by which a later build recognises the version; None for a rebuild and an extension."""
    if base is not None or plan.rebuilt_from is not None:
        return None
    [asked] = parts
    spine = {
        "columns": [(field.name, field.dataType.simpleString()) for field in asked.part.spine.schema],
        "fingerprint": fingerprint_text(asked.before),
        "sampled_from": asked.part.sampled_from,
        "suppressed": asked.part.suppressed,
    }
    return made_from(context, plan, spine, asked.groups)


def _joined(scope: Scope, asked: _Measured, plan: TrainingSetPlan) -> _Joined:
    part, before, snapshots = asked.part, asked.before, asked.groups
    spine = part.spine
    if part.join is not None:
        plan = replace(plan, join=part.join)
    versions = {(snapshot.name, snapshot.version): snapshot.table_version for snapshot in snapshots}
    fingerprint = _content(spine.columns)
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
            frames.insert(0, before.observe(self.saved, *_content(self.base.columns)))
        rows = reduce(DataFrame.unionByName, frames)
        observed = rows.observe(self.whole, *_content(self.columns))
        if len(frames) > 1:
            observed = observed.observe(self.whole_spine, *_content(self.spine_columns))
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


def _content(columns: Sequence[str]) -> list[Column]:
    return fingerprint_columns([column(name) for name in sorted(columns)])
