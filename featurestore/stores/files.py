"""Files and folders beside the tables, on whatever file system Spark knows: the protocol that exports need."""

from __future__ import annotations

from typing import Protocol


class Files(Protocol):
    """Paths are local ones, or have a scheme (``s3a://bucket/folder``)."""

    def exists(self, path: str) -> bool: ...

    def rename(self, source: str, target: str) -> None:
        """Give a file or folder another name in one step, with the parents it needs; OSError where that is refused."""

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all in it; nothing where there is none. OSError where that is refused."""

    def write_text(self, path: str, text: str) -> None:
        """Write a new file, UTF-8; OSError where that is refused."""
