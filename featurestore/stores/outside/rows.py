"""A Parquet file of a user's table as a reader wants it: renamed, cast, and without rows that are not the tenant's.

It is also a file of values for the as-of kernel, here or in a task of Spark, so this module needs only Arrow, NumPy and
what is sent with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from featurestore.columnar.as_of.value_files import Bounds, RowGroup
from featurestore.columnar.fixed_width import Mask, as_arrow, as_numpy
from featurestore.columnar.ranks import one_array
from featurestore.stores.outside.casts import bound_of, cast_column, not_null, plain_type
from featurestore.stores.value_files.parquet import ChangedFileError, UnreadableFileError

_NO_BOUNDS: Bounds = (None, None)
# A text key as the kernel takes it: it then compares each distinct text once.
_ENCODED = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class WantedColumn:
    """A column that a reader wants: the source's name for it, its type here, and how its nanoseconds are rounded.

    - ``type``: None gives the column in the type that the source has;
    - ``otherwise``: the column whose value takes the place of null;
    - ``length``: of lists, how many elements each must have; None for any number.
    """

    source: str
    type: pa.DataType | None = None
    rounded_up: bool = False
    otherwise: str | None = None
    length: int | None = None

    @property
    def sources(self) -> list[str]:
        return [self.source] if self.otherwise in (None, self.source) else [self.source, str(self.otherwise)]


@dataclass(frozen=True)
class WantedRows:
    """What a reader wants of each file of a source.

    - ``columns``: by the reader's name;
    - ``stored``: the source's columns, with the plain types that all files have in common;
    - ``required``: columns of the source; a row in which one of them is null is left out;
    - ``tenant``: a column of the source, and the text that it has in the rows that are wanted; None for all rows;
    - ``keys``: the reader's names of the kernel's join keys;
    - ``zone``: in which timestamps without one are read.
    """

    columns: Mapping[str, WantedColumn]
    stored: pa.Schema
    required: tuple[str, ...] = ()
    tenant: tuple[str, str] | None = None
    keys: tuple[str, ...] = ()
    zone: str | None = None

    def type_of(self, name: str) -> pa.DataType:
        """The type of one of the reader's columns."""
        wanted = self.columns[name]
        kind: pa.DataType = wanted.type or self.stored.field(wanted.source).type
        return _ENCODED if name in self.keys and kind == pa.string() else kind

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(name, self.type_of(name)) for name in self.columns])


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnreadableFileError(path, error) from error


@dataclass(frozen=True)
class OutsideFile:
    """A file of a user's table, as the source's log or its own footer describes it.

    - ``path``: as messages name it; ``place``: its path on ``system``, None for this machine's disk;
    - ``constants``: columns of the source whose one value the file's folder or the log holds, not the file itself; and
      ``given``: by the reader's and the source's names the values of those that are wanted, in the types wanted;
    - ``bounds``: of the join keys; ``created``: of the created timestamps, in microseconds since 1970;
    - ``state``: bytes and time of the last change in ns, which must be the same when it is read; None for the files of
      Delta, which never change.
    """

    path: str
    place: str
    wanted: WantedRows
    rows: int
    bytes: int
    bounds: tuple[Bounds, ...] = ()
    created: tuple[int | None, int | None] = (None, None)
    constants: frozenset[str] = frozenset()
    given: Mapping[tuple[str, str], pa.Scalar] = field(default_factory=dict)
    state: tuple[int, int] | None = None
    system: fs.FileSystem | None = field(default=None, compare=False)

    def open(self) -> OpenedOutside:
        """Read the file's footer, and which of its rows are wanted; raises UnreadableFileError."""
        with _reading(self.path):
            self.check_state()
            # Not mapped into memory: a file that its owner cuts off meanwhile would end the process.
            metadata = pq.read_metadata(self.place, filesystem=self.system)
            opened = pq.ParquetFile(
                self.place,
                metadata=metadata,
                filesystem=self.system,
                read_dictionary=self._encoded(metadata),
                coerce_int96_timestamp_unit="us",
                pre_buffer=self.system is not None,
            )
            return OpenedOutside(self, opened)

    def _encoded(self, metadata: pq.FileMetaData) -> list[str]:
        """The columns of the file that are text keys; others may be names of folders, or not in every file."""
        keys = (self.wanted.columns[name].source for name in self.wanted.keys)
        own = {metadata.schema.column(at).path for at in range(metadata.num_columns)}
        return [name for name in keys if name in own and self.wanted.stored.field(name).type == pa.string()]

    def check_state(self) -> None:
        """Raise ChangedFileError if the file is no longer what was listed."""
        if self.state is None:
            return
        facts = (self.system or fs.LocalFileSystem()).get_file_info(self.place)
        if facts.type == fs.FileType.NotFound or (facts.size, facts.mtime_ns) != self.state:
            raise ChangedFileError("it was changed or removed while the source was read")

    def read(self, columns: Sequence[str], ranges: Mapping[str, Bounds] | None = None) -> pa.Table:
        """The wanted rows with these columns, without row groups that hold no value within ``ranges``."""
        opened = self.open()
        chosen = [at for at in range(len(opened.row_groups)) if opened.may_hold(at, ranges or {})]
        if not chosen:
            return pa.schema([(name, self.wanted.type_of(name)) for name in columns]).empty_table()
        return opened.read(chosen, columns)


