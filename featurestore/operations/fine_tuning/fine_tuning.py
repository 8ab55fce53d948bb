"""Fine-tuning sets: examples joined as of their timestamps, as chat messages in sharded JSONL files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import reduce

import pyarrow as pa

from featurestore.columnar.text.json_lines import LINE_END
from featurestore.columnar.training_sets.splits import PARTS, SPLIT
from featurestore.definitions.lookup import listed
from featurestore.definitions.training_set import Split
from featurestore.display.description import Display, Mark, Table, count, counted
from featurestore.display.displayed import Displayed
from featurestore.errors import InvalidArgumentError, InvariantError, SpineError, TransformationError, nearest
from featurestore.frames.rows.suppression import REASON
from featurestore.frames.text.chat import ALL, LEFT_OUT, REFUSED, ChatFormat
from featurestore.frames.text.chat_template import check_template
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.late_spark import DataFrame, F
from featurestore.operations.as_of.join import as_of_values
from featurestore.operations.context import Context, Scope
from featurestore.operations.erasure.suppress import suppressions
from featurestore.operations.exports.export import record_once
from featurestore.operations.fine_tuning.made_lines import LocalLines, MadeLines, SparkLines
from featurestore.operations.instants import argument_count
from featurestore.operations.reading.request import Spine, local_spine
from featurestore.operations.reading.resolved_features import outputs_of
from featurestore.operations.repeats.exports import is_there, taken
from featurestore.operations.repeats.fine_tuning import check_is_same_set, written_before
from featurestore.operations.training_sets.examples import Examples, examples_of
from featurestore.operations.training_sets.local_build import LocalPart
from featurestore.operations.training_sets.parts import made_from, with_split
from featurestore.operations.training_sets.recorded import asked_lookups, derived_snapshots
from featurestore.operations.training_sets.request import ExamplesPlan, FineTuningRequest, check_named, plan_examples
from featurestore.stores.arrow import to_spark
from featurestore.stores.files.exports import full_path, new_folder
from featurestore.stores.layout import local_folder
from featurestore.stores.small_tables.export_log import MARKS, ExportRecord
from featurestore.stores.training_sets.fine_tuning_sets import FineTuningFile, FineTuningManifest
from featurestore.stores.training_sets.manifests import GroupSnapshot, SplitCuts

# The lines in a shard, roughly, if the caller does not set the number of shards.
ROWS_A_SHARD = 100_000
MOST_SHARDS = 100_000


@dataclass(frozen=True)
class FineTuningSet(Displayed):
    """A written fine-tuning set: JSONL files in the folder ``path``, in one subfolder per part of a split.

    ``row_count`` lines, and ``left_out`` rows by reason, are together as many as the spine had (after sampling).
    ``parts``: the number of lines by part (``train``, ``validation``, ``test``; ``all`` without a split). ``samples``
    describe a few skipped rows and the reasons. ``missing_inputs``: by column, the number of lines with a prompt that
    uses the column where it is null; columns that are never null are not listed. ``is_up_to_date``: this very set was
    there already, in complete files, and nothing was written; ``samples`` is empty then.
    """

    context: Context = field(repr=False)
    path: str
    row_count: int
    left_out: dict[str, int]
    parts: dict[str, int]
    files: tuple[FineTuningFile, ...]
    samples: tuple[str, ...] = ()
    missing_inputs: dict[str, int] = field(default_factory=dict)
    is_up_to_date: bool = False

    def display(self) -> Display:
        """The folder, the lines by part, the reasons for rows left out, and the inputs missing in lines."""
        parts = Table(("part", "lines"), tuple((part, count(lines)) for part, lines in self.parts.items()))
        left_out = Table(
            ("left out because", "rows"), tuple((reason, count(rows)) for reason, rows in self.left_out.items())
        )
        missing = Table(("missing input", "lines"), tuple((name, count(n)) for name, n in self.missing_inputs.items()))
        return Display(
            f"Fine-tuning set of {counted(self.row_count, 'line')}, {counted(sum(self.left_out.values()), 'row')} "
            "left out",
            lines=(Mark("It is up to date; nothing was written.", "good"),) if self.is_up_to_date else (),
            facts=(("folder", self.path), ("files", count(len(self.files)))),
            tables=(parts, *(table for table in (left_out, missing) if table.rows)),
        )

    @property
    def rows(self) -> DataFrame:
        """The written lines: ``part``, and ``messages``, an array of ``role`` and ``content``."""
        reader = self.context.spark.read.schema("messages array<struct<role string, content string>>")
        folders = {part: self.path if part == ALL else f"{self.path}/{part}" for part in self.parts}
        frames = [
            reader.json(folder if "://" in folder else f"file://{folder}", lineSep=LINE_END).select(
                F.lit(part).alias("part"), "messages"
            )
            for part, folder in folders.items()
        ]
        return reduce(DataFrame.unionByName, frames)


@dataclass(frozen=True)
class _Plan(ExamplesPlan):
    """The examples' plan, and the format that turns a row into messages."""

    request: FineTuningRequest
    format: ChatFormat


