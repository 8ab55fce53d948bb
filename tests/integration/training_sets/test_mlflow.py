"""Training sets are recorded in runs of MLflow and found again by the run; without Spark."""

from __future__ import annotations

import json
import socket
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Settings,
    TimeSplit,
    TrainingSet,
)
from featurestore.errors import ConfigurationError, InvalidArgumentError, NotFoundError, TrackingError
from featurestore.operations.mlflow_runs.set_record import SOURCE_TYPE
from featurestore.stores.training_sets.manifests import ErasureNote

USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup("user_stats", USER, features=[Feature("score", "double"), Feature("tags", "array<string>")])


def november(day: int) -> datetime:
    return datetime(2026, 11, day, tzinfo=UTC)


SPINE = pd.DataFrame(
    {
        "user_id": ["ann", "bob", "ann"],
        "event_timestamp": [november(2), november(3), november(4)],
        "late": [True, False, True],
    }
)


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow keeps its runs in a folder of the test's own."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    yield
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)


def opened(warehouse: Path) -> FeatureStore:
    fs = FeatureStore.open(Settings(warehouse=str(warehouse)))
    fs.apply([STATS])
    return fs


@pytest.fixture
def fs(tmp_path: Path) -> FeatureStore:
    return opened(tmp_path / "warehouse")


def built(fs: FeatureStore, tenant: str = "acme", name: str = "churn", **options: Any) -> TrainingSet:
    """A saved set of two users, one of whom has values."""
    store = fs.tenant(tenant)
    store.write_batch(
        "user_stats", [{"user_id": "ann", "event_timestamp": november(1), "score": 0.5, "tags": ["new"]}], batch_id="1"
    )
    features = ["user_stats:score", "user_stats:tags"]
    return FeatureDataLoader(store).load_training_data(SPINE, features, label="late", name=name, **options)


def recorded(*sets: TrainingSet) -> str:
    """The id of a run that recorded the sets."""
    with mlflow.start_run() as run:
        for each in sets:
            each.log_to_mlflow(report=False)
    return str(run.info.run_id)


def inputs_of(run_id: str) -> list[Any]:
    return [each.dataset for each in mlflow.get_run(run_id).inputs.dataset_inputs]


def test_a_run_says_which_rows_a_set_has_and_how_they_were_chosen(fs: FeatureStore) -> None:
    churn = built(fs, known_at="event", split=TimeSplit(test_from=november(4)))

    run_id = recorded(churn)

    [dataset] = inputs_of(run_id)
    content_hash = churn.manifest.content_hash
    profile = json.loads(dataset.profile)
    columns = {column["name"]: column["type"] for column in json.loads(dataset.schema)["mlflow_colspec"]}
    assert (dataset.name, dataset.source_type) == ("churn", "featurestore_training_set")
    assert dataset.digest.startswith(content_hash[:16])
    assert json.loads(dataset.source) == {
        "format": 1,
        "warehouse": fs.settings.warehouse,
        "catalog": None,
        "tenant": "acme",
        "name": "churn",
        "version": 1,
        "content_hash": content_hash,
    }
    assert (profile["rows"], profile["label"], profile["known_at"]) == (3, "late", "event")
    assert profile["looked_up"] == ["user_stats:score", "user_stats:tags"]
    assert profile["split"].startswith("by time: validation from none, test from 2026-11-04")
    assert columns == {
        "user_id": "string",
        "event_timestamp": "datetime",
        "late": "boolean",
        "score": "double",
        "tags": "array",
    }
    assert mlflow.get_run(run_id).data.tags["featurestore.acme.churn.v1"] == content_hash


def test_the_manifest_and_the_report_are_artefacts_of_the_run(fs: FeatureStore) -> None:
    churn = built(fs)

    with mlflow.start_run() as run:
        churn.log_to_mlflow()

    folder = f"{run.info.artifact_uri}/training_sets/churn_v1"
    assert mlflow.artifacts.load_dict(f"{folder}/manifest.json")["content_hash"] == churn.manifest.content_hash
    report = mlflow.artifacts.load_text(f"{folder}/report.html")
    assert "<html" in report
    assert churn.manifest.content_hash in report