class OpenedOutside:
    """A file whose footer was read; its row groups have only the wanted rows, and those without one are left out."""

    def __init__(self, file: OutsideFile, parquet: pq.ParquetFile) -> None:
        self._file, self._parquet, self._wanted = file, parquet, file.wanted
        metadata = parquet.metadata
        self._leaves = {metadata.schema.column(at).path: at for at in range(metadata.num_columns)}
        self._stored = parquet.schema_arrow
        # By row group that is kept: its number in the file, and its wanted rows, None for all.
        self._kept: list[tuple[int, Mask | None]] = []
        self.row_groups: list[RowGroup] = []
        for number in range(metadata.num_row_groups):
            self._keep(number)

    def _keep(self, number: int) -> None:
        group = self._parquet.metadata.row_group(number)
        mask = self._wanted_rows(number)
        rows = group.num_rows if mask is None else int(mask.sum())
        if rows:
            bounds = tuple(self._key_bounds(number, name) for name in self._wanted.keys)
            self._kept.append((number, mask))
            self.row_groups.append(RowGroup(rows, group.total_byte_size, bounds))

    def _key_bounds(self, number: int, name: str) -> Bounds:
        wanted = self._wanted.columns[name]
        if wanted.source in self._file.constants:
            return self._file.bounds[self._wanted.keys.index(name)]
        return self._bounds(number, wanted.source, self._wanted.type_of(name))

    def _wanted_rows(self, number: int) -> Mask | None:
        """The rows of a row group that are wanted; None if all are. Reads columns only where statistics do not tell."""
        unsure = [name for name in self._wanted.required if self._may_be_null(number, name)]
        tenant = self._wanted.tenant
        if tenant is not None and tenant[0] not in self._file.constants:
            verdict = self._is_of_tenant(number, *tenant)
            if verdict is False:
                return np.zeros(self._parquet.metadata.row_group(number).num_rows, bool)
            if verdict is None:
                unsure.append(tenant[0])
        else:
            tenant = None
        if not unsure:
            return None
        if any(name not in self._stored.names for name in unsure):
            # A column that the file does not have is null in all its rows.
            return np.zeros(self._parquet.metadata.row_group(number).num_rows, bool)
        rows = self._parquet.read_row_groups([number], list(dict.fromkeys(unsure)), use_threads=False)
        mask = np.ones(rows.num_rows, bool)
        for name in unsure:
            column = rows.column(name)
            if tenant is not None and name == tenant[0]:
                texts = one_array(column).cast(pa.string())
                mask &= as_numpy(pc.fill_null(pc.equal(texts, tenant[1]), False))
            else:
                mask &= not_null(column)
        return None if mask.all() else mask

    def _may_be_null(self, number: int, name: str) -> bool:
        if name in self._file.constants:
            return False
        statistics = self._statistics(number, name)
        return statistics is None or not statistics.has_null_count or statistics.null_count > 0

    def _is_of_tenant(self, number: int, name: str, tenant_id: str) -> bool | None:
        """Whether all rows of a row group are the tenant's (True), none is (False), or nobody knows (None)."""
        statistics = self._statistics(number, name)
        if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, str):
            return None
        if statistics.min == statistics.max == tenant_id and statistics.has_null_count and not statistics.null_count:
            return True
        wanted, low, high = tenant_id.encode(), statistics.min.encode(), statistics.max.encode()
        return None if low <= wanted <= high else False

    def _statistics(self, number: int, name: str) -> Any:
        leaf = self._leaves.get(name)
        return None if leaf is None else self._parquet.metadata.row_group(number).column(leaf).statistics

    def _bounds(self, number: int, name: str, kind: pa.DataType) -> Bounds:
        """The bounds of a column of the file in a row group, if its values compare as those of ``kind`` do."""
        if name not in self._stored.names:
            return _NO_BOUNDS
        return bounds_in(self._parquet.metadata, number, self._leaves.get(name), self._stored.field(name).type, kind)

    def may_hold(self, at: int, ranges: Mapping[str, Bounds]) -> bool:
        """Whether a row group may have rows with values within these ranges of the reader's columns."""
        for name, (first, last) in ranges.items():
            if self._wanted.columns[name].source in self._file.constants or self._wanted.columns[name].otherwise:
                continue
            low, high = self._bounds(self._kept[at][0], self._wanted.columns[name].source, self._wanted.type_of(name))
            if (low is not None and last is not None and low > last) or (  # type: ignore[operator]
                high is not None and first is not None and high < first  # type: ignore[operator]
            ):
                return False
        return True

    def stored_bytes(self, groups: Sequence[int], columns: Sequence[str]) -> int:
        """The bytes that these columns of these row groups take in the file."""
        sources = {source for name in columns for source in self._wanted.columns[name].sources}
        parts = (self._parquet.metadata.row_group(self._kept[at][0]) for at in groups)
        chunks = (group.column(number) for group in parts for number in range(group.num_columns))
        return sum(
            chunk.total_compressed_size
            for chunk in chunks
            if chunk.path_in_schema in sources or chunk.path_in_schema.split(".")[0] in sources
        )

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """See ``OpenedFile``; raises UnreadableFileError."""
        kept = [self._kept[at] for at in groups]
        sources = list(dict.fromkeys(source for name in columns for source in self._wanted.columns[name].sources))
        present = [name for name in sources if name in self._stored.names and name not in self._file.constants]
        with _reading(self._file.path):
            rows = self._parquet.read_row_groups([number for number, _ in kept], present, use_threads=False)
            self._file.check_state()
            count = sum(self._parquet.metadata.row_group(number).num_rows for number, _ in kept)
            mask = self._mask(kept)
            if mask is not None:
                rows, count = rows.filter(as_arrow(mask)), int(mask.sum())
            return pa.table({name: self._column(rows, name, count) for name in columns})

    def _mask(self, kept: Sequence[tuple[int, Mask | None]]) -> Mask | None:
        if all(mask is None for _, mask in kept):
            return None
        return np.concatenate(
            [
                np.ones(self._parquet.metadata.row_group(number).num_rows, bool) if mask is None else mask
                for number, mask in kept
            ]
        )

    def _column(self, rows: pa.Table, name: str, count: int) -> Any:
        wanted, kind = self._wanted.columns[name], self._wanted.type_of(name)
        if kind == _ENCODED:
            if wanted.source in rows.column_names and rows.column(wanted.source).type == _ENCODED:
                return rows.column(wanted.source)
            return self._of_source(rows, name, wanted.source, pa.string(), count).dictionary_encode().cast(_ENCODED)
        column, *others = (self._of_source(rows, name, source, kind, count) for source in wanted.sources)
        for other in others:
            column = pc.coalesce(one_array(column), one_array(other))
        if wanted.length is not None:
            self._check_lengths(wanted, column)
        return column

    def _of_source(self, rows: pa.Table, name: str, source: str, kind: pa.DataType, count: int) -> Any:
        wanted = self._wanted.columns[name]
        value = self._file.given.get((name, source))
        if value is not None:
            return pa.repeat(value, count) if value.is_valid else pa.nulls(count, kind)
        if source not in rows.column_names:
            return pa.nulls(count, kind)
        column, stored = rows.column(source), self._wanted.stored.field(source).type
        if column.type != kind and plain_type(column.type) != stored:
            # Timestamps that a log calls instants are in UTC, whatever the file says.
            column = _as_stored(column, stored)
        return cast_column(column, kind, self._wanted.zone, up=wanted.rounded_up)

    def _check_lengths(self, wanted: WantedColumn, column: Any) -> None:
        found = pc.min_max(pc.list_value_length(column)).as_py()
        if found["min"] is not None and (found["min"], found["max"]) != (wanted.length, wanted.length):
            raise pa.ArrowInvalid(
                f"column {wanted.source!r} has lists of {found['min']} to {found['max']} elements, and each must have "
                f"{wanted.length}"
            )


