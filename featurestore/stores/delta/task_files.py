"""Write a Spark DataFrame as the Parquet files of a local Delta table, in Spark's tasks; the caller commits them.

Spark's own append reads the whole state of the table first, in several jobs, and holds its lock while it writes. Here
the rows cost one shuffle and one job, and only the commit needs the lock. A task that fails leaves files that no
commit names, as with Spark's own append.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa

from featurestore.columnar.rows.file_layout import FileLimits
from featurestore.frames.columns import numbered
from featurestore.late_spark import DataFrame
from featurestore.stores.delta.data_files import DataFile, NewFiles, in_partitions

_COLUMNS = "path string, bytes bigint, rows bigint, partition string, statistics string, modified bigint"


def write_in_tasks(
    rows: DataFrame, root: str, schema: pa.Schema, partition_by: Sequence[str], limits: FileLimits
) -> list[DataFile]:
    """Write the rows, each task's in their order; rows of one partition must be next to each other in a task."""
    writer = _writer(root, schema, tuple(partition_by), limits)
    written = numbered(rows).mapInArrow(writer, _COLUMNS).toArrow().to_pylist()
    return [DataFile(**(file | {"partition": json.loads(file["partition"])})) for file in written]


def _writer(
    root: str, schema: pa.Schema, by: tuple[str, ...], limits: FileLimits
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        files = [_described(file) for file in _written(batches, root, schema, by, limits)]
        if files:
            yield pa.RecordBatch.from_pylist(files)

    return write


def _described(file: DataFile) -> dict[str, object]:
    return vars(file) | {"partition": json.dumps(file.partition)}


def _written(
    batches: Iterable[pa.RecordBatch], root: str, schema: pa.Schema, by: tuple[str, ...], limits: FileLimits
) -> Iterator[DataFile]:
    """Write each partition's files, a row group whenever enough rows have come."""
    current: tuple[str | None, ...] | None = None
    files: NewFiles | None = None
    for batch in batches:
        for partition, rows in in_partitions(_typed(batch, schema), by):
            values = tuple(partition.values())
            if files is None or values != current:
                if files is not None:
                    yield from files.close()
                files, current = NewFiles(root, partition, rows.schema, limits), values
            files.append(rows)
    if files is not None:
        yield from files.close()


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches([batch]).rename_columns(schema.names).cast(schema)
