"""A feature group's two tables, for values and for rejected rows: create, evolve, append, read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from featurestore.columnar.rows import file_layout
from featurestore.columnar.rows.file_layout import are_sorted_runs, bytes_of_row, in_key_order, key_ranges
from featurestore.columnar.rows.stored_rows import as_stored, in_file_order
from featurestore.columnar.schema import PARTITION_COLUMNS, REJECTED, TIME_COLUMNS, key_fields, values_schema
from featurestore.columnar.values.batch import distinct_rows
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.types import is_wider
from featurestore.errors import TableBusyError
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.row_spread import by_date, by_key_range
from featurestore.frames.rows.suppression import REASON
from featurestore.frames.timestamps import date_literal, instant, partition_date, utc_date
from featurestore.late_spark import ArrayType, Column, DataFrame, F, StructField, StructType, py4j_errors, spark_errors
from featurestore.stores.arrow import to_spark
from featurestore.stores.delta.delta_log import LogFile, Snapshot
from featurestore.stores.delta.log import Transaction
from featurestore.stores.delta.native_errors import UnsupportedTableError
from featurestore.stores.delta.native_table import CHECKPOINTS, DoomedRows, NativeTable
from featurestore.stores.delta.pruning import Dates, Times, chosen_files, row_condition, with_keys
from featurestore.stores.delta.table import DeltaTable, literal, spark_schema
from featurestore.stores.delta.task_files import write_in_tasks
from featurestore.stores.delta.which_rows import Test, Where, equal
from featurestore.stores.layout import Layout
from featurestore.stores.storage_faults import storage_errors
from featurestore.stores.value_files.parquet import ValueColumns
from featurestore.stores.value_files.partitions import TenantFiles, partitions_of

_PROPERTIES = CHECKPOINTS | {
    "delta.enableChangeDataFeed": "true",
    # How long a training set's table versions can be read again, and a late retry finds its batch's commit. People keep
    # models for longer than Delta's defaults of 30 and 7 days; a vacuum does not know of files that were removed longer
    # ago than the second interval.
    "delta.logRetentionDuration": "interval 400 days",
    "delta.deletedFileRetentionDuration": "interval 400 days",
}
# In tables that track rows: the as-of join leaves arrays out of its sort and looks them up again by these.
ROW_IDENTITY = "__row_identity"
_WIDER = {pa.int32(): (pa.int64(), pa.float64()), pa.float32(): (pa.float64(),)}
# Files of more bytes or rows are read by Spark; a text that comes again and again takes few bytes in a file.
_MOST_LOCAL_BYTES, _MOST_LOCAL_ROWS = 1 << 28, 10_000_000
# Each erasure makes writers in progress start again.
_MOST_WRITES = 10
# They contain the last batch, unless as many commits of upkeep followed it.
_LAST_COMMITS = 20


@dataclass(frozen=True)
class BatchRecord:
    """What a commit's user metadata says about its batch, so that a retry knows what an earlier try wrote."""

    tenant_id: str
    batch_id: str
    token: str
    fingerprint: str
    written: int
    failed: int
    errors: dict[str, int]
    # The created timestamp (ISO 8601) of rows whose writer set none; records of older versions have no such field.
    created_at: str | None = None

    @property
    def invalid(self) -> int:
        """The failed rows that broke rules; the other failed rows belong to erased entities."""
        return self.failed - self.errors.get(REASON, 0)

    def to_json(self) -> str:
        return json.dumps({"featurestore_batch": asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None) -> BatchRecord | None:
        """Return the record in a commit's user metadata; None for commits of other kinds."""
        try:
            metadata = json.loads(text or "null")
        except json.JSONDecodeError:
            return None
        if not isinstance(metadata, dict) or "featurestore_batch" not in metadata:
            return None
        return cls(**metadata["featurestore_batch"])


@dataclass(frozen=True)
class GroupTable:
    """The tables of one feature group, with rows of all tenants; methods that read or write rows take the tenant."""

    group: FeatureGroup
    values: DeltaTable
    rejected: DeltaTable

    @classmethod
    def of(cls, layout: Layout, group: FeatureGroup) -> GroupTable:
        return cls(group, layout.values(group), layout.rejected(group))

    def make(self) -> None:
        """Create the table of values, or evolve the existing one; safe to repeat."""
        if self.values.exists():
            self._evolve()
        else:
            self.values.create(values_schema(self.group), PARTITION_COLUMNS, _PROPERTIES)

    def _evolve(self) -> None:
        """Add the columns that the table lacks, and widen those that the group widened."""
        stored = {field.name: field.type for field in self.values.schema()}
        defined = values_schema(self.group)
        self.values.add_columns([field for field in defined if field.name not in stored])
        widened = [field for field in defined if field.name in stored and stored[field.name] != field.type]
        properties = self.values.properties()
        self.values.set_properties({key: value for key, value in _PROPERTIES.items() if key not in properties})
        for field in widened:
            self.values.change_type(field)

    def append_rejected(self, bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> None:
        """Append a batch's bad rows, once; they replace rows of an earlier try that wrote no values."""
        self._prepare_rejected()
        if not self.read_rejected(tenant_id, batch_id).isEmpty():
            return self.replace_rejected(bad, tenant_id, batch_id, now)
        return self.rejected.append(_rejected_rows(bad, tenant_id, batch_id, now), _transaction(tenant_id, batch_id))

    def replace_rejected(self, bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> None:
        """Replace the batch's rejected rows with these bad rows, in one commit."""
        self._prepare_rejected()
        of_batch = f"tenant_id = {literal(tenant_id)} AND batch_id = {literal(batch_id)}"
        self.rejected.replace(_rejected_rows(bad, tenant_id, batch_id, now), of_batch)

    def _prepare_rejected(self) -> None:
        """Create or evolve the table of rejected rows; most groups never reject a row, and have no such table."""
        self.rejected.create(REJECTED, ["tenant_id"])
        self._evolve_rejected()

    def append_values(self, good: DataFrame, record: BatchRecord, now: datetime) -> None:
        """Append a batch's good rows, once: a batch id that this tenant has already written changes nothing."""
        spread = self._spread(self.as_stored(good, record.tenant_id, now), record.written)
        in_order = spread.sortWithinPartitions(*PARTITION_COLUMNS, *self.order)
        limits = file_layout.LIMITS
        once = _transaction(record.tenant_id, record.batch_id)
        for _ in range(_MOST_WRITES):
            # Others may have given the table features that only Spark writes.
            if not self.takes_local_writes():
                rows_of_file = max(1, limits.file_bytes // bytes_of_row(self.group))
                return self.values.append(in_order, once, record.to_json(), rows_of_file)
            native = _native(self.values)
            if native.has_committed(once):
                return None
            ground = native.write_ground()
            with storage_errors(native.path):
                files = write_in_tasks(in_order, native.path, values_schema(self.group), PARTITION_COLUMNS, limits)
            if native.append_files(files, ground, once, record.to_json()):
                return None
        raise TableBusyError(
            f"table {self.values}: others changed its columns or properties, or erased rows, during each of "
            f"{_MOST_WRITES} tries to write; nothing was written. Try again"
        )

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which the rows of a partition are sorted."""
        return (*self.group.join_keys, "event_timestamp")

    def _spread(self, stored: DataFrame, rows: int) -> DataFrame:
        """Spread a batch's rows over tasks: the rows of a date together, or if they are many, cut by key range."""
        limits, row_bytes = file_layout.LIMITS, bytes_of_row(self.group)
        if rows * row_bytes <= limits.file_bytes:
            return by_date(stored)
        counts = {row["event_date"]: row["count"] for row in stored.groupBy("event_date").count().collect()}
        ranges = key_ranges(counts, row_bytes, limits)
        return by_date(stored) if ranges is None else by_key_range(stored, ranges, self.order)

    def takes_local_writes(self) -> bool:
        """Whether rows can be appended without Spark."""
        values, rejected = self.values.native, self.rejected.native
        if values is None or rejected is None or not values.takes_plain_writes():
            return False
        return not rejected.exists() or rejected.takes_plain_writes()

    def append_locally(self, good: pa.Table, record: BatchRecord, now: datetime) -> None:
        """The same as ``append_values``, without Spark; the table must take local writes."""
        rows = in_file_order(as_stored(good, self.group, record.tenant_id, now), self.group)
        once = _transaction(record.tenant_id, record.batch_id)
        _native(self.values).append(rows, once, record.to_json(), file_layout.LIMITS)

    def delete_before(self, tenant_id: str, before: date) -> int:
        """Delete the tenant's rows of partitions before this one, and return their number; reads and writes no file."""
        if self.takes_local_writes():
            earlier = Test("event_date", "<=", before - timedelta(days=1))
            return _native(self.values).delete_partitions([*equal(tenant_id=tenant_id), earlier])
        where = f"tenant_id = {literal(tenant_id)} AND event_date < DATE{literal(before.isoformat())}"
        return self.values.delete_partitions(where)

    def merge_locally(self, tenant_id: str, event_date: date) -> bool:
        """Rewrite a partition's files as few sorted ones, without Spark; returns False if only Spark can."""
        if not self.takes_local_writes():
            return False
        partition = equal(tenant_id=tenant_id, event_date=event_date)
        _native(self.values).compact(partition, lambda rows: in_file_order(rows, self.group), 1, file_layout.LIMITS)
        return True

    def merge_in_tasks(self, tenant_id: str, event_date: date, laid_out: Callable[[DataFrame], DataFrame]) -> bool:
        """Rewrite a partition's files in Spark's tasks, which have the rows as ``laid_out`` spreads and sorts them.

        Returns False if only Spark's own writer can. Raises TableBusyError.
        """
        for _ in range(_MOST_WRITES):
            if not self.takes_local_writes():
                return False
            native = _native(self.values)
            ground, snapshot = native.write_ground(), native.snapshot(within={"tenant_id": tenant_id})
            replaced = [file for file in snapshot.files if file.partition["event_date"] == event_date]
            if not replaced:
                return True
            of_partition = (F.col("tenant_id") == F.lit(tenant_id)) & (F.col("event_date") == date_literal(event_date))
            rows = laid_out(self.values.read(snapshot.version).where(of_partition))
            with storage_errors(native.path):
                files = write_in_tasks(rows, native.path, snapshot.schema, PARTITION_COLUMNS, file_layout.LIMITS)
            if native.exchange_files(files, replaced, ground):
                return True
        raise TableBusyError(
            f"table {self.values}: others changed the files of {event_date} during each of {_MOST_WRITES} tries to "
            "rewrite them; the partition stays as it is. Try again"
        )

    def append_rejected_locally(self, bad: pa.Table, tenant_id: str, batch_id: str, now: datetime) -> None:
        """The same as ``append_rejected``, without Spark."""
        rejected = self._prepare_rejected_locally()
        rows, of_batch = _rejected_table(bad, tenant_id, batch_id, now), _of_batch(tenant_id, batch_id)
        # Rows of an earlier try that wrote no values.
        if rejected.read(of_batch, ["batch_id"]).num_rows:
            return rejected.replace(rows, of_batch)
        return rejected.append(rows, _transaction(tenant_id, batch_id))

    def replace_rejected_locally(self, bad: pa.Table, tenant_id: str, batch_id: str, now: datetime) -> None:
        """The same as ``replace_rejected``, without Spark."""
        rejected = self._prepare_rejected_locally()
        rejected.replace(_rejected_table(bad, tenant_id, batch_id, now), _of_batch(tenant_id, batch_id))

    def _prepare_rejected_locally(self) -> NativeTable:
        rejected = _native(self.rejected)
        rejected.create(REJECTED, ["tenant_id"])
        rejected.add_columns(list(REJECTED))
        return rejected

    def read_rejected_locally(self, tenant_id: str, batch_id: str | None = None) -> pa.Table | None:
        """The same as ``read_rejected``, without Spark; None if only Spark can read them."""
        native = self.rejected.native
        if native is None:
            return None
        if not native.exists():
            return REJECTED.empty_table().drop_columns("claim")
        if not native.snapshot().is_plain:
            return None
        return native.read(_of_batch(tenant_id, batch_id), [name for name in REJECTED.names if name != "claim"])

    def claimed_texts(self, tenant_id: str, claim: str) -> list[str]:
        """The texts of the rows that a retry has claimed, without Spark."""
        rows: list[str] = (
            _native(self.rejected).read(equal(tenant_id=tenant_id, claim=claim), ["row"])["row"].to_pylist()
        )
        return rows

    def claim_locally(self, texts: Sequence[str], tenant_id: str, batch_id: str | None, claim: str) -> None:
        """The same as ``claim``, without Spark."""
        unclaimed = [*_of_batch(tenant_id, batch_id), Test("row", "in", texts), Test("claim", "is null")]
        _native(self.rejected).update(unclaimed, {"claim": claim})

    def as_stored(self, good: DataFrame, tenant_id: str, now: datetime) -> DataFrame:
        """Return good rows with the table's columns, in its order, as they are appended at ``now``."""
        date_of = partition_date(utc_date(column("event_timestamp")), self.group.partition_by)
        created = F.coalesce(column("created_timestamp"), instant(now))
        stored = good.withColumns({"tenant_id": F.lit(tenant_id), "event_date": date_of, "created_timestamp": created})
        for feature in self.group.features:
            if feature.model_version_column is not None:
                version = F.coalesce(column(feature.model_version_column), F.lit(feature.default_model_version))
                version_of_value = F.when(column(feature.name).isNotNull(), version)
                stored = stored.withColumn(feature.model_version_column, version_of_value)
        return stored.select(*(column(field.name) for field in values_schema(self.group)))

    def read_whole(self, tenant_id: str) -> DataFrame:
        """Return one tenant's rows with all columns of the table, in its order."""
        return self.read_values(tenant_id, [field.name for field in values_schema(self.group)]).drop(ROW_IDENTITY)

    def next_created(self, now: datetime) -> datetime:
        """Return the next batch's created timestamp: now, or just after the last batch's if the clock was set back.

        Otherwise a correction that is written afterwards would count as older than the row that it corrects.
        """
        last = self._last_created(_LAST_COMMITS) or self._last_created(None)
        if last is None or now >= datetime.fromisoformat(last):
            return now
        return datetime.fromisoformat(last) + timedelta(microseconds=1)

    def _last_created(self, limit: int | None) -> str | None:
        """The created timestamp of the last batch among the last ``limit`` commits, ISO 8601; None if there is none."""
        return next((record.created_at for _, record in self._batches(limit) if record.created_at), None)

    def find_batch(self, tenant_id: str, batch_id: str, limit: int | None = None) -> tuple[int, BatchRecord] | None:
        """Find a batch's commit among the last ``limit``; returns its table version and its record, or None."""
        # A history of many commits takes long to read, and nearly always no batch has this id.
        if not self.values.may_have_committed(_transaction(tenant_id, batch_id)):
            return None
        for version, record in self._batches(limit):
            if (record.tenant_id, record.batch_id) == (tenant_id, batch_id):
                return version, record
        return None

    def _batches(self, limit: int | None) -> Iterator[tuple[int, BatchRecord]]:
        """The batches of the last ``limit`` commits, each with its table version; newest first, some perhaps twice."""
        seen = 0
        # Most look for the last one. A query of Spark's costs as much for one commit as for many.
        for most in (limit,) if self.values.native is None else (1, limit):
            commits = self.values.history(most)
            for commit in commits[seen:]:
                record = BatchRecord.from_json(commit.user_metadata)
                if record is not None:
                    yield commit.version, record
            seen = len(commits)

    def read_values(
        self,
        tenant_id: str,
        columns: Sequence[str],
        dates: tuple[date | None, date | None] | None = None,
        version: int | None = None,
    ) -> DataFrame:
        """Return one tenant's rows with these columns, from the partitions ``dates``.

        Both dates are inclusive; None means no bound. A column that the table's version did not have yet is null. A
        column that was widened since the definition was read has the wider type: values are never narrowed. If a column
        is an array and the table's version tracks rows, the result also has ``ROW_IDENTITY``, a long that is unique
        to each row.
        """
        table = self.values.read(version)
        rows = table.where(F.col("tenant_id") == F.lit(tenant_id))
        if dates is not None:
            first, last = dates
            if last is not None:
                rows = rows.where(F.col("event_date") <= date_literal(last))
            if first is not None:
                rows = rows.where(F.col("event_date") >= date_literal(first))
        schema = spark_schema(values_schema(self.group))
        fields = [schema[name] for name in columns]
        stored = [self._stored_column(table, field) for field in fields]
        if any(isinstance(field.dataType, ArrayType) for field in fields) and _tracks_rows(table):
            stored.append(F.col("_metadata.row_id").alias(ROW_IDENTITY))
        return rows.select(*stored)

    def _stored_column(self, table: DataFrame, field: StructField) -> Any:
        if field.name not in table.columns:
            return F.lit(None).cast(field.dataType).alias(field.name)
        if is_wider(table.schema[field.name].dataType.simpleString(), field.dataType.simpleString()):
            return column(field.name)
        return column(field.name).cast(field.dataType).alias(field.name)

    def files(self, tenant_id: str, version: int | None = None, *, with_keys: bool = False) -> list[LogFile]:
        """Return the tenant's files in the newest version, or in ``version``, with their rows and bounds of times.

        ``with_keys``: also those of the join keys, if only Spark can tell; the log has them anyway.
        """
        snapshot = self._snapshot(tenant_id, version)
        if snapshot is not None:
            return snapshot.files
        return self._files_by_spark(tenant_id, version, self.order if with_keys else ("event_timestamp",))

    def are_sorted_runs(self, files: Sequence[LogFile]) -> bool:
        """Whether a partition's files have small row groups, each a range of keys that overlaps no other.

        The files are those of ``files`` with keys. If this process does not read them, only their bounds count.
        """
        limits, log = file_layout.LIMITS, self.values.log
        if len(files) == 1 and files[0].rows <= limits.group_rows and files[0].bytes <= limits.group_bytes:
            return True
        if log is None or any(file.is_exact for file in files):
            return in_key_order([[tuple(file.bounds.get(name) for name in self.order)] for file in files])
        return are_sorted_runs([log.row_groups(file, self.order) for file in files], limits)

    def _snapshot(self, tenant_id: str, version: int | None) -> Snapshot | None:
        """The tenant's part of a version of the values by the log alone; None if only Spark can read it."""
        if self.values.log is None:
            return None
        bounded = (*TIME_COLUMNS, *self.group.join_keys)
        try:
            snapshot = self.values.log.snapshot(version, {"tenant_id": tenant_id}, bounded)
        except UnsupportedTableError:
            return None
        return snapshot if snapshot.is_plain else None

    def _files_by_spark(self, tenant_id: str, version: int | None, bounded: Sequence[str]) -> list[LogFile]:
        bounds = [F.array(F.min(column(name)), F.max(column(name))).alias(f"bounds {name}") for name in bounded]
        by_file = (
            self.values.read(version)
            .where(F.col("tenant_id") == F.lit(tenant_id))
            .groupBy("event_date", "_metadata.file_path", "_metadata.file_size")
            .agg(F.count(F.lit(1)).alias("rows"), *bounds)
        )
        return [
            LogFile(
                path=row["file_path"],
                bytes=row["file_size"],
                rows=row["rows"],
                partition={"tenant_id": tenant_id, "event_date": row["event_date"]},
                bounds={name: tuple(row[f"bounds {name}"]) for name in bounded},
                is_exact=True,
            )
            for row in by_file.toArrow().to_pylist()
        ]

    def extent(self, files: Sequence[LogFile]) -> tuple[datetime, datetime] | None:
        """Return the oldest and the newest event timestamp in these files, to the microsecond; None without rows.

        The files are those of ``files``.
        """
        log = self.values.log
        if log is not None and not any(file.is_exact for file in files):
            return log.extent(files, "event_timestamp")
        bounds = [file.bounds["event_timestamp"] for file in files if file.rows]
        return (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else None

    def read_local(
        self,
        tenant_id: str,
        columns: Sequence[str],
        dates: Dates = (None, None),
        times: Times = (None, None),
        keys: pa.Table | None = None,
        version: int | None = None,
        most_bytes: int = _MOST_LOCAL_BYTES,
    ) -> pa.Table | None:
        """Return one tenant's rows without Spark; None if only Spark can read them, or if they are very many.

        Very many are those of files of more than ``most_bytes``, or of ten million rows.

        The rows are those of the partitions ``dates`` with event timestamps in ``times`` (bounds are inclusive, None
        means no bound), and with the join keys in ``keys``, if given. Columns have the same types as in
        ``read_values``; rows are in no particular order.
        """
        snapshot = self._snapshot(tenant_id, version)
        if snapshot is None:
            return None
        chosen = chosen_files(snapshot.files, tenant_id, dates, times, keys)
        if not _are_few(chosen, most_bytes):
            return None
        needed = list(dict.fromkeys((*columns, "event_timestamp", *(() if keys is None else keys.column_names))))
        defined = values_schema(self.group)
        fields = [_stored_field(snapshot.schema, defined.field(name)) for name in needed]
        schema = pa.schema(fields)
        if keys is not None:
            keys = keys.cast(pa.schema([schema.field(name) for name in keys.column_names]))
        condition = row_condition(times, keys)
        log = self.values.log
        assert log is not None
        parts = [log.read_data(file, schema, condition) for file in chosen]
        rows = pa.concat_tables(parts) if parts else schema.empty_table()
        return (rows if keys is None else with_keys(rows, keys)).select(list(columns))

    def is_small(self, tenant_id: str, version: int, row_bytes: int, most_rows: int) -> bool:
        """Whether the tenant's rows are on this machine's disk and so few that this process holds them all.

        ``row_bytes``: what a row takes in memory, where files may compress it. ``read_local`` reads them then.
        """
        snapshot = None if self.values.native is None else self._snapshot(tenant_id, version)
        if snapshot is None:
            return False
        return _are_few(snapshot.files, _MOST_LOCAL_BYTES, min(most_rows, _MOST_LOCAL_ROWS), row_bytes)

    def changed_keys(self, tenant_id: str, after: int, up_to: int) -> pa.Table:
        """Return the distinct keys of the tenant's rows in the Change Data Feed of the versions ``after < v <= up_to``.

        The table is on this machine's disk. Raises StorageError if its log or its files no longer have a version.
        """
        native, schema = _native(self.values), pa.schema(key_fields(self.group))
        files = [file for file in native.changed_files(after, up_to) if file.partition["tenant_id"] == tenant_id]
        of_files = [distinct_rows(native.read_changed(file, schema)) for file in files]
        return distinct_rows(pa.concat_tables([schema.empty_table(), *of_files]))

    def read_by_file(
        self, tenant_id: str, columns: Sequence[str], dates: Dates, version: int
    ) -> list[tuple[LogFile, pa.Table]] | None:
        """Return the rows of the tenant's files in these partitions, in the order in which each file has them.

        None, and all else, as for ``read_local``.
        """
        snapshot, log = self._snapshot(tenant_id, version), self.values.log
        if snapshot is None or log is None:
            return None
        chosen = chosen_files(snapshot.files, tenant_id, dates, (None, None), None)
        defined = values_schema(self.group)
        schema = pa.schema([_stored_field(snapshot.schema, defined.field(name)) for name in columns])
        return [(file, log.read_data(file, schema)) for file in chosen] if _are_few(chosen, _MOST_LOCAL_BYTES) else None

    def delete_rows_locally(self, doomed: Sequence[DoomedRows]) -> bool:
        """Delete rows of the values, without Spark; False if their files are others by now. See ``NativeTable``."""
        return _native(self.values).delete_rows(doomed)

    def partitions(
        self, tenant_id: str, features: Sequence[str], dates: Dates = (None, None), version: int | None = None
    ) -> TenantFiles | None:
        """Return the tenant's files in these partitions (both dates inclusive, None means no bound), unread.

        None if only Spark can tell which rows they have.
        """
        snapshot = self._snapshot(tenant_id, version)
        if snapshot is None:
            return None
        names = (*self.group.join_keys, *TIME_COLUMNS, *features)
        defined = values_schema(self.group)
        schema = pa.schema([_stored_field(snapshot.schema, defined.field(name)) for name in names])
        columns = ValueColumns(schema, tuple(self.group.join_keys))
        chosen = chosen_files(snapshot.files, tenant_id, dates, (None, None), None)
        assert self.values.log is not None
        root = self.values.log.path
        partitions = partitions_of(root, chosen, columns)
        return TenantFiles(root, columns, partitions, len(snapshot.files), sum(file.bytes for file in snapshot.files))

    def changed_dates(self, tenant_id: str, after: int, up_to: int) -> frozenset[date] | None:
        """Return the event dates at which the tenant's rows changed in the table versions ``after < v <= up_to``.

        Files that were only rewritten do not count. Returns None if the table does not know it any more: then every
        date may have changed.
        """
        native = self.values.native
        if native is None:
            return _changed_dates_by_feed(self.values, tenant_id, after, up_to)
        changed = native.changed_partitions(after, up_to)
        if changed is None:
            return None
        return frozenset(date.fromisoformat(part["event_date"]) for part in changed if part["tenant_id"] == tenant_id)

    def read_rejected(self, tenant_id: str, batch_id: str | None = None, claim: str | None = None) -> DataFrame:
        """Return the tenant's rejected rows: all, one batch's, or those that a retry has claimed."""
        if not self.rejected.exists():
            return to_spark(self.rejected.spark, REJECTED.empty_table()).drop("claim")
        rows = self.rejected.read().where(F.col("tenant_id") == F.lit(tenant_id))
        if batch_id is not None:
            rows = rows.where(F.col("batch_id") == F.lit(batch_id))
        if claim is not None:
            rows = rows.where(F.col("claim") == F.lit(claim))
        return rows.drop("claim")

    def claims(self, tenant_id: str) -> list[str]:
        """Return the claims on the tenant's rejected rows that retries left behind."""
        if not self.rejected.exists():
            return []
        if self.takes_local_writes():
            native = _native(self.rejected)
            native.add_columns(list(REJECTED))
            claimed = native.read([*equal(tenant_id=tenant_id), Test("claim", "is not null")], ["claim"])
            return sorted(set(claimed["claim"].to_pylist()))
        self._evolve_rejected()
        rows = self.rejected.read().where(F.col("tenant_id") == F.lit(tenant_id))
        return sorted(row["claim"] for row in rows.where("claim IS NOT NULL").select("claim").distinct().collect())

    def claim(self, texts: DataFrame, tenant_id: str, batch_id: str | None, claim: str) -> None:
        """Claim the tenant's rejected rows (of one batch) with a text in ``texts``, which has each ``row`` once."""
        matches = (F.col("target.tenant_id") == F.lit(tenant_id)) & (F.col("target.row") == F.col("source.row"))
        if batch_id is not None:
            matches = matches & (F.col("target.batch_id") == F.lit(batch_id))
        unclaimed = F.col("target.claim").isNull()
        self.rejected.update_matched(texts, matches & unclaimed, {"claim": F.lit(claim)})

    def give_up(self, tenant_id: str, claim: str) -> None:
        """Release the rows of a claim that was never written, so that they are ordinary rejected rows again."""
        if self.takes_local_writes():
            return _native(self.rejected).update(equal(tenant_id=tenant_id, claim=claim), {"claim": None})
        return self.rejected.update(_has_claim(tenant_id, claim), {"claim": F.lit(None).cast("string")})

    def remove_claimed(self, tenant_id: str, claim: str) -> None:
        if self.takes_local_writes():
            return _native(self.rejected).delete(equal(tenant_id=tenant_id, claim=claim))
        return self.rejected.delete(_has_claim(tenant_id, claim))

    def _evolve_rejected(self) -> None:
        stored = set(self.rejected.schema().names)
        self.rejected.add_columns([field for field in REJECTED if field.name not in stored])


def _are_few(files: Sequence[LogFile], most_bytes: int, most_rows: int = _MOST_LOCAL_ROWS, row_bytes: int = 0) -> bool:
    """``row_bytes``: what a row takes in memory, if files may compress it."""
    held = sum(max(file.bytes, file.rows * row_bytes) for file in files)
    return held <= most_bytes and sum(file.rows for file in files) <= most_rows


def _native(table: DeltaTable) -> NativeTable:
    assert table.native is not None
    return table.native


def _stored_field(stored: pa.Schema, defined: pa.Field) -> pa.Field:
    """The field to read: a column that was widened since the definition was read keeps its wider type."""
    position = stored.get_field_index(defined.name)
    if position < 0:
        return defined
    own = stored.field(position).type
    return pa.field(defined.name, own) if own in _WIDER.get(defined.type, ()) else defined


def _rejected_rows(bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> DataFrame:
    return bad.select(
        F.lit(tenant_id).alias("tenant_id"),
        F.lit(batch_id).alias("batch_id"),
        instant(now).alias("rejected_at"),
        column(FAULTS).alias("reasons"),
        column(ROW).alias("row"),
        F.lit(None).cast("string").alias("claim"),
    )


def _rejected_table(bad: pa.Table, tenant_id: str, batch_id: str, now: datetime) -> pa.Table:
    """The same as ``_rejected_rows``, of rows in this process."""
    count = bad.num_rows
    columns = {
        "tenant_id": pa.repeat(pa.scalar(tenant_id), count),
        "batch_id": pa.repeat(pa.scalar(batch_id), count),
        "rejected_at": pa.repeat(pa.scalar(now, REJECTED.field("rejected_at").type), count),
        "reasons": bad.column(FAULTS),
        "row": bad.column(ROW),
        "claim": pa.nulls(count, pa.string()),
    }
    return pa.table([columns[field.name].cast(field.type) for field in REJECTED], schema=REJECTED)


def _changed_dates_by_feed(values: DeltaTable, tenant_id: str, after: int, up_to: int) -> frozenset[date] | None:
    """The changed dates by the Change Data Feed, which has appended and deleted rows, but no rewritten ones."""
    try:
        of_tenant = values.changes(after + 1, up_to).where(F.col("tenant_id") == F.lit(tenant_id))
        return frozenset(row["event_date"] for row in of_tenant.select("event_date").distinct().collect())
    except (spark_errors.PySparkException, py4j_errors.Py4JJavaError):
        # After a vacuum, for example. Other faults show when the caller reads all rows instead.
        return None


def _has_claim(tenant_id: str, claim: str) -> Column:
    return (F.col("tenant_id") == F.lit(tenant_id)) & (F.col("claim") == F.lit(claim))


def _tracks_rows(table: DataFrame) -> bool:
    metadata = table.select("_metadata").schema["_metadata"].dataType
    return isinstance(metadata, StructType) and "row_id" in metadata.names


def _of_batch(tenant_id: str, batch_id: str | None) -> Where:
    """The tenant's rows: one batch's, or those of all."""
    return equal(tenant_id=tenant_id) if batch_id is None else equal(tenant_id=tenant_id, batch_id=batch_id)


def _transaction(tenant_id: str, batch_id: str) -> Transaction:
    return Transaction(f"featurestore/{tenant_id}/{batch_id}")
