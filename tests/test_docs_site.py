"""The documentation as a site: nothing is missing, what is generated is up to date, and it builds without a network."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from docs.generators import as_of_rules, cli_reference, install_sizes, timelines
from featurestore import __all__ as PUBLIC_NAMES
from featurestore import errors

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
ADDRESS_ATTRIBUTES = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def pages_of(nav: list[dict[str, object]]) -> Iterator[str]:
    for entry in nav:
        for place in entry.values():
            yield from pages_of(place) if isinstance(place, list) else [str(place)]


def test_every_page_is_in_the_navigation() -> None:
    settings = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(pages_of(settings["nav"]))

    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - listed == set()


def test_every_module_that_the_documentation_names_exists() -> None:
    pages = [PROJECT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    paths = {path for text in texts for path in re.findall(r"featurestore/[\w/]+\.py", text)}

    assert len(paths) > 20
    assert {path for path in paths if not (PROJECT / path).is_file()} == set()


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    assert text_of("cli_reference.md") == cli_reference.reference(), "run: python docs/generators/cli_reference.py"


def test_the_page_of_sizes_has_every_extra() -> None:
    """The sizes themselves differ between machines and days."""
    measured = re.findall(r"^\| `(\w+)` adds \|", text_of("install.md"), re.MULTILINE)

    assert measured == install_sizes.extras(), "run: python docs/generators/install_sizes.py"


def test_the_command_line_page_has_the_common_options_once() -> None:
    untold = cli_reference.COMMON_OPTIONS - {"--help"} - set(re.findall(r"--\w+", text_of("cli.md")))

    assert untold == set()
    assert set(re.findall(r"`(--[\w-]+)", text_of("cli_reference.md"))) & cli_reference.COMMON_OPTIONS == set()


def test_the_rules_of_the_as_of_join_are_those_that_its_tests_state() -> None:
    source = as_of_rules.TESTS.read_text(encoding="utf-8")

    assert list(as_of_rules.rules(source)) == list(range(1, 10))
    text = text_of("point_in_time.md")
    assert text == as_of_rules.page(text, source), "run: python docs/generators/as_of_rules.py"


@pytest.mark.parametrize("timeline", timelines.TIMELINES, ids=lambda timeline: timeline.name)
def test_every_stored_timeline_is_the_drawn_one(timeline: timelines.Timeline) -> None:
    drawn = (timelines.FOLDER / f"{timeline.name}.svg").read_text(encoding="utf-8")

    assert drawn == timeline.svg(), "run: python docs/generators/timelines.py"


def test_no_drawn_timeline_is_left_over() -> None:
    assert {file.stem for file in timelines.FOLDER.glob("*.svg")} == {timeline.name for timeline in timelines.TIMELINES}


def test_the_runbook_has_a_row_for_every_error_with_its_exit_code() -> None:
    exit_codes = {
        name: int(code) for code, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", text_of("runbook.md"), re.MULTILINE)
    }
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]

    assert exit_codes == {kind.__name__: kind.exit_code for kind in kinds if kind is not errors.FeatureStoreError}


def test_the_reference_has_every_public_name() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))

    assert set(re.findall(r"^::: featurestore\.(\w+)$", pages, re.MULTILINE)) == {*PUBLIC_NAMES, "errors"} - {
        "__version__"
    }


def test_every_decision_states_its_context_the_decision_and_its_consequence() -> None:
    pages = [page for page in (DOCS / "decisions").glob("*.md") if page.name != "README.md"]
    sections = [section for page in pages for section in page.read_text(encoding="utf-8").split("\n## ")[1:]]
    labels = {section.splitlines()[0]: re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) for section in sections}

    assert len(labels) == len(sections) > 0
    assert {heading for heading, parts in labels.items() if parts != ["Context", "Decision", "Consequence"]} == set()


def test_the_page_of_decisions_lists_every_area() -> None:
    areas = {page.name for page in (DOCS / "decisions").glob("*.md")} - {"README.md"}

    assert set(re.findall(r"\]\((\w+\.md)\)", text_of("decisions/README.md"))) == areas


class Page(HTMLParser):
    """A built page: what a browser would fetch for it, and the pictures that say nothing to who cannot see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.silent: list[str] = []
        self.drawings = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        address = attributes.get(ADDRESS_ATTRIBUTES.get(tag, ""))
        if address and attributes.get("rel") not in ("next", "prev", "canonical"):
            self.fetched.append(address)
        if tag == "img" and not attributes.get("alt"):
            self.silent.append(str(attributes.get("src")))
        if tag == "figure" and attributes.get("class") == "drawing":
            self.drawings += 1
            if not attributes.get("aria-label"):
                self.silent.append("a drawing")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # A proxy that nothing listens on: what would be fetched fails.
    environment = os.environ | dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {str(file): Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}


@pytest.mark.slow
def test_the_site_builds_with_all_links_and_fetches_nothing_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    fetched = {file: page.fetched for file, page in pages.items()}
    styles = [file.read_text(encoding="utf-8") for file in site.rglob("*.css")]

    assert len(fetched) > len(list(DOCS.rglob("*.md")))
    assert [(file, address) for file, all_of in fetched.items() for address in all_of if "//" in address] == []
    assert [url for text in styles for url in re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)]*", text)] == []


@pytest.mark.slow
def test_every_picture_of_the_site_has_words(pages: dict[str, Page]) -> None:
    assert [picture for page in pages.values() for picture in page.silent] == []
    assert sum(page.drawings for page in pages.values()) == len(timelines.TIMELINES)


@pytest.mark.slow
def test_the_reference_shows_docstrings_and_no_private_names(site: Path) -> None:
    page = (site / "reference" / "offline_store.html").read_text(encoding="utf-8")

    assert "The spine with each feature" in page
    assert 'id="featurestore.OfflineStore.get_point_in_time"' in page
    assert "OfflineStore._" not in page
