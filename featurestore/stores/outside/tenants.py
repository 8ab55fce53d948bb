"""Find a tenant that has data in a source, to look at the source's columns before anybody reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from featurestore.config import Settings
from featurestore.definitions.source import Source
from featurestore.errors import InvalidNameError
from featurestore.stores.layout import local_folder
from featurestore.stores.sources import source_path

# Takes the place of tenants where it does not matter which one is meant, or is not known yet.
_ANY = "any"
# A tenant's id that is no folder's name by chance.
_PLACEHOLDER = "tenant-id-0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def some_tenant(source: Source, settings: Settings) -> str | None:
    """A tenant with a place of the source on this machine's disk; any tenant where one place has all of them.

    None if there is no such place, or if it is elsewhere and each tenant has its own.
    """
    if source.path is None or not source.by_path:
        return _ANY
    return next(_tenants(source, settings), None)


def _tenants(source: Source, settings: Settings) -> Iterator[str]:
    """Tenants whose place in the source is a folder or a file of this machine, in the order of their names."""
    anywhere = local_folder(source_path(source, _PLACEHOLDER, settings))
    if anywhere is None:
        return
    first = next(at for at, part in enumerate(anywhere.parts) if _PLACEHOLDER in part)
    above, pattern = Path(*anywhere.parts[:first]), anywhere.parts[first].split(_PLACEHOLDER)
    names = re.compile("(.+)".join(map(re.escape, pattern[:2])) + ".*")
    for entry in sorted(above.iterdir()) if above.is_dir() else ():
        match = names.fullmatch(entry.name)
        try:
            place = None if match is None else local_folder(source_path(source, match[1], settings))
        except InvalidNameError:
            continue
        if match is not None and place is not None and place.exists():
            yield match[1]
