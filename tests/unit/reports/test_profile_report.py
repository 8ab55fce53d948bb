"""The reports of a profile and of drift as pages: no faults, values as text, each picture with a description."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from featurestore.errors import ExportError
from featurestore.frames.statistics.feature_statistics import significant
from featurestore.reports.drawing import dates_below, one_panel
from featurestore.reports.drift_report import drift_html
from featurestore.reports.profile_report import profile_html, profile_report
from tests.pages.html_page import Page, faults_of
from tests.pages.profiles import LONGEST_NAME, drifted, profiled


@pytest.mark.parametrize("days", [60, 1, 0])
def test_a_profile_of_any_length_is_a_page_without_faults(days: int) -> None:
    assert faults_of(profile_html(profiled(days))) == []


def test_drift_is_a_page_without_faults() -> None:
    assert faults_of(drift_html(drifted())) == []


def test_values_are_shown_as_text() -> None:
    html = profile_html(profiled())
    text = Page(html).text

    assert "<script" not in html
    assert "What users did <script>alert('x')</script>" in text
    assert "growth & <data>" in text
    assert "<b>pro</b> $5" in text


def test_the_table_leads_to_the_picture_of_each_feature_that_has_one() -> None:
    links = [link["href"] for link in Page(profile_html(profiled())).all("a")]

    assert links[:3] == ["#features", "#pictures", "#frequent"]
    assert f"#picture-{LONGEST_NAME}" in links
    # Of json nulls alone are known: there is nothing to draw.
    assert "#picture-raw" not in links


def test_each_picture_has_a_description_of_its_content() -> None:
    labels = [str(picture["aria-label"]) for picture in Page(profile_html(profiled())).all("svg")]

    assert len(labels) == 8
    assert labels[0] == "Bars: rows of 60 event dates; fewest 1,200 on 2026-09-06, most 1,500 on 2026-09-01."
    assert labels[1] == (
        "Spread of score: half of the values are from 0.495069 to 0.604665, the median is 0.5499. Over 60 dates from "
        "2026-09-01 to 2026-10-30: null 0.0% at first, 19.7% at last."
    )
    assert labels[3].startswith("Spread of plan: 'free' is most frequent, 66.6% of the values.")
    assert labels[5].startswith("Spread of constant: '7' is most frequent, 100.0% of the values.")


def test_the_numbers_are_there() -> None:
    text = Page(profile_html(profiled())).words

    assert "Profile of user_stats v1" in text
    assert "event dates 2026-09-01 to 2026-10-30" in text
    assert "Rows 84,000" in text
    assert "score double From 0 to 1, <higher> is better & newer 10.0% 1,001" in text
    assert "last_seen timestamp 0.0% 101 2026-10-01 00:00 2026-10-01 01:12" in text


def test_one_day_has_no_pictures_over_time() -> None:
    page = Page(profile_html(profiled(1)))

    assert "Over time" not in page.text
    assert len(page.all("svg")) == 7


def test_a_group_that_was_never_profiled_has_a_page_too() -> None:
    text = Page(profile_html(profiled(0))).text

    assert "There are no statistics yet: profile the group." in text
    assert "There are no values to draw." in text


def test_the_same_profile_gives_the_same_page() -> None:
    assert profile_html(profiled()) == profile_html(profiled())


def test_the_file_is_written_to_a_local_disk(tmp_path: Path) -> None:
    assert profile_report(profiled(1), tmp_path / "new" / "profile.html").read_text(encoding="utf-8") == profile_html(
        profiled(1)
    )
    with pytest.raises(ExportError, match="s3://bucket"):
        profile_report(profiled(1), "s3://bucket/profile.html")


@pytest.mark.parametrize(
    ("first", "last", "label"),
    [(date(2026, 1, 1), date(2026, 4, 30), "2026"), (date(2026, 6, 3), date(2026, 6, 17), "2026-Jun")],
)
def test_an_axis_of_dates_has_the_unnamed_parts_next_to_it(first: date, last: date, label: str) -> None:
    figure, axes = one_panel(2)
    ends: list[Any] = [first, last]
    axes.plot(ends, [0, 1])
    dates_below(axes)
    figure.draw_without_rendering()

    assert axes.xaxis.get_offset_text().get_text() == label


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (0.4031974, "0.403197"), (-999_999.4, "-999999"), (12_499_400.3, "12,499,400"), (3e20, "3e+20")],
)
def test_numbers_show_their_first_digits(number: float, text: str) -> None:
    assert significant(number, 6) == text
