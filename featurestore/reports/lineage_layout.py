"""The layout of a lineage picture: boxes in columns from left to right, few crossings, straight lines.

The usual four steps of layered drawings (Sugiyama, Tagawa and Toda, Methods for visual understanding of hierarchical
system structures, 1981): columns by the longest way from a source, stand-ins where a line passes a column, order within
columns by the mean of the neighbours, heights as near to the neighbours as the gaps allow. Connected parts are
drawn one below another, the largest first; nodes without edges follow in rows below them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from featurestore.operations.catalog.lineage import Edge, Lineage, Node

WIDTH, HEIGHT = 196.0, 42.0
_BETWEEN_COLUMNS, _BETWEEN_BOXES, _BETWEEN_LINES, _BETWEEN_PARTS = 76.0, 14.0, 10.0, 34.0
_SWEEPS = 12
_LONE_A_ROW = 4

# A node, or the stand-in for an edge in a column that it passes.
_Place = Node | tuple[Edge, int]
_Neighbours = Mapping[Hashable, Sequence[_Place]]


@dataclass(frozen=True)
class Box:
    """The box of a node, by its upper left corner; every box is ``WIDTH`` by ``HEIGHT``."""

    node: Node
    x: float
    y: float


@dataclass(frozen=True)
class Line:
    """An edge, from the middle of one box's right side to the middle of another's left side.

    ``stretches``: pairs of points joined by a curve; the line is straight between two stretches.
    """

    edge: Edge
    stretches: tuple[tuple[tuple[float, float], tuple[float, float]], ...]


@dataclass(frozen=True)
class Layout:
    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def layout(lineage: Lineage) -> Layout:
    """Lay a lineage out; the same lineage gives the same layout. Groups may read each other in a cycle."""
    boxes: list[Box] = []
    lines: list[Line] = []
    width = height = 0.0
    parts = _connected(lineage)
    for part in (part for part in parts if part.edges):
        drawn = _part(part, height + (_BETWEEN_PARTS if height else 0))
        boxes += drawn.boxes
        lines += drawn.lines
        width, height = max(width, drawn.width), drawn.height
    lone = [part.nodes[0] for part in parts if not part.edges]
    for index, node in enumerate(lone):
        row, column = divmod(index, _LONE_A_ROW)
        above = height + (_BETWEEN_PARTS if height else 0)
        boxes.append(Box(node, column * (WIDTH + _BETWEEN_BOXES), above + row * (HEIGHT + _BETWEEN_BOXES)))
    return Layout(
        max([width, *(box.x + WIDTH for box in boxes)]), max([height, *(box.y + HEIGHT for box in boxes)]),
        tuple(boxes), tuple(lines),
    )  # fmt: skip


def _connected(lineage: Lineage) -> list[Lineage]:
    """The connected parts, the largest first."""
    neighbours: dict[Node, list[Node]] = defaultdict(list)
    for source, target in lineage.edges:
        neighbours[source].append(target)
        neighbours[target].append(source)
    part_of: dict[Node, Node] = {}
    for first in lineage.nodes:
        waiting = [] if first in part_of else [first]
        while waiting:
            node = waiting.pop()
            if node not in part_of:
                part_of[node] = first
                waiting += neighbours[node]
    nodes, edges = defaultdict(list), defaultdict(list)
    for node in lineage.nodes:
        nodes[part_of[node]].append(node)
    for edge in lineage.edges:
        edges[part_of[edge[0]]].append(edge)
    parts = [Lineage(tuple(nodes[first]), tuple(edges[first])) for first in nodes]
    return sorted(parts, key=lambda part: (-len(part.nodes), part.nodes))


def _part(part: Lineage, top: float) -> Layout:
    """The layout of a connected part with its highest box at ``top``; the height of the layout is counted from 0."""
    column = _columns(part)
    ways = {edge: _way(edge, column) for edge in part.edges}
    columns = _ordered(part, column, ways)
    middles = _heights(columns, _neighbours(ways.values()))
    lowest = min(middles.values()) - HEIGHT / 2
    down = {place: top + middle - lowest for place, middle in middles.items()}
    across = {place: index * (WIDTH + _BETWEEN_COLUMNS) for index, places in enumerate(columns) for place in places}
    boxes = tuple(Box(node, across[node], down[node] - HEIGHT / 2) for node in part.nodes)
    lines = tuple(
        Line(edge, tuple(
            ((across[place] + WIDTH, down[place]), (across[following], down[following]))
            for place, following in pairwise(way)
        ))
        for edge, way in ways.items()
    )  # fmt: skip
    return Layout(
        len(columns) * (WIDTH + _BETWEEN_COLUMNS) - _BETWEEN_COLUMNS, max(down.values()) + HEIGHT / 2, boxes, lines
    )


def _columns(part: Lineage) -> dict[Node, int]:
    """Each node's column: after all nodes it reads. Sources are right before a reader, training sets in the last."""
    reads = _reads(part)
    column: dict[Node, int] = {}
    for node, read in reads.items():
        column[node] = max((column[source] + 1 for source in read), default=0)
    last = max(column.values())
    column |= {node: last for node in part.nodes if node.kind == "training_set"}
    readers: dict[Node, list[Node]] = defaultdict(list)
    for node, read in reads.items():
        for source in read:
            readers[source].append(node)
    for node in part.nodes:
        if readers[node] and not reads[node]:
            column[node] = min(column[reader] for reader in readers[node]) - 1
    return column


