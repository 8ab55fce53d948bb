"""Files and folders beside the tables, on whatever file system Spark knows: the protocol that exports need."""

from __future__ import annotations

import re
from typing import Protocol

_PATTERN = re.compile(r"([*?\[\]{}\\])")


def exact(path: str) -> str:
    """The path as Spark's readers must be given it so that they read just that: they take one for a pattern."""
    return _PATTERN.sub(r"\\\1", path)


def has_pattern(path: str) -> bool:
    """Whether a path has a character that Spark's readers take for a part of a pattern."""
    return _PATTERN.search(path) is not None


class Files(Protocol):
    """Paths are local ones, or have a scheme (``s3a://bucket/folder``)."""

    def exists(self, path: str) -> bool: ...

    def rename(self, source: str, target: str) -> None:
        """Give a file or folder another name in one step, with the parents it needs; OSError where that is refused."""

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all in it; nothing where there is none. OSError where that is refused."""

    def write_text(self, path: str, text: str) -> None:
        """Write a new file, UTF-8; OSError where that is refused."""

    def files_in(self, folder: str) -> list[tuple[str, int]]:
        """The files right in a folder, hidden ones too: name, and when it was modified, in milliseconds since 1970; by
        name. None where there is no such folder."""

    def folders_in(self, folder: str) -> list[str]:
        """The names of the folders right in a folder; none where there is no such folder."""

    def read_text(self, path: str) -> str:
        """A whole file, UTF-8; OSError where there is none."""

    def length(self, path: str) -> int:
        """In bytes; OSError where there is no such file."""

    def read_end(self, path: str, number: int) -> bytes:
        """The last bytes of a file, all where it has fewer; OSError where there is none."""

    def read_start(self, path: str, number: int) -> bytes:
        """The first bytes of a file, all where it has fewer; of a compressed one (.gz), the first of its content. OSError
        where it cannot be read."""

    def copy_with(self, source: str, target: str, offset: int, inserted: bytes) -> None:
        """Write a new file: a copy of another, with bytes put in at an offset; OSError where that is refused."""

    def replace_text(self, path: str, old: str, new: str) -> None:
        """Put a text in the place of a file's, in one step where the file system can, with the file's old time; OSError
        where the file says no longer what it did."""

    def replace(self, source: str, target: str) -> None:
        """Give a file the name of another, which it takes the place of, and that one's time."""
