"""Write files of Parquet, on a disk or an object store; each appears when it is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pyarrow import fs

from featurestore.columnar.ranks import tuple_ranks
from featurestore.errors import StorageError
from featurestore.stores.delta.data_files import folder_name
from featurestore.stores.file_system_faults import advice_of
from featurestore.stores.places import Folder

_ROWS_AT_ONCE = 1 << 17
_ONLY_FILE = "dataset.parquet"


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Raise StorageError for what the file system refuses; ``path``: as the user names the place."""
    try:
        yield
    except OSError as error:
        advice = advice_of(str(error)) or "see that the place can be written, and try again"
        raise StorageError(f"{path} was not written ({error}): {advice}") from error


def kind_at(folder: Folder) -> fs.FileType:
    """Whether there is a file, a folder, or nothing at the folder's own path."""
    return (folder.system or fs.LocalFileSystem()).get_file_info(folder.path).type


def append_to_file(path: Path, rows: pa.Table) -> None:
    """Write a local file anew with the rows at its end; readers see the old file until the new one is complete."""
    with FileLock(path.with_name(f".{path.name}.lock")), pq.ParquetFile(path) as old:
        schema = old.schema_arrow
        with _replacing(path) as new, pq.ParquetWriter(new, schema) as writer:
            for batch in old.iter_batches(_ROWS_AT_ONCE):
                writer.write_batch(batch)
            writer.write_table(rows.cast(schema))


def add_to_folder(folder: Folder, rows: pa.Table, by: Sequence[str] = ()) -> None:
    """Add files with the rows, below folders that are named by the columns ``by`` as Hive names them."""
    for below, part in _in_folders(rows, by):
        _write(folder, f"{folder.path.rstrip('/')}/{below}part-{uuid4().hex}.parquet", part)


def replace_all(folder: Folder, rows: pa.Table) -> None:
    """Put one file with the rows in the place of all that is there.

    It is the place itself if that is a file, or is nothing yet and its name ends with ``.parquet``; else the only file
    of the folder. Another's files are removed before it appears: then a failure leaves rows missing, none twice.
    """
    found = kind_at(folder)
    if found == fs.FileType.File or (found == fs.FileType.NotFound and folder.path.endswith(".parquet")):
        _write(folder, folder.path, rows)
        return
    target = f"{folder.path.rstrip('/')}/{_ONLY_FILE}"
    system = folder.system or fs.LocalFileSystem()
    for each in system.get_file_info(fs.FileSelector(folder.path, recursive=True, allow_not_found=True)):
        if each.type == fs.FileType.File and each.path != target:
            system.delete_file(each.path)
    _write(folder, target, rows)


def _write(folder: Folder, path: str, rows: pa.Table) -> None:
    if folder.system is None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _replacing(target) as new:
            pq.write_table(rows, new)
        return
    # Complete before the upload begins: what is sent of an object whose writer fails might become the object.
    content = pa.BufferOutputStream()
    pq.write_table(rows, content)
    with folder.system.open_output_stream(path) as out:
        out.write(content.getvalue())


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    new = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _in_folders(rows: pa.Table, by: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each folder without the columns that its path names, which ends with a slash."""
    if not by:
        yield "", rows
        return
    texts = pa.table({name: rows.column(name).cast(pa.string()) for name in by})
    folders, firsts = np.unique(numbers := tuple_ranks(texts.columns), return_index=True)
    for folder, first in zip(folders, firsts, strict=True):
        [values] = texts.slice(first, 1).to_pylist()
        below = "".join(f"{folder_name(name, value)}/" for name, value in values.items())
        yield below, rows.drop_columns(list(by)).filter(pa.array(numbers == folder))
