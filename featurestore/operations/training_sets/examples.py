"""The examples of a training set or a fine-tuning set: sampled, measured, and identified, here or in Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from featurestore.frames.columns import column
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text
from featurestore.frames.training_sets.memory_size import row_bytes
from featurestore.frames.training_sets.sampling import sample_of
from featurestore.late_spark import Column, DataFrame, F, Row
from featurestore.operations.context import Scope, State
from featurestore.operations.erasure.suppress import without_erased_entities
from featurestore.operations.reading.request import AsOfRequest, Spine, as_spine, local_spine
from featurestore.operations.saved_sets.saved_rows import known_words
from featurestore.operations.training_sets.local_build import LocalExamples, LocalPart, local_examples, local_part
from featurestore.operations.training_sets.parts import group_snapshots
from featurestore.operations.training_sets.request import ExamplesPlan, check_columns, check_sample
from featurestore.stores.arrow import MOST_FETCHED, from_spark
from featurestore.stores.small_tables.suppression import Suppression
from featurestore.stores.training_sets.manifests import GroupSnapshot

_BYTES = "bytes"


@dataclass(frozen=True)
class PartToBuild:
    """Spine rows, the lookups to join them by (None: the plan's), and the table versions to read (None: the newest)."""

    spine: DataFrame
    join: AsOfRequest | None = None
    table_versions: Mapping[tuple[str, int], State] | None = None
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
class SparkPart:
    """A part whose spine is persisted, counted and hashed, and the table versions that it will be joined with."""

    part: PartToBuild
    before: Row
    groups: tuple[GroupSnapshot, ...]

    @property
    def rows(self) -> int:
        return int(self.before["rows"])

    @property
    def suppressed(self) -> int:
        return self.part.suppressed

    @property
    def asked(self) -> dict[str, object]:
        """What identifies the examples; see ``made_from``."""
        return {
            "columns": [(field.name, field.dataType.simpleString()) for field in self.part.spine.schema],
            "fingerprint": fingerprint_text(self.before),
            "sampled_from": self.part.sampled_from,
            "suppressed": self.part.suppressed,
        }


Examples: TypeAlias = LocalPart | SparkPart


@contextmanager
def examples_of(
    scope: Scope, spine: Spine, plan: ExamplesPlan, suppressed: Sequence[Suppression]
) -> Iterator[Examples]:
    """The spine, or its sample, without rows of erased entities: in this process if it is joined here.

    Raises SpineError if it cannot be joined, labelled, sampled, split or saved as planned, and InvariantError.
    """
    if not isinstance(spine, DataFrame):
        examples = local_examples(scope, local_spine(scope.context, spine, plan.join), plan, suppressed)
        here = None if examples is None else local_part(scope, examples, plan)
        if here is not None:
            yield here
            return
    whole = as_spine(scope.context, spine, plan.join)
    check_columns(whole, plan)
    remaining, erased = without_erased_entities(scope, whole, plan.join.key_lookups)
    with ExitStack() as stack:
        part = _part(_persisted(remaining, stack), erased, plan, is_local=not isinstance(spine, DataFrame))
        collected = _collected(scope, part)
        here = None if collected is None else local_part(scope, collected, plan)
        yield measured(scope, part, plan, stack) if here is None else here


def measured(scope: Scope, part: PartToBuild, plan: ExamplesPlan, stack: ExitStack) -> SparkPart:
    """The part, persisted until the stack closes: the same rows must be counted, joined and split."""
    if part.join is not None:
        plan = replace(plan, join=part.join)
    snapshots = group_snapshots(scope, plan, part.table_versions or {})
    if part.measured is None:
        part = replace(part, spine=_persisted(part.spine, stack))
    before = part.measured or part.spine.agg(*content_columns(part.spine.columns)).collect()[0]
    check_sample(plan, part.sampled_from, before["rows"])
    scope.progress.rows(0, before["rows"])
    return SparkPart(part, before, snapshots)


def content_columns(columns: Sequence[str]) -> list[Column]:
    return fingerprint_columns([column(name) for name in sorted(columns)])


def _persisted(rows: DataFrame, stack: ExitStack) -> DataFrame:
    persisted = rows.persist()
    stack.callback(persisted.unpersist)
    return persisted


def _part(spine: DataFrame, suppressed: int, plan: ExamplesPlan, is_local: bool) -> PartToBuild:
    """The spine, or its sample, with what one pass over it finds."""
    words, size = known_words(spine.schema), plan.request.sample_size
    width = F.lit(None).cast("bigint") if words is None else row_bytes(words)
    if size is None:
        counted = spine.agg(
            *content_columns(spine.columns), F.coalesce(F.sum(width), F.lit(0)).alias(_BYTES)
        ).collect()[0]
        needed = None if words is None else counted[_BYTES]
        return PartToBuild(spine, suppressed=suppressed, is_local=is_local, measured=counted, bytes=needed)
    sample = sample_of(spine, size, plan.request.seed, plan.request.strata, F.coalesce(width, F.lit(0)))
    needed = None if words is None else min(size, sample.total) * sample.largest
    return PartToBuild(sample.rows, None, None, sample.total, suppressed, is_local, bytes=needed)


def _collected(scope: Scope, part: PartToBuild) -> LocalExamples | None:
    """The part's rows in this process; None if they are not known to fit, or if the join runs elsewhere."""
    if part.is_local or not scope.context.is_native or scope.settings.as_of_host in ("in_tasks", "by_shuffle"):
        return None
    if part.bytes is None or part.bytes > MOST_FETCHED:
        return None
    fingerprint = None if part.measured is None else fingerprint_text(part.measured)
    return LocalExamples(from_spark(part.spine), part.sampled_from, part.suppressed, fingerprint)
