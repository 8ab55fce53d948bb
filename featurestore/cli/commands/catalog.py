"""Commands for the catalogue: build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from featurestore.cli.invocation import Invocation
from featurestore.definitions.names import check_tenant_id
from featurestore.display.description import counted


def build(
    invocation: Invocation,
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, or one that this command wrote.")],
) -> None:
    """Write the catalogue as a static site: groups, features, lineage; for one tenant also freshness and statistics.

    Open its index.html.
    """
    tenant = None if invocation.tenant is None else check_tenant_id(invocation.tenant)
    feature_store = invocation.open()
    with invocation.working("Building the catalogue"):
        from featurestore.reports.catalog_site import catalog_site

        catalog = feature_store.catalog() if tenant is None else feature_store.tenant(tenant).catalog()
        site = catalog_site(catalog, folder)
    document = {
        "path": str(site.path),
        "tenant": tenant,
        "groups": len(catalog.groups),
        "features": catalog.feature_count,
        "training_sets": len(catalog.training_sets),
        "pages": site.pages,
        "bytes": site.bytes,
    }
    scope = "definitions alone" if tenant is None else f"tenant {tenant}"
    groups = counted(len(catalog.groups), "group")
    summary = f"Wrote {site.path / 'index.html'}: {groups}, {counted(catalog.feature_count, 'feature')}, {scope}"
    invocation.answer(document, Text(summary))
