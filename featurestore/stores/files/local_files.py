"""Files beside the tables on this machine's disk, without Spark."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from featurestore.stores.file_system import first_bytes
from featurestore.stores.layout import local_folder

_COPIED_AT_ONCE = 1 << 20


class LocalFiles:
    """Files of a local disk; the protocol is ``stores.file_system.Files``.

    Hadoop keeps a checksum file (``.name.crc``) beside each file that it writes there, hides it, and reads no file that
    differs from it; so these go along with their files.
    """

    def exists(self, path: str) -> bool:
        return _at(path).exists()

    def rename(self, source: str, target: str) -> None:
        old, new = _at(source), _at(target)
        new.parent.mkdir(parents=True, exist_ok=True)
        if new.exists() or not old.exists():
            raise FileExistsError(f"cannot rename {source} to {target}: {target} already exists, or {source} does not")
        checksum = _checksum(old)
        old.rename(new)
        if checksum.exists():
            checksum.replace(_checksum(new))

    def delete(self, path: str) -> None:
        place = _at(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
            return
        place.unlink(missing_ok=True)
        _checksum(place).unlink(missing_ok=True)

    def write_text(self, path: str, text: str) -> None:
        file = _at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        _checksum(file).unlink(missing_ok=True)
        with file.open("x", encoding="utf-8", newline="") as opened:
            opened.write(text)

    def files_in(self, folder: str) -> list[tuple[str, int]]:
        files = [entry for entry in _entries(folder) if entry.is_file() and not _is_checksum(entry)]
        return sorted((file.name, file.stat().st_mtime_ns // 1_000_000) for file in files)

    def folders_in(self, folder: str) -> list[str]:
        return sorted(entry.name for entry in _entries(folder) if entry.is_dir())

    def read_text(self, path: str) -> str:
        return _at(path).read_bytes().decode("utf-8", errors="replace")

    def length(self, path: str) -> int:
        return _at(path).stat().st_size

    def read_end(self, path: str, number: int) -> bytes:
        with _at(path).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - number))
            return file.read()

    def read_start(self, path: str, number: int) -> bytes:
        with _at(path).open("rb") as opened:
            return first_bytes(opened, path, number)

    def copy_with(self, source: str, target: str, offset: int, inserted: bytes) -> None:
        with _at(source).open("rb") as reader, _at(target).open("xb") as writer:
            left = offset
            while left and (block := reader.read(min(left, _COPIED_AT_ONCE))):
                writer.write(block)
                left -= len(block)
            writer.write(inserted)
            shutil.copyfileobj(reader, writer)

    def replace(self, source: str, target: str) -> None:
        new, old = _at(source), _at(target)
        stat = old.stat()
        # Without checksums, so that no reader sees the new file with the old file's checksum.
        for file in (old, new):
            _checksum(file).unlink(missing_ok=True)
        os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        new.replace(old)


def _at(path: str) -> Path:
    folder = local_folder(path)
    if folder is None:
        raise OSError(f"{path} is not on this machine's disk")
    return folder


def _entries(folder: str) -> list[Path]:
    place = _at(folder)
    return list(place.iterdir()) if place.is_dir() else []


def _checksum(file: Path) -> Path:
    return file.with_name(f".{file.name}.crc")


def _is_checksum(file: Path) -> bool:
    return file.name.startswith(".") and file.name.endswith(".crc")
