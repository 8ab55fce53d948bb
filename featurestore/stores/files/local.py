"""Files and folders on a local disk that appear only when completely written: reports, metrics, projects."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

from featurestore.errors import ExportError
from featurestore.stores.files.leftovers import RUNNER, remove_left_behind
from featurestore.stores.files.local_files import LocalFiles
from featurestore.stores.runner import this_runner


def write_whole(path: str | Path, text: str) -> Path:
    """Write a text (UTF-8) to a file and replace an existing one; returns its absolute path.

    The file appears when it is complete; until then it has a hidden name in the same folder. Raises ExportError.
    """
    target = Path(path).absolute()
    with _hidden_beside(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    return target


def write_new_folder(path: str | Path, texts: Mapping[str, str]) -> Path:
    """Write a folder of texts (UTF-8), each with its path in the folder; returns the folder's absolute path.

    The folder appears when it is complete; until then it has a hidden name beside its place. Texts are added to an
    existing folder, which keeps its contents and remains the same folder for a shell that is in it. Raises ExportError,
    also if the folder already has an entry of the same name.
    """
    target = Path(path).resolve()
    if target.is_dir():
        with _hidden_in(target, target, "new") as temporary:
            _write_texts(temporary, texts)
            _move_into(target, temporary)
    else:
        with _hidden_beside(target) as temporary:
            _write_texts(temporary, texts)
            temporary.replace(target)
    return target


def _move_into(folder: Path, filled: Path) -> None:
    """Move all entries of a folder into another one on the same disk; if one cannot be moved, none are."""
    moved: list[Path] = []
    try:
        for entry in sorted(filled.iterdir()):
            place = folder / entry.name
            if place.exists() or place.is_symlink():
                raise FileExistsError(f"{place.name} is there already")
            entry.rename(place)
            moved.append(place)
    except BaseException:
        for place in moved:
            place.rename(filled / place.name)
        raise


def _hidden_beside(target: Path) -> AbstractContextManager[Path]:
    """Provide a hidden path beside the target."""
    return _hidden_in(target.parent, target, target.name)


@contextmanager
def _hidden_in(folder: Path, target: Path, name: str) -> Iterator[Path]:
    """Provide a path in a hidden folder, which is removed at the end, as are those that killed attempts left.

    Raises ExportError naming the target.
    """
    hidden = folder / f".{name}.{uuid4().hex}"
    try:
        try:
            hidden.mkdir(parents=True)
            (hidden / RUNNER).write_text(this_runner(), encoding="utf-8")
            yield hidden / "whole"
            remove_left_behind(LocalFiles(), str(folder / name))
        finally:
            if hidden.exists():
                shutil.rmtree(hidden)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error


def _write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")


# Lists the files that write_folder wrote into a folder, so that it never removes any others with them.
LISTING = ".written.json"


def write_folder(path: str | Path, texts: Mapping[str, str]) -> Path:
    """Write a folder of texts (UTF-8), each with its path, and replace a folder that was written by this function.

    Returns the folder's absolute path. The folder appears when it is complete; until then it has a hidden name beside
    its place. An existing folder is moved aside between two renames, and put back if the second one fails. Raises
    ExportError, also for a folder that contains anything that this function did not write.
    """
    target = Path(path).resolve()
    aside = target.parent / f".{target.name}.{uuid4().hex}.old"
    try:
        with _hidden_beside(target) as temporary:
            _refuse_foreign_files(target)
            _write_texts(temporary, {**texts, LISTING: json.dumps(sorted(texts), indent=0)})
            _replace_folder(temporary, target, aside)
    finally:
        if target.exists():
            for replaced in _set_aside(target):
                shutil.rmtree(replaced)
    return target


def _set_aside(target: Path) -> list[Path]:
    """Folders that this call or a killed one moved aside, which are not needed once there is a new one."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{32}}\.old")
    return [entry for entry in target.parent.iterdir() if name.fullmatch(entry.name)]


def _replace_folder(new: Path, target: Path, aside: Path) -> None:
    existed = target.exists()
    if existed:
        target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        if existed:
            aside.rename(target)
        raise


def _refuse_foreign_files(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ExportError(f"{folder} is a file; name a folder")
    listing = folder / LISTING
    known = {LISTING, *(json.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else ())}
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}
    foreign = sorted(files - known)
    if foreign:
        raise ExportError(
            f"{folder} would be replaced as a whole, but has files that were not written here, such as {foreign[0]!r}; "
            "name another folder, or move them elsewhere"
        )
