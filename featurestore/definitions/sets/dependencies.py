"""The order in which groups that read each other's values are materialized, and the error for cycles."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import DefinitionError


def in_order(groups: Iterable[FeatureGroup]) -> list[FeatureGroup]:
    """The groups in an order in which each comes after those that it reads, and otherwise by name.

    Groups that are read but not in ``groups`` are ignored. Raises DefinitionError for groups that read each other in a
    circle.
    """
    by_name = {group.name: group for group in groups}
    sorter = TopologicalSorter(
        {name: [read for read in by_name[name].upstream if read in by_name] for name in sorted(by_name)}
    )
    try:
        sorter.prepare()
    except CycleError as error:
        raise DefinitionError(
            f"feature groups read each other in a circle: {' <- '.join(error.args[1])}; let one of them read its "
            "sources itself"
        ) from error
    ordered = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += [by_name[name] for name in ready]
        sorter.done(*ready)
    return ordered
