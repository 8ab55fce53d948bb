"""Files and folders of a local disk that appear when complete: what killed attempts left goes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from featurestore.errors import ExportError
from featurestore.stores.files.leftovers import RUNNER
from featurestore.stores.files.local import write_folder, write_new_folder, write_whole
from featurestore.stores.runner import this_runner

Write = Callable[[Path], object]


def temporary(folder: Path, name: str, runner: str) -> Path:
    left = folder / f".{name}.{uuid4().hex}"
    (left / "whole").mkdir(parents=True)
    (left / RUNNER).write_text(runner)
    return left


@pytest.mark.parametrize(
    "write",
    [
        lambda place: write_whole(place / "out", "text"),
        lambda place: write_folder(place / "out", {"a/b.html": "text"}),
        lambda place: write_new_folder(place / "out", {"a/b.yml": "text"}),
    ],
    ids=["a file", "a folder", "a new folder"],
)
def test_a_write_removes_what_killed_ones_left_at_its_place(write: Write, tmp_path: Path, gone_runner: str) -> None:
    temporary(tmp_path, "out", gone_runner)
    kept = [temporary(tmp_path, "out", this_runner()), temporary(tmp_path, "other", gone_runner)]

    write(tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "out"])


def test_a_folder_that_is_filled_keeps_no_leftovers(tmp_path: Path, gone_runner: str) -> None:
    temporary(tmp_path, "new", gone_runner)
    write_new_folder(tmp_path, {"a/b.yml": "text"})

    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_a_killed_write_moved_aside_goes_once_there_is_a_new_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "site", {"index.html": "old"})
    # Killed between two renames: the old folder is aside, and the new one is not there yet.
    aside = (tmp_path / "site").rename(tmp_path / f".site.{uuid4().hex}.old")
    with pytest.raises(ExportError):
        write_folder(tmp_path / "site", {"x" * 300: "no file can have so long a name"})
    assert aside.exists()

    write_folder(tmp_path / "site", {"index.html": "new"})

    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert (tmp_path / "site" / "index.html").read_text() == "new"


def test_a_failed_write_leaves_the_place_as_it_was(tmp_path: Path, gone_runner: str) -> None:
    write_whole(tmp_path / "out", "first")
    left = temporary(tmp_path, "out", gone_runner)
    with pytest.raises(ExportError, match="is a file; name a folder"):
        write_folder(tmp_path / "out", {"a": "text"})

    assert sorted(tmp_path.iterdir()) == sorted([left, tmp_path / "out"])
    assert (tmp_path / "out").read_text() == "first"
