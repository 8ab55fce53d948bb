"""The run ledger: an append-only table of what each job did; a run's newest row is its state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from featurestore.definitions.time_window import TimeWindow
from featurestore.frames.schema import table_schema
from featurestore.frames.timestamps import instant
from featurestore.stores.delta import DeltaTable

State = Literal["running", "succeeded", "failed"]

_SCHEMA = table_schema(
    "tenant_id string, run_id string, sequence int, job string, feature_group string, group_version int, "
    "window_start timestamp, window_end timestamp, state string, attempt int, rows_written bigint, rows_failed bigint, "
    "table_version bigint, code_version string, error string, recorded_at timestamp"
)


@dataclass(frozen=True)
class Run:
    """One run of one job; ``sequence`` counts its states."""

    tenant_id: str
    run_id: str
    job: str
    feature_group: str
    group_version: int
    window: TimeWindow | None
    attempt: int
    code_version: str
    state: State = "running"
    sequence: int = 0
    rows_written: int | None = None
    rows_failed: int | None = None
    table_version: int | None = None
    error: str | None = None

    def ended(self, state: State, **facts: Any) -> Run:
        return replace(self, state=state, sequence=self.sequence + 1, **facts)


@dataclass(frozen=True)
class RunLedger:
    table: DeltaTable

    def create(self, spark: SparkSession) -> None:
        self.table.create(spark, _SCHEMA, ["tenant_id"])

    def record(self, spark: SparkSession, run: Run, now: datetime) -> None:
        start, end = (run.window.start, run.window.end) if run.window else (None, None)
        row = (
            run.tenant_id, run.run_id, run.sequence, run.job, run.feature_group, run.group_version, start, end, run.state,
            run.attempt, run.rows_written, run.rows_failed, run.table_version, run.code_version, run.error, now,
        )  # fmt: skip
        self.table.append(spark.createDataFrame([row], _SCHEMA).coalesce(1))

    def runs(self, spark: SparkSession, tenant_id: str) -> DataFrame:
        """One row a run of the tenant: its newest state."""
        newest = W.partitionBy("run_id").orderBy(F.desc("sequence"))
        rows = self.table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        return rows.withColumn("__rank", F.row_number().over(newest)).where("__rank = 1").drop("__rank", "sequence")

    def of_window(
        self, spark: SparkSession, tenant_id: str, job: str, group: str, group_version: int, window: TimeWindow
    ) -> list[tuple[str, int]]:
        """State and attempt of every run of one window, oldest attempt first."""
        rows = (
            self.runs(spark, tenant_id)
            .where((F.col("job") == job) & (F.col("feature_group") == group))
            .where((F.col("group_version") == group_version) & (F.col("window_start") == instant(window.start)))
            .where(F.col("window_end") == instant(window.end))
            .select("state", "attempt")
            .collect()
        )
        return sorted(((row["state"], row["attempt"]) for row in rows), key=lambda found: found[1])
