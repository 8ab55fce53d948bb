"""Render and write reports: self-contained HTML files for light and dark screens and for print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from featurestore.errors import ExportError
from featurestore.frames.statistics.feature_statistics import as_text, deviation_as_text
from featurestore.stores.files.local import write_whole


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


# Filters of every template.
_FILTERS: Mapping[str, Callable[..., Any]] = {"count": _count, "share": _share}
# Filters for pages of statistics: a number in its measure, with date and time on separate lines, and a deviation.
OF_MEASURES: Mapping[str, Callable[..., str]] = {
    "number": lambda number, measure: as_text(number, measure).replace(" ", "\n"),
    "deviation": deviation_as_text,
}


def rendered(template: str, filters: Mapping[str, Callable[..., str]], **values: Any) -> str:
    """A template of this package with its values; the same values give the same text."""
    return templates(filters).get_template(template).render(**values)


def templates(filters: Mapping[str, Callable[..., str]]) -> Environment:
    """This package's templates with ``filters`` added, for callers that render many pages."""
    environment = Environment(
        loader=PackageLoader("featurestore.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**_FILTERS, **filters}
    return environment


def write_page(html: str, path: str | Path) -> Path:
    """Write a report to ``path``, and replace an existing file; returns the path.

    The file appears only when it is complete. Raises ExportError for a path that is not on a local disk.
    """
    if "://" in str(path):
        raise ExportError(f"a report is written to a local disk, but {path} is not on one; name a local file")
    return write_whole(path, html)
