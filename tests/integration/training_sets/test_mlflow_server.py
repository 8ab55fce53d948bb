"""A training set is recorded by a real tracking server of MLflow, found again, and rebuilt with the recorded hash."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, TrainingSet
from featurestore.errors import TrackingError
from tests.conftest import Clock, OpenFeatureStore
from tests.processes.mlflow_server import mlflow_server

NOW = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.mark.slow
def test_a_run_of_a_server_leads_to_the_set_and_to_its_rebuilt_rows(
    open_feature_store: OpenFeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # MLflow sets it, for processes that this one would start.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    fs = open_feature_store(Clock(NOW))
    fs.apply(
        [FeatureGroup("stats", Entity("user", join_keys={"user": "string"}), features=[Feature("score", "double")])]
    )
    store = fs.tenant("acme")
    store.write_batch("stats", [{"user": "ann", "event_timestamp": NOW, "score": 0.5}])
    loader = FeatureDataLoader(store)
    spine = pd.DataFrame({"user": ["ann", "bob"], "event_timestamp": [NOW, NOW], "late": [True, False]})
    churn = loader.load_training_data(spine, ["stats:score"], label="late", name="churn")

    with mlflow_server(tmp_path) as server:
        mlflow.set_tracking_uri(server.uri)
        try:
            with mlflow.start_run() as run:
                churn.log_to_mlflow()
                churn.log_to_mlflow()

            run_id = run.info.run_id
            artefacts = mlflow.MlflowClient().list_artifacts(run_id, "training_sets/churn_v1")
            by_digest = f"dataset.digest = '{mlflow.get_run(run_id).inputs.dataset_inputs[0].dataset.digest}'"
            assert [file.path.rpartition("/")[2] for file in artefacts] == ["manifest.json", "report.html"]
            assert [each.info.run_id for each in mlflow.search_runs(filter_string=by_digest, output_format="list")] == [
                run_id
            ]
            assert len(mlflow.get_run(run_id).inputs.dataset_inputs) == 1

            found = TrainingSet.from_mlflow(run_id, store=store)
            rebuilt = loader.rebuild(found.name, found.version)
            assert found == churn
            assert rebuilt.manifest.content_hash == churn.manifest.content_hash

            server.kill()
            with pytest.raises(TrackingError, match=f"run '{run_id}' of MLflow cannot be read"):
                TrainingSet.from_mlflow(run_id, store=store)
        finally:
            mlflow.set_tracking_uri(None)
