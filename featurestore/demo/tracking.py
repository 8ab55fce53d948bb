"""Record the demo's training set and scores in a run of MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from featurestore import TrainingSet
from featurestore.demo.model import AS_OF, Score

RUN_NAME = "demo: late flights"
INSTALL = "pip install 'offline-feature-store[mlflow]'"


def is_installed() -> bool:
    return find_spec("mlflow") is not None


def log_demo(tracking_uri: str, training_set: TrainingSet, scores: Sequence[Score]) -> str:
    """Record both in a new run at ``tracking_uri``; returns its id."""
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    [correct] = [score for score in scores if score.join == AS_OF]
    with mlflow.start_run(run_name=RUN_NAME) as run:
        training_set.log_to_mlflow()
        mlflow.log_metrics({"offline_auc": correct.offline, "served_auc": correct.served})
    return str(run.info.run_id)
