"""Write the sizes of docs/install.md as this environment has them: ``python docs/generators/install_sizes.py``.

The environment must have all extras, as `make environment` makes it. A size is that of the installed files, without
compiled bytecode.
"""

from __future__ import annotations

import platform
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "install.md"
OURS = "offline-feature-store"

_START = "<!-- Written by docs/generators/install_sizes.py. -->\n"
_END = "<!-- End of the sizes. -->\n"
_LARGEST = 4
_MB = 1_000_000


def extras() -> list[str]:
    return sorted(_project()["optional-dependencies"])


def page(text: str, table: str) -> str:
    """The page's text with the table between its markers."""
    before, _, rest = text.partition(_START)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{PAGE.name} lacks the markers {_START.strip()!r} and {_END.strip()!r}")
    return f"{before}{_START}\n{table}\n{_END}{after}"


def sizes(today: str) -> str:
    """The table: without an extra all packages, with an extra those that it adds."""
    base = packages(())
    lines = [f"Measured on {today}: Python {platform.python_version()}, {platform.system()} {platform.machine()}.", ""]
    lines += ["| installed | packages | MB | the largest, in MB |", "| --- | --- | --- | --- |"]
    lines.append(_line("without an extra", base))
    lines += [_line(f"`{extra}` adds", packages((extra,)) - base) for extra in extras()]
    return "\n".join(lines) + "\n"


def packages(asked: tuple[str, ...]) -> frozenset[str]:
    """The names of the packages that are installed with these extras, without this one."""
    found: set[tuple[str, str]] = set()
    waiting = [(OURS, extra) for extra in ("", *asked)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) not in found:
            found.add((name, extra))
            for requirement in _requirements(name):
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                    needed = canonicalize_name(requirement.name)
                    waiting += [(needed, also) for also in ("", *requirement.extras)]
    return frozenset(name for name, _ in found if name != OURS)


def _requirements(name: str) -> Iterator[Requirement]:
    if name != OURS:
        yield from map(Requirement, distribution(name).requires or [])
        return
    # Not from the metadata of the installation, which may be older than the file.
    table = _project()
    yield from map(Requirement, table["dependencies"])
    for extra, words in table["optional-dependencies"].items():
        for word in words:
            requirement = Requirement(word)
            joiner = ";" if requirement.marker is None else " and"
            yield Requirement(f"{word}{joiner} extra == '{extra}'")


@cache
def _project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def _line(what: str, names: frozenset[str]) -> str:
    by_size = sorted(((_size(name), name) for name in names), reverse=True)
    total = sum(size for size, _ in by_size)
    largest = ", ".join(f"{name} {_in_mb(size)}" for size, name in by_size[:_LARGEST])
    return f"| {what} | {len(names)} | {_in_mb(total)} | {largest} |"


@cache
def _size(name: str) -> int:
    files = distribution(name).files or []
    places = {Path(str(file.locate())).resolve() for file in files if file.suffix != ".pyc"}
    return sum(place.stat().st_size for place in places if place.is_file())


def _in_mb(size: int) -> str:
    return f"{size / _MB:.0f}" if size >= _MB else f"{size / _MB:.1f}"


if __name__ == "__main__":
    try:
        table = sizes(f"{datetime.now(UTC):%Y-%m-%d}")
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; this environment lacks extras: run `make environment`, and this script with its Python")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
