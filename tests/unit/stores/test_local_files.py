"""Files of this machine's disk, without Spark."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from featurestore.stores.file_system import replace_text
from featurestore.stores.files.local_files import LocalFiles

FILES = LocalFiles()


def test_a_folder_is_listed_without_the_checksums_of_its_files(tmp_path: Path) -> None:
    for name in ("b", ".hidden", ".b.crc"):
        FILES.write_text(f"{tmp_path}/{name}", "text")
    FILES.write_text(f"{tmp_path}/inner/c", "text")
    os.utime(tmp_path / "b", ns=(0, 1_500_000))

    assert [name for name, _ in FILES.files_in(str(tmp_path))] == [".hidden", "b"]
    assert FILES.files_in(str(tmp_path))[1] == ("b", 1)
    assert FILES.folders_in(f"file://{tmp_path}") == ["inner"]
    assert FILES.files_in(f"{tmp_path}/nowhere") == FILES.folders_in(f"{tmp_path}/nowhere") == []


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    FILES.write_text(f"{tmp_path}/a", "one\r\n")

    with pytest.raises(OSError, match="exists"):
        FILES.write_text(f"{tmp_path}/a", "two")
    assert FILES.read_text(f"{tmp_path}/a") == "one\r\n"


def test_parts_of_a_file_are_read(tmp_path: Path) -> None:
    path = f"{tmp_path}/a"
    FILES.write_text(path, "0123456789")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0123456789"))
    (tmp_path / "broken.gz").write_bytes(gzip.compress(b"0123456789" * 99)[:12])

    assert (FILES.length(path), FILES.read_start(path, 3), FILES.read_end(path, 3)) == (10, b"012", b"789")
    assert (FILES.read_end(path, 99), FILES.read_start(f"{path}.gz", 3)) == (b"0123456789", b"012")
    with pytest.raises(OSError, match=r"broken\.gz"):
        FILES.read_start(f"{tmp_path}/broken.gz", 3)
    with pytest.raises(OSError, match="nowhere"):
        FILES.read_text(f"{tmp_path}/nowhere")


def test_a_rename_makes_folders_and_refuses_a_target_that_exists(tmp_path: Path) -> None:
    FILES.write_text(f"{tmp_path}/a", "a")
    FILES.write_text(f"{tmp_path}/.a.crc", "checksum")

    FILES.rename(f"{tmp_path}/a", f"{tmp_path}/new/b")

    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".b.crc", "b"]
    FILES.write_text(f"{tmp_path}/a", "again")
    with pytest.raises(OSError, match="already exists"):
        FILES.rename(f"{tmp_path}/a", f"{tmp_path}/new/b")


def test_what_is_not_there_is_deleted_already(tmp_path: Path) -> None:
    FILES.write_text(f"{tmp_path}/folder/a", "a")
    FILES.write_text(f"{tmp_path}/b", "b")

    for name in ("folder", "b", "nowhere"):
        FILES.delete(f"{tmp_path}/{name}")

    assert not list(tmp_path.iterdir())


def test_a_copy_has_more_bytes_at_an_offset(tmp_path: Path) -> None:
    FILES.write_text(f"{tmp_path}/a", "0123456789")

    FILES.copy_with(f"{tmp_path}/a", f"{tmp_path}/b", 4, b"xx")

    assert FILES.read_text(f"{tmp_path}/b") == "0123xx456789"


def test_a_text_is_replaced_unless_it_changed_and_keeps_its_time(tmp_path: Path) -> None:
    path = f"{tmp_path}/a"
    FILES.write_text(path, "old")
    FILES.write_text(f"{tmp_path}/.a.crc", "checksum")
    os.utime(path, ns=(0, 5_000_000_000))

    replace_text(FILES, path, "old", "new")

    assert (FILES.read_text(path), FILES.files_in(str(tmp_path))) == ("new", [("a", 5_000)])
    with pytest.raises(OSError, match="was changed meanwhile"):
        replace_text(FILES, path, "old", "newer")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
