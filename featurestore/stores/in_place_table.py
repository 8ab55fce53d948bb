"""The values of a group in place: a user's table with the columns of a group's table, which is only read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.ranks import one_array
from featurestore.columnar.schema import TIME_COLUMNS, values_schema
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.in_place import InPlace
from featurestore.frames.columns import column
from featurestore.frames.timestamps import date_literal, utc_date
from featurestore.late_spark import DataFrame, F
from featurestore.stores.delta.pruning import Dates, Times
from featurestore.stores.outside.chosen import ChosenFiles, Ranges
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.outside.rows import WantedColumn
from featurestore.stores.outside.table import OutsideTable
from featurestore.stores.value_files.parquet import ValueColumns
from featurestore.stores.value_files.partitions import TenantFiles

EVENT, CREATED = TIME_COLUMNS
# Columns that are computed from others, or from the tenant.
_TENANT, _DATE = "tenant_id", "event_date"
# Of more, Spark reads the rows.
_MOST_BYTES, _MOST_ROWS = 1 << 28, 10_000_000

Open = Callable[[str, SourcePin | None], OutsideTable]


@dataclass(frozen=True)
class InPlaceState:
    """One state of the table, and the number and bytes of the files that may hold a tenant's rows."""

    pin: SourcePin
    files: int
    bytes: int


