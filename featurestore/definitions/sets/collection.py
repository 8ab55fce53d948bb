"""A set of definitions that belong together, and the check that they agree with each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from featurestore.definitions.derived.definition import DerivedDefinition
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.errors import DefinitionError, shown


@dataclass(frozen=True)
class Definitions:
    """Entities, feature groups, derived features and training sets, each kind in the order declared."""

    entities: tuple[Entity, ...] = ()
    feature_groups: tuple[FeatureGroup, ...] = ()
    training_sets: tuple[TrainingSetDefinition, ...] = ()
    derived_features: tuple[DerivedDefinition, ...] = ()

    @classmethod
    def of(cls, items: Iterable[object]) -> Definitions:
        """Sort definitions by kind; a group brings its entity along.

        Raises DefinitionError for anything that is not a definition, and for two different definitions of one name.
        """
        if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
            raise DefinitionError(
                f"{shown(items)} ({type(items).__name__}) cannot be applied; give a YAML file, a folder of them, or a "
                "list of definitions"
            )
        entities: dict[str, Entity] = {}
        groups: dict[tuple[str, int], FeatureGroup] = {}
        training_sets: dict[str, TrainingSetDefinition] = {}
        derived: dict[tuple[str, int], DerivedDefinition] = {}
        for item in items:
            if isinstance(item, Entity):
                _put(entities, item.name, item, "entity")
            elif isinstance(item, FeatureGroup):
                _put(entities, item.entity.name, item.entity, "entity")
                _put(groups, (item.name, item.version), item, "feature group")
            elif isinstance(item, DerivedDefinition):
                _put(derived, (item.name, item.version), item, "derived feature")
            elif isinstance(item, TrainingSetDefinition):
                _put(training_sets, item.name, item, "training set")
            else:
                raise DefinitionError(
                    f"{shown(item)} ({type(item).__name__}) cannot be applied; give Entity, FeatureGroup, "
                    "DerivedFeature or TrainingSetDefinition"
                )
        return cls(
            tuple(entities.values()), tuple(groups.values()), tuple(training_sets.values()), tuple(derived.values())
        )


def _put(items: dict[Any, Any], key: Any, item: Any, kind: str) -> None:
    if key in items and items[key] != item:
        raise DefinitionError(f"{kind} {key!r} is defined twice, and differently")
    items[key] = item
