"""Commands that keep tables in shape: cleanup, vacuum, optimize, erase; each is a job for spark-submit, too."""

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
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done; change nothing.")]


def cleanup(
    invocation: Invocation,
    groups: Groups = None,
    days: Annotated[
        int | None, typer.Option("--days", help="Delete what is older than so many days, whatever the groups say.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Delete rows that are older than their group's retention."""
    tenant = invocation.required_tenant()
    store = invocation.open().tenant(tenant)
    with invocation.working("Looking for old rows" if dry_run else "Deleting old rows"):
        results = store.cleanup(retention_days=days, dry_run=dry_run, groups=groups or None)
    invocation.answer([asdict(one) for one in results], results)


def vacuum(
    invocation: Invocation,
    older_than: Annotated[
        str, typer.Option("--older-than", help="How long files have not been in the newest version: 7d, 36h.")
    ] = "7d",
    force: Annotated[
        bool, typer.Option("--force", help="Also where running readers or saved training sets need them.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Remove files from disk that no reader needs any more; of the whole store, all tenants."""
    feature_store = invocation.open()
    with invocation.working("Looking for old files" if dry_run else "Removing old files"):
        results = feature_store.vacuum(older_than=older_than, force=force, dry_run=dry_run)
    invocation.answer([asdict(one) for one in results], results)


def optimize(invocation: Invocation, groups: Groups = None, dry_run: DryRun = False) -> None:
    """Rewrite partitions that are many small files as few, sorted ones; no answer changes by it."""
    tenant = invocation.required_tenant()
    store = invocation.open().tenant(tenant)
    with invocation.working("Looking for small files" if dry_run else "Compacting small files"):
        results = store.optimize(groups or None, dry_run=dry_run)
    invocation.answer([asdict(one) for one in results], results)


def erase(
    invocation: Invocation,
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="The entity's name, such as user.")],
    key: Annotated[list[str] | None, typer.Option("--key", help="A join key as KEY=VALUE, once for each key.")] = None,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="Or a file of JSON lines, one object of join keys a line: nothing in the shell."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Write the certificate (JSON) to this new file, too.")
    ] = None,
) -> None:
    """Forget entities: in every group, rejected row, saved training set and export, physically and for good."""
    if (not key) == (keys is None):
        raise typer.BadParameter("give either --key or --keys", param_hint="--key/--keys")
    if certificate is not None and certificate.exists():
        raise typer.BadParameter(f"{certificate} exists; name a new file", param_hint="--certificate")
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    named = [_entity_of(feature_store, entity, key or [])] if keys is None else _lines(keys)
    with invocation.working(f"Erasing {len(named)} of {entity}"):
        done = feature_store.tenant(tenant).erase(entity, named)
    if certificate is not None:
        certificate.write_text(done.to_json() + "\n", encoding="utf-8")
    invocation.answer(asdict(done), done)
    done.require_complete()


def _entity_of(feature_store: FeatureStore, name: str, given: Sequence[str]) -> dict[str, Any]:
    entities = {entity.name: entity for entity in feature_store.entities()}
    # What is not known is told by the operation.
    return entity_of(entities[name], given) if name in entities else dict(text.partition("=")[::2] for text in given)


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        # What is in the file is not to be shown.
        raise typer.BadParameter(
            f"{file} cannot be read as JSON lines ({type(error).__name__})", param_hint="--keys"
        ) from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise typer.BadParameter(f"{file} holds no objects of join keys, one a line", param_hint="--keys")
    return rows


def list_erasures(invocation: Invocation) -> None:
    """Show the certificates of the tenant's erasures, oldest first."""
    tenant = invocation.required_tenant()
    done = invocation.open().tenant(tenant).erasures()
    invocation.answer([asdict(one) | {"rows": one.rows} for one in done], done)
