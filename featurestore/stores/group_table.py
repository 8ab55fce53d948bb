"""A feature group's two tables, its values and its rejected rows: create, evolve, append, read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructField, StructType

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.types import is_wider
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.suppression import REASON
from featurestore.frames.schema import PARTITION_COLUMNS, REJECTED, values_schema
from featurestore.frames.timestamps import date_literal, instant, partition_date, utc_date
from featurestore.stores.delta.table import DeltaTable, Transaction, in_few_files, literal
from featurestore.stores.layout import Layout

_PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    # A widened column (int to long, float to double) keeps its files.
    "delta.enableTypeWidening": "true",
    # For so long a version can be read again, by which a training set was built, and a batch's commit tells a late retry
    # what it wrote. Delta's own 30 and 7 days are less than people keep a model; a vacuum knows of no file that was
    # removed longer ago than the second says.
    "delta.logRetentionDuration": "interval 400 days",
    "delta.deletedFileRetentionDuration": "interval 400 days",
}
# Rows with identities that last: the as-of join leaves arrays out of its sort, and finds them again by these.
_ROW_TRACKING = {"delta.enableRowTracking": "true"}
ROW_IDENTITY = "__row_identity"
# Among them is the last batch, unless so many commits of upkeep came after it.
_LAST_COMMITS = 20


@dataclass(frozen=True)
class BatchRecord:
    """What a commit says of the batch it holds, in its user metadata: how a retry learns what happened before."""

    tenant_id: str
    batch_id: str
    token: str
    fingerprint: str
    written: int
    failed: int
    errors: dict[str, int]
    # The created timestamp of its rows, ISO 8601, where their writer gave none; records of older code have no such word.
    created_at: str | None = None

    @property
    def invalid(self) -> int:
        """The failed rows that broke rules; the others are of erased entities."""
        return self.failed - self.errors.get(REASON, 0)

    def to_json(self) -> str:
        return json.dumps({"featurestore_batch": asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None) -> BatchRecord | None:
        """The record in a commit's user metadata; None for commits of other kinds."""
        try:
            told = json.loads(text or "null")
        except json.JSONDecodeError:
            return None
        if not isinstance(told, dict) or "featurestore_batch" not in told:
            return None
        return cls(**told["featurestore_batch"])


