"""An HTML page as a test reads it, and what is wrong with it: read by the parser, without a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "link", "br", "img", "input", "hr", "wbr", "col"}
# Attributes whose words name ids of the same page.
OF_IDS = ("aria-labelledby", "aria-describedby", "for", "headers")
LOADS = {"script", "link", "iframe", "object", "embed", "audio", "video", "source"}


class Page(HTMLParser):
    """Collects elements and text, and objects to elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.styles = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID or "svg" in self._open
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.styles += data
        else:
            self.text += f"{data} "

    @property
    def words(self) -> str:
        """The text, with single spaces."""
        return " ".join(self.text.split())

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]

    def repeated_ids(self) -> list[str]:
        return sorted({id_ for id_ in self.ids if self.ids.count(id_) > 1})

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def faults_of(html: str, *, is_whole: bool = True) -> list[str]:
    """All that is wrong with a page; ``is_whole`` where it is one, and not a part of a notebook."""
    page = Page(html)
    faults = [*_ids(page), *_references(page), *_resources(page), *_pictures(page), *_tables(page)]
    return faults + (_document(html, page) if is_whole else [])


def _ids(page: Page) -> list[str]:
    faults = [f"id {id_!r} is used twice" for id_ in page.repeated_ids()]
    return faults + [f"id {id_!r} is empty or has a space" for id_ in page.ids if not id_ or re.search(r"\s", id_)]


def _references(page: Page) -> list[str]:
    ids = {attributes.get("id") for _, attributes in page.elements}
    named: list[str] = []
    for _, attributes in page.elements:
        links = (attributes.get(name) or "" for name in ("href", "xlink:href"))
        named += [link.removeprefix("#") for link in links if link.startswith("#")]
        named += [word for name in OF_IDS for word in (attributes.get(name) or "").split()]
        named += [
            reference for value in attributes.values() for reference in re.findall(r"url\(#([^)]+)\)", value or "")
        ]
    return [
        f"nothing has the id {reference!r} that is referred to"
        for reference in sorted(set(named))
        if reference not in ids
    ]


def _resources(page: Page) -> list[str]:
    """A report is one file: it loads nothing, runs nothing, and leads nowhere."""
    faults = [f"<{tag}> loads or runs something" for tag, _ in page.elements if tag in LOADS]
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "srcset", "data", "action") and not (value or "").startswith("#"):
                faults.append(f"<{tag} {name}={value!r}> is outside the page")
            if name.startswith("on"):
                faults.append(f"<{tag} {name}> runs something")
            if name == "style":
                faults += [f"<{tag}> style loads {url}" for url in re.findall(r"url\((?!#)[^)]*\)", value or "")]
    return faults + [f"the style loads {url}" for url in re.findall(r"@import|url\((?!#)[^)]*\)", page.styles)]


def _pictures(page: Page) -> list[str]:
    faults = [f"an <img> has no alternative text: {tag}" for tag in page.all("img") if not tag.get("alt")]
    for picture in page.all("svg"):
        if picture.get("aria-hidden") != "true" and (picture.get("role") != "img" or not picture.get("aria-label")):
            faults.append(f"an <svg> is no named image: {picture}")
    return faults


def _tables(page: Page) -> list[str]:
    faults = [f"a <th> has no scope: {tag}" for tag in page.all("th") if not tag.get("scope")]
    return faults + (["a <table> has no headers"] if len(page.all("th")) < len(page.all("table")) else [])


def _document(html: str, page: Page) -> list[str]:
    faults = [] if html.lower().startswith("<!doctype html>") else ["there is no doctype at the beginning"]
    faults += [f"there is no <{tag}>" for tag in ("title", "main", "h1") if len(page.all(tag)) != 1]
    faults += [] if page.all("html") and page.all("html")[0].get("lang") else ["the page has no language"]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    return faults + [f"h{b} follows h{a}" for a, b in pairwise(levels) if b > a + 1]
