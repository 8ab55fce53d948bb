"""A folder of pages as a test reads it: what is wrong with any of them, by the parser, without a browser."""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import dirname, join, normpath

from tests.pages.html_page import Page


def faults_of_site(files: Mapping[str, str]) -> list[str]:
    """Links that lead nowhere, pictures and fields without a name, ids used twice, tables without caption, resources of others."""
    pages = {name: Page(text) for name, text in files.items() if name.endswith(".html")}
    faults = []
    for name, page in pages.items():
        faults += [f"{name}: id {id_} is used twice" for id_ in page.repeated_ids()]
        faults += [f"{name}: {fault}" for fault in (*_names(page), *_tables(page))]
        for tag, attributes in page.elements:
            for link in (attributes.get(key) for key in ("href", "src", "action")):
                faults += (
                    []
                    if link is None
                    else [f"{name}: {tag} to {fault}" for fault in _nowhere(name, link, files, pages)]
                )
    return faults


def _names(page: Page) -> list[str]:
    labelled = {attributes["for"] for attributes in page.all("label")}
    faults = [f"svg without words: {tag}" for tag in page.all("svg") if not tag.get("aria-label")]
    faults += [f"field without label: {tag}" for tag in page.all("input") if tag.get("id") not in labelled]
    pointed = [
        word
        for _, attributes in page.elements
        for key in ("aria-labelledby", "aria-describedby")
        for word in (attributes.get(key) or "").split()
    ]
    return faults + [f"{word} is named, and nowhere" for word in pointed if word not in page.ids]


def _tables(page: Page) -> list[str]:
    faults = [] if len(page.all("table")) == len(page.all("caption")) else ["a table has no caption"]
    return faults + ["a column's head has no scope" for tag in page.all("th") if "scope" not in tag]


def _nowhere(page: str, link: str, files: Mapping[str, str], pages: Mapping[str, Page]) -> list[str]:
    if ":" in link or link.startswith("/"):
        return [f"{link}: not of the site"]
    path, _, place = link.partition("#")
    target = normpath(join(dirname(page), path)) if path else page
    if target not in files:
        return [f"{link}: no such file"]
    if place and not place.startswith("q=") and place not in pages[target].ids:
        return [f"{link}: no such place"]
    return []
