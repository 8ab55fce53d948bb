"""A file of Parquet, or a folder of such files, as it is now: listed once, with the footer of each file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from featurestore.columnar.as_of.value_files import Bounds
from featurestore.errors import NotFoundError, SchemaError, StorageError
from featurestore.stores.file_system_faults import advice_of
from featurestore.stores.outside.casts import INSTANT, plain_type, wider_type
from featurestore.stores.outside.listing import ListedFile, Listing
from featurestore.stores.outside.pins import FilePin, SourcePin
from featurestore.stores.outside.rows import bounds_in
from featurestore.stores.places import Folder

# Folders and files whose names begin so are hidden from readers, as everywhere.
_HIDDEN = ("_", ".")
# What Hive writes for null.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_READERS = 8


@dataclass(frozen=True)
class _File:
    """A file below the root: ``pin`` has its path from there; ``folders``: the values in the names of folders."""

    pin: FilePin
    place: str
    folders: tuple[tuple[str, str | None], ...]
    metadata: pq.FileMetaData

    @property
    def schema(self) -> pa.Schema:
        """The columns that the file itself holds, in plain types."""
        stored, physical = self.metadata.schema.to_arrow_schema(), self._leaves
        fields = []
        for each in stored:
            leaf = physical.get(each.name)
            is_int96 = leaf is not None and self.metadata.schema.column(leaf).physical_type == "INT96"
            # Instants in UTC, by the convention of all that write them.
            fields.append(pa.field(each.name, INSTANT if is_int96 else plain_type(each.type)))
        return pa.schema(fields)

    @property
    def _leaves(self) -> dict[str, int]:
        return {self.metadata.schema.column(at).path: at for at in range(self.metadata.num_columns)}

    def bounds(self, name: str, kind: pa.DataType) -> Bounds:
        """See ``Facts``."""
        stored = self.metadata.schema.to_arrow_schema()
        place = stored.get_field_index(name)
        if place < 0:
            return None, None
        leaf, own = self._leaves.get(name), stored.field(place).type
        every = [bounds_in(self.metadata, at, leaf, own, kind) for at in range(self.metadata.num_row_groups)]
        lows, highs = [low for low, _ in every], [high for _, high in every]
        low = None if None in lows or not lows else min(lows)  # type: ignore[type-var]
        return low, None if None in highs or not highs else max(highs)  # type: ignore[type-var]


def list_parquet(
    name: str, root: str, path: str, pinned: SourcePin | None = None, options: Mapping[str, str] | None = None
) -> Listing:
    """List what is at ``root``, a local path or a URI as Arrow spells it; ``path``: as the source spells it.

    ``pinned``: the files to list; others, which came later, are left out. ``options``: see ``Folder.of``. Raises
    NotFoundError if there is no file, SchemaError if a file is not Parquet or its types fit no other's, and
    StorageError if the place does not answer, or if pinned files are gone or changed.
    """
    try:
        folder = Folder.of(root, options)
        system = folder.system or fs.LocalFileSystem()
        found = list(_files(system, folder.path))
    except (OSError, pa.ArrowException) as error:
        raise _unreachable(name, path, error) from error
    if not found:
        raise NotFoundError(
            f"{name}: there is no file of Parquet at {path}; names that begin with '_' or '.' are skipped. Land the "
            "data, or correct the source"
        )
    if pinned is not None:
        found = _pinned(name, path, folder.path, found, pinned)
    with ThreadPoolExecutor(_READERS) as pool:
        files = list(pool.map(lambda each: _opened(name, path, folder.path, system, each), found))
    folders = frozenset(key for file in files for key, _ in file.folders)
    schema = _common_schema(name, path, files, folders)
    return Listing(
        schema=schema,
        files=[_listed(path, file) for file in files],
        pin=SourcePin(kind="parquet", place=path, files=tuple(file.pin for file in files)),
        folders=folders,
        system=folder.system,
    )


def _pinned(name: str, path: str, root: str, found: Sequence[fs.FileInfo], pinned: SourcePin) -> list[fs.FileInfo]:
    wanted = {file.path for file in pinned.files}
    kept = [facts for facts in found if _below(root, facts.path) in wanted]
    now = SourcePin(kind="parquet", place=path, files=tuple(_pin(root, facts) for facts in kept))
    if (changes := pinned.changes_to(now)) is not None:
        raise StorageError(f"{name}: {pinned} cannot be read again: {changes}")
    return kept


def _pin(root: str, facts: fs.FileInfo) -> FilePin:
    return FilePin(path=_below(root, facts.path), bytes=facts.size, modified=facts.mtime_ns or 0)


def _files(system: fs.FileSystem, root: str) -> Iterator[fs.FileInfo]:
    """The file itself, or all files below the folder, in the order of their names."""
    facts = system.get_file_info(root)
    if facts.type == fs.FileType.NotFound:
        return
    if facts.type == fs.FileType.File:
        yield facts
        return
    below = system.get_file_info(fs.FileSelector(root, recursive=True))
    for each in sorted(below, key=lambda file: file.path):
        if each.type == fs.FileType.File and not _is_hidden(_below(root, each.path)):
            yield each


def _below(root: str, path: str) -> str:
    return path.removeprefix(root).lstrip("/") or PurePosixPath(path).name


def _is_hidden(path: str) -> bool:
    """A folder such as ``_day=1`` holds a column's values, and is not hidden."""
    parts = path.split("/")
    return any(part.startswith(_HIDDEN) and (part is parts[-1] or "=" not in part) for part in parts)


