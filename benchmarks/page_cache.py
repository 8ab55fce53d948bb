"""Bring files into the operating system's memory, or drop them from it; Linux."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def read_through(files: Iterable[str]) -> None:
    """Read every file once."""
    for name in files:
        with Path(name).open("rb") as file:
            while file.read(1 << 22):
                pass


def drop(files: Iterable[Path]) -> None:
    """Drop the files' pages, except those that a process has mapped. The disk itself may still remember them."""
    # Pages that are not written yet would stay.
    os.sync()
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
