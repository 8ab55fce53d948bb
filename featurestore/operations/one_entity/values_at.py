"""One entity's feature values as of an instant, by the rules of the as-of join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.columnar.values.values_at import ValueAt, values_at
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup, as_lookups
from featurestore.definitions.names import parse_reference
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import in_utc
from featurestore.display.description import Display, text_of, utc_text
from featurestore.display.displayed import Displayed
from featurestore.errors import InvalidArgumentError
from featurestore.frames.as_of.join_rules import KnownAt
from featurestore.frames.columns import column
from featurestore.frames.corrections import sort_value
from featurestore.frames.timestamps import first_of_partition, instant
from featurestore.late_spark import Column, F
from featurestore.operations.as_of.join import get_point_in_time
from featurestore.operations.context import Scope
from featurestore.operations.entities import EntityKey, entity_key, entity_rows, of_entities
from featurestore.operations.instants import argument_instant
from featurestore.operations.reading.request import AsOfRequest, parse_known_at, resolve_lookup

# The column of the moment in a spine of one entity, which no join key is called.
_AT = "event_timestamp"


@dataclass(frozen=True)
class FeatureValue(Displayed):
    """A valid value, with its event timestamp and created timestamp (both UTC) and the group's version.

    ``value`` is None only in a group with ``nulls: keep``, where nulls are values. Only embeddings have a
    ``model_version``. Both timestamps of a windowed feature are the moment for which it was computed.
    """

    feature: str
    value: Any
    event_timestamp: datetime
    created_timestamp: datetime
    group_version: int
    model_version: str | None = None

    def display(self) -> Display:
        """The value with its timestamps and versions."""
        facts = (
            ("value", "null" if self.value is None else self.value),
            ("event timestamp", utc_text(self.event_timestamp)),
            ("created timestamp", utc_text(self.created_timestamp)),
            ("group version", self.group_version),
            ("model version", self.model_version),
        )
        return Display(self.feature, facts=tuple(fact for fact in facts if fact[1] is not None))

    def __repr__(self) -> str:
        at = utc_text(self.event_timestamp)
        return f"FeatureValue({self.feature!r}, {text_of(self.value)}, event_timestamp={at!r})"


def get_features_at_time(
    scope: Scope, features: str | Iterable[str], entity: EntityKey, *, at: object, known_at: object
) -> dict[str, FeatureValue | None]:
    """Reference -> the value valid at ``at`` (included), or None, in the order of ``features``.

    The rules are those of ``point_in_time_join`` for a spine of one row: TTL, null policy, corrections, ``known_at``.
    Raises NotFoundError, InvalidNameError, and InvalidArgumentError for an entity or moment that cannot be read.
    """
    references = [features] if isinstance(features, str) else list(features)
    for reference in references:
        parse_reference(reference)
    groups = [(scope.group(lookup.group), lookup.features) for lookup in as_lookups(references)]
    if not groups:
        raise InvalidArgumentError("no features were requested; name at least one as 'group:feature'")
    _require_one_entity([group for group, _ in groups])
    zone = scope.settings.timestamp_zone
    key = entity_key(groups[0][0].entity, entity, zone)
    moment = argument_instant("at", at, zone, "down")
    known = parse_known_at(known_at, zone)
    values: dict[str, FeatureValue | None] = {}
    for group, names in groups:
        values |= _of_group(scope, group, names, key, moment, known)
    return {reference: values[reference] for reference in references}


def _require_one_entity(groups: Sequence[FeatureGroup]) -> None:
    first = groups[0]
    for group in groups:
        if group.entity.join_keys != first.entity.join_keys:
            raise InvalidArgumentError(
                f"{first.name!r} has the join keys {first.join_keys} and {group.name!r} has {group.join_keys}: ask "
                "for features of one entity at a time, or join them to a spine with get_point_in_time"
            )


def _of_group(
    scope: Scope,
    group: FeatureGroup,
    names: Sequence[str],
    key: EntityKey,
    at: datetime,
    known_at: KnownAt,
) -> dict[str, FeatureValue | None]:
    features = [feature for feature in group.features if feature.name in names]
    for name in names:
        group.feature(name)
    if group.is_computed:
        return _computed(scope, group, names, key, at, known_at)
    models = [feature.model_version_column for feature in features if feature.model_version_column is not None]
    columns = [*group.join_keys, *TIME_COLUMNS, *(feature.name for feature in features), *models]
    dates = (first_of_partition(at, group.ttl, group.partition_by), at.date())
    local = scope.read_local(group, columns, dates, (None, at), entity_rows(group.entity, [key]))
    if local is not None:
        in_order = [feature.name for feature in features]
        found = values_at(local, in_order, at=at, ttl=group.ttl, nulls=group.nulls, known_at=known_at)
        return {f"{group.name}:{name}": _of_local(group, name, value) for name, value in found.items()}
    values = scope.read_values(group, columns, dates)
    values = of_entities(scope.context, values, group, key).where(F.col("event_timestamp") <= instant(at))
    if group.ttl is not None:
        # Computed in microseconds, because datetime has no instants before the year 1.
        oldest = F.unix_micros(instant(at)) - F.lit(microseconds(group.ttl))
        values = values.where(F.unix_micros("event_timestamp") >= oldest)
    if known_at is not None:
        known_until = at if known_at == "event" else known_at
        values = values.where(F.col("created_timestamp") <= instant(known_until))
    order = F.struct(*TIME_COLUMNS, *(sort_value(values, feature.name) for feature in features))
    latest = [
        _latest(feature.name, feature.model_version_column, order, group.nulls).alias(f"latest_{index}")
        for index, feature in enumerate(features)
    ]
    [row] = values.agg(*latest).toArrow().to_pylist()
    return {
        f"{group.name}:{feature.name}": _value(group, feature.name, row[f"latest_{index}"])
        for index, feature in enumerate(features)
    }


def _computed(
    scope: Scope, group: FeatureGroup, names: Sequence[str], key: EntityKey, at: datetime, known_at: KnownAt
) -> dict[str, FeatureValue | None]:
    """The values that the group's events give at ``at``, which is their event timestamp and created timestamp."""
    spine = entity_rows(group.entity, [key]).append_column(_AT, pa.array([at], pa.timestamp("us", "UTC")))
    # Names with a prefix never collide with those of the keys.
    lookup = resolve_lookup(group, Lookup(group.name, names, prefix="computed__"), full_feature_names=False)
    request = AsOfRequest((lookup,), timestamp_column=_AT, known_at=known_at)
    [row] = get_point_in_time(scope, spine, request, to="arrow", host=None).to_pylist()
    return {
        f"{group.name}:{name}": FeatureValue(
            feature=f"{group.name}:{name}",
            value=in_utc(row[lookup.outputs[name]]),
            event_timestamp=at,
            created_timestamp=at,
            group_version=group.version,
        )
        for name in names
    }


def _of_local(group: FeatureGroup, name: str, value: ValueAt | None) -> FeatureValue | None:
    if value is None:
        return None
    return FeatureValue(
        feature=f"{group.name}:{name}",
        value=value.value,
        event_timestamp=value.event_timestamp,
        created_timestamp=value.created_timestamp,
        group_version=group.version,
        model_version=value.model_version,
    )


def _latest(name: str, model: str | None, order: Column, nulls: str) -> Column:
    value = F.struct(
        column(name).alias("value"),
        (F.lit(None).cast("string") if model is None else column(model)).alias("model"),
        F.col("event_timestamp").alias("event"),
        F.col("created_timestamp").alias("created"),
    )
    return F.max_by(value, order if nulls == "keep" else F.when(column(name).isNotNull(), order))


def _value(group: FeatureGroup, name: str, latest: dict[str, Any] | None) -> FeatureValue | None:
    if latest is None:
        return None
    return FeatureValue(
        feature=f"{group.name}:{name}",
        value=in_utc(latest["value"]),
        event_timestamp=latest["event"].astimezone(UTC),
        created_timestamp=latest["created"].astimezone(UTC),
        group_version=group.version,
        model_version=latest["model"],
    )
