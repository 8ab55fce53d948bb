"""Drift of a store's groups between two periods, and from a training set; and its report."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from featurestore import (
    DriftThresholds,
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Lookup,
    OfflineStore,
    TrainingSet,
)
from featurestore.errors import DriftError, ExportError, InvalidArgumentError, NotFoundError
from featurestore.operations.statistics.drift import DriftResult
from featurestore.reports.drift_report import drift_html, drift_report
from tests.conftest import Clock, OpenFeatureStore
from tests.pages.html_page import Page, faults_of

USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup(
    "stats",
    USER,
    features=[
        Feature("score", "double"),
        Feature("calm", "double"),
        Feature("plan", "string"),
        Feature("active", "boolean"),
        Feature("seen", "timestamp"),
        Feature("text", "embedding(2)"),
        Feature("raw", "json"),
    ],
    drift={"null_share": 0.05},
)
NOW = datetime(2026, 11, 5, 9, tzinfo=UTC)
BEFORE, AFTER = "2026-11-01/2026-11-03", "2026-11-03/2026-11-05"
USERS = 60


def row(day: int, number: int) -> dict[str, Any]:
    """From the third day on scores are greater, plans are others and more often missing; all else stays."""
    later = day >= 3
    at = datetime(2026, 11, day, tzinfo=UTC) + timedelta(minutes=number)
    return {
        "user_id": f"u{number}",
        "event_timestamp": at,
        "score": (number * 37 % USERS) / 10 + (3 if later else 0),
        "calm": (number * 31 + day) % USERS / 7,
        "plan": None if later and number % 4 == 0 else ["free", "pro $5", "<team>"][number % (3 if later else 2)],
        "active": number % 3 == 0,
        "seen": datetime(2026, 10, 1, tzinfo=UTC) + timedelta(hours=number),
        "text": [3.0, 4.0],
        "raw": "[1]" if number % 2 else None,
    }


ROWS = [row(day, number) for day in (1, 2, 3, 4) for number in range(USERS)]


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(NOW))
    fs.apply([STATS])
    fs.tenant("acme").write_batch("stats", ROWS)
    return fs


@pytest.fixture(scope="module")
def store(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


@pytest.fixture(scope="module")
def result(store: OfflineStore) -> DriftResult:
    return store.drift("stats", baseline=BEFORE, current=AFTER)


@pytest.fixture(scope="module")
def training_set(store: OfflineStore) -> TrainingSet:
    """Each user's first two days, with scores under a name of their own."""
    spine = pd.DataFrame(
        [{"user_id": row["user_id"], "event_timestamp": row["event_timestamp"]} for row in ROWS[: 2 * USERS]]
    )
    lookup = Lookup("stats", ["score", "plan"], prefix="home_")
    return FeatureDataLoader(store).load_training_data(spine, [lookup], name="churn")


def test_the_same_periods_give_the_same_numbers_and_a_period_has_no_drift_against_itself(
    feature_store: FeatureStore,
) -> None:
    store, users = feature_store.tenant("many"), 600
    rows = [
        {
            "user_id": f"u{number}",
            "event_timestamp": datetime(2026, 11, day, tzinfo=UTC) + timedelta(seconds=number),
            "score": math.sin(number * day) * day,
            "plan": f"p{number * number % 37}",
            "text": [math.sin(number * day), 1.0],
        }
        for day in (1, 2, 3, 4)
        for number in range(users)
    ]
    store.write_batch("stats", rows)
    spine = pd.DataFrame(rows[: 2 * users])[["user_id", "event_timestamp"]]
    saved = FeatureDataLoader(store).load_training_data(spine, ["stats:score", "stats:plan", "stats:text"], name="many")

    def measures(baseline: Any, current: Any) -> list[tuple[Any, ...]]:
        return [
            (
                feature.feature,
                feature.psi,
                feature.jensen_shannon,
                feature.kolmogorov_smirnov,
                feature.baseline,
                feature.current,
            )
            for feature in store.drift("stats", baseline=baseline, current=current).features
        ]

    first, by_set = measures(BEFORE, AFTER), measures(saved, AFTER)
    store.profile("stats", full=True)

    assert first == measures(BEFORE, AFTER)
    assert by_set == measures(saved, AFTER)
    assert {measure[1:4] for measure in measures(BEFORE, BEFORE)} == {(0, 0, 0), (None, None, None)}
    assert {measure[1:4] for measure in measures(saved, saved)} == {(0, 0, 0)}


def split(name: str) -> tuple[list[Any], list[Any]]:
    values = [row[name] for row in ROWS]
    return values[: 2 * USERS], values[2 * USERS :]


