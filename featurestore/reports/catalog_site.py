"""Write a catalogue as a folder of pages that open from the file system, without server or network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featurestore.errors import ExportError
from featurestore.operations.catalog.model import Catalog
from featurestore.reports.catalog_pages import catalog_pages
from featurestore.stores.files.local import write_folder


@dataclass(frozen=True)
class CatalogSite:
    """The written site: its folder, its number of HTML pages, and the bytes of all its files."""

    path: Path
    pages: int
    bytes: int


def catalog_site(catalog: Catalog, folder: str | Path) -> CatalogSite:
    """Write a catalogue's pages to ``folder``, and replace an existing catalogue; open its ``index.html``.

    The folder appears only when it is complete; the same catalogue gives the same bytes. Raises ExportError, also for a
    folder that has other files in it or is not on a local disk.
    """
    if "://" in str(folder):
        raise ExportError(f"a catalogue is written to a local disk, but {folder} is not on one; name a local folder")
    files = catalog_pages(catalog)
    path = write_folder(folder, files)
    pages = sum(name.endswith(".html") for name in files)
    return CatalogSite(path, pages, sum(len(text.encode()) for text in files.values()))
