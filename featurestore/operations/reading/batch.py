"""Feature values of a time range, one row per entity and event timestamp."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa

from featurestore.arguments import checked
from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.columnar.spine_checks import check_outputs
from featurestore.columnar.values.batch import in_time, joined
from featurestore.columnar.values.corrections import latest_values as local_latest_values
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import listed
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.errors import InvalidArgumentError
from featurestore.frames.columns import column
from featurestore.frames.corrections import latest_values
from featurestore.frames.timestamps import in_window, partitions_of
from featurestore.late_spark import DataFrame, F
from featurestore.operations.context import Scope
from featurestore.operations.entities import Entities, distinct_entities, of_entities
from featurestore.operations.given_as import Frame, To, frame_as, given_as
from featurestore.operations.instants import argument_window
from featurestore.operations.reading.request import Features, ResolvedLookup, requested_columns, resolve


@dataclass(frozen=True)
class BatchFeatures:
    """``rows``: join keys, ``event_timestamp``, the features in the order of the request; a lazy Spark DataFrame, or as
    ``to`` said.

    Grain: one row per entity and event timestamp in ``window`` at which a group has a value of any of the features.
    """

    rows: Frame
    window: TimeWindow
    feature_names: tuple[str, ...]

    @checked
    def metadata(self, *, count_rows: bool = False) -> dict[str, Any]:
        """``start``, ``end``, ``features``; with ``count_rows`` also ``row_count`` and the ``seconds`` that it took."""
        metadata: dict[str, Any] = {
            "start": self.window.start,
            "end": self.window.end,
            "features": list(self.feature_names),
            "row_count": None,
            "seconds": None,
        }
        if count_rows:
            before = time.monotonic()
            metadata["row_count"] = self.rows.count() if isinstance(self.rows, DataFrame) else len(self.rows)
            metadata["seconds"] = time.monotonic() - before
        return metadata


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """A request for features of entities (None: of all), with event timestamps in ``[start, end)``."""

    features: Features
    start: Any
    end: Any
    entities: Entities | None
    full_feature_names: bool
    to: To


def get_batch_features(scope: Scope, request: BatchRequest) -> BatchFeatures:
    """The latest corrected values with event timestamps in ``[start, end)``, of the requested entities or of all.

    No value is carried from one moment to another: if only one of two groups has a row at a moment, the features of the
    other are null there. Raises NotFoundError, InvalidArgumentError (features of several entities, a start that is not
    before the end), SpineError (two columns of the same name).
    """
    features = listed(request.features)
    lookups = resolve(scope.context, features, request.full_feature_names)
    for lookup in lookups:
        scope.group_with_values(lookup.group.name)
    keys = _shared_keys(lookups)
    window = argument_window(request.start, request.end, scope.settings.timestamp_zone)
    names = requested_columns(features, lookups)
    check_outputs([*keys, "event_timestamp"], names)
    on = [*keys, "event_timestamp"]
    if request.to != "spark" and not isinstance(request.entities, DataFrame):
        local = _local_rows(scope, lookups, window, request.entities, on)
        if local is not None:
            return BatchFeatures(given_as(scope.context, local.select([*on, *names]), request.to), window, names)
    parts = [_values(scope, lookup, window, request.entities) for lookup in lookups]
    rows = reduce(lambda left, right: left.join(right, on, "full"), parts)
    return BatchFeatures(frame_as(rows.select(*(column(name) for name in (*on, *names))), request.to), window, names)


def _local_rows(
    scope: Scope,
    lookups: Sequence[ResolvedLookup],
    window: TimeWindow,
    entities: Entities | None,
    on: Sequence[str],
) -> pa.Table | None:
    """The same rows without Spark; None if only Spark can read one of the groups."""
    parts = []
    for lookup in lookups:
        group = lookup.group
        features = [name for name in group.feature_names if name in lookup.features]
        keys = None if entities is None else distinct_entities(scope.context, group.entity, entities)
        values = scope.read_local(
            group,
            [*group.join_keys, *TIME_COLUMNS, *features],
            partitions_of(window, group.partition_by),
            (window.start, window.end),
            keys,
        )
        if values is None:
            return None
        inside = in_time(values, window.start, window.end, "excluded")
        latest = local_latest_values(inside, group.join_keys, features, group.nulls)
        outputs = {lookup.outputs[name]: latest.column(name) for name in lookup.features}
        parts.append(pa.table({name: latest.column(name) for name in on} | outputs))
    return joined(parts, on)


def _shared_keys(lookups: Sequence[ResolvedLookup]) -> list[str]:
    first = lookups[0].group
    for lookup in lookups:
        group = lookup.group
        if group.entity.join_keys != first.entity.join_keys:
            raise InvalidArgumentError(
                f"{first.name!r} has the join keys {first.join_keys} and {group.name!r} has {group.join_keys}; ask "
                "for features of one entity, or join them to a spine with get_point_in_time"
            )
        if any(key != name for key, name in lookup.keys.items()):
            raise InvalidArgumentError(
                f"lookup of {group.name!r}: on= maps join keys to a spine's columns, and there is no spine here"
            )
    return first.join_keys


def _values(scope: Scope, lookup: ResolvedLookup, window: TimeWindow, entities: Entities | None) -> DataFrame:
    group = lookup.group
    features = [name for name in group.feature_names if name in lookup.features]
    values = values_in(scope, group, features, window, entities)
    latest = latest_values(values, group.join_keys, features, group.nulls)
    outputs = [column(name).alias(lookup.outputs[name]) for name in lookup.features]
    return latest.select(*(column(key) for key in group.join_keys), F.col("event_timestamp"), *outputs)


def values_in(
    scope: Scope,
    group: FeatureGroup,
    features: Sequence[str],
    window: TimeWindow,
    entities: Entities | None,
) -> DataFrame:
    """The rows as written, without resolving corrections: join keys, both timestamps, the features."""
    if entities is not None and not isinstance(entities, DataFrame):
        # Before Spark starts, so that a mistake is told at once.
        entities = distinct_entities(scope.context, group.entity, entities)
    columns = [*group.join_keys, *TIME_COLUMNS, *features]
    dates = partitions_of(window, group.partition_by)
    values = scope.read_values(group, columns, dates)
    return of_entities(scope.context, values.where(in_window(F.col("event_timestamp"), window)), group, entities)
