"""Wrong values for every parameter of every public method: an error of this package, or a valid result.

The methods and their parameters are read from the classes, so that a new one cannot be forgotten: it needs a call in
``CALLS`` that is right, or wrong in a way that is seen only after all arguments were read and before Spark has work.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from featurestore import (
    BatchFeatures,
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    OfflineStore,
    TrainingSet,
)
from featurestore.display.displayed import Listing
from featurestore.operations.context import Context
from featurestore.stores.small_tables.registry import RegistryState
from featurestore.stores.training_sets.manifests import Manifest
from featurestore.stores.training_sets.store import TrainingSetStore
from tests.conftest import Clock, OpenFeatureStore
from tests.inputs.wrong_values import fault_of, wrong_values

NOON = datetime(2026, 11, 8, 12, tzinfo=UTC)
FROM, TO = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC)
USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup("stats", USER, features=[Feature("score", "double"), Feature("text", "embedding(2)")])
ANN = {"user_id": "ann"}
SPINE = pd.DataFrame({"user_id": ["ann"], "event_timestamp": [NOON]})
WITHOUT_TIME = SPINE[["user_id"]]

# The arguments of each method; a method without parameters needs no entry.
CALLS: dict[str, dict[str, Any]] = {
    "FeatureStore.open": {"source": "nowhere"},
    "FeatureStore.plan": {"definitions": [USER]},
    "FeatureStore.apply": {"definitions": [5]},
    "FeatureStore.tenant": {"tenant_id": "acme"},
    "FeatureStore.feature_group": {"name": "stats"},
    "FeatureStore.derived_feature": {"name": "unknown"},
    "FeatureStore.vacuum": {"older_than": "0d", "dry_run": True},
    "FeatureStore.runs": {"to": "arrow"},
    "FeatureStore.registry_history": {"to": "arrow"},
    "FeatureStore.latest_runs": {},
    "OfflineStore.write_feature_value": {
        "feature": "stats:score", "entity": {"user_id": None}, "value": 1.0, "event_timestamp": NOON,
    },
    "OfflineStore.write_embedding": {
        "feature": "stats:text", "entity": {"user_id": None}, "vector": [1.0, 2.0], "event_timestamp": NOON,
    },
    "OfflineStore.write_batch": {"group": "stats", "rows": 5, "on_invalid": "fail"},
    "OfflineStore.ingest": {"group": "stats", "path": "nowhere.csv", "on_invalid": "fail"},
    "OfflineStore.rejected": {"group": "stats"},
    "OfflineStore.retry_rejected": {"group": "other"},
    "OfflineStore.embed_texts": {
        "feature": "stats:text", "rows": SPINE, "text": "user_id", "model": len, "hash_feature": "score",
    },
    "OfflineStore.get_feature_at_time": {"feature": "stats:score", "entity": {"user_id": None}, "at": NOON},
    "OfflineStore.get_features_at_time": {"features": ["stats:score"], "entity": {"user_id": None}, "at": NOON},
    "OfflineStore.get_batch_features": {"features": ["stats:score"], "start": FROM, "end": TO},
    "OfflineStore.get_feature_history": {"feature": "stats:score", "entity": ANN},
    "OfflineStore.aggregate_feature": {"feature": "stats:score", "function": "sum", "start": FROM, "end": TO},
    "OfflineStore.search_similar_embeddings": {"feature": "stats:text", "vector_or_entity": [0.0, 0.0]},
    "OfflineStore.search_similar_embeddings_batch": {"feature": "stats:text", "queries": [[0.0, 0.0]]},
    "OfflineStore.search_similar_for": {"queries": 5, "feature": "stats:text"},
    "OfflineStore.sync_embeddings": {"feature": "stats:score"},
    "OfflineStore.sync_all_embeddings": {},
    "OfflineStore.get_stats": {},
    "OfflineStore.profile": {"groups": [], "start": FROM, "end": FROM},
    "OfflineStore.get_statistics": {"group": "stats", "start": FROM, "end": FROM},
    "OfflineStore.profiled": {"group": "stats", "start": FROM, "end": FROM},
    "OfflineStore.drift": {"group": "stats", "current": "1m"},
    "OfflineStore.write_metrics": {"path": "x"},
    "OfflineStore.get_point_in_time": {"spine": WITHOUT_TIME, "features": ["stats:score"]},
    "OfflineStore.explain_point_in_time": {"spine": WITHOUT_TIME, "features": ["stats:score"]},
    "OfflineStore.materialize_feature": {"group": "stats", "start": FROM, "end": TO},
    "OfflineStore.materialize_all": {"start": FROM, "end": TO},
    "OfflineStore.plan_backfill": {"group": "stats", "start": FROM, "end": TO},
    "OfflineStore.backfill": {"group": "stats", "start": FROM, "end": TO},
    "OfflineStore.cleanup": {"groups": []},
    "OfflineStore.optimize": {"groups": ["x"]},
    "OfflineStore.erase": {"entity": "user", "keys": {}},
    "OfflineStore.runs": {"to": "arrow"},
    "OfflineStore.latest_runs": {},
    "BatchFeatures.metadata": {},
    "OfflineStore.run": {"run_id": "none"},
    "OfflineStore.abandon_run": {"run_id": "none"},
    "FeatureDataLoader.load_training_data": {"spine": WITHOUT_TIME, "features": ["stats:score"]},
    "FeatureDataLoader.get_entity_timestamps": {"source": "none", "entity": USER},
    "FeatureDataLoader.build": {"name": "none"},
    "FeatureDataLoader.rebuild": {"name": "none"},
    "FeatureDataLoader.extend": {"name": "none", "spine": SPINE},
    "FeatureDataLoader.get": {"name": "none"},
    "FeatureDataLoader.list": {"name": "none"},
    "FeatureDataLoader.audit": {"name": "none"},
    "FeatureDataLoader.diff": {"name": "none", "version_a": 1, "version_b": 2},
    "FeatureDataLoader.delete": {"name": "none"},
    "FeatureDataLoader.load_for_fine_tuning": {
        "spine": WITHOUT_TIME, "input_features": ["stats:score"], "output_feature": "label", "path": "/nowhere/x",
    },
    "FeatureDataLoader.export": {"data": 5, "path": "/nowhere/x"},
    "FeatureDataLoader.export_to_csv": {"data": 5, "path": "/nowhere/x"},
    "TrainingSet.part": {"split": None},
    "TrainingSet.metadata": {"split": "none"},
    "TrainingSet.to_batches": {"split": "none"},
    "TrainingSet.to_pandas": {"split": "none"},
    "TrainingSet.to_numpy": {"split": "none"},
    "TrainingSet.export": {"path": "/proc/x"},
    "TrainingSet.log_to_mlflow": {},
    "TrainingSet.from_mlflow": {"run_id": "none"},
}  # fmt: skip


@dataclass
class Unchanged(Context):
    """A store that nobody changes meanwhile: its registry and its training sets need not be read again."""

    def refresh(self) -> RegistryState:
        return self.state

    @cached_property
    def training_sets(self) -> TrainingSetStore:  # type: ignore[override]
        return ReadOnce(self.layout)


class ReadOnce(TrainingSetStore):
    """The saved training sets, as they were when they were first listed."""

    def list(self, tenant_id: str, name: str | None = None) -> Listing[Manifest]:
        if not hasattr(self, "saved"):
            self.saved = super().list(tenant_id)
        return self.saved


@pytest.fixture(scope="module")
def objects(open_feature_store: OpenFeatureStore) -> dict[type, Any]:
    """An object of each class with methods that the tests call."""
    opened = open_feature_store(Clock(NOON))
    opened.apply([STATS])
    fields = {name: value for name, value in vars(opened._context).items() if name in Context.__dataclass_fields__}
    feature_store = FeatureStore(Unchanged(**fields))
    store = feature_store.tenant("acme")
    loader = FeatureDataLoader(store)
    saved = loader.load_training_data(SPINE, ["stats:score"], name="saved")
    batch = store.get_batch_features(["stats:score"], FROM, TO)
    return {
        FeatureStore: feature_store,
        OfflineStore: store,
        FeatureDataLoader: loader,
        TrainingSet: saved,
        BatchFeatures: batch,
    }


def methods(kind: type) -> Iterator[tuple[str, list[str]]]:
    """The public methods that are called with something, and the names of what they take."""
    for name, member in vars(kind).items():
        function = getattr(kind, name) if isinstance(member, classmethod | staticmethod) else member
        if not name.startswith("_") and inspect.isroutine(function):
            names = [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]
            if names:
                yield name, names


@pytest.mark.parametrize("kind", [FeatureStore, OfflineStore, FeatureDataLoader, TrainingSet, BatchFeatures])
def test_every_wrong_argument_is_an_error_of_this_package(
    kind: type, objects: dict[type, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some of the values are lawful paths of what is written.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    faults = []
    for method, names in methods(kind):
        call = CALLS[f"{kind.__name__}.{method}"]
        for name in names:
            for value in wrong_values():
                fault = fault_of(lambda: getattr(objects[kind], method)(**{**call, name: value}))  # noqa: B023
                if fault is not None:
                    faults.append(f"{kind.__name__}.{method}({name}={value!r:.60}): {fault}")
    assert not faults, "\n".join(faults)
