"""The protocol for files and folders outside the tables, on any file system that Spark knows."""

from __future__ import annotations

import gzip
import re
from typing import IO, Protocol
from uuid import uuid4

_PATTERN = re.compile(r"([*?\[\]{}\\])")


def exact(path: str) -> str:
    """Escape a path for Spark's readers, which would otherwise treat it as a pattern."""
    return _PATTERN.sub(r"\\\1", path)


def has_pattern(path: str) -> bool:
    """Return whether a path contains a character that Spark's readers treat as part of a pattern."""
    return _PATTERN.search(path) is not None


class Files(Protocol):
    """Operations on files; paths are local, or have a scheme (``s3a://bucket/folder``)."""

    def exists(self, path: str) -> bool: ...

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder in one step, and create the parents it needs. Raises OSError if that is refused."""

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with its contents, if it exists. Raises OSError if that is refused."""

    def write_text(self, path: str, text: str) -> None:
        """Write a new file in UTF-8. Raises OSError if that is refused."""

    def files_in(self, folder: str) -> list[tuple[str, int]]:
        """List the files directly in a folder, including hidden ones, sorted by name; empty if there is no such folder.

        Each has its name and when it was modified, in milliseconds since 1970.
        """

    def folders_in(self, folder: str) -> list[str]:
        """List the names of the folders directly in a folder; empty if there is no such folder."""

    def read_text(self, path: str) -> str:
        """Read a whole file in UTF-8. Raises OSError if there is none."""

    def length(self, path: str) -> int:
        """Return a file's length in bytes. Raises OSError if there is no such file."""

    def read_end(self, path: str, number: int) -> bytes:
        """Read the last ``number`` bytes of a file, or all if it has fewer. Raises OSError if there is none."""

    def read_start(self, path: str, number: int) -> bytes:
        """Read the first ``number`` bytes of a file, or all if it has fewer; a .gz file is decompressed first.

        Raises OSError if it cannot be read.
        """

    def copy_with(self, source: str, target: str, offset: int, inserted: bytes) -> None:
        """Copy ``source`` to a new file, with bytes inserted at an offset. Raises OSError if that is refused."""

    def replace(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target``, which it replaces, and give it the modification time of ``target``."""


def first_bytes(opened: IO[bytes], path: str, number: int) -> bytes:
    """The first bytes of an opened file, for ``Files.read_start``; ``path`` is what it was opened by."""
    if not path.endswith(".gz"):
        return opened.read(number)
    try:
        with gzip.open(opened) as unpacked:
            return unpacked.read(number)
    except EOFError as error:
        raise OSError(f"{path}: {error}") from error


def replace_text(files: Files, path: str, old: str, new: str) -> None:
    """Replace a file's text, in one step where the file system can, and keep its modification time.

    Raises OSError if the file no longer holds ``old``.
    """
    temporary = f"{path}.{uuid4().hex}.tmp"
    files.write_text(temporary, new)
    try:
        if files.read_text(path) != old:
            raise OSError(f"{path} was changed meanwhile")
        files.replace(temporary, path)
    except OSError:
        files.delete(temporary)
        raise
