"""The order in which derived features that read each other are computed, and the error for a circle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from featurestore.definitions.derived.definition import DerivedDefinition
from featurestore.errors import DefinitionError


def with_inputs_first(names: Iterable[str], known: Mapping[str, DerivedDefinition]) -> list[str]:
    """The names, with those that they read before them; raises DefinitionError for a circle.

    Names that are not known are left out.
    """
    needed: dict[str, list[str]] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in known and name not in needed:
            needed[name] = sorted({read for read in known[name].derived_inputs if read in known})
            waiting += needed[name]
    try:
        return list(TopologicalSorter({name: needed[name] for name in sorted(needed)}).static_order())
    except CycleError as error:
        raise DefinitionError(
            f"derived features read each other in a circle: {' <- '.join(error.args[1])}; compute one of them from "
            "features and columns alone"
        ) from error
