"""Export rows as Parquet, CSV, JSON lines or Arrow IPC files: one new folder, visible only when complete."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias, runtime_checkable

from featurestore.errors import ExportError, InvalidArgumentError, nearest
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import can_be_hashed, content_hash, fingerprint_columns, fingerprint_text
from featurestore.frames.text.csv_cells import LINE_END as CSV_LINE_END
from featurestore.frames.text.csv_cells import CsvOptions, csv_line, header_line, with_header
from featurestore.frames.text.json_lines import LINE_END as JSON_LINE_END
from featurestore.frames.text.json_lines import json_line
from featurestore.late_spark import DataFrame, F, Observation, T
from featurestore.operations.context import Context, Scope
from featurestore.operations.repeats.exports import ExportedFolder, ExportNote, check_is_same, is_there
from featurestore.stores.files.arrow_files import write_arrow
from featurestore.stores.files.exports import Staging, full_path, new_folder, sizes_in, write_lines, write_parquet
from featurestore.stores.small_tables.export_log import EXPORT_NOTE, MARKS, ExportRecord
from featurestore.stores.training_sets.manifests import Manifest

ExportFormat = Literal["parquet", "csv", "jsonl", "arrow"]
FORMATS: tuple[ExportFormat, ...] = ("parquet", "csv", "jsonl", "arrow")


class HasRows(Protocol):
    """The result of a read, such as of ``get_batch_features``."""

    @property
    def rows(self) -> DataFrame: ...


@runtime_checkable
class Exportable(Protocol):
    """A training set or a fine-tuning set: it writes its own manifest beside its files."""

    def export(
        self, path: str, format: ExportFormat = ..., *, null: str = ..., guard_formulas: bool = ...
    ) -> ExportedFolder: ...


Data: TypeAlias = DataFrame | HasRows | Exportable


def export_data(scope: Scope, data: Data, path: str, format: ExportFormat, csv: CsvOptions) -> ExportedFolder:
    """Export a training set, a fine-tuning set, the result of a read, or any Spark DataFrame; see ``export``."""
    if isinstance(data, DataFrame):
        return export(scope, data, path, format, csv=csv)
    if isinstance(data, Exportable):
        return data.export(path, format, null=csv.null, guard_formulas=csv.guard_formulas)
    rows = getattr(data, "rows", None)
    if isinstance(rows, DataFrame):
        return export(scope, rows, path, format, csv=csv)
    raise InvalidArgumentError(
        f"data is {type(data).__name__}; give a training set, a fine-tuning set, the result of a read, or a Spark "
        "DataFrame"
    )


def export(
    scope: Scope,
    rows: DataFrame,
    path: str,
    format: ExportFormat,
    *,
    csv: CsvOptions,
    training_set: Manifest | None = None,
) -> ExportedFolder:
    """Write the rows, all of a ``training_set`` or any others, to files in a new folder; return its full path.

    The executors write beside the path. Then the rows in the files are counted: there must be as many as were written,
    and as the set's manifest says. One rename makes the folder visible, with the manifest; after a failure nothing is
    left. An object store cannot rename a folder: its files appear one by one, after everything else has succeeded. The
    path is recorded first, so that an erasure finds it.

    If the folder is there already, and its ``EXPORT_NOTE`` and files show that it is this very export, complete,
    nothing is written; see ``check_is_same``. Raises ExportError (something else is there, the path cannot be written,
    an unknown format, columns that no file can hold), InvalidArgumentError (options), InvariantError (the files hold
    other rows).
    """
    if not isinstance(format, str) or format not in FORMATS:
        raise ExportError(f"format {format!r} is not known. {nearest(str(format), FORMATS)}")
    options = _csv_options(format, csv)
    _check_columns(rows, format, options)
    rows, record = _without_void(rows), _record(scope, full_path(path), training_set)
    note = ExportNote(
        tenant_id=scope.tenant_id,
        training_set=None if training_set is None else f"{training_set.name} v{training_set.version}",
        format=format,
        null=options.null,
        guard_formulas=options.guard_formulas,
        columns=tuple((field.name, field.dataType.simpleString()) for field in rows.schema),
    )
    if is_there(scope.context, record.path):
        known = None if training_set is None else training_set.content_hash
        check_is_same(scope.context.files_at(record.path), record.path, note, lambda: known or _content_hash(rows))
        record_once(scope.context, record)
        return ExportedFolder(record.path, is_up_to_date=True)
    scope.context.exports.record(record, scope.context.clock())
    with new_folder(scope.spark, scope.files, path) as staging:
        hashed, observed = _observed(rows)
        written = _write(staging, hashed, format, options)
        staging.check_total("rows", written, written if training_set is None else training_set.row_count)
        if training_set is not None:
            staging.write_text(MARKS[record.kind], training_set.model_dump_json(indent=2))
        content = None if observed is None else fingerprint_text(observed.get)
        complete = note.model_copy(update={"content_hash": content, "files": sizes_in(staging.files, staging.whole)})
        staging.write_text(EXPORT_NOTE, complete.model_dump_json(indent=2))
        scope.step("export.written")
    scope.step("export.published")
    return ExportedFolder(staging.target)


def _record(scope: Scope, target: str, training_set: Manifest | None) -> ExportRecord:
    if training_set is None:
        return ExportRecord(scope.tenant_id, target, "rows")
    return ExportRecord(scope.tenant_id, target, "training_set", training_set.name, training_set.version)


def record_once(context: Context, record: ExportRecord) -> None:
    """Record an export that is there already, unless this store knows it; an erasure deletes only what is recorded."""
    if record not in context.exports.of_tenant(record.tenant_id):
        context.exports.record(record, context.clock())


def _observed(rows: DataFrame) -> tuple[DataFrame, Observation | None]:
    """The rows, hashed while they are written; None for the hash if their types cannot be hashed.

    Of rows of this process that are not observed, Spark computes the lines before it divides them among tasks, so that
    only the first file would have a header.
    """
    observed = Observation()
    if not can_be_hashed(rows.schema):
        return rows.observe(observed, F.count(F.lit(1)).alias("rows")), None
    return rows.observe(observed, *fingerprint_columns([column(name) for name in sorted(rows.columns)])), observed


def _content_hash(rows: DataFrame) -> str | None:
    return content_hash(rows) if can_be_hashed(rows.schema) else None


def _write(staging: Staging, rows: DataFrame, format: ExportFormat, csv: CsvOptions) -> int:
    if format == "parquet":
        return write_parquet(staging, rows)
    if format == "arrow":
        return write_arrow(staging, rows)
    if format == "jsonl":
        return _write_text(staging, rows.select(json_line(rows.schema).alias("value")), JSON_LINE_END, ".jsonl", "")
    header = header_line(rows.columns)
    line = with_header(csv_line(rows.schema, csv), header)
    return _write_text(staging, rows.select(line.alias("value")), CSV_LINE_END, ".csv", header + CSV_LINE_END)


def _write_text(staging: Staging, lines: DataFrame, line_end: str, suffix: str, empty: str) -> int:
    """Write lines to files; ``empty`` is the content of the only file if there are no rows."""
    written, files = write_lines(staging, lines, line_end)
    for index, file in enumerate(files):
        staging.take(file.path, f"part-{index:05d}{suffix}")
    if not files:
        staging.write_text(f"part-00000{suffix}", empty)
    return written


def _csv_options(format: ExportFormat, csv: CsvOptions) -> CsvOptions:
    options = csv.checked()
    if format != "csv" and options != CsvOptions():
        raise InvalidArgumentError(f"null and guard_formulas are options of csv, and the format is {format!r}")
    return options


def _check_columns(rows: DataFrame, format: ExportFormat, csv: CsvOptions) -> None:
    lower = [name.lower() for name in rows.columns]
    doubled = [name for name in rows.columns if lower.count(name.lower()) > 1]
    if doubled:
        raise ExportError(f"columns {doubled} differ only in case, and Spark ignores case; rename or drop one of each")
    if not rows.columns or "" in rows.columns:
        raise ExportError(f"the rows have the columns {rows.columns}; files need columns, each with a name")
    if format == "csv" and len(rows.columns) == 1 and rows.schema[0].nullable and not csv.null:
        raise ExportError(
            f"the rows have one column, {rows.columns[0]!r}, and its nulls would be blank lines, which readers of CSV "
            "pass over; give a marker, such as null='NA'"
        )


def _without_void(rows: DataFrame) -> DataFrame:
    """The rows with columns of type void as text: files cannot hold a column without a type."""
    if not any(isinstance(field.dataType, T.NullType) for field in rows.schema):
        return rows
    typed = [
        column(field.name).cast("string") if isinstance(field.dataType, T.NullType) else column(field.name)
        for field in rows.schema
    ]
    return rows.select(*typed)