def _opened(name: str, path: str, root: str, system: fs.FileSystem, facts: fs.FileInfo) -> _File:
    below = _below(root, facts.path)
    try:
        with pq.ParquetFile(facts.path, filesystem=system) as opened:
            metadata = opened.metadata
    except FileNotFoundError as error:
        raise StorageError(
            f"{name}: {below} of {path} was removed while it was listed; run it again when its writer is done"
        ) from error
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"{name}: {below} of {path} is not Parquet, or is cut off ({error}); remove it, or put a whole file in its "
            "place"
        ) from error
    except OSError as error:
        raise _unreachable(name, f"{below} of {path}", error) from error
    folders = tuple(
        (unquote(key), None if value == _NO_VALUE else unquote(value))
        for key, is_pair, value in (part.partition("=") for part in below.split("/")[:-1])
        if is_pair
    )
    return _File(_pin(root, facts), facts.path, folders, metadata)


def _unreachable(name: str, place: str, error: Exception) -> StorageError:
    advice = advice_of(str(error)) or "see that the place can be reached, and correct the source"
    return StorageError(f"{name}: {place} cannot be read ({error}): {advice}")


def _common_schema(name: str, path: str, files: Sequence[_File], folders: frozenset[str]) -> pa.Schema:
    """The columns of all files, in the types that hold the values of each; then those of names of folders."""
    types: dict[str, tuple[pa.DataType, str]] = {}
    for file in files:
        for own in file.schema:
            if own.name in folders:
                raise SchemaError(
                    f"{name}: column {own.name!r} of {path} is in {file.pin.path} and in the names of folders; rename "
                    "the folders, or drop the column"
                )
            kind, first = types.get(own.name, (own.type, file.pin.path))
            wider = wider_type(kind, own.type)
            if wider is None:
                raise SchemaError(
                    f"{name}: column {own.name!r} of {path} is {kind} in {first} and {own.type} in {file.pin.path}, "
                    "and no type holds both without loss; write one of them again"
                )
            types[own.name] = (wider, first if wider == kind else file.pin.path)
        keys = [key for key, _ in file.folders]
        if set(keys) != folders:
            raise SchemaError(
                f"{name}: {file.pin.path} of {path} lies below folders for {keys}, and others below folders for "
                f"{sorted(folders)}; give all files the same folders"
            )
    fields = [pa.field(column, kind) for column, (kind, _) in types.items()]
    return pa.schema([*fields, *(pa.field(key, pa.string()) for key in sorted(folders))])


def _listed(path: str, file: _File) -> ListedFile:
    is_root = file.place.endswith(path) and file.pin.path == PurePosixPath(path).name
    return ListedFile(
        path=path if is_root else f"{path.rstrip('/')}/{file.pin.path}",
        place=file.place,
        rows=file.metadata.num_rows,
        bytes=file.pin.bytes,
        facts=file,
        constants=dict(file.folders),
        folders=True,
        state=(file.pin.bytes, file.pin.modified),
    )
