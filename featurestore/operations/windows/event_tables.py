"""Where a group's events are, opened for one tenant: a user's own table, or another feature group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from featurestore.columnar.events.event_columns import CREATED, EVENT, ID, EventColumns, condition, key_name
from featurestore.columnar.events.event_types import check_types
from featurestore.columnar.events.group_versions import GroupVersions
from featurestore.columnar.events.windowed_rows import known, versioned
from featurestore.columnar.schema import TIME_COLUMNS, values_schema
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.window_aggregate import WindowAggregate
from featurestore.errors import DefinitionError, SchemaError
from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, from_arrow_schema, to_arrow_schema
from featurestore.operations.context import Context, Scope, State
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.outside.rows import WantedColumn
from featurestore.stores.outside.table import OutsideTable
from featurestore.stores.value_files.task_join import by_value

_BUCKET = "__bucket"
# About what a value takes in memory, and the most rows of a group that this process reads at once.
_VALUE_BYTES, _MOST_ROWS = 16, 10_000_000


class EventFile(Protocol):
    """A file of events: its rows, and its bytes as it is stored."""

    @property
    def rows(self) -> int: ...

    @property
    def bytes(self) -> int: ...


class EventTable(ABC):
    """A group's events, in one state of their source.

    Rows have the columns of ``columns`` by their names there, without rows that lack a key or an event timestamp; and
    UNTIL, if rows replace each other.
    """

    columns: EventColumns

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The columns of the source, by which conditions may name them."""

    @property
    @abstractmethod
    def types(self) -> Mapping[str, pa.DataType]:
        """By column of the source its plain type."""

    @property
    @abstractmethod
    def obstacle(self) -> str | None:
        """Why this process cannot read the rows; None if it can."""

    @property
    @abstractmethod
    def files(self) -> Sequence[EventFile]:
        """The files of the tenant's rows; none if only Spark can tell."""

    @property
    def rows(self) -> int:
        """The rows of these files; some may be no events, or of other tenants."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """About what the rows take in memory."""
        return self.rows * _VALUE_BYTES * len(self.columns.all)

    @property
    @abstractmethod
    def state(self) -> State:
        """The state of the source that is read: the version of a feature group's table, or that of a user's own."""

    @abstractmethod
    def read(self, since: int | None = None, keys: Sequence[tuple[Any, Any]] = ()) -> pa.Table:
        """The rows, without Spark; raises StorageError.

        Some that do not matter may be left out: those with event timestamps before ``since``, in microseconds since
        1970, and those with a key outside its bounds in ``keys``; None for no bound.
        """

    @abstractmethod
    def frame(self) -> DataFrame:
        """The rows by Spark; lazy."""

    def check(self, group: FeatureGroup, features: Sequence[WindowAggregate]) -> None:
        """Raise SchemaError if a feature cannot be computed of the columns."""
        check_features(group, features, self.types)


def check_features(group: FeatureGroup, features: Sequence[WindowAggregate], types: Mapping[str, pa.DataType]) -> None:
    """Raise SchemaError for a feature of a column whose type it cannot aggregate, or whose condition is none.

    ``types``: by column of the source.
    """
    events = group.events
    assert events is not None
    own = {**types, **{name: types[source] for name, source in events.columns.items() if source in types}}
    check_types(group, features, own)
    conditions = [feature for feature in features if feature.where is not None]
    if not conditions:
        return
    from featurestore.columnar.expressions.evaluation import result_type

    for feature in conditions:
        try:
            kind, word = result_type(condition(group, feature, list(own)), own)
        except DefinitionError as error:
            raise DefinitionError(f"feature {group.name}:{feature.name}: where: {error}") from error
        if not pa.types.is_boolean(kind):
            raise SchemaError(
                f"feature {group.name}:{feature.name}: where={feature.where!r} gives {word}; give an expression that "
                "is true or false, such as a comparison"
            )


@dataclass(frozen=True)
class OutsideEvents(EventTable):
    """The rows of a user's own table, in one state of it."""

    scope: Scope
    source: OutsideTable
    columns: EventColumns

    @property
    def names(self) -> Sequence[str]:
        names: list[str] = self.source.schema.names
        return names

    @property
    def types(self) -> Mapping[str, pa.DataType]:
        return {field.name: field.type for field in self.source.schema}

    @property
    def obstacle(self) -> str | None:
        return self.source.obstacle

    @property
    def state(self) -> State:
        return self.source.pin

    @property
    def files(self) -> Sequence[EventFile]:
        return self.source.files(self._wanted).files if self.obstacle is None else ()

    def check(self, group: FeatureGroup, features: Sequence[WindowAggregate]) -> None:
        self.source.check(self._wanted)
        super().check(group, features)

    @property
    def _wanted(self) -> dict[str, WantedColumn]:
        return {
            each.name: WantedColumn(each.source, each.type, rounded_up=each.name in (EVENT, CREATED))
            for each in self.columns.all
        }

    @property
    def _required(self) -> list[str]:
        return [EVENT, *(key.name for key in self.columns.keys)]

    def read(self, since: int | None = None, keys: Sequence[tuple[Any, Any]] = ()) -> pa.Table:
        if self.columns.id is not None:
            # A row that supersedes another may be of any time, and of another key.
            return versioned(known(self.source.read(self._wanted, required=self._required)))
        bounds = {EVENT: (since, None)} | {key_name(place): each for place, each in enumerate(keys)}
        ranges = {name: each for name, each in bounds.items() if each != (None, None)}
        return known(self.source.read(self._wanted, required=self._required, ranges=ranges))

    def frame(self) -> DataFrame:
        rows = self.source.frame(self._wanted, required=self._required)
        if self.columns.created is not None:
            rows = rows.withColumn(CREATED, F.coalesce(CREATED, EVENT))
        if self.columns.id is None:
            return rows
        schema = versioned(to_arrow_schema(rows.schema, timezone="UTC").empty_table()).schema
        # Events without an id supersede nothing; their times spread them.
        ids = F.when(F.col(ID).isNull(), F.xxhash64(EVENT)).otherwise(F.xxhash64(ID))
        return in_buckets(self.scope, rows, [ids], versioned, schema)


