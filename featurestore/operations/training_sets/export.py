"""Export rows as Parquet, CSV, JSON lines or Arrow IPC files: one new folder, visible only when complete."""

from __future__ import annotations

import json
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from featurestore.errors import ExportError, InvalidArgumentError, nearest
from featurestore.frames.columns import column
from featurestore.frames.text.csv_cells import LINE_END as CSV_LINE_END
from featurestore.frames.text.csv_cells import CsvOptions, csv_line, header_line, with_header
from featurestore.frames.text.json_lines import LINE_END as JSON_LINE_END
from featurestore.frames.text.json_lines import json_line
from featurestore.late_spark import DataFrame, T
from featurestore.operations.context import Context, Scope
from featurestore.stores.files.arrow_files import write_arrow
from featurestore.stores.files.exports import Staging, full_path, new_folder, write_lines, write_parquet
from featurestore.stores.small_tables.export_log import MARKS, ExportKind, ExportRecord

ExportFormat = Literal["parquet", "csv", "jsonl", "arrow"]
FORMATS: tuple[ExportFormat, ...] = ("parquet", "csv", "jsonl", "arrow")


class HasRows(Protocol):
    """The result of a read, such as of ``get_batch_features``."""

    @property
    def rows(self) -> DataFrame: ...


@runtime_checkable
class Exportable(Protocol):
    """A training set or a fine-tuning set: it writes its own manifest beside its files."""

    def export(self, path: str, format: ExportFormat = ..., *, null: str = ..., guard_formulas: bool = ...) -> str: ...


Data: TypeAlias = DataFrame | HasRows | Exportable


def export_data(scope: Scope, data: Data, path: str, format: ExportFormat, csv: CsvOptions) -> str:
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
    manifest: str | None = None,
    row_count: int | None = None,
    training_set: tuple[str, int] | None = None,
) -> str:
    """Write the rows to files in a new folder; return its full path.

    The executors write beside the path. Then the rows in the files are counted: there must be ``row_count``, by default
    as many as were written. One rename makes the folder visible, with ``manifest`` as ``_manifest.json``; after a
    failure nothing is left. An object store cannot rename a folder: its files appear one by one, after everything else
    has succeeded. The path is recorded first, with the name and version if the rows are a ``training_set``, so that an
    erasure finds it.

    Raises ExportError (the path exists or cannot be written, an unknown format, columns that no file can hold),
    InvalidArgumentError (options), InvariantError (the files hold other rows).
    """
    if not isinstance(format, str) or format not in FORMATS:
        raise ExportError(f"format {format!r} is not known. {nearest(str(format), FORMATS)}")
    options = _csv_options(format, csv)
    _check_columns(rows, format, options)
    name, version = training_set or ("", 0)
    kind: ExportKind = "rows" if training_set is None else "training_set"
    record_export(scope.context, ExportRecord(scope.tenant_id, full_path(path), kind, name, version))
    with new_folder(scope.spark, scope.files, path) as staging:
        written = _write(staging, _without_void(rows), format, options)
        staging.check_total("rows", written, written if row_count is None else row_count)
        mark = manifest if manifest is not None else json.dumps({"tenant_id": scope.tenant_id})
        staging.write_text(MARKS[kind], mark)
    return staging.target


def record_export(context: Context, record: ExportRecord) -> None:
    """Record an export before it is written; raises ExportError if the path exists."""
    try:
        exists = context.files_at(record.path).exists(record.path)
    except OSError as error:
        raise ExportError(f"{record.path} cannot be written: {error}") from error
    if exists:
        raise ExportError(f"{record.path} is there already; remove it, or name another folder")
    context.exports.record(record, context.clock())


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
