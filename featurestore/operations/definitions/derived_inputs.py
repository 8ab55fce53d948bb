"""Check derived features against what they read: each input exists, no circle, and the type is the declared one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featurestore.columnar.derived.computation import WrongTypeError, check_widened
from featurestore.columnar.expressions.evaluation import result_type
from featurestore.columnar.expressions.same_reading import check_same_reading
from featurestore.definitions.derived.definition import DerivedDefinition, Input, input_text
from featurestore.definitions.derived.order import with_inputs_first
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import DERIVED, parse_reference
from featurestore.definitions.sets.collection import Definitions
from featurestore.errors import DefinitionError, NotFoundError, TransformationError, nearest
from featurestore.kinds.registry import kind_of
from featurestore.stores.small_tables.registry import RegistryState


@dataclass(frozen=True)
class _Known:
    """Groups and derived features by name, each in its highest major version."""

    groups: Mapping[str, FeatureGroup]
    derived: Mapping[str, DerivedDefinition]


def check_derived(definitions: Definitions, state: RegistryState) -> None:
    """Raise DefinitionError if a derived feature could not be computed once these definitions are applied.

    That is one of them, or one in the registry that reads a group or derived feature of theirs: an input does not
    exist, features read each other in a circle, the expression does not take its inputs' types or gives another type,
    or the function cannot be imported. The types of a spine's columns are not known here; with such an input, the
    expression's type is checked when it is computed.
    """
    known = _known(definitions, state)
    changed = {group.name for group in definitions.feature_groups}
    changed |= {f"{DERIVED}:{feature.name}" for feature in definitions.derived_features}
    with_inputs_first(known.derived, known.derived)
    older = [feature for feature in definitions.derived_features if known.derived[feature.name] is not feature]
    for feature in (*older, *known.derived.values()):
        read = {f"{group}:{name}" if group == DERIVED else group for group, name in feature.references}
        if f"{DERIVED}:{feature.name}" in changed or read & changed:
            _check(feature, known)


def input_words(feature: DerivedDefinition, state: RegistryState) -> dict[str, str]:
    """By input the type of its feature; a column of a spine has none."""
    known = _known(Definitions(), state)
    words = {name: _word(feature, place, known) for name, place in feature.inputs_by_name.items()}
    return {name: word for name, word in words.items() if word is not None}


def _known(definitions: Definitions, state: RegistryState) -> _Known:
    groups = {group.name: group for group in state.feature_groups()}
    for group in definitions.feature_groups:
        if group.name not in groups or group.version >= groups[group.name].version:
            groups[group.name] = group
    derived: dict[str, DerivedDefinition] = {feature.name: feature for feature in state.derived_features()}
    for feature in definitions.derived_features:
        if feature.name not in derived or feature.version >= derived[feature.name].version:
            derived[feature.name] = feature
    return _Known(groups, derived)


def _check(feature: DerivedDefinition, known: _Known) -> None:
    words = {name: _word(feature, place, known) for name, place in feature.inputs_by_name.items()}
    if feature.sql is None:
        try:
            feature.load()
        except TransformationError as error:
            raise DefinitionError(str(error)) from error
        return
    expression = feature.expression
    try:
        check_same_reading(expression)
        if None not in words.values():
            types = {name: kind_of(word).arrow_type for name, word in words.items() if word is not None}
            _check_type(feature, *result_type(expression, types))
    except DefinitionError as error:
        raise DefinitionError(f"derived feature {feature.name!r}: {error}") from error


def _check_type(feature: DerivedDefinition, found: pa.DataType, word: str) -> None:
    try:
        check_widened(found, kind_of(feature.type))
    except WrongTypeError as error:
        raise DefinitionError(
            f"its expression gives {word}, which cannot be read as {feature.type} without loss; declare the type that "
            f"it gives, or CAST the result{_ADVICE.get(feature.type, '')}"
        ) from error


_ADVICE = {"timestamp": " (to TIMESTAMPTZ, or by AT TIME ZONE)", "float": " AS FLOAT", "int": " AS INTEGER"}


def _word(feature: DerivedDefinition, place: Input, known: _Known) -> str | None:
    """The type of an input's feature; raises DefinitionError if there is no such feature."""
    if isinstance(place, str) and ":" not in place:
        return None
    group_name, name = (place.group, place.features[0]) if isinstance(place, Lookup) else parse_reference(place)
    if group_name == DERIVED:
        _of(known.derived, name, feature, place, "derived feature")
        return known.derived[name].type
    group = _of(known.groups, group_name, feature, place, "feature group")
    try:
        found = group.feature(name)
    except NotFoundError as error:
        raise DefinitionError(f"derived feature {feature.name!r}: input {input_text(place)}: {error}") from error
    unknown = sorted(place.on.keys() - set(group.join_keys)) if isinstance(place, Lookup) else []
    if unknown:
        raise DefinitionError(
            f"derived feature {feature.name!r}: input {input_text(place)}: on= names {unknown}; the join keys of "
            f"{group.name!r} are {group.join_keys}"
        )
    return str(found.type)


def _of(known: Mapping[str, Any], name: str, feature: DerivedDefinition, place: Input, kind: str) -> Any:
    if name not in known:
        raise DefinitionError(
            f"derived feature {feature.name!r}: input {input_text(place)}: there is no {kind} {name!r}. "
            f"{nearest(name, known)}"
        )
    return known[name]
