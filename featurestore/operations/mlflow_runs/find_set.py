"""Find the training set that a run of MLflow recorded, and check that the store still has it as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from featurestore.display.description import utc_text
from featurestore.errors import InvalidArgumentError, NotFoundError, TrackingError
from featurestore.operations.context import Scope
from featurestore.operations.mlflow_runs.client import load_mlflow, tracking_errors, tracking_uri, without_credentials
from featurestore.operations.mlflow_runs.set_record import SOURCE_TYPE, SetRecord
from featurestore.stores.training_sets.manifests import Manifest


def recorded_set(run_id: str, name: str | None, version: int | None) -> SetRecord:
    """The one set that a run recorded, or the one of this name and version.

    Raises NotFoundError for an unknown run and for a set that it did not record, InvalidArgumentError if several fit,
    and TrackingError.
    """
    records = _records(run_id)
    if not records:
        raise NotFoundError(
            f"run {run_id!r} of MLflow recorded no training set; while a run is active, log_to_mlflow() of a set does"
        )
    fitting = [record for record in records if name in (None, record.name) and version in (None, record.version)]
    if not fitting:
        wanted = " ".join([*([] if name is None else [repr(name)]), *([] if version is None else [f"v{version}"])])
        raise NotFoundError(f"run {run_id!r} of MLflow recorded no training set {wanted}; it has {_listed(records)}")
    if len(fitting) > 1:
        raise InvalidArgumentError(
            f"run {run_id!r} of MLflow recorded several training sets, {_listed(fitting)}; choose one by name= and "
            "version="
        )
    return fitting[0]


def _records(run_id: str) -> list[SetRecord]:
    datasets = [each.dataset for each in _run(run_id).inputs.dataset_inputs]
    return [SetRecord.read(run_id, each.source) for each in datasets if each.source_type == SOURCE_TYPE]


def _run(run_id: str) -> Any:
    mlflow = load_mlflow()
    with tracking_errors(f"run {run_id!r} of MLflow cannot be read"):
        try:
            return mlflow.get_run(run_id)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    raise NotFoundError(f"MLflow has no run {run_id!r}; the tracking URI is {tracking_uri()}")


def _listed(records: Sequence[SetRecord]) -> str:
    return ", ".join(sorted(f"{record.name!r} v{record.version} of {record.tenant!r}" for record in records))


def found_manifest(scope: Scope, run_id: str, record: SetRecord) -> Manifest:
    """The manifest of the recorded version.

    Raises NotFoundError, TrackingError if its rows are not the same, and InvalidArgumentError for another tenant's set.
    """
    here = without_credentials(scope.settings.warehouse)
    if scope.tenant_id != record.tenant:
        raise InvalidArgumentError(
            f"store is of tenant {scope.tenant_id!r}, and run {run_id!r} of MLflow recorded {record}; give the "
            f"store of {record.tenant!r}"
        )
    try:
        manifest = scope.training_sets.get(scope.tenant_id, record.name, record.version)
    except NotFoundError as error:
        raise NotFoundError(
            f"{record}, which run {run_id!r} of MLflow recorded in {record.place}, is not in {here}: {error}"
        ) from error
    if manifest.content_hash != record.content_hash:
        raise TrackingError(
            f"{record}: run {run_id!r} of MLflow recorded content hash {record.content_hash} in {record.place}, and "
            f"the one in {here} has {manifest.content_hash}; {_why(manifest)}"
        )
    return manifest


def _why(manifest: Manifest) -> str:
    erasures = manifest.erasures
    if not erasures:
        return "it is another set of the same name; open the store that was recorded (store=)"
    rows, last = sum(note.rows for note in erasures), max(note.erased_at for note in erasures)
    return (
        f"{rows:,} of its rows were erased since it was published, last on {utc_text(last)}, so the run's rows no "
        f"longer exist; get({manifest.name!r}, {manifest.version}) of FeatureDataLoader loads what is left"
    )
