"""Draw pictures as SVG that takes its colours from the page around it."""

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

# matplotlib writes literal colours; a CSS variable replaces each of these, so that light, dark and print may differ.
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
    """An SVG element: ``note`` says how to read it, ``alternative`` describes it in words.

    ``feature``: the feature that it shows, empty if it shows several; the page links to the picture of a feature.
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
    # Ids inside an SVG are page-wide; the title makes them differ between pictures, and equal on every run.
    text = StringIO()
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Picture(title, note, alternative, _inline(text.getvalue(), alternative), feature)


def label_bar(axes: Axes, text: str, number: float, position: float) -> None:
    """Write a bar's number at its end."""
    axes.annotate(
        text, (number, position), xytext=(3, 0), textcoords="offset points", va="center", fontsize=9, color=INK
    )


class _Dates(ConciseDateFormatter):
    """Concise dates with only the year as offset where the ticks already name the months."""

    def format_ticks(self, values: Any) -> Any:
        labels = super().format_ticks(values)  # type: ignore[no-untyped-call]
        self._months_are_named = any(label.isalpha() for label in labels)
        return labels

    def get_offset(self) -> str:
        offset = str(super().get_offset())  # type: ignore[no-untyped-call]
        return offset[:4] if self._months_are_named else offset


def dates_below(axes: Axes) -> None:
    """Make the horizontal axis one of dates, with short labels."""
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_Dates(locator))  # type: ignore[no-untyped-call]
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)


def short(text: str) -> str:
    """The text on one line of at most 30 characters, with ``$`` escaped, which would begin a formula."""
    line = " ".join(text.split())
    return (line if len(line) <= 30 else f"{line[:29]}…").replace("$", r"\$")


def _inline(document: str, alternative: str) -> Markup:
    """The ``svg`` element alone: without prolog and metadata, as wide as its container, with its alternative text."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>', rf'<svg role="img" aria-label="{escape(alternative)}" viewBox="\1">', svg
    )
    # These ids of groups are the same in every picture and not referred to; referenced elements have hashed ids.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return Markup(svg)
