"""Files of an export, written by this process: rows are encoded in parallel, and written in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.columnar.rows.file_layout import FileLimits, row_groups
from featurestore.columnar.rows.fingerprint import Fingerprint
from featurestore.stores.files.exports import ExportedRows, Staging

# The rows that are encoded at a time; in Parquet, a row group.
_LIMITS = FileLimits(group_rows=1 << 15, group_bytes=1 << 24)
_PARQUET_LIMITS = FileLimits(group_rows=1 << 17, group_bytes=1 << 26)


Item = TypeVar("Item")
Result = TypeVar("Result")


class ExportFile(Protocol):
    """A file that is being written."""

    def write(self, rows: pa.Table, encoded: pa.Buffer | None) -> None:
        """Write rows; ``encoded``: what the format's ``encode`` made of them."""

    def close(self) -> None: ...


class ExportFiles(Protocol):
    """A format of files."""

    suffix: str
    limits: FileLimits

    def begin(self, sink: pa.NativeFile, schema: pa.Schema) -> ExportFile: ...

    def encode(self, rows: pa.Table) -> pa.Buffer | None:
        """What can be made of rows by any thread; raises UndecidedError for a value that only Spark can write."""

    def check(self, staging: Staging, name: str, rows: int, encoded: int) -> None:
        """Raise InvariantError unless a whole file has so many rows, or bytes that ``encode`` gave."""


def write_tables(
    staging: Staging,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    files: ExportFiles,
    threads: int,
    on_rows: Callable[[int], None],
) -> ExportedRows:
    """Write a file of each table that has rows, ``part-00000`` and so on, or one without rows; hash the rows.

    ``on_rows`` is told how many rows are written so far. Raises UndecidedError for a value that only Spark can write,
    and InvariantError if the files do not hold what was written.
    """
    content, names, number, folder = Fingerprint(), sorted(schema.names), 0, staging.folder

    def prepared(rows: pa.Table) -> tuple[pa.Table, Fingerprint, pa.Buffer | None]:
        hashed = Fingerprint()
        hashed.add(rows, names)
        return rows, hashed, files.encode(rows)

    with ThreadPoolExecutor(threads) as pool:
        for table in _with_rows(tables, schema):
            name, before, encoded_bytes = f"part-{number:05d}{files.suffix}", content.rows, 0
            with folder.create(name) as sink:
                opened = files.begin(sink, schema)
                try:
                    for rows, hashed, encoded in _in_order(
                        pool, prepared, row_groups(table, files.limits), 2 * threads
                    ):
                        opened.write(rows, encoded)
                        content.merge(hashed)
                        encoded_bytes += 0 if encoded is None else encoded.size
                        on_rows(content.rows)
                finally:
                    opened.close()
            files.check(staging, name, content.rows - before, encoded_bytes)
            number += 1
    return ExportedRows(content.rows, content.text)


def _with_rows(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The tables that have rows, or one without: readers need a schema even if there are no rows."""
    count = 0
    for table in tables:
        if table.num_rows:
            count += 1
            yield table.cast(schema)
    if not count:
        yield schema.empty_table()


def _in_order(
    pool: ThreadPoolExecutor, call: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Iterator[Result]:
    """What the call makes of each item, in order; at most so many wait at a time."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(call, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class ParquetFiles:
    """Parquet, with instants as UTC microseconds."""

    suffix = ".parquet"
    limits = _PARQUET_LIMITS

    def begin(self, sink: pa.NativeFile, schema: pa.Schema) -> ExportFile:
        writer = pq.ParquetWriter(
            sink,
            schema,
            compression="snappy",
            coerce_timestamps="us",
            store_schema=False,
            store_decimal_as_integer=True,
        )
        return _TableFile(writer)

    def encode(self, rows: pa.Table) -> None:
        return None

    def check(self, staging: Staging, name: str, rows: int, encoded: int) -> None:
        folder = staging.folder
        footer = pq.read_metadata(folder.file(name), filesystem=folder.system)
        staging.check_total("rows", footer.num_rows, rows)


class ArrowFiles:
    """Arrow IPC files."""

    suffix = ".arrow"
    limits = _LIMITS

    def begin(self, sink: pa.NativeFile, schema: pa.Schema) -> ExportFile:
        return _TableFile(pa.ipc.new_file(sink, schema))

    def encode(self, rows: pa.Table) -> None:
        return None

    def check(self, staging: Staging, name: str, rows: int, encoded: int) -> None:
        folder = staging.folder
        place = folder.file(name)
        source = pa.memory_map(place) if folder.system is None else folder.system.open_input_file(place)
        with source, pa.ipc.open_file(source) as reader:
            found = sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
        staging.check_total("rows", found, rows)


class _TableFile:
    def __init__(self, writer: pq.ParquetWriter | pa.ipc.RecordBatchFileWriter) -> None:
        self._writer = writer

    def write(self, rows: pa.Table, encoded: pa.Buffer | None) -> None:
        self._writer.write_table(rows.combine_chunks(), max(1, rows.num_rows))

    def close(self) -> None:
        self._writer.close()


class TextFiles:
    """Lines of text: ``lines`` makes one of each row, with its end; ``header`` is the first of each file."""

    limits = _LIMITS

    def __init__(self, suffix: str, header: str, lines: Callable[[pa.Table], pa.Array]) -> None:
        self.suffix = suffix
        self._header = header.encode("utf-8")
        self._lines = lines

    def begin(self, sink: pa.NativeFile, schema: pa.Schema) -> ExportFile:
        sink.write(self._header)
        return _TextFile(sink)

    def encode(self, rows: pa.Table) -> pa.Buffer:
        return text_of(self._lines(rows))

    def check(self, staging: Staging, name: str, rows: int, encoded: int) -> None:
        [found] = staging.folder.found([name])
        staging.check_total("bytes", found.size, len(self._header) + encoded)


class _TextFile:
    def __init__(self, sink: pa.NativeFile) -> None:
        self._sink = sink

    def write(self, rows: pa.Table, encoded: pa.Buffer | None) -> None:
        assert encoded is not None
        self._sink.write(encoded)

    def close(self) -> None:
        """Nothing is left to write."""


def text_of(lines: pa.Array) -> pa.Buffer:
    """Lines one after the other, in UTF-8; there must be at least one, and none may be null or empty."""
    _, offsets, content = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return content[int(ends[0]) : int(ends[-1])]
