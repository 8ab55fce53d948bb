"""Where a table's files are for Arrow and delta-rs: on this machine's disk, or on a file system that a URI names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlparse
from uuid import uuid4

from pyarrow import fs

from featurestore.errors import StorageError
from featurestore.object_stores import is_object_store
from featurestore.stores.objects import environment, put_new, remove

# Hadoop's names of schemes, and Arrow's.
_RENAMED = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


def library_uri(path: str) -> str:
    """A URI as Arrow and delta-rs spell it, from Hadoop's spelling, which encodes no character.

    The libraries find credentials and endpoints in the environment, unless options name them.
    """
    scheme, _, rest = path.partition("://")
    store, slash, inner = rest.partition("/")
    return f"{_RENAMED.get(scheme, scheme)}://{store}{slash}{quote(inner)}"


@dataclass(frozen=True)
class Folder:
    """A table's folder: its path on a file system of Arrow; ``system`` is None for this machine's disk.

    ``store``: of an object store its URI, without the path.
    """

    path: str
    system: fs.FileSystem | None
    store: str | None = None

    @classmethod
    def of(cls, root: str, options: Mapping[str, str] | None = None) -> Folder:
        """``root``: a local path, or a URI of ``library_uri``; raises OSError or ArrowInvalid if Arrow refuses it.

        ``options``: credentials, endpoint and region of a store of S3's kind, by the names that they have in the
        environment; what is not among them is found there.
        """
        if "://" not in root:
            return cls(root, None)
        if options and root.startswith("s3://"):
            return cls(unquote(root.removeprefix("s3://")), _s3(options))
        if root.startswith("hdfs://"):
            # Arrow's own needs Hadoop's native library, which few machines have.
            from deltalake.fs import DeltaStorageHandler

            return cls("", fs.PyFileSystem(DeltaStorageHandler(root)))
        if not is_object_store(root):
            system, path = fs.FileSystem.from_uri(root)
            return cls(path, system)
        scheme, _, rest = root.partition("://")
        name, _, inner = rest.partition("/")
        store = f"{scheme}://{name}"
        system, base = _system(store, environment())
        return cls("/".join(part for part in (base, unquote(inner)) if part), system, store)

    def file(self, path: str) -> str:
        """The path, on the folder's file system, of a file that the table's log names."""
        if self.system is None:
            return str(Path(self.path, path))
        return f"{self.path}/{path}" if self.path else path

    def key(self, path: str) -> str:
        """The key of a file of the folder in an object store."""
        return self.file(path).partition("/")[2]

    @property
    def files(self) -> fs.FileSystem:
        return self.system or fs.LocalFileSystem()

    def found(self, paths: Sequence[str]) -> list[fs.FileInfo]:
        """What is known of files in the folder, also of those that are not there."""
        known: list[fs.FileInfo] = self.files.get_file_info([self.file(path) for path in paths])
        return known

    def listed(self, path: str = "", *, recursive: bool = False) -> list[fs.FileInfo]:
        """The files and folders in the folder, or in one of its folders; none if it is not there."""
        place = self.file(path) if path else self.path
        below: list[fs.FileInfo] = self.files.get_file_info(
            fs.FileSelector(place, allow_not_found=True, recursive=recursive)
        )
        return below

    def read(self, path: str) -> bytes:
        """A file's content; raises FileNotFoundError if it is not there."""
        with self.files.open_input_stream(self.file(path)) as opened:
            content: bytes = opened.read()
        return content

    def create(self, path: str) -> Any:
        """A stream into a new file, with the folders that it needs."""
        if self.system is None:
            Path(self.path, path).parent.mkdir(parents=True, exist_ok=True)
        return self.files.open_output_stream(self.file(path))

    def put_new(self, path: str, content: bytes) -> bool:
        """Write a new file, in one step; False if there is one already."""
        if self.system is None:
            return _linked(Path(self.path, path), content)
        if self.store is None:
            raise StorageError(f"{self.path}: only Spark commits on this file system; set small_tables to 'spark'")
        return put_new(self.store, self.key(path), content)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        if self.store is not None:
            remove(self.store, [self.key(path)])
            return
        with suppress(FileNotFoundError):
            self.files.delete_file(self.file(path))


def _linked(file: Path, content: bytes) -> bool:
    # Readers of a log ignore hidden files, and an erasure removes those that a crash left.
    written = file.with_name(f".{uuid4().hex}.tmp")
    written.write_bytes(content)
    try:
        os.link(written, file)
    except FileExistsError:
        return False
    finally:
        written.unlink()
    return True


@lru_cache(maxsize=16)
def _system(store: str, known: tuple[tuple[str, str], ...]) -> tuple[fs.FileSystem, str]:
    """Arrow's file system of a store, and the store's path there; anew in another environment."""
    system, path = fs.FileSystem.from_uri(store)
    return system, path


def _s3(options: Mapping[str, str]) -> fs.FileSystem:
    endpoint = urlparse(options.get("AWS_ENDPOINT_URL", ""))
    given = {
        "access_key": options.get("AWS_ACCESS_KEY_ID"),
        "secret_key": options.get("AWS_SECRET_ACCESS_KEY"),
        "session_token": options.get("AWS_SESSION_TOKEN"),
        "region": options.get("AWS_REGION") or options.get("AWS_DEFAULT_REGION"),
        "endpoint_override": endpoint.netloc or None,
        "scheme": endpoint.scheme or None,
    }
    return fs.S3FileSystem(**{name: value for name, value in given.items() if value})


def place_of(root: str, path: str) -> tuple[str, fs.FileSystem | None]:
    """Where a file of a table is that its log names: a path, and the file system of the path, None for this disk."""
    folder = Folder.of(root)
    return folder.file(path), folder.system
