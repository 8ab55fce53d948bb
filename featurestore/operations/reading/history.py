"""The history of one feature of one entity: every value, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.columnar.values.history import history
from featurestore.definitions.names import parse_reference
from featurestore.errors import InvalidArgumentError
from featurestore.frames.columns import column
from featurestore.frames.corrections import latest_values, sort_value
from featurestore.frames.timestamps import instant, partition_of
from featurestore.late_spark import F
from featurestore.operations.context import Scope
from featurestore.operations.entities import EntityKey, entity_key, entity_rows, of_entities
from featurestore.operations.given_as import Frame, To, frame_as, given_as
from featurestore.operations.instants import argument_instant, argument_limit


@dataclass(frozen=True, kw_only=True)
class HistoryRequest:
    """A request for one feature of one entity from ``start`` to ``end``, both included; None means no limit."""

    feature: str
    entity: EntityKey
    start: Any
    end: Any
    limit: int | None
    all_versions: bool
    to: To


def get_feature_history(scope: Scope, request: HistoryRequest) -> Frame:
    """One row per event timestamp in ``[start, end]``, both included, newest first, with the latest corrected value.

    Columns: the join keys, ``event_timestamp``, ``created_timestamp``, the feature, and an embedding's
    ``<feature>__model_version``. ``all_versions`` returns every written row instead, corrections before the rows
    that they correct. Nulls are left out if the group skips them. Raises NotFoundError, InvalidArgumentError.
    """
    group_name, name = parse_reference(request.feature)
    group = scope.group_with_values(group_name)
    feature = group.feature(name)
    zone = scope.settings.timestamp_zone
    key = entity_key(group.entity, request.entity, zone)
    first = None if request.start is None else argument_instant("start", request.start, zone)
    last = None if request.end is None else argument_instant("end", request.end, zone, "down")
    if first is not None and last is not None and first > last:
        raise InvalidArgumentError(f"start {first.isoformat()} is after end {last.isoformat()}")
    count = argument_limit(request.limit)
    model = feature.model_version_column
    columns = [*group.join_keys, *TIME_COLUMNS, name, *([] if model is None else [model])]
    dates = (
        None if first is None else partition_of(first.date(), group.partition_by),
        None if last is None else last.date(),
    )
    if request.to != "spark":
        local = scope.read_local(group, columns, dates, (first, last), entity_rows(group.entity, [key]))
        if local is not None:
            rows = history(local, group.join_keys, name, group.nulls, all_versions=request.all_versions, limit=count)
            return given_as(scope.context, rows, request.to)
    values = scope.read_values(group, columns, dates)
    values = of_entities(scope.context, values, group, key)
    if first is not None:
        values = values.where(F.col("event_timestamp") >= instant(first))
    if last is not None:
        values = values.where(F.col("event_timestamp") <= instant(last))
    if group.nulls == "skip":
        values = values.where(column(name).isNotNull())
    order = [F.desc("event_timestamp"), F.desc("created_timestamp"), sort_value(values, name).desc()]
    if not request.all_versions:
        values = latest_values(values, group.join_keys, [name], group.nulls)
    ordered = values.orderBy(*order).select(*(column(part) for part in columns))
    return frame_as(ordered if count is None else ordered.limit(count), request.to)
