"""Recognise an export that is already there: complete, and with the content that would be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from featurestore.errors import ExportError
from featurestore.operations.context import Context
from featurestore.stores.file_system import Files
from featurestore.stores.files.exports import full_path, sizes_in
from featurestore.stores.files.leftovers import remove_left_behind
from featurestore.stores.layout import local_folder
from featurestore.stores.small_tables.export_log import EXPORT_NOTE


class ExportedFolder(str):
    """The full path of an export's folder.

    ``is_up_to_date``: the same content was there already, in complete files, and nothing was written.
    """

    is_up_to_date: bool

    def __new__(cls, path: str, *, is_up_to_date: bool = False) -> ExportedFolder:
        folder = super().__new__(cls, path)
        folder.is_up_to_date = is_up_to_date
        return folder


class ExportNote(BaseModel):
    """What an exported folder records about itself, in ``EXPORT_NOTE``.

    ``content_hash`` is that of the rows, None if their types cannot be hashed; ``files`` has the bytes of each file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: str
    training_set: str | None
    format: str
    null: str
    guard_formulas: bool
    columns: tuple[tuple[str, str], ...]
    content_hash: str | None = None
    files: dict[str, int] = {}

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for, by field."""
        return {name: value for name, value in self if name not in ("content_hash", "files")}


def is_there(context: Context, target: str) -> bool:
    """Whether anything exists at the path, once what killed exports to it left is removed; raises ExportError."""
    files = context.files_at(target)
    try:
        remove_left_behind(files, target)
        return files.exists(target)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error


def found_without_spark(context: Context, path: str) -> str | None:
    """The full path if anything exists there; None also for a path that only Spark reaches."""
    target = full_path(path)
    is_seen = context.is_native and local_folder(target) is not None
    return target if is_seen and is_there(context, target) else None


def check_place(context: Context, tenant_id: str, path: str, format: str) -> None:
    """Raise ExportError if rows in this format cannot be written to the path, whichever they are; needs no Spark."""
    target = found_without_spark(context, path)
    if target is not None:
        request = {"tenant_id": tenant_id, "training_set": None, "format": format}
        _note_of(context.files_at(target), target, request)


def check_is_same(files: Files, target: str, wanted: ExportNote, content_hash: Callable[[], str | None]) -> None:
    """Raise ExportError unless the folder is the wanted export: the same request, rows and complete files.

    ``content_hash`` computes that of the rows to export, or None if they cannot be hashed; it is called if all else is
    the same.
    """
    note = _note_of(files, target, wanted.request)
    check_complete(files, target, note.files)
    if note.content_hash is None or note.content_hash != content_hash():
        raise taken(target, "holds other rows" if note.content_hash else "holds rows that cannot be compared")


def check_complete(files: Files, target: str, expected: Mapping[str, int]) -> None:
    """Raise ExportError unless the folder has these files with these bytes, and no others that a reader would read."""
    found = sizes_in(files, target)
    for path, size in expected.items():
        if path not in found:
            raise taken(target, f"lacks its file {path}")
        if found[path] != size:
            raise taken(target, f"its file {path} has {found[path]} bytes and was written with {size}")
    others = sorted(path for path in found if path not in expected and not path.rpartition("/")[2].startswith("_"))
    if others:
        raise taken(target, f"also has the file {others[0]}, which the export did not write")


def taken(target: str, reason: str) -> ExportError:
    return ExportError(f"{target} is there already, and {reason}; remove it, or name another folder")


def _note_of(files: Files, target: str, request: Mapping[str, Any]) -> ExportNote:
    """What the folder records about itself; raises ExportError unless it answers the request."""
    try:
        note = ExportNote.model_validate_json(files.read_text(f"{target}/{EXPORT_NOTE}"))
    except (OSError, ValidationError) as error:
        # Something else, an export of an earlier release, or a damaged one.
        raise taken(target, f"has no {EXPORT_NOTE} that says what it holds") from error
    for name, value in request.items():
        if (found := note.request[name]) != value:
            raise taken(target, f"is another export ({name.replace('_', ' ')}: {found!r}, not {value!r})")
    return note
