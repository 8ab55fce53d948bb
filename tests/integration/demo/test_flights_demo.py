"""The demo from end to end, on the first three days of each month: run, and run again."""

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from featurestore import OfflineStore, Settings, TrainingSet
from featurestore.demo.airports import FLIGHTS_AT_LEAST, LIKE, PROFILE
from featurestore.demo.flights import flight_tables
from featurestore.demo.model import AS_OF, WINDOWS, WITHOUT_FEATURES
from featurestore.demo.run import GROUPS, DemoResult, run_demo
from featurestore.demo.run import WINDOWS as WINDOWED_GROUP
from featurestore.demo.wrong_joins import StoredValues, latest_values, same_day_values

pytestmark = pytest.mark.slow

DEFINITIONS = Path(__file__).parents[3] / "conf" / "features"
SAME_DAY, LATEST = "wrong: newest value of the same day", "wrong: newest value of all"


def some_days() -> dict[str, pd.DataFrame]:
    tables = flight_tables()
    return {**tables, "flights": tables["flights"][tables["flights"]["day"] <= 3]}


@pytest.fixture(scope="module")
def runs(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[DemoResult, str]]:
    """Two runs of the demo in one place: what each made, and what it printed. MLflow records the second."""
    place = tmp_path_factory.mktemp("demo")
    settings = Settings(
        warehouse=str(place / "warehouse"), landing=str(place / "landing"), output=str(place / "output")
    )
    done = []
    for tracking_uri in (None, f"sqlite:///{place}/runs.db"):
        printed = StringIO()
        console = Console(file=printed, width=200)
        with pytest.MonkeyPatch.context() as patched:
            # MLflow sets the variable, and keeps artefacts in the current folder.
            patched.setenv("MLFLOW_TRACKING_URI", "")
            patched.chdir(place)
            result = run_demo(settings, DEFINITIONS, console, spark, some_days, tracking_uri)
        done.append((result, printed.getvalue()))
    return done


def test_the_training_set_has_every_flight_and_its_features(runs: list[tuple[DemoResult, str]]) -> None:
    result, printed = runs[0]
    manifest = result.training_set.manifest
    found = {feature.name: feature.value_share or 0.0 for feature in result.numbers.features}

    assert manifest.row_count == 33_055
    assert {group.name for group in manifest.groups} == {*GROUPS, WINDOWED_GROUP}
    assert manifest.label == "late"
    assert "late" not in manifest.feature_columns
    assert [part.split for part in result.numbers.parts()] == ["train", "validation", "test"]
    assert found["origin_temp"] > 0.99
    assert found["carrier_delays__mean_arr_delay_24h"] > 0.8
    assert found["aircraft_activity__last_arr_delay"] > 0.3
    assert "33,055 rows, label rate" in printed
    assert "flights were cancelled or diverted: they stay in, without a label" in printed


def test_the_impossible_wind_is_rejected_with_its_reason(runs: list[tuple[DemoResult, str]]) -> None:
    result, printed = runs[0]
    store = result.training_set.context
    rejected = store.table(store.group("airport_weather")).read_rejected("nyc").collect()

    assert [row["reasons"] for row in rejected] == [
        ["wind_speed: greater than max 200", "wind_gust: greater than max 250"]
    ]
    assert "1048.36" in rejected[0]["row"]
    assert "1 rejected, kept with the reason: wind_speed: greater than max 200" in printed


def test_the_airports_alike_are_those_of_the_exact_search_in_delta(runs: list[tuple[DemoResult, str]]) -> None:
    result, printed = runs[1]
    store = OfflineStore(result.training_set.context, "nyc")
    at = datetime(2015, 1, 1, tzinfo=UTC)
    filters = {"flights": {"min": FLIGHTS_AT_LEAST}}
    exact = store.search_similar_embeddings(PROFILE, {"airport": LIKE}, limit=5, threshold=0.0, at=at, filters=filters)

    assert result.alike.matches.source == "postgres"
    assert [match.entity for match in result.alike.matches] == [match.entity for match in exact]
    assert f"Airports that behave like {LIKE}" in printed
    assert f"Airports like {LIKE}" in result.report.read_text(encoding="utf-8")


def test_the_export_and_the_report_are_self_contained_files(runs: list[tuple[DemoResult, str]]) -> None:
    result, printed = runs[0]
    exported = pd.read_parquet(result.export)
    report = result.report.read_text(encoding="utf-8")

    assert len(exported) == 33_055
    assert list(exported.columns) == list(result.training_set.manifest.columns)
    assert report.count('<svg role="img"') == 5
    assert str(result.export) in printed
    assert str(result.report) in printed


def test_a_wrong_join_is_flattered_offline_and_fails_when_served(runs: list[tuple[DemoResult, str]]) -> None:
    scores = {score.join: score for score in runs[0][0].scores}

    assert list(scores) == [AS_OF, WINDOWS, SAME_DAY, LATEST, WITHOUT_FEATURES]
    assert scores[WINDOWS].offline == scores[WINDOWS].served
    assert scores[WINDOWS].served > scores[WITHOUT_FEATURES].served
    assert scores[AS_OF].offline == scores[AS_OF].served
    assert scores[SAME_DAY].offline > scores[AS_OF].offline + 0.05
    assert scores[SAME_DAY].served < scores[AS_OF].served
    assert scores[LATEST].served < scores[AS_OF].served


def test_a_second_run_does_no_work_twice_and_gives_the_same(runs: list[tuple[DemoResult, str]]) -> None:
    (first, _), (second, printed) = runs

    assert printed.count("done in an earlier run: skipped") == len(GROUPS) + 1
    assert printed.count("landed earlier") == 5
    assert "11 unchanged" in printed
    assert "v1 is up to date" in printed
    assert second.training_set.manifest == first.training_set.manifest
    assert second.scores == first.scores
    assert second.export == first.export
    assert second.report == first.report


def test_a_run_of_mlflow_leads_to_the_set_if_one_is_wanted(runs: list[tuple[DemoResult, str]]) -> None:
    (first, _), (second, printed) = runs
    assert first.run_id is None
    assert second.run_id is not None
    assert f"run {second.run_id}" in printed

    metrics = mlflow.get_run(second.run_id).data.metrics
    found = TrainingSet.from_mlflow(second.run_id, store=OfflineStore(second.training_set.context, "nyc"))
    mlflow.set_tracking_uri(None)

    assert found == second.training_set
    assert metrics["served_auc"] == next(score.served for score in second.scores if score.join == AS_OF)


def test_the_wrong_joins_take_values_from_later() -> None:
    at = pd.to_datetime(["2026-11-01T08:00Z", "2026-11-02T08:00Z", "2026-11-03T08:00Z"], utc=True)
    spine = pd.DataFrame({"event_timestamp": at, "origin": ["EWR", "EWR", "JFK"]})
    observed = pd.to_datetime(["2026-11-01T07:00Z", "2026-11-01T20:00Z", "2026-11-05T07:00Z"], utc=True)
    weather = pd.DataFrame({"origin": "EWR", "event_timestamp": observed, "origin_temp": [1.0, 2.0, 3.0]})
    groups = [StoredValues(["origin"], ["origin_temp"], weather)]

    assert latest_values(spine, groups)["origin_temp"].tolist()[:2] == [3.0, 3.0]
    assert same_day_values(spine, groups)["origin_temp"].tolist()[:1] == [2.0]
    assert latest_values(spine, groups)["origin_temp"].isna().tolist() == [False, False, True]
    assert same_day_values(spine, groups)["origin_temp"].isna().tolist() == [False, True, True]
