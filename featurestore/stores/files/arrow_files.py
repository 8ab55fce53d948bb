"""Arrow IPC files, which executors write through pyarrow because Spark cannot write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

from featurestore.errors import ExportError
from featurestore.late_spark import DataFrame, F, Observation, SparkSession, TaskContext, to_arrow_schema
from featurestore.stores.files.exports import Staging, list_files
from featurestore.stores.places import library_uri

_REPORT = pa.schema([("path", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64())])


def write_arrow(staging: Staging, rows: DataFrame) -> int:
    """Write one file per partition that has rows, ``part-00000.arrow`` and so on; returns the number of rows.

    Instants are UTC microseconds, arrays are lists. Each attempt of a task writes its own file and reports it. Spark
    accepts one attempt's report, and only reported files become visible. Raises ExportError if pyarrow does not know
    the file system, InvariantError if the files differ from the reports.
    """
    schema = to_arrow_schema(rows.schema, timezone="UTC")
    folder = staging.written
    file_system(folder)
    staging.files.write_text(f"{folder}/_started", "")

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # Runs on an executor, once per attempt.
        context = TaskContext.get()
        number = context.partitionId() if context is not None else 0
        yield from _write_file(batches, schema, folder, f"part-{number:05d}-{uuid4().hex}.arrow")

    observed = Observation()
    # By position: here Spark reads a dot in a name as a field of a struct.
    numbered = rows.toDF(*(f"c{index}" for index in range(len(rows.columns))))
    counted = numbered.observe(observed, F.count(F.lit(1)).alias("rows"))
    reported = sorted(counted.mapInArrow(write, "path string, rows long, bytes long").collect())
    staging.check_total("rows", sum(row["rows"] for row in reported), observed.get["rows"])
    _check_reported(staging, rows.sparkSession, {row["path"]: row["bytes"] for row in reported})
    if not reported:
        # Readers need a schema even if there are no rows.
        empty = pa.RecordBatch.from_pylist([], schema=schema)
        reported = next(_write_file(iter([empty]), schema, folder, "part-empty.arrow")).to_pylist()
    for index, row in enumerate(reported):
        staging.take(row["path"], f"part-{index:05d}.arrow")
    return int(observed.get["rows"])


def _check_reported(staging: Staging, spark: SparkSession, reported: Mapping[str, int]) -> None:
    """Check that this process sees what the executors wrote: on other machines, the path may be another folder."""
    if reported:
        visible = sum(file.bytes for file in list_files(staging, spark) if file.path in reported)
        staging.check_total("bytes", visible, sum(reported.values()))


def _write_file(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, folder: str, name: str
) -> Iterator[pa.RecordBatch]:
    """Write one file and yield its report; without batches, neither."""
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
    """Return pyarrow's file system and the folder's path on it; raises ExportError if pyarrow has none."""
    scheme, separator, rest = folder.partition("://")
    if not separator:
        return fs.LocalFileSystem(), folder
    if scheme == "file":
        return fs.LocalFileSystem(), rest
    try:
        system_and_path: tuple[Any, str] = fs.FileSystem.from_uri(library_uri(folder))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ExportError(
            f"{folder}: Arrow files are written by pyarrow, which cannot write there: {error}; possible: local paths, "
            "s3, gs, abfs and hdfs, or another format"
        ) from error
    return system_and_path