def _check_options(request: FineTuningRequest) -> None:
    if request.template is not None and request.format_fn is not None:
        raise InvalidArgumentError(
            "template and format_fn are both given; give one of them, or neither for one line per input"
        )
    if request.format_fn is not None and not callable(request.format_fn):
        raise InvalidArgumentError(
            f"format_fn is {type(request.format_fn).__name__}; give a function of a row (a dict)"
        )
    for option, text in (("system", request.system), ("template", request.template)):
        if text is not None and (not isinstance(text, str) or not text.strip()):
            raise InvalidArgumentError(f"{option} is {text!r}; give a Jinja2 text, or leave it out")
    if request.shards is not None:
        argument_count("shards", request.shards, MOST_SHARDS, ", or None")
    if not isinstance(request.on_invalid, str) or request.on_invalid not in ("fail", "skip"):
        raise InvalidArgumentError(f"on_invalid is {request.on_invalid!r}; possible: 'fail', 'skip'")


def _planned(context: Context, request: FineTuningRequest) -> _Plan:
    """Check a request; raises what ``plan_examples`` raises, and InvalidArgumentError for the other options."""
    request = replace(request, features=listed(request.features))
    examples = plan_examples(context, request)
    _check_options(request)
    if examples.label is None:
        raise InvalidArgumentError(
            "output_feature is None; name the feature or column that the assistant should answer"
        )
    form = ChatFormat(
        inputs=outputs_of(request.features, examples.join),
        output=examples.label,
        identified_by=(*examples.key_columns, examples.join.timestamp_column),
        system=request.system,
        template=request.template,
        format_fn=request.format_fn,
    )
    # Event timestamps of features are not inputs.
    return _Plan(request, replace(examples.join, with_timestamps=False), examples.label, form)


def load_for_fine_tuning(scope: Scope, spine: Spine, request: FineTuningRequest) -> FineTuningSet:
    """Join inputs and output as of each row's time, make messages of each row, and write them to a new folder.

    Grain: one line per spine row (or row of the sample). A row is left out and counted if its output is missing (null
    or blank text), its entity was erased, it is in no part of the split, or, with ``on_invalid="skip"``, it gives no
    messages. A hash of (seed, row) decides a row's shard and its place there. The folder becomes visible only when
    complete. If the same call has written it before, nothing is written: see ``check_is_same_set``.

    Raises TransformationError (a faulty template, before any job; rows that give no messages, unless they are skipped),
    ExportError (the path), SpineError, InvariantError.
    """
    plan = _planned(scope.context, request)
    if not isinstance(spine, DataFrame):
        spine = local_spine(scope.context, spine, plan.join)
    plan = replace(plan, format=_checked(_names(spine), plan))
    record = ExportRecord(scope.tenant_id, full_path(request.path), "fine_tuning", request.name)
    written = written_before(scope.context, record.path) if is_there(scope.context, record.path) else None
    if written is not None and request.format_fn is not None:
        raise taken(record.path, "cannot be compared with a set by format_fn, whose code is not recorded")
    with examples_of(scope, spine, plan, suppressions(scope)) as examples:
        content = None if request.format_fn is not None else _made_from(scope.context, plan, examples)
        if written is not None:
            check_is_same_set(scope, record.path, written, content, examples.groups)
            record_once(scope.context, record)
            return _of_manifest(scope.context, record.path, written, is_up_to_date=True)
        scope.context.exports.record(record, scope.context.clock())
        with new_folder(scope.context.files_at(record.path), request.path) as staging, ExitStack() as stack:
            lines, cuts = _lines(scope, examples, plan, stack, is_here=local_folder(record.path) is not None)
            counts = _counts(lines, examples.rows, request)
            if examples.suppressed:
                counts = replace(counts, left_out=counts.left_out | {REASON: examples.suppressed})
            files = lines.write(staging, request.shards or counts.shards, counts.parts)
            manifest = _manifest(scope, plan, counts, files, cuts, examples.groups)
            manifest = manifest.model_copy(update={"made_from": content})
            staging.write_text(MARKS[record.kind], manifest.model_dump_json(indent=2))
            scope.step("fine_tuning.written")
        scope.step("fine_tuning.published")
    return replace(_of_manifest(scope.context, record.path, manifest), samples=counts.samples)


def _of_manifest(
    context: Context, path: str, manifest: FineTuningManifest, *, is_up_to_date: bool = False
) -> FineTuningSet:
    return FineTuningSet(
        context=context,
        path=path,
        row_count=manifest.row_count,
        left_out=manifest.left_out,
        parts=manifest.parts,
        files=manifest.files,
        missing_inputs=manifest.missing_inputs,
        is_up_to_date=is_up_to_date,
    )


def _names(spine: DataFrame | pa.Table) -> list[str]:
    return list(spine.columns if isinstance(spine, DataFrame) else spine.column_names)


def _made_from(context: Context, plan: _Plan, examples: Examples) -> str:
    # Rows that a sample leaves out decide on nothing in the set, not even on a number in its manifest.
    rows = {name: value for name, value in examples.asked.items() if name != "sampled_from"}
    return made_from(context, plan, rows, examples.groups)


