"""Export rows as Parquet, CSV, JSON lines or Arrow IPC files: one new folder, visible only when complete."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from featurestore.columnar.text.csv_lines import CsvOptions
from featurestore.errors import ExportError, InvalidArgumentError, InvariantError, nearest
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context, Scope
from featurestore.operations.exports.export_rows import ExportFormat, RowsToExport, SparkRows, rows_of_table
from featurestore.operations.repeats.exports import ExportedFolder, ExportNote, check_is_same, is_there
from featurestore.stores.files.exports import ExportedRows, full_path, new_folder, sizes_in
from featurestore.stores.small_tables.export_log import EXPORT_NOTE, MARKS, ExportRecord
from featurestore.stores.training_sets.manifests import Manifest

FORMATS: tuple[ExportFormat, ...] = ("parquet", "csv", "jsonl", "arrow")


class HasRows(Protocol):
    """The result of a read, such as of ``get_batch_features``."""

    @property
    def rows(self) -> DataFrame | pa.Table: ...


@runtime_checkable
class Exportable(Protocol):
    """A training set or a fine-tuning set: it writes its own manifest beside its files."""

    def export(
        self, path: str, format: ExportFormat = ..., *, null: str = ..., guard_formulas: bool = ...
    ) -> ExportedFolder: ...


Data: TypeAlias = DataFrame | pa.Table | HasRows | Exportable


def export_data(scope: Scope, data: Data, path: str, format: ExportFormat, csv: CsvOptions) -> ExportedFolder:
    """Export a training set, a fine-tuning set, the result of a read, or a Spark or Arrow frame; see ``export``."""
    is_frame = isinstance(data, DataFrame | pa.Table)
    if not is_frame and isinstance(data, Exportable):
        return data.export(path, format, null=csv.null, guard_formulas=csv.guard_formulas)
    rows = data if is_frame else getattr(data, "rows", None)
    if isinstance(rows, DataFrame):
        return export(scope, SparkRows(rows), path, format, csv=csv)
    if isinstance(rows, pa.Table):
        return export(scope, rows_of_table(scope, rows, path), path, format, csv=csv)
    raise InvalidArgumentError(
        f"data is {type(data).__name__}; give a training set, a fine-tuning set, the result of a read as Spark's or "
        "Arrow's rows, a Spark DataFrame, or a pyarrow Table"
    )


def export(
    scope: Scope,
    rows: RowsToExport,
    path: str,
    format: ExportFormat,
    *,
    csv: CsvOptions,
    training_set: Manifest | None = None,
) -> ExportedFolder:
    """Write the rows, all of a ``training_set`` or any others, to files in a new folder; return its full path.

    This process writes beside the path if it can, or else the executors. Then the rows in the files are counted: there
    must be as many as were written, and as the set's manifest says, whose content hash they must have. One rename
    makes the folder visible, with the manifest; after a failure nothing is left. An object store cannot rename a
    folder: its files appear one by one, after everything else has succeeded. The path is recorded first, so that an
    erasure finds it.

    If the folder is there already, and its ``EXPORT_NOTE`` and files show that it is this very export, complete,
    nothing is written; see ``check_is_same``. Raises ExportError (something else is there, the path cannot be written,
    an unknown format, columns that no file can hold), InvariantError (the files hold other rows).
    """
    options = _csv_options(_checked_format(format), csv)
    _check_columns(rows, format, options)
    record = _record(scope, full_path(path), training_set)
    note = ExportNote(
        tenant_id=scope.tenant_id,
        training_set=None if training_set is None else f"{training_set.name} v{training_set.version}",
        format=format,
        null=options.null,
        guard_formulas=options.guard_formulas,
        columns=tuple(rows.words.items()),
    )
    files = scope.context.files_at(record.path)
    if is_there(scope.context, record.path):
        known = None if training_set is None else training_set.content_hash
        check_is_same(files, record.path, note, lambda: known or rows.content_hash())
        record_once(scope.context, record)
        return ExportedFolder(record.path, is_up_to_date=True)
    scope.context.exports.record(record, scope.context.clock())
    with new_folder(files, path) as staging:
        written = rows.write(staging, format, options)
        staging.check_total("rows", written.rows, written.rows if training_set is None else training_set.row_count)
        if training_set is not None:
            _check_content(training_set, record.path, written)
            staging.write_text(MARKS[record.kind], training_set.model_dump_json(indent=2))
        sizes = sizes_in(staging.files, staging.whole)
        complete = note.model_copy(update={"content_hash": written.content_hash, "files": sizes})
        staging.write_text(EXPORT_NOTE, complete.model_dump_json(indent=2))
        scope.step("export.written")
    scope.step("export.published")
    return ExportedFolder(staging.target)


def _check_content(training_set: Manifest, target: str, written: ExportedRows) -> None:
    if written.content_hash not in (None, training_set.content_hash):
        raise InvariantError(
            f"{target}: the saved rows of {training_set.name!r} v{training_set.version} are not those that it was "
            f"published with: their hash is {written.content_hash}, and the manifest's {training_set.content_hash}. "
            "Nothing was made visible; build the set again (load_training_data, or build, with new_version=True)"
        )


def _record(scope: Scope, target: str, training_set: Manifest | None) -> ExportRecord:
    if training_set is None:
        return ExportRecord(scope.tenant_id, target, "rows")
    return ExportRecord(scope.tenant_id, target, "training_set", training_set.name, training_set.version)


def record_once(context: Context, record: ExportRecord) -> None:
    """Record an export that is there already, unless this store knows it; an erasure deletes only what is recorded."""
    if record not in context.exports.of_tenant(record.tenant_id):
        context.exports.record(record, context.clock())


def _checked_format(format: ExportFormat) -> ExportFormat:
    if not isinstance(format, str) or format not in FORMATS:
        raise ExportError(f"format {format!r} is not known. {nearest(str(format), FORMATS)}")
    return format


def _csv_options(format: ExportFormat, csv: CsvOptions) -> CsvOptions:
    options = csv.checked()
    if format != "csv" and options != CsvOptions():
        raise InvalidArgumentError(f"null and guard_formulas are options of csv, and the format is {format!r}")
    return options


def _check_columns(rows: RowsToExport, format: ExportFormat, csv: CsvOptions) -> None:
    names = rows.names
    lower = [name.lower() for name in names]
    doubled = [name for name in names if lower.count(name.lower()) > 1]
    if doubled:
        raise ExportError(f"columns {doubled} differ only in case, and Spark ignores case; rename or drop one of each")
    if not names or "" in names:
        raise ExportError(f"the rows have the columns {names}; files need columns, each with a name")
    if format == "csv" and len(names) == 1 and rows.may_be_null() and not csv.null:
        raise ExportError(
            f"the rows have one column, {names[0]!r}, and its nulls would be blank lines, which readers of CSV "
            "pass over; give a marker, such as null='NA'"
        )
