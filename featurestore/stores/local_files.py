"""Files for people and tools on a local disk: reports, metrics."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from featurestore.errors import ExportError


def write_whole(path: str | Path, text: str) -> Path:
    """Write a text (UTF-8) to a file, in place of one that is there; returns its path, absolute.

    The file appears when all of it is written; until then it has a hidden name beside. Raises ExportError.
    """
    target = Path(path).absolute()
    temporary = target.parent / f".{target.name}.{uuid4().hex}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    finally:
        if temporary.exists():
            temporary.unlink()
    return target


# Beside the files of a folder that was written whole: their names, so that nothing else is ever removed with them.
LISTING = ".written.json"


def write_folder(path: str | Path, texts: Mapping[str, str]) -> Path:
    """Write a folder of texts (UTF-8) by their paths in it, in place of one that was written so; returns its path, absolute.

    The folder appears when all of it is written; until then it has a hidden name beside. One that is there is moved aside
    for the moment between two renames, and put back where the second fails. Raises ExportError, also for a folder that has
    anything in it that was not written so.
    """
    target = Path(path).resolve()
    temporary, aside = (target.parent / f".{target.name}.{uuid4().hex}{end}" for end in ("", ".old"))
    try:
        _refuse_what_others_wrote(target)
        for name, text in {**texts, LISTING: json.dumps(sorted(texts), indent=0)}.items():
            file = temporary / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        _take_the_place_of(temporary, target, aside)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
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