def _checked(names: Sequence[str], plan: _Plan) -> ChatFormat:
    """The format with the columns that it uses; raises SpineError and TransformationError before any Spark job."""
    form, join = plan.format, plan.join
    if join.label is None and form.output not in names:
        raise SpineError(
            f"output_feature {form.output!r} is not a column of the spine; a feature is written 'group:feature'. "
            f"{nearest(form.output, names)}"
        )
    check_named(names, plan)
    columns = [*names, *join.columns]
    texts = {"system": form.system, "template": form.template}
    used = [check_template(option, text, columns, form.output) for option, text in texts.items() if text is not None]
    if form.format_fn is not None:
        return form
    needed = {*form.identified_by, form.output, *(form.inputs if form.template is None else ())}
    return replace(form, columns=tuple(needed.union(*used)))


def _lines(
    scope: Scope, examples: Examples, plan: _Plan, stack: ExitStack, *, is_here: bool
) -> tuple[MadeLines, SplitCuts | None]:
    """The lines of the examples, joined from these table versions, and the cuts of the split.

    They are made in this process if it joins the examples and writes the files, unless only Spark knows what a prompt
    shows.
    """
    seed, split = plan.request.seed, None if plan.request.split is None else SPLIT
    if isinstance(examples, LocalPart):
        scope.progress.host("in_process")
        scope.progress.rows(0, examples.rows)
        joined, cuts = examples.divided(scope, plan)
        with suppress(UndecidedError):
            if is_here:
                return LocalLines.of(scope, joined, plan.format, seed, split), cuts
        return SparkLines.of(to_spark(scope.spark, joined), plan.format, seed, split, stack), cuts
    versions = {(group.name, group.version): group.state for group in examples.groups}
    part, join = examples.part, replace(plan.join, table_versions=versions)
    by_spark = as_of_values(scope, part.spine, join, is_local=part.is_local)
    rows, cuts = with_split(scope.context, part.spine, by_spark, plan)
    return SparkLines.of(rows, plan.format, seed, split, stack), cuts


@dataclass(frozen=True)
class _Counts:
    parts: dict[str, int]
    left_out: dict[str, int]
    samples: tuple[str, ...]
    missing: dict[str, int]

    @property
    def shards(self) -> int:
        return max(1, -(-max(self.parts.values()) // ROWS_A_SHARD))


def _counts(lines: MadeLines, spine_rows: int, request: FineTuningRequest) -> _Counts:
    """Count lines by part, and rows without a line by reason; raises TransformationError unless these are skipped."""
    parts = dict.fromkeys(_parts(request.split), 0)
    reasons: dict[str, int] = {}
    for (part, reason), number in lines.counts().items():
        counts, key = (parts, str(part)) if reason is None else (reasons, reason)
        counts[key] = counts.get(key, 0) + number
    total = sum(parts.values()) + sum(reasons.values())
    if total != spine_rows:
        raise InvariantError(
            f"fine-tuning set {request.name!r}: the spine had {spine_rows} rows and {total} came out; nothing was "
            "written"
        )
    failed = {reason: count for reason, count in sorted(reasons.items()) if reason not in LEFT_OUT}
    samples = lines.samples() if failed else ()
    if REFUSED in failed or (failed and request.on_invalid == "fail"):
        reasons_text = "; ".join(f"{reason}: {count}" for reason, count in failed.items())
        raise TransformationError(
            f"fine-tuning set {request.name!r}: {sum(failed.values())} of {total} rows give no messages, and nothing "
            f"was written ({reasons_text}), such as {' | '.join(samples)}. Fix the cause"
            + ("" if REFUSED in failed else ", or leave such rows out with on_invalid='skip'")
        )
    return _Counts(parts, dict(sorted(reasons.items())), samples, lines.missing())


def _parts(split: Split | SplitCuts | None) -> Sequence[str]:
    """The parts of the split, including parts without rows."""
    if split is None:
        return (ALL,)
    validates = any(getattr(split, name, None) for name in ("validation", "validation_from", "until_validation"))
    return [part for part in PARTS if part != "validation" or validates]


def _manifest(
    scope: Scope,
    plan: _Plan,
    counts: _Counts,
    files: tuple[FineTuningFile, ...],
    cuts: SplitCuts | None,
    groups: tuple[GroupSnapshot, ...],
) -> FineTuningManifest:
    request, join, form = plan.request, plan.join, plan.format
    return FineTuningManifest(
        tenant_id=scope.tenant_id,
        name=request.name,
        created_at=scope.now(),
        code_version=scope.context.code_version,
        row_count=sum(counts.parts.values()),
        left_out=counts.left_out,
        missing_inputs=counts.missing,
        parts=counts.parts,
        files=files,
        features=asked_lookups(join),
        derived=derived_snapshots(join),
        output=form.output,
        system=form.system,
        template=form.template,
        format_fn=None if form.format_fn is None else getattr(form.format_fn, "__qualname__", repr(form.format_fn)),
        timestamp_column=join.timestamp_column,
        known_at=join.known_at,
        sample_size=request.sample_size,
        seed=request.seed,
        split=cuts,
        groups=groups,
    )
