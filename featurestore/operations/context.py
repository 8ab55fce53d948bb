"""The context that every operation receives as an argument: session, settings, tables, clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TypeAlias

import pyarrow as pa

from featurestore.columnar.derived.derived_feature import DerivedFeature
from featurestore.config import Settings
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import DERIVED
from featurestore.definitions.source import Source
from featurestore.errors import ConfigurationError, InvalidArgumentError
from featurestore.late_spark import DataFrame, SparkSession, is_remote
from featurestore.object_stores import is_object_store
from featurestore.operations.progress import Progress
from featurestore.spark_internals.hadoop_files import HadoopFiles
from featurestore.stores.delta.pruning import Dates, Times
from featurestore.stores.file_system import Files
from featurestore.stores.files.local_files import LocalFiles
from featurestore.stores.files.named import NamedFiles
from featurestore.stores.files.object_files import ObjectFiles
from featurestore.stores.group_table import GroupTable
from featurestore.stores.in_place_table import InPlaceTable
from featurestore.stores.layout import Layout, local_folder
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.outside.table import OutsideTable
from featurestore.stores.postgres.connections import Postgres
from featurestore.stores.small_tables.erasures import ErasureLog
from featurestore.stores.small_tables.export_log import ExportLog
from featurestore.stores.small_tables.registry import Registry, RegistryState
from featurestore.stores.small_tables.runs import RunLedger
from featurestore.stores.small_tables.statistics import Statistics
from featurestore.stores.small_tables.suppression import SuppressionList
from featurestore.stores.training_sets.store import TrainingSetStore
from featurestore.stores.value_files.reach import why_unreachable

# Of files. Before Spark reads a table, it computes the table's whole state, in jobs of its own.
_FEW_BYTES = 8 * 1024**2

Clock = Callable[[], datetime]
# What a group's values are read at: the version of its table, or the pinned state of a table in place.
State: TypeAlias = int | SourcePin
Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Do nothing between two side effects of a job; the default."""


def named_files(spark: SparkSession) -> NamedFiles:
    """The files that this session can read, by name."""
    return NamedFiles(spark, None if is_remote() else HadoopFiles(spark))


