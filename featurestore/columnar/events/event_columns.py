"""The columns of a source that a group's windowed features need, and the names and types in which they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurestore.columnar.schema import key_fields
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.sql.checked_expression import ScalarExpression
from featurestore.definitions.window_aggregate import WindowAggregate
from featurestore.errors import DefinitionError, SchemaError, nearest

# Names of columns in which events are read. Those of values and conditions follow a prefix, so that none collides.
EVENT, CREATED, ID, UNTIL = "__event", "__created", "__id", "__until"
_KEY, _VALUE = "__key_", "value "
INSTANT = pa.timestamp("us", "UTC")


def key_name(place: int) -> str:
    """The column of the join key at this place."""
    return f"{_KEY}{place}"


def value_name(name: str) -> str:
    """The column of values that features call by this name."""
    return f"{_VALUE}{name}"


@dataclass(frozen=True)
class EventColumn:
    """A column of events: its name here, the source's name, and its type here; None keeps that of the source."""

    name: str
    source: str
    type: pa.DataType | None = None


@dataclass(frozen=True)
class EventColumns:
    """The columns that features of a group need.

    ``keys``: in the order of the join keys; ``created`` and ``id``: None if the events have none; ``values``: what the
    features aggregate, or name in a condition.
    """

    keys: tuple[EventColumn, ...]
    event: EventColumn
    created: EventColumn | None
    id: EventColumn | None
    values: tuple[EventColumn, ...]

    @classmethod
    def of(cls, group: FeatureGroup, features: Sequence[WindowAggregate], source: Sequence[str]) -> EventColumns:
        """``source``: the names of the source's columns. Raises SchemaError for a column that it lacks.

        Raises DefinitionError for a condition that is not an expression over the source's columns.
        """
        events = group.events
        assert events is not None
        keys = [
            EventColumn(key_name(place), events.column(field.name), field.type)
            for place, field in enumerate(key_fields(group))
        ]
        is_group = events.source.group is not None
        created = "created_timestamp" if is_group else events.created_timestamp
        own = {**{name: name for name in source}, **events.columns}
        names = dict.fromkeys(name for feature in features for name in _names(group, feature, list(own)))
        found = cls(
            keys=tuple(keys),
            event=EventColumn(EVENT, events.event_timestamp, INSTANT),
            created=None if created is None else EventColumn(CREATED, created, INSTANT),
            id=None if events.event_id is None else EventColumn(ID, events.event_id),
            values=tuple(EventColumn(value_name(name), events.column(name)) for name in names),
        )
        for column, what in found._described():
            if column.source not in source:
                raise SchemaError(
                    f"events of feature group {group.name!r}: the source has no column {column.source!r}, {what}; "
                    f"correct the definition, or the source. {nearest(column.source, source)}"
                )
        return found

    @property
    def all(self) -> tuple[EventColumn, ...]:
        """Every column."""
        return tuple(column for column, _ in self._described())

    def _described(self) -> Iterator[tuple[EventColumn, str]]:
        for key in self.keys:
            yield key, "which holds a join key"
        yield self.event, "which is the event timestamp"
        if self.created is not None:
            yield self.created, "which is the created timestamp"
        if self.id is not None:
            yield self.id, "which identifies an event"
        for value in self.values:
            yield value, "which features aggregate"


def _names(group: FeatureGroup, feature: WindowAggregate, columns: Sequence[str]) -> Iterator[str]:
    """The names that a feature uses."""
    if feature.of is not None:
        yield feature.of
    if feature.where is not None:
        yield from condition(group, feature, columns).names


def condition(group: FeatureGroup, feature: WindowAggregate, columns: Sequence[str]) -> ScalarExpression:
    """A feature's condition, checked; raises DefinitionError, which names the feature."""
    # Only conditions need what reads SQL.
    from featurestore.columnar.expressions.same_reading import check_same_reading
    from featurestore.definitions.sql.scalar_expression import scalar_expression

    assert feature.where is not None
    try:
        expression = scalar_expression(feature.where, columns)
        check_same_reading(expression)
        return expression
    except DefinitionError as error:
        raise DefinitionError(f"feature {group.name}:{feature.name}: where: {error}") from error
