"""Where a table's files are for Arrow and delta-rs: on this machine's disk, or on a file system that a URI names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pyarrow import fs

# Hadoop's names of schemes, and Arrow's.
_RENAMED = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


def library_uri(path: str) -> str:
    """A URI as Arrow and delta-rs spell it, from Hadoop's spelling, which encodes no character.

    The libraries find credentials and endpoints in the environment.
    """
    scheme, _, rest = path.partition("://")
    store, slash, inner = rest.partition("/")
    return f"{_RENAMED.get(scheme, scheme)}://{store}{slash}{quote(inner)}"


@dataclass(frozen=True)
class Folder:
    """A table's folder: its path on a file system of Arrow; ``system`` is None for this machine's disk."""

    path: str
    system: fs.FileSystem | None

    @classmethod
    def of(cls, root: str) -> Folder:
        """``root``: a local path, or a URI of ``library_uri``; raises OSError or ArrowInvalid if Arrow refuses it."""
        if "://" not in root:
            return cls(root, None)
        if root.startswith("hdfs://"):
            # Arrow's own needs Hadoop's native library, which few machines have.
            from deltalake.fs import DeltaStorageHandler

            return cls("", fs.PyFileSystem(DeltaStorageHandler(root)))
        system, path = fs.FileSystem.from_uri(root)
        return cls(path, system)

    def file(self, path: str) -> str:
        """The path, on the folder's file system, of a file that the table's log names."""
        if self.system is None:
            return str(Path(self.path, path))
        return f"{self.path}/{path}" if self.path else path


def place_of(root: str, path: str) -> tuple[str, fs.FileSystem | None]:
    """Where a file of a table is that its log names: a path, and the file system of the path, None for this disk."""
    folder = Folder.of(root)
    return folder.file(path), folder.system
