"""Write one value: a batch of one row that raises an error instead of quarantining the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featurestore.definitions.names import parse_reference
from featurestore.errors import InvalidArgumentError
from featurestore.operations.context import Context, Scope
from featurestore.operations.entities import EntityKey, entity_key
from featurestore.operations.instants import argument_instant
from featurestore.operations.writing.batch import WriteResult
from featurestore.operations.writing.ingest import write_batch


def write_feature_value(
    scope: Scope, reference: str, entity: EntityKey, value: Any, event_timestamp: Any
) -> WriteResult:
    """Write one feature of one entity at one event timestamp, by the rules of a batch.

    Raises InvalidRowsError with the rule that the value breaks; then nothing is written. Each call makes a commit of
    its own: write more than a few values as a batch.
    """
    return _write_row(scope, reference, entity, {_feature(scope.context, reference): value}, event_timestamp)


def write_embedding(
    scope: Scope,
    reference: str,
    entity: EntityKey,
    vector: Sequence[float] | np.ndarray[Any, Any],
    event_timestamp: Any,
    *,
    model_version: str | None,
) -> WriteResult:
    """Write one embedding: as many finite numbers as the feature has dims, and the version of the model that made them.

    ``model_version``: None for the feature's own. Raises InvalidArgumentError for a feature that is not an embedding,
    and InvalidRowsError for a vector that breaks a rule.
    """
    group_name, _ = parse_reference(reference)
    feature = scope.group_with_values(group_name).feature(_feature(scope.context, reference))
    if feature.model_version_column is None:
        raise InvalidArgumentError(
            f"feature {reference!r} is {feature.type}, not an embedding; use write_feature_value"
        )
    if model_version is not None and (not isinstance(model_version, str) or not model_version.strip()):
        raise InvalidArgumentError(f"model_version is {model_version!r}; give the name of the model as a text")
    values = {feature.name: vector, feature.model_version_column: model_version}
    return _write_row(scope, reference, entity, values, event_timestamp)


def _feature(context: Context, reference: str) -> str:
    group_name, name = parse_reference(reference)
    return context.group(group_name).feature(name).name


def _write_row(
    scope: Scope,
    reference: str,
    entity: EntityKey,
    values: Mapping[str, Any],
    event_timestamp: Any,
) -> WriteResult:
    group_name, _ = parse_reference(reference)
    group = scope.group_with_values(group_name)
    zone = scope.settings.timestamp_zone
    moment = argument_instant("event_timestamp", event_timestamp, zone)
    row = {**entity_key(group.entity, entity, zone), "event_timestamp": moment, **values}
    return write_batch(scope, group, [row], batch_id=None, on_invalid="fail")
