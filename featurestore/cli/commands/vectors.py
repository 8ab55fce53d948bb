"""Commands for vectors in PostgreSQL."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from featurestore.cli.invocation import Invocation


def sync_embeddings(
    invocation: Invocation,
    feature: Annotated[str | None, typer.Argument(metavar="GROUP:FEATURE", help="The embedding.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every embedding with an index in its definition.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Compare every entity, not only the changed ones.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Afterwards compare all rows, and repair those that differ.")
    ] = False,
) -> None:
    """Bring vectors in PostgreSQL up to date with the table, so that searches find new values."""
    if (feature is None) != every:
        raise typer.BadParameter("name an embedding, or give --all", param_hint="GROUP:FEATURE")
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    store = feature_store.tenant(tenant)
    with invocation.counting(feature_store, f"Syncing {feature or 'every embedding'}") as bar:
        if feature is None:
            results = [*store.sync_all_embeddings(full=full, verify=verify)]
        else:
            results = [store.sync_embeddings(feature, full=full, verify=verify)]
    if not results:
        invocation.notify("No feature has an index in its definition: nothing to sync.")
    invocation.summary(feature_store, bar, sum(result.rows_upserted + result.rows_deleted for result in results))
    documents = [{"tenant": tenant, **asdict(result)} for result in results]
    invocation.answer(documents if feature is None else documents[0], *results)
