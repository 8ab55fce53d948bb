"""Draw the timelines of docs/concepts.md into docs/pictures/: ``python docs/generators/timelines.py``.

Each is SVG of text, rectangles and lines, in the colours of a light or a dark page. The page next to a picture runs the
code for what the picture shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "pictures"

_LEFT, _DAY, _LANE, _TOP, _LINE = 150, 74, 46, 34, 18
_STYLE = """<style>
.timeline{--ink:#24292f;--dim:#6e7781;--bar:#b6d4f7;--edge:#1f6feb;--gone:#d0d7de;--ask:#bc4c00;font:13px system-ui,sans-serif}
@media (prefers-color-scheme:dark){.timeline{--ink:#e6edf3;--dim:#9da7b1;--bar:#1b4b91;--edge:#79b8ff;--gone:#444c56;--ask:#ffa657}}
[data-md-color-scheme=default] .timeline{--ink:#24292f;--dim:#6e7781;--bar:#b6d4f7;--edge:#1f6feb;--gone:#d0d7de;--ask:#bc4c00}
[data-md-color-scheme=slate] .timeline{--ink:#e6edf3;--dim:#9da7b1;--bar:#1b4b91;--edge:#79b8ff;--gone:#444c56;--ask:#ffa657}
.timeline text{fill:var(--ink)}.timeline .dim{fill:var(--dim)}.timeline .asked{fill:var(--ask)}
.timeline .bar{fill:var(--bar)}.timeline .dot{fill:var(--edge)}.timeline .axis{stroke:var(--dim)}
.timeline .gone{fill:none;stroke:var(--gone);stroke-dasharray:4 3}.timeline .ask{stroke:var(--ask);stroke-dasharray:3 3}
.timeline .got{font-weight:600}
</style>"""


@dataclass(frozen=True)
class Value:
    """A written row, drawn from ``start`` to ``end``, in days of November."""

    lane: int
    start: float
    end: float
    text: str
    gone: bool = False


@dataclass(frozen=True)
class Example:
    """A spine row at ``day``, with its ``title`` above and the joined ``values`` below."""

    day: float
    title: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Timeline:
    """A picture: lanes with values, an axis of days, and examples that look back from it."""

    name: str
    lanes: tuple[str, ...]
    values: tuple[Value, ...]
    examples: tuple[Example, ...]
    days: int = 8
    axis: str = "event timestamp"

    def svg(self) -> str:
        width = _LEFT + self.days * _DAY + 60
        floor = _TOP + len(self.lanes) * _LANE
        height = floor + 48 + _LINE * max(len(example.values) + 1 for example in self.examples)
        parts = [*self._lanes(), *self._axis(floor, width), *self._examples(floor)]
        body = "\n".join(parts)
        return (
            f'<svg class="timeline" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" aria-hidden="true">\n{_STYLE}\n{body}\n</svg>\n'
        )

    def _lanes(self) -> Iterator[str]:
        for lane, name in enumerate(self.lanes):
            yield _text(8, _TOP + lane * _LANE + 20, name, "dim")
        for value in self.values:
            left, top = _x(value.start), _TOP + value.lane * _LANE + 4
            kind = "gone" if value.gone else "bar"
            length = max(_x(value.end) - left, 4)
            yield f'<rect class="{kind}" x="{left:g}" y="{top}" width="{length:g}" height="24" rx="4"/>'
            if value.text:
                yield f'<circle class="dot" cx="{left:g}" cy="{top + 12}" r="5"/>'
                yield _text(left + 10, top + 17, value.text)

    def _axis(self, floor: int, width: int) -> Iterator[str]:
        yield f'<line class="axis" x1="{_LEFT - 10}" y1="{floor}" x2="{width - 8}" y2="{floor}"/>'
        yield f'<path class="axis" fill="none" d="M{width - 14} {floor - 4}l6 4l-6 4"/>'
        yield _text(8, floor + 4, self.axis, "dim")
        for day in range(1, self.days + 1):
            yield f'<line class="axis" x1="{_x(day)}" y1="{floor}" x2="{_x(day)}" y2="{floor + 5}"/>'
            yield _text(_x(day), floor + 19, f"{day} Nov", "dim", "middle")

    def _examples(self, floor: int) -> Iterator[str]:
        for example in self.examples:
            place = _x(example.day)
            yield f'<line class="ask" x1="{place:g}" y1="{_TOP - 8}" x2="{place:g}" y2="{floor}"/>'
            yield _text(place, _TOP - 14, example.title, "asked", "middle")
            for line, value in enumerate(example.values):
                yield _text(place, floor + 42 + line * _LINE, value, "got", "middle")
        yield _text(8, floor + 42, "the example gets", "dim")


def _x(day: float) -> float:
    return _LEFT + (day - 1) * _DAY + 20


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


TIMELINES = (
    Timeline(
        "as_of",
        ("score",),
        (Value(0, 1, 4, "0.2"), Value(0, 4, 6, "0.9"), Value(0, 6, 9, "0.4")),
        (Example(3, "T = 3 Nov", ("0.2",)), Example(4, "T = 4 Nov", ("0.9",)), Example(5, "T = 5 Nov", ("0.9",))),
    ),
    Timeline(
        "ttl",
        ("score, TTL 3 days",),
        (Value(0, 2, 5, "0.5"), Value(0, 5, 9, "", gone=True)),
        (Example(3, "T = 3 Nov", ("0.5",)), Example(5, "T = 5 Nov", ("0.5",)), Example(6.4, "later", ("null",))),
    ),
    Timeline(
        "nulls",
        ("score", "visits"),
        (
            Value(0, 1, 4, "0.2"),
            Value(0, 4, 9, "0.9"),
            Value(1, 1, 4, "3"),
            Value(1, 4, 9, "not written", gone=True),
        ),
        (Example(6, "T = 6 Nov", ("skip: score 0.9, visits 3", "keep: score 0.9, visits null")),),
    ),
    Timeline(
        "corrections",
        ("value of 1 Nov", "its correction"),
        (Value(0, 1, 3, "90"), Value(0, 3, 9, "", gone=True), Value(1, 3, 9, "48, learned on 3 Nov")),
        (
            Example(2, "T = 2 Nov", ('90, known_at="event"', "48 without known_at")),
            Example(5, "T = 5 Nov", ('48, known_at="event"', "90, known_at 2 Nov")),
        ),
        axis="created timestamp",
    ),
)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for timeline in TIMELINES:
        (FOLDER / f"{timeline.name}.svg").write_text(timeline.svg(), encoding="utf-8")
