"""Lineage: the sources of groups, and the groups, derived features and training sets that read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from featurestore.definitions.lookup import as_lookups
from featurestore.definitions.names import DERIVED, parse_reference
from featurestore.definitions.source import Source
from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.operations.catalog.model import Catalog, TrainingSetEntry

Kind = Literal["source", "group", "derived", "training_set"]

_CREDENTIALS = re.compile(r"(?<=//)[^/@]*@")


@dataclass(frozen=True, order=True)
class Node:
    """A source (by its path or table), a feature group, a derived feature or a training set (by name)."""

    kind: Kind
    name: str


Edge = tuple[Node, Node]


@dataclass(frozen=True)
class Lineage:
    """Nodes and edges, each sorted; an edge goes from a node to one that reads it."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @classmethod
    def of(cls, nodes: Iterable[Node], edges: Iterable[Edge]) -> Lineage:
        """The lineage of nodes and edges. Ends of edges become nodes; an edge from a node to itself is left out."""
        between = sorted({edge for edge in edges if edge[0] != edge[1]})
        return cls(tuple(sorted({*nodes, *(end for edge in between for end in edge)})), tuple(between))

    def read_by(self, node: Node) -> list[Node]:
        """The nodes that the node reads."""
        return [source for source, target in self.edges if target == node]

    def readers_of(self, node: Node) -> list[Node]:
        """The nodes that read the node."""
        return [target for source, target in self.edges if source == node]

    def around(self, node: Node, most: int = 40) -> Lineage:
        """The node with everything that it depends on and that depends on it.

        If this is more than ``most`` nodes: the node with its direct neighbours alone.
        """
        reached = {node, *self._reached(node, self._before()), *self._reached(node, self._after())}
        if len(reached) > most:
            reached = {node, *self.read_by(node), *self.readers_of(node)}
            return Lineage.of(reached, [edge for edge in self.edges if node in edge])
        return Lineage.of(reached, [edge for edge in self.edges if set(edge) <= reached])

    def _before(self) -> dict[Node, list[Node]]:
        return _neighbours((target, source) for source, target in self.edges)

    def _after(self) -> dict[Node, list[Node]]:
        return _neighbours(self.edges)

    @staticmethod
    def _reached(start: Node, neighbours: dict[Node, list[Node]]) -> set[Node]:
        reached: set[Node] = set()
        waiting = [start]
        while waiting:
            new = set(neighbours.get(waiting.pop(), ())) - reached
            reached |= new
            waiting += sorted(new)
        return reached


def _neighbours(edges: Iterable[Edge]) -> dict[Node, list[Node]]:
    neighbours: dict[Node, list[Node]] = {}
    for source, target in edges:
        neighbours.setdefault(source, []).append(target)
    return neighbours


def lineage_of(catalog: Catalog) -> Lineage:
    """The lineage of a catalogue: its groups, derived features and training sets, and their declared sources.

    A source is identified by its declared path (which may contain ``{tenant_id}``) or its table, so one source under
    two names is one node. A saved training set reads the groups from which its versions were built.
    """
    nodes = [Node("group", entry.group.name) for entry in catalog.groups]
    nodes += [Node("derived", feature.name) for feature in catalog.derived_features]
    nodes += [Node("training_set", entry.name) for entry in catalog.training_sets]
    edges = [
        (source_node(source), Node("group", entry.group.name))
        for entry in catalog.groups
        for source in entry.group.all_sources
    ]
    edges += [
        (_feature_node(*reference), Node("derived", feature.name))
        for feature in catalog.derived_features
        for reference in feature.references
    ]
    edges += [
        (read, Node("training_set", entry.name)) for entry in catalog.training_sets for read in _read_by_set(entry)
    ]
    return Lineage.of(nodes, edges)


def source_node(source: Source) -> Node:
    """The node of a declared source, without a user and password in its path."""
    if source.group is not None:
        return Node("group", source.group)
    return Node("source", _CREDENTIALS.sub("", source.table or source.path or ""))


def _read_by_set(entry: TrainingSetEntry) -> Iterator[Node]:
    if entry.definition is not None:
        yield from (source_node(source) for source in entry.definition.spine.sources.values())
        yield from _features_read(entry.definition)
    yield from (Node("group", name) for version in entry.versions for name in version.groups)


def _features_read(definition: TrainingSetDefinition) -> Iterator[Node]:
    """The groups and derived features of a declared training set's features and label."""
    for lookup in as_lookups(definition.features):
        yield from (_feature_node(lookup.group, name) for name in lookup.features or ("",))
    if ":" in definition.label:
        yield _feature_node(*parse_reference(definition.label))


def _feature_node(group: str, feature: str) -> Node:
    """The node of a feature: its group, or the derived feature itself."""
    return Node("derived", feature) if group == DERIVED else Node("group", group)
