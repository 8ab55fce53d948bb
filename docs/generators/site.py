"""A hook of mkdocs that adapts pages written for a code host to the built site.

- README.md is the site's first page, and other Markdown outside docs/ is included; links between them keep working.
- A link to a file outside the site (the licence, a folder) becomes its text.
- A fence that names a file (``yaml conf/base.yml``) gets that name as its title.
- An SVG picture becomes part of the page, so that it takes the page's light or dark colours.
"""

from __future__ import annotations

import posixpath
import re
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

PROJECT = Path(__file__).parents[2]
_PATTERNS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/**/*.md", "benchmarks/**/*.png")
# File of the project outside docs/ -> its path in the site.
_OUTSIDE = {
    (path := str(file.relative_to(PROJECT))): re.sub(r"README\.md$", "index.md", path)
    for pattern in _PATTERNS
    for file in sorted(PROJECT.glob(pattern))
}
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_NAMED_FENCE = re.compile(r"^```(\w+)[ \t]+([\w./-]+)$", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and pictures from outside docs/."""
    for path, place in _OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(PROJECT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    return for_site(markdown, page.file.src_uri, {file.src_uri for file in files})


def for_site(markdown: str, place: str, known: set[str]) -> str:
    """The text of the page at the site's path ``place``; ``known`` are all paths of the site."""
    source = _in_project(place)
    parts: list[str] = []
    end = 0
    for fence in _FENCE.finditer(markdown):
        parts += [_linked(markdown[end : fence.start()], source, place, known), _titled(fence[0])]
        end = fence.end()
    return "".join([*parts, _linked(markdown[end:], source, place, known)])


def _titled(fence: str) -> str:
    return _NAMED_FENCE.sub(r'```\1 title="\2"', fence, count=1)


def _linked(text: str, source: str, place: str, known: set[str]) -> str:
    def link(match: re.Match[str]) -> str:
        picture, words, target, anchor = match.groups()
        if "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        site_path = _in_site(path)
        if site_path not in known:
            assert (PROJECT / path).exists(), f"{source}: {target} leads nowhere"
            return words
        if picture and path.endswith(".svg"):
            return _inline(PROJECT / path, words)
        return f"{picture}[{words}]({posixpath.relpath(site_path, posixpath.dirname(place) or '.')}{anchor or ''})"

    return _LINK.sub(link, text)


def _inline(picture: Path, words: str) -> str:
    svg = picture.read_text(encoding="utf-8").strip()
    return f'<figure class="drawing" role="img" aria-label="{escape(words)}">{svg}</figure>'


def _in_site(path: str) -> str | None:
    """The path in the site of a file of the project; None if the site does not have it."""
    return path.removeprefix("docs/") if path.startswith("docs/") else _OUTSIDE.get(path)


def _in_project(place: str) -> str:
    """The path in the project of a page of the site."""
    return next((path for path, site_path in _OUTSIDE.items() if site_path == place), f"docs/{place}")
