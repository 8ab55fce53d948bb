"""Commands that maintain tables: cleanup, vacuum, optimize, erase; each is also a job for spark-submit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli.arguments import entity_of
from featurestore.cli.invocation import Invocation

if TYPE_CHECKING:
    from featurestore.feature_store import FeatureStore

Groups = Annotated[list[str] | None, typer.Argument(metavar="GROUP", help="Feature groups; all by default.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]


def cleanup(
    invocation: Invocation,
    groups: Groups = None,
    days: Annotated[
        int | None,
        typer.Option("--days", help="Delete rows older than this many days, whatever the groups' retention is."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Delete rows that are older than their group's retention."""
    tenant = invocation.required_tenant()
    store = invocation.open().tenant(tenant)
    with invocation.working("Looking for old rows" if dry_run else "Deleting old rows"):
        results = store.cleanup(retention_days=days, dry_run=dry_run, groups=groups or None)
    invocation.answer([asdict(result) for result in results], results)


def vacuum(
    invocation: Invocation,
    older_than: Annotated[
        str, typer.Option("--older-than", help="How long files must have been out of the newest version: 7d, 36h.")
    ] = "7d",
    force: Annotated[
        bool, typer.Option("--force", help="Also remove files that running readers or saved training sets need.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Remove files that no reader needs any more from disk, in the whole store, for all tenants."""
    feature_store = invocation.open()
    with invocation.working("Looking for old files" if dry_run else "Removing old files"):
        results = feature_store.vacuum(older_than=older_than, force=force, dry_run=dry_run)
    invocation.answer([asdict(result) for result in results], results)


def optimize(invocation: Invocation, groups: Groups = None, dry_run: DryRun = False) -> None:
    """Rewrite small, overlapping or unsorted files as few sorted ones; no answer changes."""
    tenant = invocation.required_tenant()
    store = invocation.open().tenant(tenant)
    with invocation.working("Looking at files" if dry_run else "Rewriting files"):
        results = store.optimize(groups or None, dry_run=dry_run)
    invocation.answer([asdict(result) for result in results], results)


def erase(
    invocation: Invocation,
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="The entity's name, such as user.")],
    key: Annotated[list[str] | None, typer.Option("--key", help="A join key as KEY=VALUE, once for each key.")] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            help="Instead of --key: JSON lines, one object of join keys per line; keeps keys out of the shell.",
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Also write the certificate (JSON) to this new file.")
    ] = None,
) -> None:
    """Erase entities from every group, rejected row, saved training set and export, physically and permanently."""
    if (not key) == (keys is None):
        raise typer.BadParameter("give either --key or --keys", param_hint="--key/--keys")
    if certificate is not None and certificate.exists():
        raise typer.BadParameter(f"{certificate} exists; name a new file", param_hint="--certificate")
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    entities = [_entity_of(feature_store, entity, key or [])] if keys is None else _lines(keys)
    with invocation.working(f"Erasing {len(entities)} of {entity}"):
        erasure = feature_store.tenant(tenant).erase(entity, entities)
    if certificate is not None:
        certificate.write_text(erasure.to_json() + "\n", encoding="utf-8")
    invocation.answer(asdict(erasure), erasure)
    erasure.require_complete()


def _entity_of(feature_store: FeatureStore, name: str, texts: Sequence[str]) -> dict[str, Any]:
    entities = {entity.name: entity for entity in feature_store.entities()}
    # The operation refuses an unknown entity.
    return entity_of(entities[name], texts) if name in entities else dict(text.partition("=")[::2] for text in texts)


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        # The message must not show the file's content.
        raise typer.BadParameter(
            f"{file} cannot be read as JSON lines ({type(error).__name__})", param_hint="--keys"
        ) from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise typer.BadParameter(f"{file} must hold one object of join keys per line", param_hint="--keys")
    return rows


def list_erasures(invocation: Invocation) -> None:
    """Show the certificates of the tenant's erasures, oldest first."""
    tenant = invocation.required_tenant()
    erasures = invocation.open().tenant(tenant).erasures()
    invocation.answer([asdict(erasure) | {"rows": erasure.rows} for erasure in erasures], erasures)
