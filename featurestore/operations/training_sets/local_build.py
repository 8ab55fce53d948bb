"""Build a training set of a spine that this process holds, without Spark: the same rows and manifest as by Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from featurestore.columnar.ranks import one_array
from featurestore.columnar.rows.fingerprint import Fingerprint, content_fingerprint
from featurestore.columnar.training_sets.missing import with_missing
from featurestore.columnar.training_sets.sampling import sample_rows
from featurestore.columnar.training_sets.splits import (
    SPLIT,
    hash_cuts,
    split_by_hash,
    split_by_time,
    time_boundaries,
)
from featurestore.definitions.training_set import EntitySplit, TimeSplit
from featurestore.errors import InvariantError
from featurestore.operations.as_of.in_process import check_local_spine, spine_instants
from featurestore.operations.as_of.join import LocalSpine
from featurestore.operations.context import Scope
from featurestore.operations.erasure.suppress import Lookups, local_rows_without_erased
from featurestore.operations.saved_sets.saved_rows import words_of
from featurestore.operations.training_sets.parts import group_snapshots
from featurestore.operations.training_sets.publish import WrittenRows, lost_or_changed
from featurestore.operations.training_sets.request import ExamplesPlan, TrainingSetPlan, check_named, check_sample
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.runner import this_runner
from featurestore.stores.small_tables.suppression import Suppression
from featurestore.stores.training_sets.local_rows import LocalRows, begin_table
from featurestore.stores.training_sets.manifests import GroupSnapshot, PartSnapshot, SplitCuts

# A column of more bytes has texts that Arrow's short offsets cannot address.
_MOST_COLUMN_BYTES = 1 << 30
# Python has not all of their values, and suppressed keys are compared as Python's.
_NOT_IN_PYTHON = ("date", "timestamp", "timestamp_ntz")


@dataclass(frozen=True)
class LocalRowsToWrite:
    """The rows of a version in memory, joined and split; see ``publish.Rows``.

    Fingerprints of the spine's columns: ``before`` in the spine, ``joined`` in the rows as they came out of the join,
    ``kept`` in those that are left, which must be that of the written rows.
    """

    plan: TrainingSetPlan
    rows: pa.Table
    spine_columns: tuple[str, ...]
    spine_rows: int
    joined_rows: int
    before: str
    joined: str
    kept: str
    groups: tuple[GroupSnapshot, ...]
    split: SplitCuts | None
    sampled_from: int | None
    suppressed: int

    def write(self, table: DeltaTable) -> None:
        assert table.native is not None
        # The commit names its runner, so that an erasure can distinguish rows in progress from rows that a crash left.
        begin_table(table.native, self.rows, this_runner())

    def checked(self, table: DeltaTable, version: int) -> WrittenRows:
        """Read the files again, and compare what they hold with the spine."""
        written = LocalRows.of(table.native)
        assert written is not None
        columns, content, of_spine = self.rows.column_names, Fingerprint(), Fingerprint()
        for file in written.files:
            saved = written.read(file, columns)
            content.add(saved, sorted(columns))
            of_spine.add(saved, sorted(self.spine_columns))
        spine = of_spine.text
        if self.joined != self.before or spine != self.kept:
            raise lost_or_changed(self.plan, version, self.spine_rows, self.joined_rows)
        return WrittenRows(
            columns=tuple(columns),
            spine_columns=self.spine_columns,
            row_count=content.rows,
            content_hash=content.text,
            spine_fingerprint=spine,
            parts=(PartSnapshot(row_count=content.rows, spine_fingerprint=spine, groups=self.groups),),
            spine_rows=self.spine_rows,
            split=self.split,
            sampled_from=self.sampled_from,
            suppressed=self.suppressed,
        )


def spine_fingerprint(rows: pa.Table, spine_columns: Sequence[str]) -> str:
    return content_fingerprint(rows, sorted(spine_columns))


@dataclass(frozen=True)
class LocalExamples:
    """Spine rows in this process, without rows of erased entities; see ``publish.WrittenRows`` for the numbers.

    ``fingerprint``: of the rows where they came from; None for rows that were here from the beginning.
    """

    rows: pa.Table
    sampled_from: int | None = None
    suppressed: int = 0
    fingerprint: str | None = None


def local_examples(
    scope: Scope, spine: pa.Table, plan: ExamplesPlan, suppressed: Sequence[Suppression]
) -> LocalExamples | None:
    """The rows of the spine to join; None if only Spark can compare or save them. ``spine`` has exact Arrow types.

    Raises SpineError as ``check_columns`` does, and InvariantError.
    """
    whole = _with_short_offsets(spine)
    words = None if whole is None else words_of(whole.schema)
    if whole is None or words is None:
        return None
    check_local_spine(whole, plan.join)
    check_named(whole.column_names, plan)
    if suppressed and not _are_held_in_python(words, plan.join.key_lookups):
        return None
    remaining, erased = local_rows_without_erased(scope, whole, suppressed, plan.join.key_lookups)
    size = plan.request.sample_size
    if size is None:
        return LocalExamples(remaining, suppressed=erased)
    sample = sample_rows(remaining, size, plan.request.seed, plan.request.strata)
    return LocalExamples(sample, remaining.num_rows, erased)


@dataclass(frozen=True)
class LocalPart:
    """Examples that this process joins: with their files, the table versions, and ``before``, their fingerprint."""

    examples: LocalExamples
    spine: LocalSpine
    before: str
    groups: tuple[GroupSnapshot, ...]

    @property
    def asked(self) -> dict[str, object]:
        """What identifies the examples, as it is in a build by Spark; see ``made_from``."""
        return {
            "columns": list((words_of(self.examples.rows.schema) or {}).items()),
            "fingerprint": self.before,
            "sampled_from": self.examples.sampled_from,
            "suppressed": self.examples.suppressed,
        }

    @property
    def rows(self) -> int:
        return int(self.examples.rows.num_rows)

    @property
    def suppressed(self) -> int:
        return self.examples.suppressed

    def divided(self, scope: Scope, plan: ExamplesPlan) -> tuple[pa.Table, SplitCuts | None]:
        """The rows, joined, with their part, and the cuts of the split.

        Raises InvariantError if a row of the spine was lost, doubled or changed.
        """
        cuts, joined = _cuts(self.spine, plan), self.spine.joined()
        if spine_fingerprint(joined, self.examples.rows.column_names) != self.before:
            raise InvariantError(
                f"set {plan.request.name!r}: the spine had {self.rows} rows and {joined.num_rows} came out, or their "
                "own columns changed; nothing was written. Please report this with the definitions"
            )
        return _with_split(scope, joined, plan, cuts), cuts

    def joined(self, scope: Scope, plan: TrainingSetPlan) -> LocalRowsToWrite:
        """The rows of a version, joined and split."""
        cuts, joined = _cuts(self.spine, plan), self.spine.joined()
        complete = with_missing(joined, plan.join.feature_columns, plan.request.missing)
        columns, is_whole = self.examples.rows.column_names, plan.request.missing != "drop"
        return LocalRowsToWrite(
            plan=plan,
            rows=_with_split(scope, complete, plan, cuts),
            spine_columns=tuple(columns),
            spine_rows=self.examples.rows.num_rows,
            joined_rows=joined.num_rows,
            before=self.before,
            joined=self.before if is_whole else spine_fingerprint(joined, columns),
            kept=self.before if is_whole else spine_fingerprint(complete, columns),
            groups=self.groups,
            split=cuts,
            sampled_from=self.examples.sampled_from,
            suppressed=self.examples.suppressed,
        )


def local_part(scope: Scope, examples: LocalExamples, plan: ExamplesPlan) -> LocalPart | None:
    """The examples, unless the join is not made in this process; then None. Raises InvariantError."""
    if not scope.context.is_native:
        return None
    rows = examples.rows
    check_sample(plan, examples.sampled_from, rows.num_rows)
    groups = group_snapshots(scope, plan, {})
    versions = {(group.name, group.version): group.state for group in groups}
    spine = LocalSpine.of(scope, rows, replace(plan.join, table_versions=versions))
    if spine.choose(scope, None).host != "in_process":
        return None
    before = examples.fingerprint or spine_fingerprint(rows, rows.column_names)
    return LocalPart(examples, spine, before, groups)


def _with_short_offsets(spine: pa.Table) -> pa.Table | None:
    """The spine with texts as tables hold them; None if a column of them is too large."""
    for place, field in enumerate(spine.schema):
        if pa.types.is_large_string(field.type):
            if spine.column(place).nbytes > _MOST_COLUMN_BYTES:
                return None
            spine = spine.set_column(place, field.name, spine.column(place).cast(pa.string()))
    return spine


def _are_held_in_python(words: Mapping[str, str], lookups: Lookups) -> bool:
    return not any(words[name] in _NOT_IN_PYTHON for lookup in lookups for name in lookup.values())


def _cuts(local: LocalSpine, plan: ExamplesPlan) -> SplitCuts | None:
    """The cuts of the plan's split in this spine."""
    split = plan.request.split
    if split is None or isinstance(split, SplitCuts):
        return split
    if isinstance(split, TimeSplit):
        validation_from, test_from = time_boundaries(one_array(local.instants), split)
        return SplitCuts(validation_from=validation_from, test_from=test_from, embargo=split.embargo)
    if isinstance(split, EntitySplit):
        columns = split.by or plan.key_columns
    else:
        columns = tuple(sorted(local.rows.column_names))
    until_test, until_validation = hash_cuts(local.rows, columns, split, plan.request.seed)
    return SplitCuts(kind=split.kind, columns=columns, until_test=until_test, until_validation=until_validation)


def _with_split(scope: Scope, rows: pa.Table, plan: ExamplesPlan, cuts: SplitCuts | None) -> pa.Table:
    if cuts is None:
        return rows
    if cuts.kind == "time":
        assert cuts.test_from is not None
        instants = spine_instants(rows, plan.join.timestamp_column, scope.settings.timestamp_zone)
        parts = split_by_time(instants, cuts.validation_from, cuts.test_from, cuts.embargo)
    else:
        parts = split_by_hash(rows, cuts.columns, plan.request.seed, cuts.until_test, cuts.until_validation)
    return rows.append_column(SPLIT, parts)