def test_two_periods_are_compared_feature_by_feature(result: DriftResult) -> None:
    by_feature = {feature.feature: feature for feature in result.features}

    assert [feature.feature for feature in result.features] == [
        "plan",
        "score",
        "active",
        "calm",
        "raw",
        "seen",
        "text",
    ]
    assert (result.drifted, result.of_status("warning")) == (["plan", "score"], [])
    for name in ("score", "calm"):
        assert by_feature[name].kolmogorov_smirnov == pytest.approx(stats.ks_2samp(*split(name)).statistic, abs=0.002)
    before, now = split("plan")
    assert by_feature["plan"].null_share_change == now.count(None) / len(now)
    shares = {part.value: part.shares for part in by_feature["plan"].histogram}
    assert shares["<team>"] == (0, now.count("<team>") / (len(now) - now.count(None)))
    assert shares["free"][0] == before.count("free") / len(before)
    assert (by_feature["active"].psi, by_feature["active"].kolmogorov_smirnov, by_feature["text"].psi) == (0, 0, 0)
    assert (by_feature["raw"].psi, by_feature["raw"].null_share_change, by_feature["raw"].status) == (None, 0, "ok")


def test_a_period_compared_with_itself_has_not_drifted(store: OfflineStore) -> None:
    same = store.drift("stats", baseline=AFTER, current=AFTER, features=["score", "plan", "seen"], refresh=False)

    assert [
        (feature.status, feature.psi, feature.jensen_shannon, feature.kolmogorov_smirnov, feature.null_share_change)
        for feature in same.features
    ] == [("ok", 0, 0, 0, 0)] * 3


def test_a_training_set_is_compared_with_now_under_its_own_names(
    store: OfflineStore, training_set: TrainingSet
) -> None:
    report = store.drift("stats", baseline="training_set:churn@1", current="2d", refresh=False)

    assert (report.baseline, report.current) == ("training set churn v1", AFTER)
    assert report.drifted == ["home_plan", "home_score"]
    [score] = [feature for feature in report.features if feature.feature == "home_score"]
    assert score.kolmogorov_smirnov == pytest.approx(stats.ks_2samp(*split("score")).statistic, abs=0.002)
    assert score.baseline.rows == 2 * USERS
    [plan] = [feature for feature in report.features if feature.feature == "home_plan"]
    assert not any("null_share" in reason for reason in plan.reasons)


def test_drift_compares_the_usual_periods_by_default(store: OfflineStore) -> None:
    with pytest.raises(NotFoundError, match="'stats' has no profiled rows in 2026-10-01/2026-10-29"):
        store.drift("stats", refresh=False)


def test_the_ledger_has_a_run_with_its_drifted_features(store: OfflineStore, result: DriftResult) -> None:
    details = [
        json.loads(row["details"]) for row in store.runs().where("job = 'drift' AND details IS NOT NULL").collect()
    ]

    assert {"drifted": ["plan", "score"], "warning": [], "periods": [BEFORE, AFTER]} in details


def test_errors_say_what_cannot_be_compared(
    feature_store: FeatureStore, store: OfflineStore, training_set: TrainingSet
) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'score'"):
        store.drift("stats", baseline=BEFORE, current=AFTER, features=["scor"])
    with pytest.raises(InvalidArgumentError, match="names no version"):
        store.drift("stats", baseline="training_set:churn@new", current=AFTER)
    with pytest.raises(NotFoundError, match="never built"):
        store.drift("stats", baseline="training_set:churned", current=AFTER)
    with pytest.raises(InvalidArgumentError, match="not of tenant 'other'"):
        feature_store.tenant("other").drift("stats", baseline=training_set, current=AFTER)


def test_the_page_is_self_contained_and_names_drifted_features(result: DriftResult) -> None:
    html = drift_html(result)
    page = Page(html)

    assert faults_of(html) == []
    text = " ".join(page.text.split())
    assert "Drift of stats v1" in text
    assert "Features 7 Drifted 2 Warnings 0 Rows before 120 Rows now 120" in text
    assert "▲ drifted" in text
    assert "null_share_change" in text
    assert "<team>" not in html
    # A picture of the distances, and one of each feature that has values to draw.
    pictures = page.all("svg")
    assert len(pictures) == 6
    assert any("Histograms of score" in str(attributes["aria-label"]) for attributes in pictures)
    assert drift_html(result) == html


def test_a_result_without_features_has_a_page_too(result: DriftResult) -> None:
    page = Page(drift_html(replace(result, features=())))

    assert "There are no values to draw." in page.text


def test_the_file_is_replaced_whole(result: DriftResult, tmp_path: Path) -> None:
    file = tmp_path / "new" / "drift.html"

    assert drift_report(replace(result, features=()), file) == drift_report(result, file) == file

    assert file.read_text(encoding="utf-8") == drift_html(result)
    assert [path.name for path in file.parent.iterdir()] == ["drift.html"]
    with pytest.raises(ExportError, match="s3://bucket"):
        drift_report(result, "s3://bucket/drift.html")
    with pytest.raises(ExportError, match="cannot be written"):
        drift_report(result, file / "below")


def test_drift_ends_a_job_only_on_request(result: DriftResult) -> None:
    assert result.thresholds == DriftThresholds(null_share=0.05)
    with pytest.raises(DriftError, match="2 of 7 features of 'stats' drifted"):
        result.require_none()
    assert result.to_pandas().set_index("feature").loc["score", "status"] == "drifted"