@dataclass(frozen=True)
class GroupEvents(EventTable):
    """The values of a feature group, in one version of its table; each key and event timestamp is an event."""

    scope: Scope
    source: FeatureGroup
    version: int
    columns: EventColumns

    @property
    def names(self) -> Sequence[str]:
        return names_of_group(self.source)

    @property
    def types(self) -> Mapping[str, pa.DataType]:
        schema = values_schema(self.source)
        return {name: schema.field(name).type for name in self.names}

    @property
    def obstacle(self) -> str | None:
        if self.scope.context.only_spark_reads_values is not None:
            return self.scope.context.only_spark_reads_values
        table = self.scope.table(self.source)
        if table.is_small(self.scope.tenant_id, self.version, _VALUE_BYTES * len(self._needed), _MOST_ROWS):
            return None
        return f"events: the values of group {self.source.name!r} are more than this process reads at once"

    @property
    def state(self) -> State:
        return self.version

    @property
    def files(self) -> Sequence[EventFile]:
        return self.scope.table(self.source).files(self.scope.tenant_id, self.version)

    @property
    def _needed(self) -> list[str]:
        """The source's columns that are read: its keys and times, and what the features need."""
        wanted = (column.source for column in self.columns.all)
        return list(dict.fromkeys((*self.source.join_keys, *TIME_COLUMNS, *wanted)))

    @property
    def _features(self) -> tuple[str, ...]:
        return tuple(name for name in self.source.feature_names if name in self._needed)

    def read(self, since: int | None = None, keys: Sequence[tuple[Any, Any]] = ()) -> pa.Table:
        rows = self.scope.table(self.source).read_local(self.scope.tenant_id, self._needed, version=self.version)
        assert rows is not None
        return self._events(rows)

    def frame(self) -> DataFrame:
        rows = self.scope.read_values(self.source, self._needed, version=self.version)
        schema = self._events(pa.schema([(name, self.types[name]) for name in self._needed]).empty_table()).schema
        keys = [column(name) for name in self.source.join_keys]
        return in_buckets(self.scope, rows.select(*map(column, self._needed)), keys, self._events, schema)

    @property
    def _events(self) -> Callable[[pa.Table], pa.Table]:
        return GroupVersions(self.columns, tuple(self.source.join_keys), self._features, self.source.nulls).events


def names_of_group(group: FeatureGroup) -> list[str]:
    """The columns of a feature group's values that may be events' columns."""
    return [*group.join_keys, *TIME_COLUMNS, *group.feature_names]


def in_buckets(
    scope: Scope, rows: DataFrame, by: Sequence[Column], run: Callable[[pa.Table], pa.Table], schema: pa.Schema
) -> DataFrame:
    """The rows as ``run`` gives them, called in tasks with all rows that are equal in ``by``."""
    bucketed = rows.withColumn(_BUCKET, bucket(scope, by))

    def of_bucket(rows: pa.Table) -> pa.Table:
        return run(rows.drop_columns([_BUCKET])).cast(schema)

    return bucketed.groupBy(_BUCKET).applyInArrow(by_value(of_bucket), from_arrow_schema(schema))


def bucket(scope: Scope, keys: Sequence[Column]) -> Column:
    """A number below the partitions of a shuffle, equal for equal keys."""
    partitions = scope.spark.conf.get("spark.sql.shuffle.partitions")
    return F.pmod(F.xxhash64(*keys), F.lit(int(partitions or 200))).cast("int")


def open_events(
    scope: Scope, group: FeatureGroup, features: Sequence[WindowAggregate], pinned: State | None = None
) -> EventTable:
    """The events of a group for these features, in their newest state or in the pinned one.

    ``pinned``: the state of a user's own table, or the version of a feature group's. Raises NotFoundError for a source
    that is not there, SchemaError for one that lacks a column.
    """
    assert group.events is not None
    source = group.events.source
    if source.group is not None:
        of = scope.group_with_values(source.group)
        version = pinned if isinstance(pinned, int) else scope.table(of).values.version()
        return GroupEvents(scope, of, version, EventColumns.of(group, features, names_of_group(of)))
    pin = pinned if isinstance(pinned, SourcePin) else None
    outside = scope.context.outside(f"events of {group.name}", source, scope.tenant_id, pin)
    return OutsideEvents(scope, outside, EventColumns.of(group, features, outside.schema.names))


def holder_of(context: Context, group: FeatureGroup) -> FeatureGroup:
    """The group whose table has what a group's values are read from: itself, or the one that has its events."""
    if group.events is None or not group.is_computed or group.events.source.group is None:
        return group
    return context.group(group.events.source.group)
