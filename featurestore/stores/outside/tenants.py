"""Find a tenant that has data in a source, to look at the source's columns before anybody reads it."""

from __future__ import annotations

import posixpath
import re

import pyarrow as pa
from pyarrow import fs

from featurestore.config import Settings
from featurestore.definitions.names import check_tenant_id
from featurestore.definitions.source import Source
from featurestore.errors import InvalidNameError
from featurestore.stores.layout import local_folder
from featurestore.stores.places import Folder, library_uri

_TENANT = "{tenant_id}"
# A tenant for whom a table of all tenants is checked; its rows do not matter.
_ANY_TENANT = "any"


def some_tenant(source: Source, settings: Settings) -> str | None:
    """A tenant whose table is there; None if none is known. Any tenant if they share the table."""
    if not source.by_path:
        return _ANY_TENANT
    assert source.path is not None
    path = source.path.replace("{landing}", settings.landing or "").replace("{warehouse}", settings.warehouse)
    before, _, after = path.partition(_TENANT)
    parent, start = posixpath.split(before)
    end, _, below = after.partition("/")
    pattern = re.compile(re.escape(start) + "(.+)" + re.escape(end.replace(_TENANT, "{}")).replace(r"\{\}", r"\1"))
    for name, place in _names_in(parent or ("/" if before.startswith("/") else "."), below):
        if (match := pattern.fullmatch(name)) is not None and _is_tenant(match[1]) and place:
            return match[1]
    return None


def _names_in(parent: str, below: str) -> list[tuple[str, bool]]:
    """The names in a folder, in order, each with whether what is wanted below it is there; none if nobody can tell."""
    local = local_folder(parent)
    try:
        folder = Folder.of(library_uri(parent) if local is None else str(local))
        system = folder.system or fs.LocalFileSystem()
        found = sorted(system.get_file_info(fs.FileSelector(folder.path)), key=lambda each: each.base_name)
        return [(each.base_name, _is_there(system, each.path, below)) for each in found]
    except (OSError, pa.ArrowException):
        # The first read says what is wrong.
        return []


def _is_there(system: fs.FileSystem, path: str, below: str) -> bool:
    inner = f"{path}/{below}" if below and _TENANT not in below else path
    return bool(system.get_file_info(inner).type != fs.FileType.NotFound)


def _is_tenant(name: str) -> bool:
    try:
        check_tenant_id(name)
    except InvalidNameError:
        return False
    return True
