"""A feature group's two tables, for values and for rejected rows: create, evolve, append, read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.types import is_wider
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.suppression import REASON
from featurestore.frames.schema import PARTITION_COLUMNS, rejected_schema, values_schema
from featurestore.frames.timestamps import date_literal, instant, partition_date, utc_date
from featurestore.late_spark import ArrayType, Column, DataFrame, F, SparkSession, StructField, StructType
from featurestore.stores.delta.table import DeltaTable, Transaction, in_few_files, literal
from featurestore.stores.layout import Layout

_PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    # A widened column (int to long, float to double) keeps its files.
    "delta.enableTypeWidening": "true",
    # How long a training set's table versions can be read again, and a late retry finds its batch's commit. People keep
    # models for longer than Delta's defaults of 30 and 7 days; a vacuum does not know of files that were removed longer
    # ago than the second interval.
    "delta.logRetentionDuration": "interval 400 days",
    "delta.deletedFileRetentionDuration": "interval 400 days",
}
# Gives rows lasting identities: the as-of join leaves arrays out of its sort and looks them up again by these.
_ROW_TRACKING = {"delta.enableRowTracking": "true"}
ROW_IDENTITY = "__row_identity"
# They contain the last batch, unless this many commits of upkeep followed it.
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

    def make(self, spark: SparkSession) -> None:
        """Create the table of values, or evolve the existing one; safe to repeat."""
        if self.values.exists(spark):
            self._evolve(spark)
        else:
            self.values.create(spark, values_schema(self.group), PARTITION_COLUMNS, self._properties)

    @property
    def _has_arrays(self) -> bool:
        return any(isinstance(field.dataType, ArrayType) for field in values_schema(self.group))

    @property
    def _properties(self) -> dict[str, str]:
        # Only if there are arrays, because commits take longer with row tracking.
        return _PROPERTIES | (_ROW_TRACKING if self._has_arrays else {})

    def _evolve(self, spark: SparkSession) -> None:
        """Add the columns that the table lacks, and widen those that the group widened."""
        stored = {field.name: field for field in self.values.read(spark).schema}
        defined = values_schema(self.group)
        self.values.add_columns(spark, [field for field in defined if field.name not in stored])
        for field in defined:
            if field.name in stored and stored[field.name].dataType != field.dataType:
                self.values.change_type(spark, StructField(field.name, field.dataType))
        if self._has_arrays and not _tracks_rows(self.values.read(spark)):
            self.values.set_properties(spark, _ROW_TRACKING)
        properties = self.values.detail(spark)["properties"]
        self.values.set_properties(spark, {key: value for key, value in _PROPERTIES.items() if key not in properties})

    def append_rejected(self, bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> None:
        """Append a batch's bad rows, once; they replace rows of an earlier try that wrote no values."""
        self._prepare_rejected(bad.sparkSession)
        if not self.read_rejected(bad.sparkSession, tenant_id, batch_id).isEmpty():
            return self.replace_rejected(bad, tenant_id, batch_id, now)
        return self.rejected.append(
            _rejected_rows(bad, tenant_id, batch_id, now), Transaction(_app_id(tenant_id, batch_id))
        )

    def replace_rejected(self, bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> None:
        """Replace the batch's rejected rows with these bad rows, in one commit."""
        self._prepare_rejected(bad.sparkSession)
        of_batch = f"tenant_id = {literal(tenant_id)} AND batch_id = {literal(batch_id)}"
        self.rejected.replace(_rejected_rows(bad, tenant_id, batch_id, now), of_batch)

    def _prepare_rejected(self, spark: SparkSession) -> None:
        """Create or evolve the table of rejected rows; most groups never reject a row, and have no such table."""
        self.rejected.create(spark, rejected_schema(), ["tenant_id"])
        self._evolve_rejected(spark)

    def append_values(self, good: DataFrame, record: BatchRecord, now: datetime) -> None:
        """Append a batch's good rows, once: Delta skips a batch id that this tenant has already written."""
        stored = self.as_stored(good, record.tenant_id, now)
        sorted_files = in_few_files(stored, "event_date").sortWithinPartitions(
            "event_date", *self.group.join_keys, "event_timestamp"
        )
        self.values.append(sorted_files, Transaction(_app_id(record.tenant_id, record.batch_id)), record.to_json())

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

    def read_whole(self, spark: SparkSession, tenant_id: str) -> DataFrame:
        """Return one tenant's rows with all columns of the table, in its order."""
        return self.read_values(spark, tenant_id, [field.name for field in values_schema(self.group)]).drop(
            ROW_IDENTITY
        )

    def next_created(self, spark: SparkSession, now: datetime) -> datetime:
        """Return the next batch's created timestamp: now, or just after the last batch's if the clock was set back.

        Otherwise a correction that is written afterwards would count as older than the row that it corrects.
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
        """Find a batch's commit among the last ``limit``; returns its table version and its record, or None."""
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
        """Return one tenant's rows with these columns, from the partitions ``dates``.

        Both dates are inclusive; None means no bound. A column that the table's version did not have yet is null. A
        column that was widened since the definition was read has the wider type: values are never narrowed. If a column
        is an array and the table's version tracks rows, the result also has ``ROW_IDENTITY``, a long that is unique
        to each row.
        """
        table = self.values.read(spark, version)
        rows = table.where(F.col("tenant_id") == F.lit(tenant_id))
        if dates is not None:
            first, last = dates
            if last is not None:
                rows = rows.where(F.col("event_date") <= date_literal(last))
            if first is not None:
                rows = rows.where(F.col("event_date") >= date_literal(first))
        fields = [values_schema(self.group)[name] for name in columns]
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

    def read_rejected(
        self, spark: SparkSession, tenant_id: str, batch_id: str | None = None, claim: str | None = None
    ) -> DataFrame:
        """Return the tenant's rejected rows: all, one batch's, or those that a retry has claimed."""
        if not self.rejected.exists(spark):
            return spark.createDataFrame([], rejected_schema()).drop("claim")
        rows = self.rejected.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        if batch_id is not None:
            rows = rows.where(F.col("batch_id") == F.lit(batch_id))
        if claim is not None:
            rows = rows.where(F.col("claim") == F.lit(claim))
        return rows.drop("claim")

    def claims(self, spark: SparkSession, tenant_id: str) -> list[str]:
        """Return the claims on the tenant's rejected rows that retries left behind."""
        if not self.rejected.exists(spark):
            return []
        self._evolve_rejected(spark)
        rows = self.rejected.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        return sorted(row["claim"] for row in rows.where("claim IS NOT NULL").select("claim").distinct().collect())

    def claim(self, texts: DataFrame, tenant_id: str, batch_id: str | None, claim: str) -> None:
        """Claim the tenant's rejected rows (of one batch) with a text in ``texts``, which has each ``row`` once."""
        matches = (F.col("target.tenant_id") == F.lit(tenant_id)) & (F.col("target.row") == F.col("source.row"))
        if batch_id is not None:
            matches = matches & (F.col("target.batch_id") == F.lit(batch_id))
        unclaimed = F.col("target.claim").isNull()
        self.rejected.update_matched(texts, matches & unclaimed, {"claim": F.lit(claim)})

    def give_up(self, spark: SparkSession, tenant_id: str, claim: str) -> None:
        """Release the rows of a claim that was never written, so that they are ordinary rejected rows again."""
        self.rejected.update(spark, _has_claim(tenant_id, claim), {"claim": F.lit(None).cast("string")})

    def remove_claimed(self, spark: SparkSession, tenant_id: str, claim: str) -> None:
        self.rejected.delete(spark, _has_claim(tenant_id, claim))

    def _evolve_rejected(self, spark: SparkSession) -> None:
        stored = self.rejected.read(spark).columns
        self.rejected.add_columns(spark, [field for field in rejected_schema() if field.name not in stored])


def _rejected_rows(bad: DataFrame, tenant_id: str, batch_id: str, now: datetime) -> DataFrame:
    return bad.select(
        F.lit(tenant_id).alias("tenant_id"),
        F.lit(batch_id).alias("batch_id"),
        instant(now).alias("rejected_at"),
        column(FAULTS).alias("reasons"),
        column(ROW).alias("row"),
        F.lit(None).cast("string").alias("claim"),
    )


def _has_claim(tenant_id: str, claim: str) -> Column:
    return (F.col("tenant_id") == F.lit(tenant_id)) & (F.col("claim") == F.lit(claim))


def _tracks_rows(table: DataFrame) -> bool:
    metadata = table.select("_metadata").schema["_metadata"].dataType
    return isinstance(metadata, StructType) and "row_id" in metadata.names


def _app_id(tenant_id: str, batch_id: str) -> str:
    return f"featurestore/{tenant_id}/{batch_id}"