@dataclass
class Context:
    """One opened store. It reads the registry once, and again after an apply or when the registry lacks a name."""

    start_spark: Callable[[], SparkSession] = field(repr=False)
    settings: Settings
    clock: Clock
    code_version: str
    # Called between any two side effects of a job, with the name of the step that just ended.
    step: Step = no_step
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Why only Spark reads and writes the tables; None if this process also does.
    only_spark: str | None = None
    # Why only Spark reads the files of values, too; None if others may, where they reach them.
    only_spark_reads: str | None = None
    # Told of rows that a long job has done, and of the host that joins them.
    progress: Progress = field(default_factory=Progress, repr=False)
    _state: RegistryState | None = field(default=None, repr=False)

    @cached_property
    def spark(self) -> SparkSession:
        """The Spark session; it is started when it is first needed."""
        return self.start_spark()

    def in_session(self, spark: SparkSession) -> Context:
        """The same store, read and written by another session."""
        return replace(self, start_spark=lambda: spark)

    @property
    def is_native(self) -> bool:
        """Whether logs, small tables, small batches and files of values are read and written without Spark."""
        return self.why_only_spark is None

    @cached_property
    def why_only_spark(self) -> str | None:
        """Why only Spark reads and writes the tables; None if this process also does.

        On an object store this is found out by trying, once. Raises ConfigurationError if the settings demand it.
        """
        warehouse = self.settings.warehouse
        if self.only_spark is not None or not is_object_store(warehouse):
            return self.only_spark
        obstacle = why_unreachable(warehouse)
        if obstacle is not None and self.settings.small_tables == "native":
            raise ConfigurationError(f"small_tables is 'native', and {obstacle}; set it to 'auto' or 'spark'")
        return obstacle

    @cached_property
    def only_spark_reads_values(self) -> str | None:
        """Why only Spark reads the files of values; None if this process and Spark's tasks also do.

        On a cluster's file system this is found out by trying, once.
        """
        if self.is_native:
            return None
        if self.only_spark_reads is not None:
            return self.only_spark_reads
        warehouse = self.settings.warehouse
        return self.why_only_spark if is_object_store(warehouse) else why_unreachable(warehouse)

    @cached_property
    def layout(self) -> Layout:
        return Layout.of(
            self.settings, lambda: self.spark, self.is_native, lambda: self.only_spark_reads_values is None
        )

    @cached_property
    def registry(self) -> Registry:
        return Registry.of(self.layout.registry)

    @cached_property
    def runs(self) -> RunLedger:
        return RunLedger.of(self.layout.runs)

    @cached_property
    def training_sets(self) -> TrainingSetStore:
        return TrainingSetStore(self.layout)

    @cached_property
    def statistics(self) -> Statistics:
        return Statistics.of(self.layout.statistics)

    @cached_property
    def exports(self) -> ExportLog:
        return ExportLog.of(self.layout.exports)

    @cached_property
    def erasures(self) -> ErasureLog:
        return ErasureLog.of(self.layout.erasures)

    @cached_property
    def suppressed(self) -> SuppressionList:
        return SuppressionList.of(self.layout.suppressed)

    @cached_property
    def postgres(self) -> Postgres:
        return Postgres(self.settings)

    @property
    def files(self) -> Files:
        return HadoopFiles(self.spark)

    def reaches(self, path: str) -> bool:
        """Whether this process reads and writes files at a path without Spark: on a disk, or on an object store."""
        is_there = is_object_store(path) and is_object_store(self.settings.warehouse)
        return self.is_native and (is_there or local_folder(path) is not None)

    def files_at(self, path: str) -> Files:
        """The files of the system that a path is on."""
        if not self.reaches(path):
            return self.files
        return ObjectFiles() if local_folder(path) is None else LocalFiles()

    @property
    def named_files(self) -> NamedFiles:
        return named_files(self.spark)

    @property
    def state(self) -> RegistryState:
        if self._state is None:
            self._state = self.registry.state()
        return self._state

    def refresh(self) -> RegistryState:
        self._state = None
        return self.state

    def group(self, name: str, version: int | None = None) -> FeatureGroup:
        """The current definition of the group; raises NotFoundError with the nearest names."""
        if name == DERIVED:
            raise InvalidArgumentError(
                f"'{DERIVED}' is no feature group: derived features have no stored values, and are computed for each "
                "row of a spine. Ask for them with get_point_in_time or in a training set, or call compute() of "
                "FeatureStore.derived_feature(name)"
            )
        if not self._knows("feature_group", name):
            self.refresh()
        return self.state.feature_group(name, version)

    def group_with_values(self, name: str) -> FeatureGroup:
        """The same, for what needs its values; raises InvalidArgumentError for a group that computes them."""
        group = self.group(name)
        if group.is_computed:
            raise InvalidArgumentError(
                f"feature group {name!r} stores no values: they are computed from its events for the moment that is "
                "asked for. Ask get_point_in_time or get_features_at_time, or give the group every= to store values"
            )
        return group

    def derived_feature(self, name: str, version: int | None = None) -> DerivedFeature:
        """The current definition of the derived feature; raises NotFoundError with the nearest names."""
        if not self._knows("derived_feature", name):
            self.refresh()
        return self.state.derived_feature(name, version)

    def _knows(self, kind: str, name: str) -> bool:
        return any((of_kind, known) == (kind, name) for of_kind, known, _ in self.state.entries)

    def table(self, group: FeatureGroup) -> GroupTable:
        """The tables of a group that is stored; raises InvalidArgumentError for a group in place."""
        check_stored(group)
        return GroupTable.of(self.layout, group)

    def in_place(self, group: FeatureGroup) -> InPlaceTable:
        """The user's table of a group in place."""
        assert group.in_place is not None
        source = group.in_place.source
        return InPlaceTable(group, lambda tenant_id, pinned: self.outside(group.name, source, tenant_id, pinned))

    def outside(self, name: str, source: Source, tenant_id: str, pinned: SourcePin | None = None) -> OutsideTable:
        """A user's own table as a tenant sees it, in its newest state or in a pinned one; ``name``: for messages."""
        return OutsideTable.of(
            self.settings,
            name,
            source,
            tenant_id,
            named=lambda: self.named_files,
            only_spark=self.only_spark_reads,
            pinned=pinned,
        )


