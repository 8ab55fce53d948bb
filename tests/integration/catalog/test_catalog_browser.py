"""The catalogue as a browser shows it, opened from the file system: at 10, 200 and 2,000 features."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import numpy as np
import pytest
from matplotlib.image import imread

from featurestore.operations.catalog.lineage import Node, lineage_of
from featurestore.reports.catalog_site import CatalogSite, catalog_site
from tests.pages.catalog_examples import example_catalog
from tests.pages.html_page import Page
from tests.processes.waiting import PATIENCE

CHROMIUM = shutil.which("chromium")
# A whole site is a matter of seconds, also on a busy machine; a page is read over a slow line, or sent by mail.
MOST_SECONDS, MOST_BYTES_A_PAGE = 60, 1_500_000
SIZES = (10, 200, 2_000)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed here"),
]


@pytest.fixture(scope="module", params=SIZES, ids="{} features".format)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CatalogSite:
    began = monotonic()
    written = catalog_site(example_catalog(request.param), tmp_path_factory.mktemp("catalog") / "site")
    assert monotonic() - began < MOST_SECONDS
    return written


def chromium(profile: Path, address: str, *arguments: str) -> str:
    """What a browser of its own, that may reach no network, prints."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
            "--proxy-server=127.0.0.1:9", f"--user-data-dir={profile}", *arguments, address,
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown_by_search(site: CatalogSite, profile: Path, words: str) -> Page:
    """The overview as it is after a search by its address."""
    address = f"{(site.path / 'index.html').as_uri()}#q={quote(words)}"
    return Page(chromium(profile, address, "--virtual-time-budget=5000", "--dump-dom"))


def test_pages_stay_small(site: CatalogSite) -> None:
    largest = max(file.stat().st_size for file in site.path.rglob("*") if file.is_file())

    assert largest < MOST_BYTES_A_PAGE


def test_the_search_finds_a_feature_by_its_name_owner_and_description(site: CatalogSite, tmp_path: Path) -> None:
    # Every word must be found: of the first group's third feature the name, of its owner, and of the description.
    page = shown_by_search(site, tmp_path, "Country growth ISO cod")

    links = [link["href"] for link in page.all("a")]
    matches = [link for link in links if link.endswith("#feature-country")]
    groups = re.findall(r"groups/(\w+)\.html#feature-country", " ".join(links))
    assert matches[0] == "groups/customer_orders.html#feature-country"
    assert len(matches) == len(set(groups)) == len([link for link in links if "#feature-" in link])
    assert f"{len(matches)} found" in page.words
    assert [
        attributes for tag, attributes in page.elements if attributes.get("id") == "browse" and "hidden" in attributes
    ]


def after(site: CatalogSite, profile: Path, page: str, script: str, query: str = "") -> Page:
    """A page after a script ran: a copy of the page runs the script at its end and writes the answers to its title."""
    folder = profile / "site"
    shutil.copytree(site.path, folder)
    text = (
        (folder / page).read_text(encoding="utf-8").replace("</head>", '<script src="then.js" defer></script></head>')
    )
    (folder / page).write_text(text, encoding="utf-8")
    (folder / "then.js").write_text(f"document.title = JSON.stringify((() => {{ {script} }})());", encoding="utf-8")
    address = (folder / page).as_uri() + query
    return Page(chromium(profile / "browser", address, "--virtual-time-budget=5000", "--dump-dom"))


def test_a_search_finds_the_typed_text_keeps_it_in_the_address_and_works_by_keyboard(tmp_path: Path) -> None:
    site = catalog_site(example_catalog(10), tmp_path / "built")
    script = """
        const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        press("/");
        const field = document.activeElement;
        field.value = "last_sé";
        field.dispatchEvent(new Event("input"));
        press("ArrowDown");
        const reached = document.activeElement.textContent;
        press("ArrowUp");
        return [field.id, location.hash, reached, document.activeElement === field];
    """

    page = after(site, tmp_path, "index.html", script)

    assert page.words.startswith('["find","#q=last_s%C3%A9","customer_orders:last_seen",true]')


def test_the_search_of_the_other_pages_leads_to_the_overview(tmp_path: Path) -> None:
    site = catalog_site(example_catalog(10), tmp_path / "built")
    script = 'return [document.getElementById("find").value, document.getElementById("found-count").textContent];'

    page = after(site, tmp_path, "index.html", script, "?q=customer_orders+growth")

    # Ten features and their group.
    assert page.words.startswith('["customer_orders growth","11 found"]')


def test_a_focused_box_shows_its_ancestors_and_descendants(tmp_path: Path) -> None:
    site = catalog_site(example_catalog(200), tmp_path / "built")
    script = """
        document.querySelector('a.box[href="groups/store_orders.html"]').dispatchEvent(new Event("focusin"));
        const names = [...document.querySelectorAll(".box.with title")].map((title) => title.textContent);
        return [names.sort(), document.querySelectorAll(".line.with").length];
    """

    page = after(site, tmp_path, "lineage.html", script)

    around = lineage_of(example_catalog(200)).around(Node("group", "store_orders"))
    names = sorted(f"{node.kind.replace('_', ' ')} {node.name}" for node in around.nodes)
    assert page.words.startswith(json.dumps([names, len(around.edges)], separators=(",", ":")))


def test_it_is_seen_in_light_and_in_dark(site: CatalogSite, tmp_path: Path) -> None:
    light = screenshot(site, tmp_path / "light", "index.html")
    dark = screenshot(site, tmp_path / "dark", "lineage.html", "--blink-settings=preferredColorScheme=0")

    assert light.mean() > 0.8
    assert dark.mean() < 0.3
    for picture in (light, dark):
        # A blank page has one colour.
        assert len(np.unique(np.round(picture, 2).reshape(-1, 3), axis=0)) > 30


def screenshot(site: CatalogSite, profile: Path, page: str, *arguments: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:  # fmt: skip
    profile.mkdir()
    file = profile / "page.png"
    chromium(profile, (site.path / page).as_uri(), "--window-size=1280,1000", f"--screenshot={file}", *arguments)
    return imread(file)[:, :, :3]