@dataclass(frozen=True)
class InPlaceTable:
    """Reads a group in place as ``GroupTable`` reads a stored one: the same columns, types, and rules of rows.

    ``open`` gives the table of a tenant in its newest state, or in a pinned one. A row without a join key, or without
    an event timestamp, is no value. All methods raise SchemaError for a table that no longer has the columns or types
    that the group needs, NotFoundError if nothing is there, and StorageError.
    """

    group: FeatureGroup
    open: Open = field(compare=False, repr=False)

    @property
    def in_place(self) -> InPlace:
        assert self.group.in_place is not None
        return self.group.in_place

    def check(self, tenant_id: str) -> None:
        """Raise SchemaError, with each column at fault, unless the table has all columns of the group."""
        table = self.open(tenant_id, None)
        names = [name for name in values_schema(self.group).names if not _is_computed(name)]
        if self.in_place.created_timestamp is None:
            names.remove(CREATED)
        table.check(self._wanted(table, names))

    def pin(self, tenant_id: str) -> SourcePin:
        """The newest state of the table."""
        return self.open(tenant_id, None).pin

    def check_pinned(self, tenant_id: str, pin: SourcePin) -> None:
        """Raise StorageError if the table cannot be read in this state any more."""
        table = self.open(tenant_id, pin)
        table.check(self._wanted(table, [*self.group.join_keys, EVENT]))

    def state(self, tenant_id: str) -> InPlaceState:
        """The newest state, with the number of the files that may hold the tenant's rows; 0 if only Spark can tell."""
        table = self.open(tenant_id, None)
        if table.obstacle is not None:
            return InPlaceState(table.pin, 0, 0)
        files = self._files(table, [*self.group.join_keys, EVENT], {})
        return InPlaceState(table.pin, files.all_files, files.all_bytes)

    def read_local(
        self,
        tenant_id: str,
        columns: Sequence[str],
        dates: Dates = (None, None),
        times: Times = (None, None),
        keys: pa.Table | None = None,
        version: SourcePin | None = None,
        most_bytes: int = _MOST_BYTES,
    ) -> pa.Table | None:
        """See ``GroupTable.read_local``."""
        table = self.open(tenant_id, version)
        if table.obstacle is not None:
            return None
        needed = list(dict.fromkeys((*columns, *(() if keys is None else keys.column_names))))
        files = self._files(table, self._read_columns(needed), self._ranges(dates, times))
        if files.bytes > most_bytes or files.rows > _MOST_ROWS:
            return None
        rows = files.read(keys)
        return pa.table({name: self._column(rows, name, tenant_id) for name in columns})

    def read_values(
        self,
        tenant_id: str,
        columns: Sequence[str],
        dates: Dates | None = None,
        version: SourcePin | None = None,
    ) -> DataFrame:
        """See ``GroupTable.read_values``."""
        table = self.open(tenant_id, version)
        wanted = self._wanted(table, self._read_columns(columns))
        rows = table.frame(wanted, required=self._required, ranges=self._ranges(dates or (None, None), (None, None)))
        day = utc_date(column(EVENT))
        first, last = dates or (None, None)
        if first is not None:
            rows = rows.where(day >= date_literal(first))
        if last is not None:
            rows = rows.where(day <= date_literal(last))
        computed = {_DATE: day, _TENANT: F.lit(tenant_id)}
        for feature in self.group.features:
            name = feature.model_version_column
            if name in columns:
                own = column(name) if name in wanted else F.lit(None).cast("string")
                model = F.coalesce(own, F.lit(feature.default_model_version))
                computed[str(name)] = F.when(column(feature.name).isNotNull(), model)
        return rows.select(*(computed.get(name, column(name)).alias(name) for name in columns))

    def partitions(
        self,
        tenant_id: str,
        features: Sequence[str],
        dates: Dates = (None, None),
        version: SourcePin | None = None,
    ) -> TenantFiles | str:
        """The files for the as-of kernel, unread; or why only Spark reads them. See ``GroupTable.partitions``."""
        table = self.open(tenant_id, version)
        if table.obstacle is not None:
            return f"{table.place}, the table of group {self.group.name!r}, is read by Spark alone: {table.obstacle}"
        keys = tuple(self.group.join_keys)
        wanted = self._wanted(table, [*keys, *TIME_COLUMNS, *features])
        files = table.files(wanted, required=self._required, keys=keys, ranges=self._ranges(dates, (None, None)))
        defined = values_schema(self.group)
        schema = pa.schema([defined.field(name) for name in wanted])
        partitions = files.partitions(EVENT, CREATED)
        return TenantFiles(table.place, ValueColumns(schema, keys), partitions, files.all_files, files.all_bytes)

    @property
    def _required(self) -> list[str]:
        return [*self.group.join_keys, EVENT]

    def _files(self, table: OutsideTable, columns: Sequence[str], ranges: Ranges) -> ChosenFiles:
        return table.files(self._wanted(table, columns), required=self._required, ranges=ranges)

    def _read_columns(self, columns: Sequence[str]) -> list[str]:
        """The columns to read for these, of which some are computed."""
        names = [name for name in columns if not _is_computed(name)]
        # The value says whether it has a model version.
        names += [feature.name for feature in self.group.features if feature.model_version_column in columns]
        return list(dict.fromkeys((*names, *self._required)))

    def _wanted(self, table: OutsideTable, columns: Sequence[str]) -> dict[str, WantedColumn]:
        own, types = table.schema.names, values_schema(self.group)
        wanted = {}
        for name in columns:
            source = self._source(name)
            # A column of model versions may be left out.
            if source in own or name not in self._models or name in self.in_place.columns:
                wanted[name] = WantedColumn(
                    source,
                    types.field(name).type,
                    rounded_up=name in TIME_COLUMNS,
                    otherwise=self.in_place.event_timestamp if name == CREATED else None,
                    length=self._length(name),
                )
        return wanted

    def _source(self, name: str) -> str:
        if name == EVENT:
            return self.in_place.event_timestamp
        if name == CREATED:
            return self.in_place.created_timestamp or self.in_place.event_timestamp
        return self.in_place.column(name)

    @property
    def _models(self) -> dict[str, Feature]:
        """By column of model versions the feature."""
        return {
            feature.model_version_column: feature
            for feature in self.group.features
            if feature.model_version_column is not None
        }

    def _length(self, name: str) -> int | None:
        return next((each.feature_type.dims for each in self.group.features if each.name == name), None)

    def _ranges(self, dates: Dates, times: Times) -> Ranges:
        """The event timestamps of these dates that are also in ``times``; all bounds are inclusive."""
        first = _latest(None if dates[0] is None else datetime.combine(dates[0], time.min, UTC), times[0])
        last = _earliest(None if dates[1] is None else datetime.combine(dates[1], time.max, UTC), times[1])
        return {} if first is None and last is None else {EVENT: (first, last)}

    def _column(self, rows: pa.Table, name: str, tenant_id: str) -> pa.ChunkedArray | pa.Array:
        if name == _TENANT:
            return pa.repeat(pa.scalar(tenant_id), rows.num_rows)
        if name == _DATE:
            return pc.floor_temporal(rows.column(EVENT), unit="day").cast(pa.timestamp("us")).cast(pa.date32())
        if name not in self._models:
            return rows.column(name)
        feature = self._models[name]
        own = rows.column(name) if name in rows.column_names else pa.nulls(rows.num_rows, pa.string())
        models = pc.coalesce(one_array(own), pa.scalar(feature.default_model_version))
        return pc.if_else(one_array(pc.is_valid(rows.column(feature.name))), models, pa.scalar(None, pa.string()))


def _is_computed(name: str) -> bool:
    return name in (_TENANT, _DATE)


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((each for each in (one, other) if each is not None), default=None)
