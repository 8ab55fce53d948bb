"""Commands on training sets: build, list, show, rebuild, extend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from featurestore.cli.invocation import Invocation

if TYPE_CHECKING:
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.stores.training_sets import Manifest

SetName = Annotated[str, typer.Argument(metavar="NAME", help="The training set.")]
SpineFile = Annotated[str, typer.Option("--spine", help="Parquet: the new rows, with the columns of the set's spine.")]
Version = Annotated[int | None, typer.Option("--version", help="Which version; the newest by default.")]


def build(invocation: Invocation, name: SetName) -> None:
    """Build a new version of a training set that was applied as a definition."""
    loader = _loader(invocation)
    with invocation.working(f"Building {name}"):
        manifest = loader.build(name).manifest
    _answer(invocation, manifest)


def list_versions(invocation: Invocation) -> None:
    """List the saved versions of all training sets."""
    manifests = _loader(invocation).list()
    table = Table("training set", "version", "created at", "rows", "features", "label", "content hash")
    for manifest in manifests:
        table.add_row(
            manifest.name,
            str(manifest.version),
            manifest.created_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            str(manifest.row_count),
            str(len(manifest.feature_columns)),
            Text(manifest.label or ""),
            manifest.content_hash[:12],
        )
    shown = table if manifests else Text(f"There are no training sets of {invocation.tenant} yet.")
    invocation.answer([manifest.model_dump(mode="json") for manifest in manifests], shown)


def show(invocation: Invocation, name: SetName, version: Version = None) -> None:
    """Show a saved version's manifest: what it holds and what it was made from."""
    _answer(invocation, _loader(invocation).get(name, version).manifest)


def rebuild(invocation: Invocation, name: SetName, version: Version = None) -> None:
    """Build a saved version again from its manifest; fails unless the content is the same."""
    loader = _loader(invocation)
    with invocation.working(f"Rebuilding {name}"):
        manifest = loader.rebuild(name, version).manifest
    _answer(invocation, manifest)


def extend(invocation: Invocation, name: SetName, spine: SpineFile, version: Version = None) -> None:
    """Add the spine rows of a Parquet file or folder to a saved version, as a new version; only they are computed."""
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.stores.row_files import read_parquet

    with invocation.working(f"Extending {name}"):
        rows = read_parquet(feature_store.spark, spine)
        manifest = FeatureDataLoader(feature_store.tenant(tenant)).extend(name, rows, version).manifest
    _answer(invocation, manifest)


def _loader(invocation: Invocation) -> FeatureDataLoader:
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    from featurestore.data_loader import FeatureDataLoader

    return FeatureDataLoader(feature_store.tenant(tenant))


def _answer(invocation: Invocation, manifest: Manifest) -> None:
    invocation.answer(manifest.model_dump(mode="json"), _facts(manifest))


def _facts(manifest: Manifest) -> Table:
    split = manifest.split
    facts = {
        "training set": f"{manifest.name} v{manifest.version} of {manifest.tenant_id}",
        "created at": manifest.created_at.isoformat(),
        "rows": str(manifest.row_count),
        "label": manifest.label or "none",
        "features": ", ".join(manifest.feature_columns),
        "known at": str(manifest.known_at or "whenever it came"),
        "split": "none" if split is None else f"validation from {split.validation_from}, test from {split.test_from}",
        "made from": ", ".join(f"{g.name} v{g.version} (table version {g.table_version})" for g in manifest.groups),
        "content hash": manifest.content_hash,
        "code version": manifest.code_version,
        "location": manifest.location,
    }
    table = Table(show_header=False)
    for name, fact in facts.items():
        table.add_row(name, Text(fact))
    return table
