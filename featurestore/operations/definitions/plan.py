"""Decide what applying definitions would change; ``apply`` carries it out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from featurestore.definitions.base import Definition
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.sets.collection import Definitions
from featurestore.definitions.sets.dependencies import in_order
from featurestore.definitions.sets.yaml_files import load_definitions
from featurestore.definitions.source import Source
from featurestore.definitions.values.types import LOSSLESS_WIDENING
from featurestore.display.description import Display, Mark, Table, Tone
from featurestore.display.displayed import Displayed
from featurestore.errors import DefinitionError, IncompatibleChangeError, nearest
from featurestore.operations.definitions.derived_inputs import check_derived
from featurestore.stores.small_tables.registry import VERSIONED, Entry, Kind, RegistryState

Action = Literal["create", "update", "unchanged"]
_MARK = {"create": "+", "update": "~", "unchanged": " "}
_TONES: dict[Action, Tone] = {"create": "good", "update": "warning", "unchanged": "muted"}


@dataclass(frozen=True)
class Change:
    """The change of one definition; ``details`` are the lines of a readable diff."""

    action: Action
    kind: Kind
    name: str
    version: int
    details: tuple[str, ...]
    entry: Entry

    def __str__(self) -> str:
        version = f" v{self.version}" if self.kind in VERSIONED else ""
        head = f"{_MARK[self.action]} {self.kind.replace('_', ' ')} {self.name}{version}: {self.action}"
        return "\n".join([head, *(f"    {detail}" for detail in self.details)])


@dataclass(frozen=True)
class Plan(Displayed):
    """The changes, in the order in which apply makes them."""

    changes: tuple[Change, ...]

    @property
    def has_changes(self) -> bool:
        return any(change.action != "unchanged" for change in self.changes)

    def __str__(self) -> str:
        texts = [str(change) for change in self.changes if change.action != "unchanged"]
        unchanged = len(self.changes) - len(texts)
        tail = f"{unchanged} unchanged" if texts else f"Nothing to change: {unchanged} unchanged"
        return "\n".join([*texts, tail])

    def __repr__(self) -> str:
        return f"Plan({self._numbers()})"

    def _numbers(self) -> str:
        counts = Counter(change.action for change in self.changes)
        return f"{counts['create']} to create, {counts['update']} to update, {counts['unchanged']} unchanged"

    def display(self) -> Display:
        """One row per definition that changes; the title counts the unchanged ones."""
        rows = tuple(
            (
                Mark(f"{_MARK[change.action]} {change.action}", _TONES[change.action]),
                change.kind.replace("_", " "),
                f"{change.name} v{change.version}" if change.kind in VERSIONED else change.name,
                "\n".join(change.details),
            )
            for change in self.changes
            if change.action != "unchanged"
        )
        table = Table(("change", "kind", "name", "what"), rows)
        return Display(f"Plan: {self._numbers()}", tables=(table,) if rows else ())


def read_definitions(source: str | Path | Definitions | Iterable[object]) -> Definitions:
    """Definitions from a YAML file or folder, or from a list; raises DefinitionError."""
    if isinstance(source, Definitions):
        return source
    if isinstance(source, str | Path):
        return load_definitions(source)
    return Definitions.of(source)


def make_plan(definitions: Definitions, state: RegistryState) -> Plan:
    """Compare definitions with the registry's state.

    Raises IncompatibleChangeError, naming every fault, for changes that stored rows cannot follow: a changed entity or
    join key, a dropped feature, a type that is not widened losslessly, another partitioning. Raises DefinitionError for
    a group that reads a missing group, for groups that read each other in a circle, and for what ``check_derived``
    refuses.
    """
    _check_upstream(definitions, state)
    check_derived(definitions, state)
    faults: list[str] = []
    changes = [_change("entity", item.name, 1, item, state, faults) for item in definitions.entities]
    changes += [
        _change("feature_group", item.name, item.version, item, state, faults) for item in definitions.feature_groups
    ]
    changes += [
        _change("derived_feature", item.name, item.version, item, state, faults)
        for item in definitions.derived_features
    ]
    changes += [_change("training_set", item.name, 1, item, state, faults) for item in definitions.training_sets]
    if faults:
        raise IncompatibleChangeError("\n".join(faults))
    return Plan(tuple(changes))


def _check_upstream(definitions: Definitions, state: RegistryState) -> None:
    groups = {group.name: group for group in (*state.feature_groups(), *definitions.feature_groups)}
    readers: list[tuple[str, Iterable[Source]]] = [
        (f"feature group {group.name!r}", group.all_sources) for group in definitions.feature_groups
    ]
    readers += [(f"training set {each.name!r}", each.spine.sources.values()) for each in definitions.training_sets]
    for reader, sources in readers:
        for source in sources:
            if source.group is not None and source.group not in groups:
                raise DefinitionError(
                    f"{reader} reads group {source.group!r}, which does not exist. {nearest(source.group, groups)}"
                )
            if source.group is not None and groups[source.group].is_computed:
                raise DefinitionError(
                    f"{reader} reads group {source.group!r}, which stores no values: they are computed from events for "
                    "each example; give it every= to store them"
                )
    for group in definitions.feature_groups:
        of = groups.get((group.events.source.group if group.events is not None else None) or "")
        if of is not None and of.in_place is not None:
            raise DefinitionError(
                f"feature group {group.name!r} has its events in group {of.name!r}, which is in place; name the table "
                "of that group as the source of the events"
            )
    in_order(groups.values())


def _change(kind: Kind, name: str, version: int, item: Definition, state: RegistryState, faults: list[str]) -> Change:
    known = state.get(kind, name, version)
    text = item.to_json()
    if known is None:
        details = _created(item) if isinstance(item, FeatureGroup) else ()
        return Change("create", kind, name, version, details, Entry(kind, name, version, 1, text))
    entry = Entry(kind, name, version, known.revision + 1, text)
    try:
        before = type(item).from_json(known.definition)
    except DefinitionError as error:
        # Applying the definition again repairs the stored one.
        return Change("update", kind, name, version, (f"the stored definition cannot be read: {error}",), entry)
    if _plain_numbers(known.definition) == _plain_numbers(text):
        return Change("unchanged", kind, name, version, (), known)
    faults.extend(_faults(kind, before, item))
    return Change("update", kind, name, version, tuple(_differences(before, item)), entry)


def _plain_numbers(definition: str) -> str:
    """The definition with whole floats as integers: a stored ``0.0`` equals a ``0``, but 1 and true differ."""
    return json.dumps(json.loads(definition, parse_float=lambda text: _plain(float(text))))


def _plain(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _created(group: FeatureGroup) -> tuple[str, ...]:
    keys = ", ".join(f"{name} {kind}" for name, kind in group.entity.join_keys.items())
    return (f"keys: {keys}", *(f"+ feature {feature.name}: {feature.type}" for feature in group.features))


def _faults(kind: Kind, before: Any, after: Any) -> list[str]:
    if kind == "entity" and before.join_keys != after.join_keys:
        return [
            f"entity {after.name!r}: join keys were {before.join_keys} and would be {after.join_keys}; "
            "stored rows cannot follow. Define another entity, and groups of it under a new name or version"
        ]
    if not isinstance(after, FeatureGroup):
        return []
    return [
        f"feature group {after.name!r}: {fault}; raise its version to {after.version + 1}"
        for fault in _group_faults(before, after)
    ]


def _group_faults(before: FeatureGroup, after: FeatureGroup) -> list[str]:
    faults = []
    if (before.in_place is None) != (after.in_place is None):
        words = ["in place" if group.in_place is not None else "stored" for group in (before, after)]
        faults.append(f"its values are {words[0]} and would be {words[1]}, so that reads would no longer find them")
    if before.entity.name != after.entity.name or before.entity.join_keys != after.entity.join_keys:
        faults.append(f"its join keys were {before.entity.join_keys} and would be {after.entity.join_keys}")
    if before.partition_by != after.partition_by:
        faults.append(f"it is partitioned by {before.partition_by} and would be by {after.partition_by}")
    if after.is_computed and not before.is_computed:
        faults.append("it stores values, which nothing would read or erase any more once they are computed")
    types = {feature.name: feature.type for feature in after.features}
    for feature in before.features:
        if feature.name not in types:
            faults.append(f"feature {feature.name!r} would be dropped")
        elif types[feature.name] != feature.type and types[feature.name] not in LOSSLESS_WIDENING.get(feature.type, ()):
            faults.append(
                f"feature {feature.name!r} is {feature.type} and cannot become {types[feature.name]} losslessly"
            )
    return faults


def _differences(before: Definition, after: Definition) -> list[str]:
    """One line per field that differs, and per feature that differs."""
    lines = []
    for name in type(after).model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        if name == "features" and isinstance(after, FeatureGroup):
            lines += _feature_differences({f.name: f for f in old}, {f.name: f for f in new})
        else:
            lines.append(f"~ {name}: {_as_text(old)} -> {_as_text(new)}")
    return lines


def _feature_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    lines = [f"- feature {name}" for name in old if name not in new]
    for name, feature in new.items():
        if name not in old:
            lines.append(f"+ feature {name}: {feature.type}")
        elif old[name] != feature:
            lines += [f"~ feature {name}: {line.removeprefix('~ ')}" for line in _differences(old[name], feature)]
    return lines


def _as_text(value: Any) -> str:
    if isinstance(value, Definition):
        return value.to_json()
    return "none" if value is None else str(value)