@dataclass(frozen=True)
class GroupTable:
    """The tables of one feature group, of all tenants; every method names the tenant it is for."""

    group: FeatureGroup
    values: DeltaTable
    rejected: DeltaTable

    @classmethod
    def of(cls, layout: Layout, group: FeatureGroup) -> GroupTable:
        return cls(group, layout.values(group), layout.rejected(group))

    def make(self, spark: SparkSession) -> None:
        """Create the values' table, or evolve the one that is there; safe to repeat."""
        if self.values.exists(spark):
            self._evolve(spark)
        else:
            self.values.create(spark, values_schema(self.group), PARTITION_COLUMNS, self._properties)

    @property
    def _has_arrays(self) -> bool:
        return any(isinstance(field.dataType, ArrayType) for field in values_schema(self.group))

    @property
    def _properties(self) -> dict[str, str]:
        # Only where there are arrays: commits of tables that number their rows take longer.
        return _PROPERTIES | (_ROW_TRACKING if self._has_arrays else {})

    def _evolve(self, spark: SparkSession) -> None:
        """Add the columns the table lacks and widen those that the group widened."""
        stored = {field.name: field for field in self.values.read(spark).schema}
        wanted = values_schema(self.group)
        self.values.add_columns(spark, [field for field in wanted if field.name not in stored])
        for field in wanted:
            if field.name in stored and stored[field.name].dataType != field.dataType:
                self.values.change_type(spark, StructField(field.name, field.dataType))
        if self._has_arrays and not _numbers_rows(self.values.read(spark)):
            self.values.set_properties(spark, _ROW_TRACKING)
        there = self.values.detail(spark)["properties"]
        self.values.set_properties(spark, {key: value for key, value in _PROPERTIES.items() if key not in there})

    def append_rejected(self, bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> None:
        """Append a batch's bad rows, once; those that a try of it left behind, which wrote no values, make place."""
        self._ready_rejected(bad.sparkSession)
        if not self.read_rejected(bad.sparkSession, tenant_id, batch_id).isEmpty():
            return self.replace_rejected(bad, tenant_id, batch_id, now)
        return self.rejected.append(
            _rejected_rows(bad, tenant_id, batch_id, now), Transaction(_app_id(tenant_id, batch_id))
        )

    def replace_rejected(self, bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> None:
        """The same in place of the batch's rejected rows, in one commit."""
        self._ready_rejected(bad.sparkSession)
        of_batch = f"tenant_id = {literal(tenant_id)} AND batch_id = {literal(batch_id)}"
        self.rejected.replace(_rejected_rows(bad, tenant_id, batch_id, now), of_batch)

    def _ready_rejected(self, spark: SparkSession) -> None:
        """Most groups never reject a row; the table comes with the first."""
        self.rejected.create(spark, REJECTED, ["tenant_id"])
        self._evolve_rejected(spark)

    def append_values(self, good: DataFrame, record: BatchRecord, now: datetime) -> None:
        """Append a batch's good rows, once: Delta skips a batch id that this table has seen from this tenant."""
        stored = self.as_stored(good, record.tenant_id, now)
        sorted_files = in_few_files(stored, "event_date").sortWithinPartitions(
            "event_date", *self.group.join_keys, "event_timestamp"
        )
        self.values.append(sorted_files, Transaction(_app_id(record.tenant_id, record.batch_id)), record.to_json())

    def as_stored(self, good: DataFrame, tenant_id: str, now: datetime) -> DataFrame:
        """Good rows with the table's columns, in its order, as they are appended at ``now``."""
        date_of = partition_date(utc_date(column("event_timestamp")), self.group.partition_by)
        created = F.coalesce(column("created_timestamp"), instant(now))
        stored = good.withColumns({"tenant_id": F.lit(tenant_id), "event_date": date_of, "created_timestamp": created})
        for feature in self.group.features:
            if feature.model_version_column is not None:
                version = F.coalesce(column(feature.model_version_column), F.lit(feature.default_model_version))
                named = F.when(column(feature.name).isNotNull(), version)
                stored = stored.withColumn(feature.model_version_column, named)
        return stored.select(*(column(field.name) for field in values_schema(self.group)))

    def read_whole(self, spark: SparkSession, tenant_id: str) -> DataFrame:
        """One tenant's rows with all columns of the table, in its order."""
        return self.read_values(spark, tenant_id, [field.name for field in values_schema(self.group)]).drop(
            ROW_IDENTITY
        )

    def next_created(self, spark: SparkSession, now: datetime) -> datetime:
        """The created timestamp of the next batch: now, or just after the last batch's where the clock stepped back.

        Else a correction that is written after the step would count as older than what it corrects.
        """
        records = (
            BatchRecord.from_json(commit["userMetadata"]) for commit in self.values.history(spark, _LAST_COMMITS)
        )
        last = next((record.created_at for record in records if record is not None and record.created_at), None)
        if last is None or now >= datetime.fromisoformat(last):
            return now
        return datetime.fromisoformat(last) + timedelta(microseconds=1)

    def find_batch(
        self, spark: SparkSession, tenant_id: str, batch_id: str, limit: int | None = None
    ) -> tuple[int, BatchRecord] | None:
        """The commit that holds a batch, among the last ``limit``; its table version and its record."""
        for commit in self.values.history(spark, limit):
            record = BatchRecord.from_json(commit["userMetadata"])
            if record is not None and (record.tenant_id, record.batch_id) == (tenant_id, batch_id):
                return int(commit["version"]), record
        return None

    def read_values(
        self,
        spark: SparkSession,
        tenant_id: str,
        columns: Sequence[str],
        dates: tuple[date | None, date | None] | None = None,
        version: int | None = None,
    ) -> DataFrame:
        """One tenant's rows with just these columns, of the partitions ``dates`` (both ends included; none: no end).

        A column that the table's version did not have yet reads as null. One that was widened since the definition was read
        has the wider type: its values are never narrowed. Where an array is among the columns and the
        table's version numbers its rows, ``ROW_IDENTITY`` is there too: a long, of which no two rows have the same.
        """
        table = self.values.read(spark, version)
        rows = table.where(F.col("tenant_id") == F.lit(tenant_id))
        if dates is not None:
            first, last = dates
            if last is not None:
                rows = rows.where(F.col("event_date") <= date_literal(last))
            if first is not None:
                rows = rows.where(F.col("event_date") >= date_literal(first))
        wanted = values_schema(self.group)
        stored = [self._stored(table, wanted[name]) for name in columns]
        if any(isinstance(wanted[name].dataType, ArrayType) for name in columns) and _numbers_rows(table):
            stored.append(F.col("_metadata.row_id").alias(ROW_IDENTITY))
        return rows.select(*stored)

    def _stored(self, table: DataFrame, field: StructField) -> Any:
        if field.name not in table.columns:
            return F.lit(None).cast(field.dataType).alias(field.name)
        if is_wider(table.schema[field.name].dataType.simpleString(), field.dataType.simpleString()):
            return column(field.name)
        return column(field.name).cast(field.dataType).alias(field.name)

    def read_rejected(
        self, spark: SparkSession, tenant_id: str, batch_id: str | None = None, claim: str | None = None
    ) -> DataFrame:
        """The tenant's rejected rows; of one batch, or those that a retry has claimed."""
        if not self.rejected.exists(spark):
            return spark.createDataFrame([], REJECTED).drop("claim")
        rows = self.rejected.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        if batch_id is not None:
            rows = rows.where(F.col("batch_id") == F.lit(batch_id))
        if claim is not None:
            rows = rows.where(F.col("claim") == F.lit(claim))
        return rows.drop("claim")

    def claims(self, spark: SparkSession, tenant_id: str) -> list[str]:
        """Claims on the tenant's rejected rows that a retry has left behind."""
        if not self.rejected.exists(spark):
            return []
        self._evolve_rejected(spark)
        rows = self.rejected.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        return sorted(row["claim"] for row in rows.where("claim IS NOT NULL").select("claim").distinct().collect())

    def claim(self, texts: DataFrame, tenant_id: str, batch_id: str | None, claim: str) -> None:
        """Claim the tenant's rejected rows (of one batch) whose text is among ``texts``, which has each ``row`` once."""
        wanted = (F.col("target.tenant_id") == F.lit(tenant_id)) & (F.col("target.row") == F.col("source.row"))
        if batch_id is not None:
            wanted = wanted & (F.col("target.batch_id") == F.lit(batch_id))
        unclaimed = F.col("target.claim").isNull()
        self.rejected.update_matched(texts, wanted & unclaimed, {"claim": F.lit(claim)})

    def give_up(self, spark: SparkSession, tenant_id: str, claim: str) -> None:
        """Rows of a claim that was never written are rejected rows like others again."""
        self.rejected.update(spark, _claimed(tenant_id, claim), {"claim": F.lit(None).cast("string")})

    def remove_claimed(self, spark: SparkSession, tenant_id: str, claim: str) -> None:
        self.rejected.delete(spark, _claimed(tenant_id, claim))

    def _evolve_rejected(self, spark: SparkSession) -> None:
        stored = self.rejected.read(spark).columns
        self.rejected.add_columns(spark, [field for field in REJECTED if field.name not in stored])


def _rejected_rows(bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> DataFrame:
    return bad.select(
        F.lit(tenant_id).alias("tenant_id"),
        F.lit(batch_id).alias("batch_id"),
        instant(now).alias("rejected_at"),
        column(FAULTS).alias("reasons"),
        column(ROW).alias("row"),
        F.lit(None).cast("string").alias("claim"),
    )


def _claimed(tenant_id: str, claim: str) -> Column:
    return (F.col("tenant_id") == F.lit(tenant_id)) & (F.col("claim") == F.lit(claim))


def _numbers_rows(table: DataFrame) -> bool:
    metadata = table.select("_metadata").schema["_metadata"].dataType
    return isinstance(metadata, StructType) and "row_id" in metadata.names


def _app_id(tenant_id: str, batch_id: str) -> str:
    return f"featurestore/{tenant_id}/{batch_id}"
