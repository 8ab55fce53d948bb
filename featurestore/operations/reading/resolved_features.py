"""Requested features resolved against the registry: lookups of groups, derived features, and what these read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from featurestore.columnar.derived.derived_feature import DerivedFeature
from featurestore.definitions.derived.order import with_inputs_first
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup, as_lookups, listed, with_places
from featurestore.definitions.names import DERIVED, parse_reference
from featurestore.errors import DefinitionError
from featurestore.operations.context import Context
from featurestore.operations.reading.derived import HIDDEN, NO_DERIVED, AskedDerived, DerivedColumn, DerivedPart
from featurestore.operations.reading.request import AsOfRequest, Features, ResolvedLookup, resolve_lookup

_Definition = TypeVar("_Definition")
OfName: TypeAlias = Callable[[str], _Definition]


@dataclass(frozen=True)
class ResolvedFeatures:
    """Requested features.

    - ``lookups``: of groups, in order; ``derived``: the derived features;
    - ``inputs``: further lookups, for inputs that were not asked for.
    """

    lookups: tuple[ResolvedLookup, ...]
    inputs: tuple[ResolvedLookup, ...] = ()
    derived: DerivedPart = NO_DERIVED


def resolve_features(context: Context, features: Features, full_feature_names: bool = False) -> ResolvedFeatures:
    """Resolve references and lookups, of groups and of derived features, against the registry; raises as ``resolve``.

    Derived features are those of the group ``derived``.
    """
    return resolved(as_lookups(features), context.group, context.derived_feature, full_feature_names)


def resolved(
    asked: Sequence[Lookup], group: OfName[FeatureGroup], derived: OfName[DerivedFeature], full_feature_names: bool
) -> ResolvedFeatures:
    """The same by other definitions: ``group`` and ``derived`` give that of a name, or raise NotFoundError."""
    if not asked:
        raise DefinitionError("no features were requested; name at least one as 'group:feature'")
    of_groups = [lookup for lookup in asked if lookup.group != DERIVED]
    lookups = tuple(resolve_lookup(group(lookup.group), lookup, full_feature_names) for lookup in of_groups)
    places = [sum(other.group != DERIVED for other in asked[:number]) for number in range(len(asked))]
    named = [
        _asked(place, lookup, full_feature_names)
        for place, lookup in zip(places, asked, strict=True)
        if lookup.group == DERIVED
    ]
    if not named:
        return ResolvedFeatures(lookups)
    inputs, part = _with_derived(named, lookups, group, derived)
    return ResolvedFeatures(lookups, inputs, part)


def outputs_of(features: Features, request: AsOfRequest) -> tuple[str, ...]:
    """The output columns in the order of ``features``, which are those of the request."""
    outputs = request.outputs
    names: list[str] = []
    for place, item in with_places(listed(features)):
        names += outputs[place].values() if isinstance(item, Lookup) else [outputs[place][parse_reference(item)[1]]]
    return tuple(names)


def _with_derived(
    named: Sequence[AskedDerived],
    lookups: Sequence[ResolvedLookup],
    group: OfName[FeatureGroup],
    derived: OfName[DerivedFeature],
) -> tuple[tuple[ResolvedLookup, ...], DerivedPart]:
    """The further lookups, and the derived features, each after those that it reads."""
    known = _with_inputs(list(dict.fromkeys(name for each in named for name in each.names)), derived)
    inputs = _Inputs(lookups, group)
    outputs: dict[str, list[str]] = {}
    for each in named:
        for name, output in zip(each.names, each.outputs, strict=True):
            outputs.setdefault(name, []).append(output)
    columns: list[DerivedColumn] = []
    computed: dict[str, str] = {}
    for name in with_inputs_first(known, known):
        feature = known[name]
        read = {alias: inputs.column(place, computed) for alias, place in feature.inputs_by_name.items()}
        for output in outputs.get(name, [f"{HIDDEN}_{DERIVED}_{name}"]):
            columns.append(DerivedColumn(feature, read, output))
            computed.setdefault(name, output)
    return inputs.lookups(), DerivedPart(tuple(columns), tuple(named))


def _asked(place: int, lookup: Lookup, full_feature_names: bool) -> AskedDerived:
    if lookup.on or not lookup.features:
        fault = "takes no on=: its features' own inputs say how they are looked up" if lookup.on else "names no feature"
        raise DefinitionError(f"lookup of {DERIVED!r} {fault}")
    prefix = lookup.prefix if lookup.prefix is not None else f"{DERIVED}__" if full_feature_names else ""
    return AskedDerived(lookup.features, tuple(f"{prefix}{name}" for name in lookup.features), place)


def _with_inputs(names: list[str], derived: OfName[DerivedFeature]) -> dict[str, DerivedFeature]:
    known: dict[str, DerivedFeature] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in known:
            known[name] = derived(name)
            waiting += known[name].derived_inputs
    return known


class _Inputs:
    """The columns of inputs: of lookups that were asked for, where they have them, else of further lookups."""

    def __init__(self, asked: Sequence[ResolvedLookup], group: OfName[FeatureGroup]) -> None:
        self._group = group
        self._columns: dict[tuple[Any, ...], str] = {}
        for lookup in asked:
            for name, output in lookup.outputs.items():
                self._columns.setdefault((lookup.group.name, *lookup.keys.items(), name), output)
        self._further: dict[tuple[Any, ...], list[Lookup]] = {}

    def column(self, place: str | Lookup, computed: Mapping[str, str]) -> str:
        """The column of an input; ``computed`` has those of derived features that come before."""
        if isinstance(place, str) and ":" not in place:
            return place
        lookup = place if isinstance(place, Lookup) else Lookup(*_reference(place))
        if lookup.group == DERIVED:
            return computed[lookup.features[0]]
        resolved = resolve_lookup(self._group(lookup.group), lookup, False)
        keyed = (lookup.group, *resolved.keys.items())
        name = lookup.features[0]
        if (*keyed, name) not in self._columns:
            further = self._further.setdefault(keyed, [])
            further.append(Lookup(lookup.group, (name,), on=lookup.on))
            number = list(self._further).index(keyed)
            self._columns[(*keyed, name)] = f"{HIDDEN}_{number}_{name}"
        return self._columns[(*keyed, name)]

    def lookups(self) -> tuple[ResolvedLookup, ...]:
        """The further lookups, whose columns no spine and no feature has."""
        resolved = []
        for number, (first, *more) in enumerate(self._further.values()):
            names = (first.features[0], *(each.features[0] for each in more))
            lookup = resolve_lookup(self._group(first.group), Lookup(first.group, names, on=first.on), False)
            resolved.append(_hidden(lookup, f"{HIDDEN}_{number}_"))
        return tuple(resolved)


def _reference(reference: str) -> tuple[str, tuple[str]]:
    group, name = parse_reference(reference)
    return group, (name,)


def _hidden(lookup: ResolvedLookup, prefix: str) -> ResolvedLookup:
    """The lookup with columns that no spine and no feature has."""
    outputs = {name: f"{prefix}{name}" for name in lookup.features}
    return replace(lookup, outputs=outputs, event_timestamp_output=f"{prefix}_{lookup.group.name}__event_timestamp")