def test_the_set_is_found_by_the_run(fs: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    churn = built(fs)
    built(fs, description="another version, with the same rows", new_version=True)
    run_id = recorded(churn)

    assert TrainingSet.from_mlflow(run_id, store=fs) == churn
    assert TrainingSet.from_mlflow(run_id, store=fs.tenant("acme")).to_pandas().X["score"].tolist()[0] == 0.5
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEATURESTORE_WAREHOUSE", fs.settings.warehouse)
    assert TrainingSet.from_mlflow(run_id).manifest == churn.manifest


def test_recording_a_set_twice_is_recording_it_once(fs: FeatureStore) -> None:
    churn = built(fs)

    run_id = recorded(churn, churn)

    assert [dataset.name for dataset in inputs_of(run_id)] == ["churn"]


def test_sets_with_the_same_rows_are_told_apart_within_an_experiment(fs: FeatureStore, tmp_path: Path) -> None:
    """MLflow keeps one source per name and digest, so that a digest of the rows alone would give another tenant's set."""
    elsewhere = opened(tmp_path / "elsewhere")
    sets = [built(fs), built(fs, "bmw"), built(fs, new_version=True), built(elsewhere)]
    assert len({each.manifest.content_hash for each in sets}) == 1

    runs = [recorded(each) for each in sets]

    found = [TrainingSet.from_mlflow(run, store=fs).manifest for run in runs[:3]]
    assert [(manifest.tenant_id, manifest.version) for manifest in found] == [("acme", 1), ("bmw", 1), ("acme", 2)]
    assert TrainingSet.from_mlflow(runs[3], store=elsewhere).manifest.location.startswith(str(tmp_path / "elsewhere"))


def test_one_of_several_sets_of_a_run_is_chosen_by_name_and_version(fs: FeatureStore) -> None:
    sets = built(fs), built(fs, new_version=True), built(fs, name="upsell")
    run_id = recorded(*sets)

    with pytest.raises(InvalidArgumentError, match=r"'churn' v1 .*'churn' v2 .*'upsell' v1 .*name= and version="):
        TrainingSet.from_mlflow(run_id, store=fs)
    with pytest.raises(NotFoundError, match=r"no training set 'lost' v3; it has 'churn' v1"):
        TrainingSet.from_mlflow(run_id, name="lost", version=3, store=fs)
    assert TrainingSet.from_mlflow(run_id, name="upsell", store=fs) == sets[2]
    assert TrainingSet.from_mlflow(run_id, version=2, store=fs) == sets[1]


def test_without_an_active_run_none_is_started(fs: FeatureStore) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'churn' v1 .*active run.*mlflow\.start_run\(\)"):
        built(fs).log_to_mlflow()

    assert mlflow.active_run() is None
    assert mlflow.search_runs(output_format="list") == []


def test_runs_without_a_set_and_unknown_runs(fs: FeatureStore) -> None:
    with mlflow.start_run() as run:
        mlflow.log_input(MetaDataset(CodeDatasetSource({}), name="churn"))

    with pytest.raises(NotFoundError, match="recorded no training set; while a run is active"):
        TrainingSet.from_mlflow(run.info.run_id, store=fs)
    with pytest.raises(NotFoundError, match="MLflow has no run 'a1b2'; the tracking URI is file://"):
        TrainingSet.from_mlflow("a1b2", store=fs)


def test_a_store_that_has_another_set_of_this_name_is_refused(fs: FeatureStore, tmp_path: Path) -> None:
    churn, elsewhere = built(fs), opened(tmp_path / "elsewhere")
    run_id = recorded(churn)

    with pytest.raises(NotFoundError, match=r"which run .* recorded in .*/warehouse, is not in .*/elsewhere: .*never"):
        TrainingSet.from_mlflow(run_id, store=elsewhere)
    other = built(elsewhere, missing="drop")
    with pytest.raises(TrackingError) as refused:
        TrainingSet.from_mlflow(run_id, store=elsewhere)
    assert churn.manifest.content_hash in str(refused.value)
    assert other.manifest.content_hash in str(refused.value)
    assert "another set of the same name" in str(refused.value)


def test_another_tenants_store_is_refused(fs: FeatureStore) -> None:
    run_id = recorded(built(fs))
    built(fs, "bmw")

    with pytest.raises(InvalidArgumentError, match=r"store is of tenant 'bmw', .*give the store of 'acme'"):
        TrainingSet.from_mlflow(run_id, store=fs.tenant("bmw"))


def erase_rows_of(training_set: TrainingSet) -> None:
    """Leave the manifest as an erasure leaves it."""
    note = ErasureNote(erasure_id="e1", erased_at=november(20), rows=2)
    erased = {"content_hash": "0" * 64, "row_count": 1, "erasures": (note,)}
    training_set.context.training_sets.replace_manifest(training_set.manifest.model_copy(update=erased))


def test_rows_that_were_erased_since_are_said_to_be(fs: FeatureStore) -> None:
    churn = built(fs)
    run_id = recorded(churn)
    erase_rows_of(churn)

    with pytest.raises(TrackingError, match=r"2 of its rows were erased .*last on 2026-11-20.* get\('churn', 1\)"):
        TrainingSet.from_mlflow(run_id, store=fs)


def test_a_set_that_changed_since_it_was_loaded_is_not_recorded(fs: FeatureStore) -> None:
    churn, gone = built(fs), built(fs, name="gone")
    erase_rows_of(churn)
    gone.context.training_sets.unpublish("acme", "gone", [1])

    with mlflow.start_run() as run:
        with pytest.raises(TrackingError, match=r"rows of it were erased .*load it again, get\('churn', 1\)"):
            churn.log_to_mlflow(report=False)
        with pytest.raises(NotFoundError, match="'gone' was never built, or is deleted"):
            gone.log_to_mlflow(report=False)

    assert inputs_of(run.info.run_id) == []


def test_a_run_without_its_artefacts_has_no_input(fs: FeatureStore, tmp_path: Path) -> None:
    churn = built(fs)
    (tmp_path / "file").write_text("not a folder")
    experiment = mlflow.create_experiment("unwritable", artifact_location=(tmp_path / "file").as_uri())

    with (
        mlflow.start_run(experiment_id=experiment) as run,
        pytest.raises(TrackingError, match=r"'churn' v1 of tenant 'acme' is not recorded in run .*Error"),
    ):
        churn.log_to_mlflow(report=False)

    assert inputs_of(run.info.run_id) == []


def test_a_server_that_does_not_answer_is_named_without_its_password(fs: FeatureStore) -> None:
    churn, runs = built(fs), mlflow.get_tracking_uri()
    with socket.socket() as closed, mlflow.start_run():
        closed.bind(("127.0.0.1", 0))
        mlflow.set_tracking_uri(f"http://ann:s3cret@127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(TrackingError, match="is not recorded in run") as not_recorded:
            churn.log_to_mlflow(report=False)
        with pytest.raises(TrackingError, match=r"'a1b2' of MLflow cannot be read: .* URI is http://127") as not_found:
            TrainingSet.from_mlflow("a1b2", store=fs)
        mlflow.set_tracking_uri(runs)

    for error in (not_recorded.value, not_found.value):
        assert "s3cret" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("source", ["{}", "not JSON", '{"format": 2, "tenant": "acme"}'])
def test_a_record_that_cannot_be_read_is_said_to_be_one(fs: FeatureStore, source: str) -> None:
    class Edited(CodeDatasetSource):
        @staticmethod
        def _get_source_type() -> str:
            return SOURCE_TYPE

        def to_json(self) -> str:
            return source

    with mlflow.start_run() as run:
        mlflow.log_input(MetaDataset(Edited({}), name="churn"))

    with pytest.raises(TrackingError, match="has a training set whose record cannot be read"):
        TrainingSet.from_mlflow(run.info.run_id, store=fs)


def test_without_mlflow_it_is_said_how_to_install_it(fs: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    churn = built(fs)
    monkeypatch.setitem(sys.modules, "mlflow", None)

    for call in (churn.log_to_mlflow, lambda: TrainingSet.from_mlflow("a1b2", store=fs)):
        with pytest.raises(ConfigurationError, match=r"pip install 'offline-feature-store\[mlflow\]'"):
            call()
