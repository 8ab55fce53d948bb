"""Rows to export: those of Spark, which its executors write, and those that this process reads and writes by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import pyarrow as pa

from featurestore.columnar.rows.fingerprint import content_fingerprint
from featurestore.columnar.text.csv_lines import LINE_END as CSV_LINE_END
from featurestore.columnar.text.csv_lines import CsvOptions, csv_lines, header_line
from featurestore.columnar.text.json_lines import LINE_END as JSON_LINE_END
from featurestore.columnar.text.json_lines import json_lines
from featurestore.columnar.user_frames import exact_table
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import can_be_hashed, content_hash, fingerprint_columns, fingerprint_text
from featurestore.frames.text.csv_cells import csv_line, with_header
from featurestore.frames.text.json_lines import json_line
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.late_spark import DataFrame, F, Observation, T
from featurestore.operations.as_of.in_process import threads
from featurestore.operations.context import Scope
from featurestore.operations.saved_sets.saved_rows import words_of
from featurestore.stores.arrow import to_spark
from featurestore.stores.files.arrow_files import write_arrow
from featurestore.stores.files.exports import ExportedRows, Staging, full_path, write_lines, write_parquet
from featurestore.stores.files.local_exports import ArrowFiles, ExportFiles, ParquetFiles, TextFiles, write_tables
from featurestore.stores.training_sets.manifests import Manifest

ExportFormat = Literal["parquet", "csv", "jsonl", "arrow"]


class RowsToExport(Protocol):
    """Rows, and who writes them."""

    @property
    def words(self) -> dict[str, str]:
        """The columns, with the words for their Spark types."""

    @property
    def names(self) -> list[str]:
        """The names of the columns; one may come twice."""

    def may_be_null(self) -> bool:
        """Whether the first column may have nulls."""

    def content_hash(self) -> str | None:
        """The hash of all rows; None if their types cannot be hashed."""

    def write(self, staging: Staging, format: ExportFormat, csv: CsvOptions) -> ExportedRows:
        """Write the files to ``staging.whole``; raises InvariantError if they do not hold the rows."""


def rows_of_set(scope: Scope, manifest: Manifest, path: str) -> RowsToExport:
    """A training set's rows, which this process writes if it reads them, and reaches the folder."""
    context = scope.context
    local = context.training_sets.read_locally(manifest) if context.reaches(full_path(path)) else None
    if local is None or words_of(local.schema) is None:
        return SparkRows(context.training_sets.read(manifest))

    def tables() -> Iterator[pa.Table]:
        return (local.read(file, local.schema.names) for file in local.files)

    return LocalRowsToExport(scope, local.schema, tables, lambda: context.training_sets.read(manifest))


def rows_of_table(scope: Scope, table: pa.Table, path: str) -> RowsToExport:
    """The rows of an Arrow table; raises SpineError for values that Spark could not hold unchanged."""
    rows = exact_table(table, "data")
    if not scope.context.reaches(full_path(path)) or words_of(rows.schema) is None:
        return SparkRows(to_spark(scope.spark, rows))
    return LocalRowsToExport(scope, rows.schema, lambda: iter([rows]), lambda: to_spark(scope.spark, rows))


@dataclass(frozen=True)
class LocalRowsToExport:
    """Rows that this process writes, except those with a value whose text only Spark knows.

    ``tables``: the rows, from the beginning whenever it is called.
    """

    scope: Scope
    schema: pa.Schema
    tables: Callable[[], Iterator[pa.Table]]
    by_spark: Callable[[], DataFrame]

    @property
    def words(self) -> dict[str, str]:
        return words_of(self.schema) or {}

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def may_be_null(self) -> bool:
        return bool(self.schema.field(0).nullable)

    def content_hash(self) -> str | None:
        return content_fingerprint(pa.concat_tables(self.tables()), sorted(self.names))

    def write(self, staging: Staging, format: ExportFormat, csv: CsvOptions) -> ExportedRows:
        schema = pa.schema([(field.name, _as_written(field.type)) for field in self.schema])
        files = _files(format, csv, self.names)
        try:
            return write_tables(staging, self.tables(), schema, files, threads(), self.scope.progress.rows)
        except UndecidedError:
            staging.clear()
            return SparkRows(self.by_spark()).write(staging, format, csv)


def _as_written(kind: pa.DataType) -> pa.DataType:
    """Lists as Spark names their elements."""
    return pa.list_(pa.field("element", kind.value_type)) if pa.types.is_list(kind) else kind


def _files(format: ExportFormat, csv: CsvOptions, names: list[str]) -> ExportFiles:
    if format == "parquet":
        return ParquetFiles()
    if format == "arrow":
        return ArrowFiles()
    if format == "jsonl":
        return TextFiles(".jsonl", "", json_lines)
    return TextFiles(".csv", header_line(names) + CSV_LINE_END, lambda rows: csv_lines(rows, csv))


class SparkRows:
    """Rows that the executors write."""

    def __init__(self, rows: DataFrame) -> None:
        self._rows = _without_void(rows)

    @property
    def words(self) -> dict[str, str]:
        return {field.name: field.dataType.simpleString() for field in self._rows.schema}

    @property
    def names(self) -> list[str]:
        return self._rows.columns

    def may_be_null(self) -> bool:
        return self._rows.schema[0].nullable

    def content_hash(self) -> str | None:
        return content_hash(self._rows) if can_be_hashed(self._rows.schema) else None

    def write(self, staging: Staging, format: ExportFormat, csv: CsvOptions) -> ExportedRows:
        rows, observed = self._observed()
        written = _write(staging, rows, format, csv)
        return ExportedRows(written, None if observed is None else fingerprint_text(observed.get))

    def _observed(self) -> tuple[DataFrame, Observation | None]:
        """The rows, hashed while they are written; None for the hash if their types cannot be hashed.

        Of rows of this process that are not observed, Spark computes the lines before it divides them among tasks, so
        that only the first file would have a header.
        """
        observed, rows = Observation(), self._rows
        if not can_be_hashed(rows.schema):
            return rows.observe(observed, F.count(F.lit(1)).alias("rows")), None
        return rows.observe(observed, *fingerprint_columns([column(name) for name in sorted(rows.columns)])), observed


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


def _without_void(rows: DataFrame) -> DataFrame:
    """The rows with columns of type void as text: files cannot hold a column without a type."""
    if not any(isinstance(field.dataType, T.NullType) for field in rows.schema):
        return rows
    typed = [
        column(field.name).cast("string") if isinstance(field.dataType, T.NullType) else column(field.name)
        for field in rows.schema
    ]
    return rows.select(*typed)
