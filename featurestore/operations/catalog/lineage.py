"""Lineage: from which sources groups are computed, and into which groups and training sets they go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from featurestore.definitions.lookup import as_lookups
from featurestore.definitions.names import parse_reference
from featurestore.definitions.source import Source
from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.operations.catalog.model import Catalog, TrainingSetEntry

Kind = Literal["source", "group", "training_set"]

_CREDENTIALS = re.compile(r"(?<=//)[^/@]*@")


@dataclass(frozen=True, order=True)
class Node:
    """A source by its path or table, a feature group, or a training set by name."""

    kind: Kind
    name: str


Edge = tuple[Node, Node]


@dataclass(frozen=True)
class Lineage:
    """Nodes and edges, each sorted; an edge goes from what is read to what reads it."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @classmethod
    def of(cls, nodes: Iterable[Node], edges: Iterable[Edge]) -> Lineage:
        """Ends of edges are nodes, too; what reads itself has no edge."""
        kept = sorted({edge for edge in edges if edge[0] != edge[1]})
        return cls(tuple(sorted({*nodes, *(end for edge in kept for end in edge)})), tuple(kept))

    def read_by(self, node: Node) -> list[Node]:
        """What the node reads."""
        return [source for source, target in self.edges if target == node]

    def readers_of(self, node: Node) -> list[Node]:
        """What reads the node."""
        return [target for source, target in self.edges if source == node]

    def around(self, node: Node, most: int = 40) -> Lineage:
        """All that the node comes from and all that comes of it; what is next to it alone, where that is more than
        ``most`` nodes."""
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
    found: dict[Node, list[Node]] = {}
    for source, target in edges:
        found.setdefault(source, []).append(target)
    return found


def lineage_of(catalog: Catalog) -> Lineage:
    """Groups and training sets of a catalogue with the sources that they declare.

    A source is its path, as declared (with ``{tenant_id}`` in it), or its table; the same one under two names is one. A
    saved training set comes from the groups that its versions were built from.
    """
    nodes = [Node("group", entry.group.name) for entry in catalog.groups]
    nodes += [Node("training_set", entry.name) for entry in catalog.training_sets]
    edges = [
        (source_node(source), Node("group", entry.group.name))
        for entry in catalog.groups
        for source in entry.group.sources.values()
    ]
    edges += [
        (read, Node("training_set", entry.name)) for entry in catalog.training_sets for read in _read_by_set(entry)
    ]
    return Lineage.of(nodes, edges)


def source_node(source: Source) -> Node:
    """The node of a declared source; a user and password in its path are left out."""
    if source.group is not None:
        return Node("group", source.group)
    return Node("source", _CREDENTIALS.sub("", source.table or source.path or ""))


def _read_by_set(entry: TrainingSetEntry) -> Iterator[Node]:
    if entry.definition is not None:
        yield from (source_node(source) for source in entry.definition.spine.sources.values())
        yield from (Node("group", name) for name in groups_read(entry.definition))
    yield from (Node("group", name) for version in entry.versions for name in version.groups)


def groups_read(definition: TrainingSetDefinition) -> list[str]:
    """The groups whose features, or label, a declared training set joins, by name."""
    named = {lookup.group for lookup in as_lookups(definition.features)}
    if ":" in definition.label:
        named.add(parse_reference(definition.label)[0])
    return sorted(named)
