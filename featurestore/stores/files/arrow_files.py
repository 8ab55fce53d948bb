"""Arrow IPC files, written by the executors through pyarrow: Spark itself cannot write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs
from pyspark import TaskContext
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from featurestore.errors import ExportError
from featurestore.stores.files.exports import Staging, list_files

# Schemes that Hadoop calls otherwise.
_RENAMED = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_REPORT = pa.schema([("path", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64())])


def write_arrow(staging: Staging, rows: DataFrame) -> int:
    """Write a file a partition that has rows, ``part-00000.arrow`` and so on; returns how many rows.

    Instants are UTC microseconds, arrays are lists. A task's attempt writes a file of its own and reports it; Spark
    takes the report of one attempt, and only reported files are taken. Raises ExportError for a file system that
    pyarrow does not know, InvariantError where the files are not what was reported.
    """
    schema = to_arrow_schema(rows.schema, timezone="UTC")
    folder = staging.written
    file_system(folder)
    staging.files.write_text(f"{folder}/_started", "")

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # Called on an executor, once an attempt.
        context = TaskContext.get()
        number = context.partitionId() if context is not None else 0
        yield from _write_file(batches, schema, folder, f"part-{number:05d}-{uuid4().hex}.arrow")

    told = Observation()
    # By position: Spark takes a dot in a name for a field of a struct here.
    numbered = rows.toDF(*(f"c{index}" for index in range(len(rows.columns))))
    counted = numbered.observe(told, F.count(F.lit(1)).alias("rows"))
    reported = sorted(counted.mapInArrow(write, "path string, rows long, bytes long").collect())
    staging.check_total("rows", sum(row["rows"] for row in reported), told.get["rows"])
    _check_reported(staging, {row["path"]: row["bytes"] for row in reported})
    if not reported:
        # Readers want a schema, also of no rows.
        empty = pa.RecordBatch.from_pylist([], schema=schema)
        reported = next(_write_file(iter([empty]), schema, folder, "part-empty.arrow")).to_pylist()
    for index, row in enumerate(reported):
        staging.take(row["path"], f"part-{index:05d}.arrow")
    return int(told.get["rows"])


def _check_reported(staging: Staging, reported: Mapping[str, int]) -> None:
    """What executors wrote must be what this process sees: a folder of theirs may be another one of the same name."""
    if reported:
        seen = sum(file.bytes for file in list_files(staging) if file.path in reported)
        staging.check_total("bytes", seen, sum(reported.values()))


def _write_file(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, folder: str, name: str
) -> Iterator[pa.RecordBatch]:
    """Write one file, and report it; no batches, no file."""
    first = next(batches, None)
    if first is None:
        return
    system, place = file_system(folder)
    written = 0
    with system.open_output_stream(f"{place}/{name}") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in _with_first(first, batches):
            columns = [values.cast(field.type) for values, field in zip(batch.columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            written += batch.num_rows
    size = system.get_file_info(f"{place}/{name}").size
    yield pa.RecordBatch.from_pydict({"path": [name], "rows": [written], "bytes": [size]}, schema=_REPORT)


def _with_first(first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others


def file_system(folder: str) -> tuple[Any, str]:
    """pyarrow's file system, and the folder's path on it; raises ExportError where it has none."""
    scheme, separator, rest = folder.partition("://")
    if not separator:
        return fs.LocalFileSystem(), folder
    if scheme == "file":
        return fs.LocalFileSystem(), rest
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(f"{_RENAMED.get(scheme, scheme)}://{quote(rest)}")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ExportError(
            f"{folder}: Arrow files are written by pyarrow, which cannot write there: {error}; possible: local paths, s3, "
            "gs, abfs and hdfs, or another format"
        ) from error
    return found
