"""Files for people and tools on a local disk, which appear when all of them is written: reports, metrics, folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

from featurestore.errors import ExportError


def write_whole(path: str | Path, text: str) -> Path:
    """Write a text (UTF-8) to a file, in place of one that is there; returns its path, absolute.

    The file appears when all of it is written; until then it has a hidden name beside. Raises ExportError.
    """
    target = Path(path).absolute()
    with _hidden_beside(target) as temporary:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    return target


def write_new_folder(path: str | Path, texts: Mapping[str, str]) -> Path:
    """Write a folder of texts (UTF-8) by their paths in it; returns its path, absolute.

    The folder appears when all of it is written; until then it has a hidden name beside. A folder that is there is filled: it
    stays the folder that a shell may be in, and what is in it stays. Raises ExportError, also where a name is taken there.
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
    """Move all that is in a folder into another on the same disk; where one part cannot be moved, none is."""
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
    """A hidden path for what is to take the target's place."""
    return _hidden_in(target.parent, target, target.name)


@contextmanager
def _hidden_in(folder: Path, target: Path, name: str) -> Iterator[Path]:
    """A hidden path in a folder; what is left there at the end is removed. Raises ExportError, which names the target."""
    temporary = folder / f".{name}.{uuid4().hex}"
    try:
        try:
            yield temporary
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary)
            elif temporary.exists():
                temporary.unlink()
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error


def _write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")


# Beside the files of a folder that was written whole: their names, so that nothing else is ever removed with them.
LISTING = ".written.json"


def write_folder(path: str | Path, texts: Mapping[str, str]) -> Path:
    """Write a folder of texts (UTF-8) by their paths in it, in place of one that was written so; returns its path, absolute.

    The folder appears when all of it is written; until then it has a hidden name beside. One that is there is moved aside
    for the moment between two renames, and put back where the second fails. Raises ExportError, also for a folder that has
    anything in it that was not written so.
    """
    target = Path(path).resolve()
    aside = target.parent / f".{target.name}.{uuid4().hex}.old"
    try:
        with _hidden_beside(target) as temporary:
            _refuse_what_others_wrote(target)
            _write_texts(temporary, {**texts, LISTING: json.dumps(sorted(texts), indent=0)})
            _take_the_place_of(temporary, target, aside)
    finally:
        if aside.exists() and target.exists():
            shutil.rmtree(aside)
    return target


def _take_the_place_of(new: Path, target: Path, aside: Path) -> None:
    there = target.exists()
    if there:
        target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        if there:
            aside.rename(target)
        raise


def _refuse_what_others_wrote(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ExportError(f"{folder} is a file; name a folder")
    listing = folder / LISTING
    known = {LISTING, *(json.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else ())}
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}
    foreign = sorted(there - known)
    if foreign:
        raise ExportError(
            f"{folder} has files that were not written here, such as {foreign[0]!r}, and would be replaced as a whole; name "
            "another folder, or take them out"
        )
