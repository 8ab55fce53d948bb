"""The catalogue's pages: self-contained, open about what is not known, and safe whatever people wrote."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import DerivedFeature, Entity, Feature, FeatureGroup, Source
from featurestore.errors import ExportError
from featurestore.frames.statistics.feature_statistics import Distribution, FeatureStatistics
from featurestore.operations.catalog.model import Catalog, GroupEntry, GroupNumbers, TrainingSetEntry
from featurestore.reports.catalog_pages import catalog_pages
from featurestore.reports.catalog_site import catalog_site
from featurestore.reports.small_pictures import bars, frequent, rows_over_time, spread
from tests.pages.catalog_examples import NOW, example_catalog
from tests.pages.html_page import Page
from tests.pages.site_pages import faults_of_site

HOSTILE = (
    """</script><script>alert(1)</script> "quoted" 'single' & <b>bold</b> {{ 7 * 7 }} \u2028 \u202eevil naïve 🛩 東京"""
)


def hostile_catalog() -> Catalog:
    """Definitions in which every free text is an attack."""
    user = Entity("user", join_keys={"user_id": "string"}, description=HOSTILE)
    group = FeatureGroup(
        "visits",
        user,
        features=[
            Feature("pages", "string", description=HOSTILE, tags=(HOSTILE,), pattern=r"<b>\d+", allowed_values=("<i>",))
        ],
        description=HOSTILE,
        owner=HOSTILE,
        tags=(HOSTILE,),
        sources={"raw": Source(path=f"/data/{'{tenant_id}'}/<img src=x onerror=alert(2)>")},
        transformation=f"SELECT '{HOSTILE.split()[0]}' FROM raw",
    )
    statistics = FeatureStatistics(
        "pages", "string", "length", 100, 0, 3, 1.0, 9.0, 4.0, 1.0, top=(("<script>alert(3)</script>", 80), ("rare", 4))
    )
    numbers = GroupNumbers(100, NOW, NOW, 10, NOW, NOW, (statistics,))
    return Catalog("acme", NOW, "0.1.0", (user,), (GroupEntry(group, 1, NOW, (), numbers),), ())


@pytest.mark.parametrize("tenant", ["acme", None])
def test_every_link_leads_somewhere_and_everything_has_a_name(tenant: str | None) -> None:
    assert faults_of_site(catalog_pages(example_catalog(200, tenant))) == []


def test_what_people_wrote_is_shown_as_text() -> None:
    files = catalog_pages(hostile_catalog())

    assert faults_of_site(files) == []
    for name, text in files.items():
        assert "<script>alert" not in text, name
        assert "<img" not in text, name
        assert "<b>" not in text, name
    page = Page(files["groups/visits.html"])
    assert " ".join(HOSTILE.split()) in page.words
    assert "{{ 7 * 7 }}" in page.words
    assert [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)] == []
    assert all("src" in script for script in page.all("script"))


def test_the_search_index_is_plain_data_that_no_script_can_leave() -> None:
    text = catalog_pages(hostile_catalog())["assets/search_index.js"]

    assert text.isascii()
    assert text.count("\n") == 1
    entries = json.loads(text.removeprefix("window.catalogEntries = ").removesuffix(";\n"))
    assert [entry[:3] for entry in entries] == [
        ["group", "visits", "groups/visits.html"],
        ["feature", "visits:pages", "groups/visits.html#feature-pages"],
        ["entity", "user", "index.html#entity-user"],
    ]
    assert entries[1][3] == HOSTILE


def test_the_pages_load_nothing_from_any_network() -> None:
    for name, text in catalog_pages(example_catalog(20)).items():
        assert re.findall(r"https?:|//cdn|@import|fetch\(|XMLHttpRequest|url\((?!#)|innerHTML", text) == [], name


def test_the_same_catalogue_gives_the_same_bytes() -> None:
    first = catalog_pages(example_catalog(200))
    again = catalog_pages(example_catalog(200))
    later = catalog_pages(replace(example_catalog(200), built_at=NOW + timedelta(minutes=1)))

    assert first == again
    # What is not about a moment does not depend on it.
    assert {name for name in first if first[name] != later[name]} == {name for name in first if name.endswith(".html")}


def test_without_a_tenant_the_page_has_only_definitions() -> None:
    files = catalog_pages(example_catalog(20, tenant=None))

    words = {name: Page(text).words for name, text in files.items() if name.endswith(".html")}
    assert "Definitions only, without any tenant's data." in words["index.html"]
    for name, text in words.items():
        assert not re.search(r"acme|Nulls [0-9]|Newest|Rows written|Versions|profiled", text), name
    assert "The declared features." in words["groups/customer_orders.html"]
    assert "mean_amount Mean amount in euros over the window double min 0" in words["groups/customer_orders.html"]


@pytest.fixture(scope="module")
def group_words() -> str:
    return Page(catalog_pages(example_catalog(200))["groups/courier_payments.html"]).words


@pytest.mark.parametrize(
    "phrase",
    [
        "courier_payments v2",
        "Owner: logistics",
        "Past its TTL. The newest value was 2.8 d old when this was built, and values are valid for 1d",
        "Rows 8,000",
        "country Where it happened, as an ISO code string 11.8% 12",
        "materialize succeeded",
        "older versions: 1",
    ],
)
def test_a_group_s_page_has_its_numbers(group_words: str, phrase: str) -> None:
    assert phrase in group_words


def group_page(**changed: Any) -> Page:
    """The page of the only group of a small catalogue, with some of its numbers changed."""
    catalog = example_catalog(10)
    [entry] = catalog.groups
    assert entry.numbers is not None
    entry = replace(entry, numbers=replace(entry.numbers, **changed))
    return Page(catalog_pages(replace(catalog, groups=(entry,)))["groups/customer_orders.html"])


def test_a_group_without_a_profile_says_so() -> None:
    page = group_page(statistics=(), rows_by_date=(), profiled_at=None, runs=())

    assert "Not profiled yet: run featurestore profile" in page.words
    assert "Median" not in page.words
    assert [svg["role"] for svg in page.all("svg")] == ["group"]


def test_a_profile_older_than_the_last_write_says_so() -> None:
    assert "rows were written since" in group_page(last_write=NOW).words
    assert "rows were written since" not in group_page().words


def test_a_set_that_was_saved_and_not_declared_has_a_page() -> None:
    catalog = example_catalog(10)
    [declared] = catalog.training_sets
    files = catalog_pages(replace(catalog, training_sets=(TrainingSetEntry("loose", None, declared.versions),)))

    words = Page(files["training_sets/loose.html"]).words
    assert faults_of_site(files) == []
    assert "Saved, but not declared." in words
    assert "v1 2026-10-21 12:00 UTC 120,000" in words
    assert "1 error, △ 1 warning" in words


def test_derived_features_are_listed_found_and_linked() -> None:
    catalog = example_catalog(10)
    group = catalog.groups[0].group
    feature = group.features[0].name
    derived = DerivedFeature(
        "is_big",
        "boolean",
        inputs={"a": f"{group.name}:{feature}", "b": "price"},
        sql="a > b AND b < 5",
        description="Larger than <its> price",
        owner="pricing",
    )
    pages = catalog_pages(replace(catalog, derived_features=(derived,)))

    overview = pages["index.html"]
    assert '<tr id="derived-is_big">' in overview
    assert "Larger than &lt;its&gt; price" in overview
    assert "a &gt; b AND b &lt; 5" in overview
    assert f"<code>{group.name}:{feature}</code>, <code>column price of the spine</code>" in overview
    assert '["derived feature","derived:is_big","index.html#derived-is_big"' in pages["assets/search_index.js"]
    assert 'href="../index.html#derived-is_big"' in pages[f"groups/{group.name}.html"]
    assert faults_of_site(pages) == []


def test_an_empty_store_has_pages_too() -> None:
    files = catalog_pages(Catalog(None, NOW, "0.1.0", (), (), ()))

    assert faults_of_site(files) == []
    assert "There are no feature groups yet" in Page(files["index.html"]).words


def test_a_text_is_shown_where_it_is_a_category_that_many_rows_have() -> None:
    def of(distinct: int, *top: tuple[str, int]) -> list[str]:
        statistics = FeatureStatistics("f", "string", "length", 1_000, 0, distinct, 1.0, 9.0, 4.0, 1.0, top=top)
        return [value.value for value in frequent(statistics)]

    assert of(3, ("DE", 900), ("FR", 5), ("LI", 4)) == ["DE", "FR"]
    assert of(51, ("ann@example.org", 900)) == []


def test_numbers_are_drawn_as_a_histogram_and_described_in_words() -> None:
    grid = tuple(float(step) for step in range(201))
    drawn = spread(FeatureStatistics("f", "double", "value", 10, 0, 10, 0.0, 200.0, 100.0, 1.0, distribution=Distribution(10, grid)))  # fmt: skip

    assert drawn is not None
    assert drawn.alternative == "Histogram of the values of f: from 1 to 199, half at or below 100."
    assert drawn.path.count("M") == 20
    assert spread(FeatureStatistics("f", "json", "none", 10, 0, None, None, None, None, None)) is None


def test_bars_start_at_the_lower_edge_and_the_highest_fills_the_box() -> None:
    assert bars([0, 1, 4], 30, 20) == "M10 20v-5h9v5zM20 20v-20h9v20z"
    assert bars([0, 0], 30, 20) == ""


def test_a_single_date_has_no_picture() -> None:
    days = [(NOW.date(), 5), (NOW.date() + timedelta(days=1), 1)]

    assert rows_over_time(days[:1]) is None
    picture = rows_over_time(days)
    assert picture is not None
    assert picture.alternative == "Bars: rows on 2 dates from 2026-11-20 to 2026-11-21; most on 2026-11-20, 5, fewest on 2026-11-21, 1."  # fmt: skip


def test_a_new_site_replaces_all_files_of_the_old(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "site"
    catalog_site(example_catalog(200), folder)

    site = catalog_site(example_catalog(10), folder)

    assert (site.path, site.pages) == (folder.resolve(), 4)
    assert [file.name for file in (folder / "groups").iterdir()] == ["customer_orders.html"]
    assert [file.name for file in folder.parent.iterdir()] == ["site"]


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(ExportError, match=r"thesis\.tex"):
        catalog_site(example_catalog(10), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]

    site = tmp_path / "site"
    catalog_site(example_catalog(10), site)
    (site / "groups" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match=r"groups/notes\.txt"):
        catalog_site(example_catalog(10), site)
    assert (site / "index.html").exists()


def test_a_build_that_fails_leaves_the_old_pages(tmp_path: Path) -> None:
    catalog_site(example_catalog(10), tmp_path / "site")
    before = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")

    # A text that no file can hold: half of a pair of code units.
    broken = replace(example_catalog(20), tenant_id="\ud800")
    with pytest.raises(UnicodeEncodeError):
        catalog_site(broken, tmp_path / "site")

    assert (tmp_path / "site" / "index.html").read_text(encoding="utf-8") == before
    with pytest.raises(UnicodeEncodeError):
        catalog_site(broken, tmp_path / "another")
    assert [file.name for file in tmp_path.iterdir()] == ["site"]


def test_only_a_local_disk_is_written_to(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="s3://bucket"):
        catalog_site(example_catalog(10), "s3://bucket/site")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ExportError, match="is a file"):
        catalog_site(example_catalog(10), tmp_path / "file")
    with pytest.raises(ExportError, match="cannot be written"):
        catalog_site(example_catalog(10), tmp_path / "file" / "site")
