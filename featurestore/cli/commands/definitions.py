"""Commands for definitions: plan, apply, groups list, groups show, derived list, derived show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.text import Text

from featurestore.cli.invocation import Invocation
from featurestore.definitions.sets.yaml_files import load_definitions

if TYPE_CHECKING:
    from featurestore.definitions.derived.definition import DerivedDefinition
    from featurestore.definitions.feature_group import FeatureGroup
    from featurestore.operations.definitions.plan import Plan

DefinitionsPath = Annotated[
    Path, typer.Argument(metavar="PATH", help="A YAML file of definitions, or a folder of such files.")
]


def plan(invocation: Invocation, path: DefinitionsPath) -> None:
    """Show what apply would change; change nothing."""
    load_definitions(path)  # reports a fault before Spark starts
    changes = invocation.open().plan(path)
    invocation.answer(_document(changes), Text(str(changes)))


def apply(invocation: Invocation, path: DefinitionsPath) -> None:
    """Create and evolve tables as the definitions say."""
    load_definitions(path)
    feature_store = invocation.open()
    with invocation.working(f"Applying {path}"):
        changes = feature_store.apply(path)
    invocation.answer(_document(changes), Text(str(changes)))


def list_groups(invocation: Invocation) -> None:
    """List the feature groups, each in its highest major version."""
    groups = invocation.open().feature_groups()
    invocation.answer([_definition(group) for group in groups], groups)


def show_group(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="GROUP", help="The feature group.")],
    version: Annotated[int | None, typer.Option("--version", help="Major version; the highest by default.")] = None,
) -> None:
    """Show a feature group's definition, as YAML."""
    group = invocation.open().feature_group(name, version)
    document = _definition(group)
    entity, own = document["entity"], {**document, "entity": group.entity.name}
    text = yaml.safe_dump({"entities": [entity], "feature_groups": [own]}, sort_keys=False, allow_unicode=True)
    invocation.answer(document, Text(text.rstrip()))


def list_derived(invocation: Invocation) -> None:
    """List the derived features, each in its highest major version."""
    features = invocation.open().derived_features()
    invocation.answer([_definition(feature) for feature in features], features)


def show_derived(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="FEATURE", help="The derived feature, without 'derived:'.")],
    version: Annotated[int | None, typer.Option("--version", help="Major version; the highest by default.")] = None,
) -> None:
    """Show a derived feature's definition, as YAML."""
    document = _definition(invocation.open().derived_feature(name, version))
    text = yaml.safe_dump({"derived_features": [document]}, sort_keys=False, allow_unicode=True)
    invocation.answer(document, Text(text.rstrip()))


def _document(plan: Plan) -> dict[str, Any]:
    changes = [
        {
            "action": change.action,
            "kind": change.kind,
            "name": change.name,
            "version": change.version,
            "details": list(change.details),
        }
        for change in plan.changes
    ]
    return {"has_changes": plan.has_changes, "changes": changes}


def _definition(definition: FeatureGroup | DerivedDefinition) -> dict[str, Any]:
    fields = definition.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return {"name": definition.name, "version": definition.version} | fields
