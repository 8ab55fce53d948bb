"""Record a training set in the active run of MLflow."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from featurestore.errors import InvalidArgumentError, TrackingError
from featurestore.operations.mlflow_runs.client import load_mlflow, tracking_errors, without_credentials
from featurestore.operations.mlflow_runs.set_record import SOURCE_TYPE, SetRecord
from featurestore.operations.saved_sets.saved_rows import saved_rows
from featurestore.operations.saved_sets.saved_set import SavedSet
from featurestore.stores.training_sets.manifests import Manifest

_TYPES = {
    "boolean": "boolean",
    "tinyint": "integer",
    "smallint": "integer",
    "int": "integer",
    "bigint": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "binary": "binary",
    "date": "datetime",
    "timestamp": "datetime",
    "timestamp_ntz": "datetime",
}


def active_run_id(saved: SavedSet) -> str:
    """The run that this thread has open; raises InvalidArgumentError if there is none, since MLflow would start one."""
    run = load_mlflow().active_run()
    if run is None:
        raise InvalidArgumentError(
            f"training set {saved.name!r} v{saved.version} is recorded in the active run of MLflow, and this thread "
            "has none; call log_to_mlflow() inside `with mlflow.start_run():`"
        )
    return str(run.info.run_id)


def record_set(saved: SavedSet, run_id: str, report: str | None) -> None:
    """Record a set in a run: artefacts and tag first, and last the input, which makes the record count.

    ``report``: the text of its HTML report, or None. Raises TrackingError, and NotFoundError for a deleted version.
    """
    manifest = _as_stored(saved)
    record = SetRecord.of(saved.context.settings, manifest)
    dataset = _dataset(saved, manifest, record)
    mlflow = load_mlflow()
    with tracking_errors(f"{record} is not recorded in run {run_id!r} of MLflow"):
        folder = f"training_sets/{record.name}_v{record.version}"
        mlflow.log_text(_manifest_text(manifest), f"{folder}/manifest.json", run_id=run_id)
        if report is not None:
            mlflow.log_text(without_credentials(report), f"{folder}/report.html", run_id=run_id)
        tag = f"featurestore.{record.tenant}.{record.name}.v{record.version}"
        mlflow.MlflowClient().set_tag(run_id, tag, record.content_hash)
        mlflow.log_input(dataset, context="training")


def _manifest_text(manifest: Manifest) -> str:
    return without_credentials(manifest.model_dump_json(indent=2))


def _as_stored(saved: SavedSet) -> Manifest:
    """The manifest that the store has now; raises TrackingError if rows were erased since ``saved`` was loaded."""
    was = saved.manifest
    manifest = saved.context.training_sets.get(was.tenant_id, was.name, was.version)
    if manifest.content_hash != was.content_hash:
        raise TrackingError(
            f"training set {was.name!r} v{was.version} is not recorded: rows of it were erased after it was loaded; "
            f"load it again, get({was.name!r}, {was.version}), and train on what is left"
        )
    return manifest


def _dataset(saved: SavedSet, manifest: Manifest, record: SetRecord) -> Any:
    dataset, source = _classes()
    return dataset(source(record), record.name, record.digest, _schema(saved), _profile(manifest))


def _profile(manifest: Manifest) -> dict[str, Any]:
    """What a page of MLflow shows beside the dataset's name."""
    return {
        "version": manifest.version,
        "rows": manifest.row_count,
        "label": manifest.label,
        "features": list(manifest.feature_columns),
        "looked_up": [
            f"{lookup.group}:{feature}" for lookup in manifest.asked for feature in lookup.features or ("*",)
        ],
        "known_at": str(manifest.known_at or "whenever it came"),
        "split": str(manifest.split or "none"),
        "content_hash": manifest.content_hash,
        "created_at": manifest.created_at.isoformat(),
    }


def _schema(saved: SavedSet) -> Any:
    """The columns that the set is loaded with, in MLflow's types."""
    types = load_mlflow().types
    words = saved_rows(saved.context, saved.manifest, None).words
    return types.Schema([types.ColSpec(_type(types, word), name, required=False) for name, word in words.items()])


def _type(types: Any, word: str) -> Any:
    if word.startswith("array<") and word[6:-1] in _TYPES:
        return types.schema.Array(_type(types, word[6:-1]))
    return types.DataType[_TYPES[word]] if word in _TYPES else types.schema.AnyType()


@cache
def _classes() -> tuple[type, type]:
    """MLflow's dataset and source with what this package adds, made once MLflow is loaded."""
    load_mlflow()
    from mlflow.data.dataset_source import DatasetSource
    from mlflow.data.dataset_source_registry import register_dataset_source
    from mlflow.data.meta_dataset import MetaDataset

    class TrainingSetSource(DatasetSource):
        """Where the set is; ``TrainingSet.from_mlflow`` opens it."""

        def __init__(self, record: SetRecord) -> None:
            self._record = record

        @staticmethod
        def _get_source_type() -> str:
            return SOURCE_TYPE

        def load(self) -> Any:
            raise NotImplementedError("open the set with featurestore.TrainingSet.from_mlflow(run_id)")

        @staticmethod
        def _can_resolve(raw_source: Any) -> bool:
            return isinstance(raw_source, SetRecord)

        @classmethod
        def _resolve(cls, raw_source: SetRecord) -> TrainingSetSource:
            return cls(raw_source)

        def to_dict(self) -> dict[str, Any]:
            return self._record.model_dump()

        @classmethod
        def from_dict(cls, source_dict: dict[Any, Any]) -> TrainingSetSource:
            return cls(SetRecord.model_validate(source_dict))

    class TrainingSetDataset(MetaDataset):
        """A set's name, digest, source and columns, and its profile."""

        def __init__(self, source: Any, name: str, digest: str, schema: Any, profile: dict[str, Any]) -> None:
            super().__init__(source, name, digest, schema)
            self._profile = profile

        @property
        def profile(self) -> dict[str, Any]:
            return self._profile

        def to_dict(self) -> dict[str, str]:
            return {**super().to_dict(), "profile": json.dumps(self._profile)}

    # MLflow annotates an instance, and keeps the class.
    register_dataset_source(TrainingSetSource)  # type: ignore[arg-type]
    return TrainingSetDataset, TrainingSetSource
