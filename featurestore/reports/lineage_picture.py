"""Draw a lineage as a picture with links: named boxes and the lines between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from featurestore.display.description import counted
from featurestore.operations.catalog.lineage import Lineage, Node
from featurestore.reports.lineage_layout import HEIGHT, WIDTH, Line, layout

_MARGIN = 2.0
# The number of average letters that fit in a box.
_LONGEST_NAME, _LONGEST_NOTE = 25, 30


@dataclass(frozen=True)
class DrawnBox:
    """A box: ``index`` is its number in the picture; ``link`` is the page about it, None if it has none."""

    node: Node
    index: int
    x: float
    y: float
    name: str
    note: str
    link: str | None
    is_here: bool


@dataclass(frozen=True)
class DrawnLine:
    """A line between two boxes, which ``source`` and ``target`` name by index; ``path`` is an SVG path."""

    source: int
    target: int
    path: str


@dataclass(frozen=True)
class LineagePicture:
    """A drawn lineage; ``alternative`` describes it in words."""

    width: float
    height: float
    boxes: tuple[DrawnBox, ...]
    lines: tuple[DrawnLine, ...]
    alternative: str
    box_width: float = WIDTH
    box_height: float = HEIGHT


def lineage_picture(
    lineage: Lineage, links: Mapping[Node, str], notes: Mapping[Node, str], here: Node | None = None
) -> LineagePicture:
    """Draw a lineage; ``here`` is the node that the page is about, None for the whole lineage."""
    placed = layout(lineage)
    index = {box.node: number for number, box in enumerate(placed.boxes)}
    names = _short_names(lineage)
    boxes = tuple(
        DrawnBox(
            node=box.node,
            index=index[box.node],
            x=round(box.x + _MARGIN, 1),
            y=round(box.y + _MARGIN, 1),
            name=_cut(names[box.node], _LONGEST_NAME),
            note=_cut(notes.get(box.node, ""), _LONGEST_NOTE),
            link=None if box.node == here else links.get(box.node),
            is_here=box.node == here,
        )
        for box in placed.boxes
    )
    lines = tuple(DrawnLine(index[line.edge[0]], index[line.edge[1]], _curve(line)) for line in placed.lines)
    size = (round(placed.width + 2 * _MARGIN, 1), round(placed.height + 2 * _MARGIN, 1))
    return LineagePicture(*size, boxes, lines, _in_words(lineage, here))


def _curve(line: Line) -> str:
    """An SVG path: one curve per stretch, and straight lines across the columns that the line passes."""
    drawn: list[str] = []
    for (x, y), (to_x, to_y) in line.stretches:
        half = (x + to_x) / 2 + _MARGIN
        drawn.append(
            f"{'L' if drawn else 'M'}{x + _MARGIN:.1f} {y + _MARGIN:.1f}"
            f"C{half:.1f} {y + _MARGIN:.1f} {half:.1f} {to_y + _MARGIN:.1f} {to_x + _MARGIN:.1f} {to_y + _MARGIN:.1f}"
        )
    return "".join(drawn)


def _short_names(lineage: Lineage) -> dict[Node, str]:
    """Node -> name; for a source the last part of its path, or the whole path if two sources share that part."""
    ends = {node: node.name.rstrip("/").rpartition("/")[2] for node in lineage.nodes if node.kind == "source"}
    counts = Counter(ends.values())
    names = {node: node.name for node in lineage.nodes}
    return names | {node: name for node, name in ends.items() if name and counts[name] == 1}


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


_NOUNS = (
    ("source", "source"),
    ("group", "feature group"),
    ("derived", "derived feature"),
    ("training_set", "training set"),
)


def _in_words(lineage: Lineage, here: Node | None) -> str:
    kinds = [node.kind for node in lineage.nodes]
    counts = ", ".join(counted(kinds.count(kind), noun) for kind, noun in _NOUNS if kind in kinds)
    if here is None:
        return f"Lineage of {counts}, from left to right; the table beneath lists every line."
    before = ", ".join(node.name for node in lineage.read_by(here)) or "nothing"
    after = ", ".join(node.name for node in lineage.readers_of(here)) or "nothing"
    return f"Lineage of {here.name}: it reads {before}, and is read by {after}. {counts} in all."
