"""Write a Spark DataFrame as the Parquet files of a local Delta table, in Spark's tasks; the caller commits them.

Spark's own append reads the whole state of the table first, in several jobs, and holds its lock while it writes. Here
the rows cost one shuffle and one job, and only the commit needs the lock. A task that fails leaves files that no
commit names, as with Spark's own append.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa

from featurestore.late_spark import DataFrame
from featurestore.stores.delta.data_files import ROW_GROUP_BYTES, DataFile, NewFile, in_partitions

_COLUMNS = "path string, bytes bigint, rows bigint, partition string, statistics string, modified bigint"


def write_in_tasks(rows: DataFrame, root: str, schema: pa.Schema, partition_by: Sequence[str]) -> list[DataFile]:
    """Write the rows, each task's in their order; rows of one partition must be next to each other in a task."""
    written = rows.mapInArrow(_writer(root, schema, tuple(partition_by)), _COLUMNS).toArrow().to_pylist()
    return [DataFile(**(file | {"partition": json.loads(file["partition"])})) for file in written]


def _writer(
    root: str, schema: pa.Schema, by: tuple[str, ...]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        files = [_described(file) for file in _written(batches, root, schema, by)]
        if files:
            yield pa.RecordBatch.from_pylist(files)

    return write


def _described(file: DataFile) -> dict[str, object]:
    return vars(file) | {"partition": json.dumps(file.partition)}


def _written(
    batches: Iterable[pa.RecordBatch], root: str, schema: pa.Schema, by: tuple[str, ...]
) -> Iterator[DataFile]:
    """Write a file for each partition, a row group whenever enough rows have come."""
    current: tuple[str | None, ...] | None = None
    file: NewFile | None = None
    waiting: list[pa.Table] = []
    for batch in batches:
        for partition, rows in in_partitions(pa.Table.from_batches([batch]).cast(schema), by):
            values = tuple(partition.values())
            if file is None or values != current:
                if file is not None:
                    yield _finished(file, waiting)
                file, current, waiting = NewFile(root, partition, rows.schema), values, []
            waiting.append(rows)
            if sum(part.nbytes for part in waiting) >= ROW_GROUP_BYTES:
                file.append(pa.concat_tables(waiting))
                waiting = []
    if file is not None:
        yield _finished(file, waiting)


def _finished(file: NewFile, waiting: Sequence[pa.Table]) -> DataFile:
    if waiting:
        file.append(pa.concat_tables(waiting))
    return file.close()