def check_stored(group: FeatureGroup, operation: str | None = None) -> None:
    """Raise InvalidArgumentError for a group in place, whose table is not the store's to write, cut or arrange."""
    if group.in_place is None:
        return
    source = group.in_place.source
    what = "it is only read" if operation is None else f"{operation} is not for it"
    raise InvalidArgumentError(
        f"feature group {group.name!r} is in place: its values are in {source.table or source.path}, a table that is "
        f"not this store's, and {what}. Do it where that table is written, or define the group without in_place"
    )


@dataclass(frozen=True)
class Scope:
    """One opened store and one of its tenants. An operation works within a scope and reaches no other tenant."""

    context: Context
    tenant_id: str

    @property
    def spark(self) -> SparkSession:
        return self.context.spark

    @property
    def settings(self) -> Settings:
        return self.context.settings

    @property
    def layout(self) -> Layout:
        return self.context.layout

    @property
    def runs(self) -> RunLedger:
        return self.context.runs

    @property
    def statistics(self) -> Statistics:
        return self.context.statistics

    @property
    def training_sets(self) -> TrainingSetStore:
        return self.context.training_sets

    @property
    def postgres(self) -> Postgres:
        return self.context.postgres

    @property
    def files(self) -> Files:
        return self.context.files

    @property
    def named_files(self) -> NamedFiles:
        return self.context.named_files

    def now(self) -> datetime:
        """The current instant by the clock, in UTC."""
        return self.context.clock().astimezone(UTC)

    @property
    def progress(self) -> Progress:
        return self.context.progress

    def step(self, name: str) -> None:
        """Report that a side effect of a job is done; called between any two of them."""
        self.context.step(name)

    def group(self, name: str, version: int | None = None) -> FeatureGroup:
        """The current definition of the group; raises NotFoundError with the nearest names."""
        return self.context.group(name, version)

    def group_with_values(self, name: str) -> FeatureGroup:
        """The same, for what needs its values; raises InvalidArgumentError for a group that computes them."""
        return self.context.group_with_values(name)

    def table(self, group: FeatureGroup) -> GroupTable:
        return self.context.table(group)

    def read_local(
        self,
        group: FeatureGroup,
        columns: Sequence[str],
        dates: Dates = (None, None),
        times: Times = (None, None),
        keys: pa.Table | None = None,
    ) -> pa.Table | None:
        """The tenant's rows of a group without Spark, or None; see ``GroupTable.read_local``."""
        return self._values_of(group).read_local(self.tenant_id, columns, dates, times, keys)

    def read_values(
        self,
        group: FeatureGroup,
        columns: Sequence[str],
        dates: tuple[date | None, date | None] | None = None,
        version: State | None = None,
    ) -> DataFrame:
        """The tenant's rows of a group; see ``GroupTable.read_values``."""
        if isinstance(version, SourcePin) or group.in_place is not None:
            pin = version if isinstance(version, SourcePin) else None
            return self.context.in_place(group).read_values(self.tenant_id, columns, dates, pin)
        return self.table(group).read_values(self.tenant_id, columns, dates, version)

    def read_few(self, group: FeatureGroup, columns: Sequence[str], dates: Dates) -> pa.Table | None:
        """The same rows as Arrow, if they are so few that Spark's own read of the table's log would cost more."""
        return self._values_of(group).read_local(self.tenant_id, columns, dates, most_bytes=_FEW_BYTES)

    def _values_of(self, group: FeatureGroup) -> GroupTable | InPlaceTable:
        return self.table(group) if group.in_place is None else self.context.in_place(group)