def _reads(part: Lineage) -> dict[Node, list[Node]]:
    """The nodes that each node reads, in topological order, without the edges that close a cycle."""
    edges = list(part.edges)
    while True:
        reads: dict[Node, list[Node]] = {node: [] for node in part.nodes}
        for source, target in edges:
            reads[target].append(source)
        try:
            return {node: reads[node] for node in TopologicalSorter(reads).static_order()}
        except CycleError as error:
            source, target, *_ = error.args[1]
            edges.remove((source, target))


def _way(edge: Edge, column: Mapping[Node, int]) -> tuple[_Place, ...]:
    """The places that an edge passes: its ends, and a stand-in in each column between them."""
    source, target = edge
    return (source, *((edge, index) for index in range(column[source] + 1, column[target])), target)


def _neighbours(ways: Iterable[Sequence[_Place]]) -> tuple[_Neighbours, _Neighbours]:
    before: dict[Hashable, list[_Place]] = defaultdict(list)
    after: dict[Hashable, list[_Place]] = defaultdict(list)
    for way in ways:
        for place, following in pairwise(way):
            before[following].append(place)
            after[place].append(following)
    return before, after


def _ordered(part: Lineage, column: Mapping[Node, int], ways: Mapping[Edge, Sequence[_Place]]) -> list[list[_Place]]:
    """The places of each column from top to bottom, in the order with the fewest crossings of all sweeps."""
    columns: list[list[_Place]] = [[] for _ in range(max(column.values()) + 1)]
    for node in part.nodes:
        columns[column[node]].append(node)
    for edge, way in ways.items():
        for place in way[1:-1]:
            columns[column[edge[0]] + way.index(place)].append(place)
    before, after = _neighbours(ways.values())
    best, fewest = columns, _crossings(columns, after)
    for sweep in range(_SWEEPS):
        columns = _swept(columns, before) if sweep % 2 == 0 else _swept(columns[::-1], after)[::-1]
        crossings = _crossings(columns, after)
        if crossings < fewest:
            best, fewest = columns, crossings
    return best


def _swept(columns: Sequence[list[_Place]], towards: _Neighbours) -> list[list[_Place]]:
    """The columns, each but the first ordered by the mean rank of its places' neighbours in earlier columns."""
    ordered_columns = [columns[0]]
    rank: dict[Hashable, float] = {place: index for index, place in enumerate(columns[0])}
    for places in columns[1:]:
        mean = {
            place: sum(rank.get(near, index) for near in towards[place]) / len(towards[place])
            if towards[place]
            else float(index)
            for index, place in enumerate(places)
        }
        ordered = sorted(places, key=lambda place: mean[place])
        rank |= {place: index for index, place in enumerate(ordered)}
        ordered_columns.append(ordered)
    return ordered_columns


def _crossings(columns: Sequence[Sequence[_Place]], after: _Neighbours) -> int:
    """The number of crossings between lines of neighbouring columns."""
    crossings = 0
    for places, following in pairwise(columns):
        rank = {place: index for index, place in enumerate(following)}
        ends = [end for place in places for end in sorted(rank[near] for near in after[place] if near in rank)]
        crossings += _inversions(ends)
    return crossings


def _inversions(numbers: list[int]) -> int:
    if len(numbers) < 2:
        return 0
    middle = len(numbers) // 2
    first, second = numbers[:middle], numbers[middle:]
    inversions = _inversions(first) + _inversions(second)
    first.sort()
    second.sort()
    passed = 0
    for number in second:
        while passed < len(first) and first[passed] <= number:
            passed += 1
        inversions += len(first) - passed
    return inversions


def _heights(columns: Sequence[Sequence[_Place]], neighbours: tuple[_Neighbours, _Neighbours]) -> dict[_Place, float]:
    """The middle of each place: in its column's order, as near to its neighbours' mean as the gaps allow."""
    down = {place: middle for places in columns for place, middle in zip(places, _packed(places), strict=True)}
    for sweep in range(_SWEEPS):
        towards = neighbours[sweep % 2]
        for places in columns if sweep % 2 == 0 else columns[::-1]:
            means = [_mean([down[near] for near in towards[place]], down[place]) for place in places]
            down |= zip(places, _spread(means, _packed(places)), strict=True)
    return down


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _packed(places: Sequence[_Place]) -> list[float]:
    """The middles of a column's places, stacked without gaps beyond the smallest."""
    middles: list[float] = []
    end = 0.0
    for place in places:
        size = HEIGHT + _BETWEEN_BOXES if isinstance(place, Node) else _BETWEEN_LINES
        middles.append(end + size / 2)
        end += size
    return middles


def _spread(heights: Sequence[float], packed: Sequence[float]) -> list[float]:
    """The positions nearest to ``heights`` (least squares) that are at least as far apart as the packed ones.

    The shift of each position from its packed one must not decrease; this is solved by pooling adjacent violators.
    """
    pools: list[tuple[float, int]] = []
    for height, least in zip(heights, packed, strict=True):
        pools.append((height - least, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (upper, many), (lower, more) = pools[-2:]
            pools[-2:] = [((upper * many + lower * more) / (many + more), many + more)]
    shifts = [shift for shift, many in pools for _ in range(many)]
    return [least + shift for least, shift in zip(packed, shifts, strict=True)]
