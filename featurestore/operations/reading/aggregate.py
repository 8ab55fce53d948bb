"""Aggregate a feature's values over calendar buckets of a time zone."""

from __future__ import annotations

import math
from typing import Any, cast

from pyspark.sql import DataFrame

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import parse_reference
from featurestore.errors import InvalidArgumentError, nearest
from featurestore.frames.latest import latest_values
from featurestore.frames.statistics.aggregation import (
    BUCKET_COLUMNS,
    FUNCTIONS,
    OF_ANY_TYPE,
    Function,
    aggregate_buckets,
    presence,
)
from featurestore.frames.statistics.calendar import EVERY, Every, check_zone
from featurestore.operations.context import Scope
from featurestore.operations.entities import Entities
from featurestore.operations.instants import argument_window
from featurestore.operations.reading.batch import values_in

DEFAULT_PERCENTILE = 0.5


def aggregate_feature(
    scope: Scope,
    reference: str,
    function: str,
    every: str,
    start: Any,
    end: Any,
    entities: Entities | None,
    time_zone: str,
    by_entity: bool,
    percentile: float,
) -> DataFrame:
    """Values with event timestamps in ``[start, end)``, corrections counted once; see ``aggregate_buckets``.

    Lazy. Raises NotFoundError, and InvalidArgumentError for a function, bucket, zone or percentile that there is not,
    a start that is not before the end, and a feature that is no number where the function needs one.
    """
    group_name, name = parse_reference(reference)
    group = scope.group(group_name)
    feature = group.feature(name)
    asked = _check_function(function, feature, group)
    buckets = cast(Every, _one_of("every", every, EVERY))
    zone = check_zone(time_zone)
    _check_percentile(percentile, asked)
    window = argument_window(start, end, scope.settings.timestamp_zone)
    if by_entity:
        _require_other_names(group)

    # The text beside an embedding is there where the vector is, and is cheaper to read.
    counted = feature.model_version_column if asked == "count" else None
    read = counted or name
    values = values_in(scope, group, [read], window, entities)
    if asked == "count":
        values = presence(values, read)
    latest = latest_values(values, group.join_keys, [read], group.nulls)
    keys = group.join_keys if by_entity else []
    return aggregate_buckets(latest, keys, read, asked, buckets, zone, percentile)


def _check_function(function: object, feature: Feature, group: FeatureGroup) -> Function:
    known = _one_of("function", function, FUNCTIONS)
    if known not in OF_ANY_TYPE and not feature.feature_type.is_numeric:
        raise InvalidArgumentError(
            f"feature '{group.name}:{feature.name}' is {feature.type}, and {known} needs a number (double, float, long or int); "
            f"possible for {feature.type}: {', '.join(OF_ANY_TYPE)}"
        )
    return cast(Function, known)


def _one_of(argument: str, given: object, known: tuple[str, ...]) -> str:
    if not isinstance(given, str) or given not in known:
        hint = nearest(given, known) if isinstance(given, str) else ""
        raise InvalidArgumentError(f"{argument} is {given!r}; possible: {', '.join(known)}. {hint}".rstrip())
    return given


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
            f"join keys {doubled} of {group.name!r} are columns of the answer, too; ask without by_entity, and name the "
            "entities"
        )
