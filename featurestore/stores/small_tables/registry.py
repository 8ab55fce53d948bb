"""The registry: every definition ever applied, one row per state; the newest state is in force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, TypeVar

import pyarrow as pa

from featurestore.columnar.derived.derived_feature import DerivedFeature
from featurestore.columnar.schema import table_schema
from featurestore.definitions.base import Definition
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.errors import NotFoundError, StorageError, nearest
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.small_tables.rows import UnreadableRow, read_text, warn_of, written_text
from featurestore.stores.small_tables.small_table import SmallTable, rows_of, small_table

Kind = Literal["entity", "feature_group", "derived_feature", "training_set"]
AnyDefinition = TypeVar("AnyDefinition", bound=Definition)

# The kinds that have major versions beside each other.
VERSIONED: tuple[Kind, ...] = ("feature_group", "derived_feature")

_SCHEMA = table_schema(
    "kind string, name string, version int, revision int, definition string, applied_at timestamp, code_version string"
)


@dataclass(frozen=True)
class Entry:
    """One state of one definition. ``version`` is the major version (1 if it has none), ``revision`` counts states."""

    kind: Kind
    name: str
    version: int
    revision: int
    definition: str

    @property
    def key(self) -> tuple[Kind, str, int]:
        return (self.kind, self.name, self.version)

    def __str__(self) -> str:
        version = f" v{self.version}" if self.kind in VERSIONED else ""
        return f"{self.kind.replace('_', ' ')} {self.name!r}{version}"


@dataclass(frozen=True)
class RegistryState:
    """The definitions in force, by kind, name and version.

    Methods that return all definitions skip one that cannot be read, with a warning; methods that name it raise
    StorageError.
    """

    entries: dict[tuple[Kind, str, int], Entry]

    def get(self, kind: Kind, name: str, version: int = 1) -> Entry | None:
        return self.entries.get((kind, name, version))

    def entity(self, name: str) -> Entity | None:
        entry = self.get("entity", name)
        return None if entry is None else _definition(Entity, entry)

    def entities(self) -> list[Entity]:
        """Return all entities, by name."""
        return _definitions(Entity, self._of("entity"))

    def feature_groups(self) -> list[FeatureGroup]:
        """Return each group in its highest major version, by name."""
        highest: dict[str, Entry] = {}
        for entry in self._of("feature_group"):
            if entry.name not in highest or entry.version > highest[entry.name].version:
                highest[entry.name] = entry
        return _definitions(FeatureGroup, highest.values())

    def all_feature_groups(self) -> list[FeatureGroup]:
        """Return every group in every major version, by name and version, that has tables."""
        groups = _definitions(FeatureGroup, self._of("feature_group"))
        return [group for group in groups if not group.is_computed]

    def stored_feature_groups(self) -> list[FeatureGroup]:
        """Return each group in its highest major version, by name, without those that compute their values."""
        return [group for group in self.feature_groups() if not group.is_computed]

    def feature_group(self, name: str, version: int | None = None) -> FeatureGroup:
        """Return a group in a major version, by default the highest; raises NotFoundError with the nearest names."""
        return _definition(FeatureGroup, self.feature_group_entry(name, version))

    def feature_group_entry(self, name: str, version: int | None = None) -> Entry:
        return self._versioned("feature_group", name, version)

    def _versioned(self, kind: Kind, name: str, version: int | None) -> Entry:
        words, entries = kind.replace("_", " "), [entry for entry in self._of(kind) if entry.name == name]
        if not entries:
            known = {entry.name for entry in self._of(kind)}
            raise NotFoundError(f"{words} {name!r} was never applied. {nearest(name, known)}")
        matches = [entry for entry in entries if version is None or entry.version == version]
        if not matches:
            versions = sorted(entry.version for entry in entries)
            raise NotFoundError(f"{words} {name!r} has no version {version}; it has {versions}")
        return max(matches, key=lambda entry: entry.version)

    def derived_features(self) -> list[DerivedFeature]:
        """Return each derived feature in its highest major version, by name."""
        highest: dict[str, Entry] = {}
        for entry in self._of("derived_feature"):
            if entry.name not in highest or entry.version > highest[entry.name].version:
                highest[entry.name] = entry
        return _definitions(DerivedFeature, highest.values())

    def derived_feature(self, name: str, version: int | None = None) -> DerivedFeature:
        """Return one in a major version, by default the highest; raises NotFoundError with the nearest names."""
        return _definition(DerivedFeature, self.derived_feature_entry(name, version))

    def derived_feature_entry(self, name: str, version: int | None = None) -> Entry:
        return self._versioned("derived_feature", name, version)

    def training_sets(self) -> list[TrainingSetDefinition]:
        return _definitions(TrainingSetDefinition, self._of("training_set"))

    def training_set(self, name: str) -> TrainingSetDefinition:
        entry = self.get("training_set", name)
        if entry is None:
            known = {known_entry.name for known_entry in self._of("training_set")}
            raise NotFoundError(f"training set {name!r} was never applied. {nearest(name, known)}")
        return _definition(TrainingSetDefinition, entry)

    def unreadable(self, *kinds: Kind) -> list[UnreadableRow]:
        """Return the definitions of these kinds that cannot be read; of all kinds if none is named."""
        entries = [entry for entry in self.entries.values() if not kinds or entry.kind in kinds]
        readings = [_read(_CLASSES[entry.kind], entry) for entry in _in_order(entries)]
        return [reading for reading in readings if isinstance(reading, UnreadableRow)]

    def _of(self, kind: Kind) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.kind == kind]


_CLASSES: dict[Kind, type[Definition]] = {
    "entity": Entity,
    "feature_group": FeatureGroup,
    "derived_feature": DerivedFeature,
    "training_set": TrainingSetDefinition,
}


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.kind, entry.name, entry.version))


def _read(kind: type[AnyDefinition], entry: Entry) -> AnyDefinition | UnreadableRow:
    return read_text(kind.from_json, entry.definition, f"the definition of {entry}", "apply its definition again")


def _definition(kind: type[AnyDefinition], entry: Entry) -> AnyDefinition:
    definition = _read(kind, entry)
    if isinstance(definition, UnreadableRow):
        raise StorageError(str(definition))
    return definition


def _definitions(kind: type[AnyDefinition], entries: Iterable[Entry]) -> list[AnyDefinition]:
    """Return the definitions that can be read, by name and version."""
    definitions = []
    for entry in _in_order(entries):
        definition = _read(kind, entry)
        if isinstance(definition, UnreadableRow):
            warn_of(definition)
        else:
            definitions.append(definition)
    return definitions


@dataclass(frozen=True)
class Registry:
    """The registry's table."""

    table: SmallTable

    @classmethod
    def of(cls, table: DeltaTable) -> Registry:
        return cls(small_table(table, _SCHEMA))

    def create(self) -> None:
        self.table.create()

    def state(self) -> RegistryState:
        newest: dict[tuple[Kind, str, int], Entry] = {}
        for row in self.table.read((), ["kind", "name", "version", "revision", "definition"]).to_pylist():
            entry = Entry(**row)
            if entry.key not in newest or entry.revision > newest[entry.key].revision:
                newest[entry.key] = entry
        return RegistryState(newest)

    def history(self) -> pa.Table:
        """Return one row per state: kind, name, version, revision, definition (JSON), applied_at, code_version."""
        return self.table.read()

    def record(self, entries: Iterable[Entry], now: datetime, code_version: str) -> None:
        """Append states of definitions; raises InvariantError for one that could not be read back."""
        rows = [
            asdict(entry) | {"definition": _checked(entry), "applied_at": now, "code_version": code_version}
            for entry in entries
        ]
        if rows:
            self.table.append(rows_of(_SCHEMA, rows))


def _checked(entry: Entry) -> str:
    def read_again(text: str) -> str:
        return _CLASSES[entry.kind].from_json(text).to_json()

    return written_text(str, read_again, entry.definition, f"the definition of {entry}")