def _as_stored(column: Any, stored: pa.DataType) -> Any:
    kind = plain_type(column.type)
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(stored) and kind.tz is None and stored.tz is not None:
        return cast_column(column.cast(kind), pa.timestamp(kind.unit), None).cast(pa.timestamp(kind.unit, "UTC"))
    return cast_column(column, stored, None)


def bounds_in(
    metadata: pq.FileMetaData, number: int, leaf: int | None, stored: pa.DataType, kind: pa.DataType
) -> Bounds:
    """The bounds of a leaf column in a row group by its statistics, if its values compare as those of ``kind`` do."""
    own = plain_type(stored)
    if leaf is None or not compare_alike(own, kind):
        return _NO_BOUNDS
    column = metadata.row_group(number).column(leaf)
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max or column.physical_type == "INT96":
        return _NO_BOUNDS
    return bound_of(statistics.min_raw, own, is_high=False), bound_of(statistics.max_raw, own, is_high=True)


def compare_alike(own: pa.DataType, kind: pa.DataType) -> bool:
    """Whether values of a plain type, cast to another type, keep their order and their units for the kernel."""
    plain = plain_type(kind)
    if pa.types.is_signed_integer(own) and pa.types.is_signed_integer(plain):
        return True
    if pa.types.is_timestamp(own) and pa.types.is_timestamp(plain):
        return bool((own.tz is None) == (plain.tz is None))
    return bool(own == plain)


@dataclass(frozen=True)
class FileRows:
    """Some files as one function of Spark's tasks: it takes batches of the numbers of files, and gives their rows."""

    files: tuple[OutsideFile, ...]
    columns: tuple[str, ...]

    def read(self, batches: Any) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from self._of_file(self.files[number])

    def _of_file(self, file: OutsideFile) -> Iterator[pa.RecordBatch]:
        opened = file.open()
        for at in range(len(opened.row_groups)):
            yield from opened.read([at], self.columns).to_batches()
