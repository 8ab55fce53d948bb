"""Aggregate a feature's values over calendar buckets of a time zone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import parse_reference
from featurestore.errors import InvalidArgumentError, nearest
from featurestore.frames.corrections import latest_values
from featurestore.frames.statistics.aggregation import (
    BUCKET_COLUMNS,
    FUNCTIONS,
    OF_ANY_TYPE,
    Function,
    aggregate_buckets,
    presence,
)
from featurestore.frames.statistics.calendar import EVERY, Every, check_zone
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Scope
from featurestore.operations.entities import Entities
from featurestore.operations.instants import argument_window
from featurestore.operations.reading.batch import values_in

DEFAULT_PERCENTILE = 0.5


@dataclass(frozen=True, kw_only=True)
class AggregateRequest:
    """The values to aggregate, the function and the buckets; ``OfflineStore.aggregate_feature`` explains each field."""

    feature: str
    function: str
    every: str
    start: Any
    end: Any
    entities: Entities | None
    time_zone: str
    by_entity: bool
    percentile: float


def aggregate_feature(scope: Scope, request: AggregateRequest) -> DataFrame:
    """Aggregate values with event timestamps in ``[start, end)``, corrections counted once; see ``aggregate_buckets``.

    Lazy. Raises NotFoundError, and InvalidArgumentError for an unknown function, bucket or zone, a percentile outside
    [0, 1], a start that is not before the end, and a feature that is not a number where the function needs one.
    """
    group_name, name = parse_reference(request.feature)
    group = scope.group_with_values(group_name)
    feature = group.feature(name)
    function = _check_function(request.function, feature, group)
    buckets = cast(Every, _check_word("every", request.every, EVERY))
    zone = check_zone(request.time_zone)
    _check_percentile(request.percentile, function)
    window = argument_window(request.start, request.end, scope.settings.timestamp_zone)
    if request.by_entity:
        _require_other_names(group)

    # An embedding has a model version exactly if it has a vector, and the model version is cheaper to read.
    counted = feature.model_version_column if function == "count" else None
    read = counted or name
    values = values_in(scope, group, [read], window, request.entities)
    if function == "count":
        values = presence(values, read)
    latest = latest_values(values, group.join_keys, [read], group.nulls)
    keys = group.join_keys if request.by_entity else []
    return aggregate_buckets(latest, keys, read, function, buckets, zone, request.percentile)


def _check_function(function: object, feature: Feature, group: FeatureGroup) -> Function:
    word = _check_word("function", function, FUNCTIONS)
    if word not in OF_ANY_TYPE and not feature.feature_type.is_numeric:
        raise InvalidArgumentError(
            f"feature '{group.name}:{feature.name}' is {feature.type}, and {word} needs a number (double, float, long "
            f"or int); possible for {feature.type}: {', '.join(OF_ANY_TYPE)}"
        )
    return cast(Function, word)


def _check_word(argument: str, word: object, possible: tuple[str, ...]) -> str:
    if not isinstance(word, str) or word not in possible:
        hint = nearest(word, possible) if isinstance(word, str) else ""
        raise InvalidArgumentError(f"{argument} is {word!r}; possible: {', '.join(possible)}. {hint}".rstrip())
    return word


def _check_percentile(percentile: object, function: str) -> None:
    number = isinstance(percentile, int | float) and not isinstance(percentile, bool)
    if not number or not math.isfinite(cast(float, percentile)) or not 0 <= cast(float, percentile) <= 1:
        raise InvalidArgumentError(f"percentile is {percentile!r}; give a share from 0 to 1, both included")
    if percentile != DEFAULT_PERCENTILE and function != "approx_percentile":
        raise InvalidArgumentError(f"percentile is for the function approx_percentile, and {function} was asked")


def _require_other_names(group: FeatureGroup) -> None:
    doubled = [key for key in group.join_keys if key in BUCKET_COLUMNS]
    if doubled:
        raise InvalidArgumentError(
            f"join keys {doubled} of {group.name!r} are columns of the answer, too; ask without by_entity, and name "
            "the entities"
        )
