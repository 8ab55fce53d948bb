"""The report's page: self-contained, open about what was not measured, readable without the pictures."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from featurestore import Settings, TrainingSet
from featurestore.definitions.finding import Finding
from featurestore.definitions.values.durations import spoken
from featurestore.errors import ExportError
from featurestore.operations.context import Context
from featurestore.reports.training_set_numbers import FeatureNumbers, TrainingSetNumbers
from featurestore.reports.training_set_report import training_set_html, training_set_report
from featurestore.stores.training_sets.manifests import SplitCuts
from tests.pages.html_page import Page, faults_of
from tests.pages.training_set_reports import manifest, numbers


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    html = training_set_html(manifest(), numbers())
    page = Page(html)

    assert "http:" not in html
    assert "https:" not in html
    assert {tag for tag, _ in page.elements} & {"script", "link", "iframe", "img", "object"} == set()
    assert re.findall(r"url\((?!#)", html) == []
    assert all(str(use.get("xlink:href", "#")).startswith("#") for use in page.all("use"))


def test_what_people_wrote_is_shown_as_text() -> None:
    html = training_set_html(manifest(), numbers())

    assert "<script>alert" not in html
    assert "Late? <script>alert('x')</script>" in Page(html).text
    assert "Degrees <Fahrenheit>" in Page(html).text
    assert "flight & operations" in Page(html).text


def test_each_picture_has_a_description_of_its_content() -> None:
    html = training_set_html(manifest(), numbers())
    pictures = Page(html).all("svg")

    assert [picture["role"] for picture in pictures] == ["img"] * 4
    labels = [str(picture["aria-label"]) for picture in pictures]
    assert labels[0].startswith("Line: mean of the label from 2026-01-01 to 2026-04-30; lowest 0.312")
    assert labels[1] == "Bars: share of rows without a value, for 2 features. 1 miss none; gust misses most, 70.0%."
    assert labels[2] == "Areas over time, one per lookup. In all: weather 90.0%."
    assert labels[3] == "Ranges: age of the values of 2 features. The oldest by median is temp, 30 min."


def test_pictures_take_their_colours_from_the_page() -> None:
    html = training_set_html(manifest(), numbers())

    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert "var(--first)" in html
    assert re.findall(r"#0[1-5]0[1-5]0[1-5]", html) == []


def test_the_page_has_no_faults() -> None:
    assert faults_of(training_set_html(manifest(), numbers())) == []


@pytest.fixture(scope="module")
def report_words() -> str:
    return Page(training_set_html(manifest(), numbers())).words


@pytest.mark.parametrize(
    "phrase",
    [
        "delays v3",
        "Rows 1,200",
        "Rows with a label 960",
        "Mean of late 0.312",
        "train 2026-01-01 to 2026-02-28 590 49.2% 472 0.312",
        "temp Degrees <Fahrenheit> double 100.0% 0 30 min 0 s to 2 h 4h",
        "gust double 30.0% 840 30 min",
        "Content hash c0ffee",
        "weather 1 2 7 flight & operations",
    ],
)
def test_the_report_has_the_set_s_numbers(report_words: str, phrase: str) -> None:
    assert phrase in report_words


def test_ages_that_were_not_measured_are_said_to_be_missing() -> None:
    page = Page(training_set_html(manifest(), numbers(ages=False)))

    assert "Ages were not measured" in page.text
    assert len(page.all("svg")) == 2


def test_a_set_without_label_and_split_has_neither_in_its_report() -> None:
    page = Page(training_set_html(manifest(label=None, split=None, sample_size=1200), numbers(label_sum=None)))

    assert "Rows with a label" not in page.text
    assert "validation" not in page.text
    assert "1,200 of 1,200 rows, seed 0" in page.text
    assert len(page.all("svg")) == 3


def test_findings_of_the_audit_come_with_their_advice() -> None:
    findings = (
        Finding(
            check="equals_label",
            severity="error",
            subject="temp",
            message="temp equals the label <late> in all rows",
            advice="Leave it out",
        ),
        Finding(check="ttl_too_short", severity="warning", subject="weather", message="Old", advice="Raise the TTL"),
        Finding(check="known_later", severity="warning", subject="weather", message="Late", advice="See why"),
        Finding(check="label_missing", severity="info", subject="late", message="Few labels", advice="Fine"),
    )

    text = Page(training_set_html(manifest(audit=findings), numbers())).words

    assert "Leakage audit 1 error, 2 warnings, 1 to know." in text
    assert "error temp temp equals the label <late> in all rows. Leave it out. warning weather Old." in text
    assert "All clear" not in text


def test_a_clean_audit_is_said() -> None:
    text = Page(training_set_html(manifest(audit=()), numbers())).words

    assert "Leakage audit All clear: no value is newer than its row" in text


def test_a_split_by_entity_names_its_columns() -> None:
    split = SplitCuts(kind="entity", columns=("airport",), until_test=10)

    assert "Split by entity: airport." in Page(training_set_html(manifest(split=split), numbers())).text


def test_an_empty_set_has_a_page_too() -> None:
    empty = TrainingSetNumbers(
        features=tuple(
            FeatureNumbers("temp", "weather", "double", "", None, "weather__event_timestamp", 0, 0, None, None, None)
            for _ in range(1)
        ),
        days=(),
        lookups=("weather",),
    )

    page = Page(training_set_html(manifest(row_count=0), empty))

    assert "There are no rows to draw." in page.text
    assert page.all("svg") == []


def test_the_same_numbers_give_the_same_page() -> None:
    assert training_set_html(manifest(), numbers()) == training_set_html(manifest(), numbers())


@pytest.fixture
def saved(spark: SparkSession, tmp_path: Path) -> TrainingSet:
    context = Context(
        lambda: spark, Settings(warehouse=str(tmp_path)), lambda: datetime(2026, 11, 1, tzinfo=UTC), "0.1.0"
    )
    return TrainingSet(context, manifest())


def test_a_new_report_replaces_the_old_file(saved: TrainingSet, tmp_path: Path) -> None:
    file = tmp_path / "new" / "report.html"

    first = training_set_report(saved, file, numbers())
    second = training_set_report(saved, file, numbers(ages=False))

    assert first == second == file
    assert "Ages were not measured" in file.read_text(encoding="utf-8")
    assert [path.name for path in file.parent.iterdir()] == ["report.html"]


def test_only_a_local_disk_is_written_to(saved: TrainingSet, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="s3://bucket"):
        training_set_report(saved, "s3://bucket/report.html", numbers())

    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ExportError, match="cannot be written"):
        training_set_report(saved, tmp_path / "file" / "report.html", numbers())


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (0.0, "0 s"),
        (0.25, "250 ms"),
        (1.0, "1 s"),
        (59.0, "59 s"),
        (60.0, "1 min"),
        (90.0, "1.5 min"),
        (1740.0, "29 min"),
        (44_340.0, "12 h"),
        (221_040.0, "2.6 d"),
        (40 * 86_400.0, "40 d"),
    ],
)
def test_ages_are_in_the_largest_unit_that_fits(seconds: float | None, expected: str) -> None:
    assert spoken(seconds) == expected
