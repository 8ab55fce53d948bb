"""The pages of a catalogue: an overview with a search, the lineage, one page per group and per training set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from featurestore.definitions.derived.definition import input_text
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup, as_lookups
from featurestore.definitions.names import DERIVED
from featurestore.definitions.values.durations import format_duration, spoken
from featurestore.display.description import counted, size
from featurestore.operations.catalog.lineage import Lineage, Node, lineage_of
from featurestore.operations.catalog.model import Catalog, GroupEntry, TrainingSetEntry
from featurestore.reports.lineage_picture import lineage_picture
from featurestore.reports.page import templates
from featurestore.reports.small_pictures import brief, frequent, rows_over_time, spread

# The overview shows the whole lineage if it has at most this many nodes.
_SMALL_LINEAGE = 30
_KIND = {"source": "source", "group": "group", "derived": "derived feature", "training_set": "training set"}


def catalog_pages(catalog: Catalog) -> dict[str, str]:
    """Path in the site -> text of the file; the same catalogue gives the same texts."""
    return dict(_Site(catalog).files())


class _Site:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.lineage = lineage_of(catalog)
        self.pages = {Node("group", entry.group.name): f"groups/{entry.group.name}.html" for entry in catalog.groups}
        self.pages |= {
            Node("training_set", entry.name): f"training_sets/{entry.name}.html" for entry in catalog.training_sets
        }
        self.pages |= {
            Node("derived", feature.name): f"index.html#derived-{feature.name}" for feature in catalog.derived_features
        }
        self.notes = _notes(catalog)
        self.templates = templates(_FILTERS)

    def files(self) -> Iterator[tuple[str, str]]:
        small = self.lineage if self.lineage.edges and len(self.lineage.nodes) <= _SMALL_LINEAGE else None
        yield "index.html", self._page("overview", "", lineage=small and self._picture(small, ""), readers=self._use())
        yield (
            "lineage.html",
            self._page("lineage", "", lineage=self._picture(self.lineage, ""), edges=self.lineage.edges),
        )
        for entry in self.catalog.groups:
            yield self.pages[Node("group", entry.group.name)], self._group(entry)
        for training_set in self.catalog.training_sets:
            yield self.pages[Node("training_set", training_set.name)], self._training_set(training_set)
        yield "assets/style.css", self.templates.get_template("catalog_style.css.j2").render()
        yield "assets/catalog.js", self.templates.get_template("catalog.js.j2").render()
        yield "assets/search_index.js", search_index(self.catalog)

    def _page(self, template: str, root: str, **values: Any) -> str:
        page = self.templates.get_template(f"catalog_{template}.html.j2")
        return page.render(catalog=self.catalog, root=root, pages=self.pages, Node=Node, kinds=_KIND, **values)

    def _picture(self, lineage: Lineage, root: str, here: Node | None = None) -> Any:
        links = {node: root + page for node, page in self.pages.items()}
        return lineage_picture(lineage, links, self.notes, here)

    def _use(self) -> dict[str, int]:
        """Group -> the number of groups and training sets that read it."""
        return {
            entry.group.name: len(self.lineage.readers_of(Node("group", entry.group.name)))
            for entry in self.catalog.groups
        }

    def _group(self, entry: GroupEntry) -> str:
        here = Node("group", entry.group.name)
        around = self.lineage.around(here)
        numbers = entry.numbers
        return self._page(
            "group",
            "../",
            entry=entry,
            reads=self.lineage.read_by(here),
            readers=self.lineage.readers_of(here),
            lineage=self._picture(around, "../", here) if around.edges else None,
            rows=rows_over_time(numbers.rows_by_date) if numbers else None,
        )

    def _training_set(self, entry: TrainingSetEntry) -> str:
        here = Node("training_set", entry.name)
        around = self.lineage.around(here)
        known = {known_entry.group.name: known_entry.group for known_entry in self.catalog.groups}
        lookups = [] if entry.definition is None else as_lookups(entry.definition.features)
        return self._page(
            "training_set",
            "../",
            entry=entry,
            lookups=[(lookup, _lookup_node(lookup), _features_of(lookup, known)) for lookup in lookups],
            reads=self.lineage.read_by(here),
            lineage=self._picture(around, "../", here) if around.edges else None,
        )


def _lookup_node(lookup: Lookup) -> Node:
    return Node("derived", "".join(lookup.features[:1])) if lookup.group == DERIVED else Node("group", lookup.group)


def _features_of(lookup: Lookup, known: Mapping[str, FeatureGroup]) -> Sequence[str]:
    return lookup.features or (known[lookup.group].feature_names if lookup.group in known else ())


def _notes(catalog: Catalog) -> dict[Node, str]:
    """The second line in a box of the lineage."""
    notes = {Node("training_set", training_set.name): "training set" for training_set in catalog.training_sets}
    notes |= {Node("derived", feature.name): f"derived, {feature.type}" for feature in catalog.derived_features}
    for entry in catalog.groups:
        owner = f" · {entry.group.owner}" if entry.group.owner else ""
        notes[Node("group", entry.group.name)] = counted(len(entry.group.features), "feature") + owner
    return notes


def search_index(catalog: Catalog) -> str:
    """The search's entries as a script, since a page from the file system cannot read other files.

    Each entry: kind, name, page, description, further words to search for, and a note shown after its name.
    """
    entries: list[list[str]] = []
    for group_entry in catalog.groups:
        group = group_entry.group
        page = f"groups/{group.name}.html"
        group_words = " ".join((group.owner, *group.tags, group.entity.name))
        entries.append(["group", group.name, page, group.description, group_words, group.owner])
        for feature in group.features:
            words = " ".join((group_words, feature.type, *feature.tags))
            place = f"{page}#feature-{feature.name}"
            note = " · ".join(filter(None, (feature.type, group.owner)))
            entries.append(["feature", f"{group.name}:{feature.name}", place, feature.description, words, note])
    for derived in catalog.derived_features:
        words = " ".join((derived.type, derived.owner, *derived.tags))
        note = " · ".join(filter(None, (derived.type, derived.owner)))
        place = f"index.html#derived-{derived.name}"
        entries.append(["derived feature", f"derived:{derived.name}", place, derived.description, words, note])
    for entry in catalog.training_sets:
        entries.append(["training set", entry.name, f"training_sets/{entry.name}.html", entry.description, "", ""])
    for entity in catalog.entities:
        page = f"index.html#entity-{entity.name}"
        entries.append(["entity", entity.name, page, entity.description, " ".join(entity.join_keys), ""])
    # Without "<", which could begin a tag, the text is also safe inside a page.
    text = json.dumps(entries, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return f"window.catalogEntries = {text};\n"


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%Y-%m-%d %H:%M UTC")


def _age(age: timedelta | None) -> str:
    """An age such as ``3 h old``; for a moment in the future, ``3 h ahead``."""
    if age is None:
        return "-"
    seconds = age.total_seconds()
    return f"{spoken(seconds)} old" if seconds >= 0 else f"{spoken(-seconds)} ahead"


_FILTERS: dict[str, Callable[..., Any]] = {
    "duration": lambda duration: "none" if duration is None else format_duration(duration),
    "moment": _moment,
    "age": _age,
    "size": size,
    "number": brief,
    "spread": spread,
    "frequent": frequent,
    "in_hash": lambda text: quote(text, safe=""),
    "plural": counted,
    "input_text": input_text,
}
