"""Commands on vectors in PostgreSQL."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from featurestore.cli.invocation import Invocation


def sync_embeddings(
    invocation: Invocation,
    feature: Annotated[str | None, typer.Argument(metavar="[GROUP:FEATURE]", help="The embedding.")] = None,
    every_one: Annotated[bool, typer.Option("--all", help="Every embedding with an index in its definition.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Compare every entity, not just those that changed.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare all rows afterwards; mend those that differ.")
    ] = False,
) -> None:
    """Bring vectors in PostgreSQL up to date with the table, so that searches find what was written."""
    if (feature is None) != every_one:
        raise typer.BadParameter("name an embedding, or give --all", param_hint="GROUP:FEATURE")
    tenant = invocation.required_tenant()
    store = invocation.open().tenant(tenant)
    with invocation.working(f"Syncing {feature or 'every embedding'}"):
        if feature is None:
            results = store.sync_all_embeddings(full, verify)
        else:
            results = [store.sync_embeddings(feature, full, verify)]
    documents = [{"tenant": tenant, **asdict(result)} for result in results]
    invocation.answer(documents if feature is None else documents[0], *(Text(_told(result)) for result in results))


def _told(result: Any) -> str:
    head = f"{result.feature}: {_what(result)}; {result.rows} rows at version {result.to_version}"
    lines = [head, f"  {result.mode}: {result.reason}"]
    if result.lag_versions:
        lines.append(f"  it was {result.lag_versions} versions ({result.lag_seconds:.0f} s) behind")
    if result.rows_per_second is not None:
        lines.append(f"  {result.rows_per_second:,.0f} rows a second, {result.graphs_built} graphs built")
    if result.repaired is not None:
        lines.append(f"  verified: {result.repaired} rows differed" + (" and were mended" if result.repaired else ""))
    return "\n".join(lines)


def _what(result: Any) -> str:
    if result.mode == "none":
        return "nothing to do"
    return f"{result.rows_upserted} rows written, {result.rows_deleted} deleted"
