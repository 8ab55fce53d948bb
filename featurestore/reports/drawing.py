"""Drawings as SVG that take their colours from the page around them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

# matplotlib writes colours out; each of these is replaced by a CSS variable, so that light, dark and print may differ.
INK, MUTED, LINE, FIRST, SECOND = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", FIRST: "--first", SECOND: "--second"}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": LINE,
    "legend.frameon": False,
}
WIDTH = 9.0


@dataclass(frozen=True)
class Picture:
    """An SVG element: ``note`` says how to read it, ``alternative`` what it shows, in words.

    ``feature``: whose picture it is, where it is of one; links in the page lead to it.
    """

    title: str
    note: str
    alternative: str
    svg: Markup
    feature: str = ""


def one_panel(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def picture_of(figure: Figure, title: str, note: str, alternative: str, feature: str = "") -> Picture:
    # Ids inside an SVG are page-wide; the title keeps those of two pictures apart, and the same on every run.
    text = StringIO()
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Picture(title, note, alternative, _inline(text.getvalue(), alternative), feature)


def told_beside(axes: Axes, text: str, number: float, position: float) -> None:
    """A bar's number at its end."""
    axes.annotate(
        text, (number, position), xytext=(3, 0), textcoords="offset points", va="center", fontsize=9, color=INK
    )


class _Dates(ConciseDateFormatter):
    """Months are named at their first day; beside those the year alone is still to be said, not the last month again."""

    def format_ticks(self, values: Any) -> Any:
        labels = super().format_ticks(values)  # type: ignore[no-untyped-call]
        self._months_are_named = any(label.isalpha() for label in labels)
        return labels

    def get_offset(self) -> str:
        offset = str(super().get_offset())  # type: ignore[no-untyped-call]
        return offset[:4] if self._months_are_named else offset


def dates_below(axes: Axes) -> None:
    """The axis below is of dates, said once and shortly."""
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_Dates(locator))  # type: ignore[no-untyped-call]
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)


def short(text: str) -> str:
    """One line without what a picture would take for a formula."""
    line = " ".join(text.split())
    return (line if len(line) <= 30 else f"{line[:29]}…").replace("$", r"\$")


def _inline(document: str, alternative: str) -> Markup:
    """The ``svg`` element alone: no prolog, no metadata, as wide as its place, named for those who cannot see it."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>', rf'<svg role="img" aria-label="{escape(alternative)}" viewBox="\1">', svg
    )
    # Names of its parts, the same in every picture; what is referred to has an id of its own hash.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return Markup(svg)
