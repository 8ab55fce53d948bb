"""A catalogue as a folder of pages that open from the file system: no server, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featurestore.errors import ExportError
from featurestore.operations.catalog.model import Catalog
from featurestore.reports.catalog_pages import catalog_pages
from featurestore.stores.files.local import write_folder


@dataclass(frozen=True)
class CatalogSite:
    """What was written: the folder, how many HTML pages are in it, and the bytes of all files."""

    path: Path
    pages: int
    bytes: int


def catalog_site(catalog: Catalog, folder: str | Path) -> CatalogSite:
    """Write a catalogue's pages to ``folder``, in place of a catalogue that is there; open its ``index.html``.

    The folder appears when all of it is written; the same catalogue gives the same bytes. Raises ExportError, also for a
    folder that has other files in it, or is not on a local disk.
    """
    if "://" in str(folder):
        raise ExportError(f"a catalogue is written to a local disk, and {folder} is not; name a folder")
    files = catalog_pages(catalog)
    path = write_folder(folder, files)
    pages = sum(name.endswith(".html") for name in files)
    return CatalogSite(path, pages, sum(len(text.encode()) for text in files.values()))
