"""The table of statistics: one row per tenant, group, feature and event date, and how far each group is profiled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, reduce

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.timestamps import date_literal, instant
from featurestore.late_spark import Column, DataFrame, F, SparkSession, T, py4j_errors, spark_errors
from featurestore.stores.delta.table import DeltaTable, in_few_files, literal

Dates = tuple[date | None, date | None]


@cache
def _columns() -> dict[str, T.DataType]:
    top = T.StructType([T.StructField("value", T.StringType()), T.StructField("rows", T.LongType())])
    return {
        "tenant_id": T.StringType(),
        "feature_group": T.StringType(),
        "group_version": T.IntegerType(),
        "event_date": T.DateType(),
        "feature": T.StringType(),
        "type": T.StringType(),
        "measure": T.StringType(),
        "rows": T.LongType(),
        "nulls": T.LongType(),
        "numbers": T.LongType(),
        "minimum": T.DoubleType(),
        "maximum": T.DoubleType(),
        "mean": T.DoubleType(),
        "squares": T.DoubleType(),
        "quantiles": T.ArrayType(T.DoubleType()),
        "distinct_values": T.LongType(),
        "top": T.ArrayType(top),
        "distinct_sketch": T.BinaryType(),
        "table_version": T.LongType(),
        "computed_at": T.TimestampType(),
        # Only in a group's mark, a row without an event date: what was profiled.
        "contents": T.StringType(),
        # Null in rows that earlier versions wrote, which are not read.
        "points": T.ArrayType(T.DoubleType()),
    }


@cache
def _schema() -> T.StructType:
    return T.StructType([T.StructField(name, kind) for name, kind in _columns().items()])


@dataclass(frozen=True)
class Mark:
    """States that all of a group's rows up to a version of its table are profiled; ``contents`` says how."""

    table_version: int
    contents: str


@dataclass(frozen=True)
class Statistics:
    """The statistics of all tenants; methods name the tenant, and most the group."""

    table: DeltaTable

    def create(self, spark: SparkSession) -> None:
        # Partitioned by group, so that profiling different groups at once causes no conflicts.
        self.table.create(spark, _schema(), ["tenant_id", "feature_group"])

    def mark(self, spark: SparkSession, tenant_id: str, group: FeatureGroup) -> Mark | None:
        """Return how far the group was profiled as a whole; None if it never was."""
        rows = self._rows(spark, tenant_id, group).where(F.col("event_date").isNull())
        marks = rows.select("table_version", "contents").collect()
        return Mark(*marks[0]) if marks else None

    def lines(self, spark: SparkSession, tenant_id: str, group: FeatureGroup, dates: Dates = (None, None)) -> DataFrame:
        """Return the rows of these event dates, both inclusive; None means no bound."""
        rows = self._rows(spark, tenant_id, group).where(F.col("event_date").isNotNull() & F.col("points").isNotNull())
        first, last = dates
        if first is not None:
            rows = rows.where(F.col("event_date") >= date_literal(first))
        if last is not None:
            rows = rows.where(F.col("event_date") <= date_literal(last))
        return rows

    def of_tenant(self, spark: SparkSession, tenant_id: str) -> DataFrame:
        """Return the rows and marks of all the tenant's groups, in every version; the table must exist."""
        return self.table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))

    def _rows(self, spark: SparkSession, tenant_id: str, group: FeatureGroup) -> DataFrame:
        self.create(spark)
        rows = self.table.read(spark)
        if "points" not in rows.columns:
            self.table.add_columns(spark, [_schema()["points"]])
            rows = self.table.read(spark)
        return rows.where(_of(tenant_id, group))

    def replace(
        self,
        lines: DataFrame,
        tenant_id: str,
        group: FeatureGroup,
        where: Dates | list[date],
        table_version: int,
        contents: str | None,
        now: datetime,
    ) -> None:
        """Replace all statistics of the dates ``where`` with these, in one commit.

        ``where`` is a first and a last date, both inclusive, or a list of dates. With ``contents`` the group's mark is
        replaced, too.
        """
        constants = {
            "tenant_id": F.lit(tenant_id),
            "feature_group": F.lit(group.name),
            "group_version": F.lit(group.version),
            "table_version": F.lit(table_version),
            "computed_at": instant(now),
        }
        rows = [lines] if contents is None else [lines, _mark(lines.sparkSession, contents)]
        whole = reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), rows)
        stored = [
            constants.get(name, F.col(name) if name in whole.columns else F.lit(None)).cast(kind).alias(name)
            for name, kind in _columns().items()
        ]
        self.table.replace(in_few_files(whole.select(*stored)), _replaced(tenant_id, group, where, contents))


def _mark(spark: SparkSession, contents: str) -> DataFrame:
    return spark.range(1).select(F.lit(contents).alias("contents"))


def _of(tenant_id: str, group: FeatureGroup) -> Column:
    return (
        (F.col("tenant_id") == F.lit(tenant_id))
        & (F.col("feature_group") == F.lit(group.name))
        & (F.col("group_version") == F.lit(group.version))
    )


def _replaced(tenant_id: str, group: FeatureGroup, where: Dates | list[date], contents: str | None) -> str:
    """Return the condition for the rows to be replaced, in SQL."""
    if isinstance(where, tuple):
        bounds = [f"event_date {sign} {_date(end)}" for sign, end in zip((">=", "<="), where, strict=True) if end]
        dates = " AND ".join(["event_date IS NOT NULL", *bounds])
    else:
        dates = f"event_date IN ({', '.join(map(_date, where))})" if where else "false"
    mark = "false" if contents is None else "event_date IS NULL"
    return (
        f"tenant_id = {literal(tenant_id)} AND feature_group = {literal(group.name)} "
        f"AND group_version = {group.version} AND (({dates}) OR {mark})"
    )


def _date(day: date) -> str:
    return f"DATE {literal(day.isoformat())}"


def changed_dates(
    spark: SparkSession, values: DeltaTable, tenant_id: str, after: int, up_to: int
) -> frozenset[date] | None:
    """Return the event dates at which the tenant's rows changed in the table versions ``after < v <= up_to``.

    They come from the Change Data Feed, which has appended and deleted rows, but no rows of files that were only
    rewritten. Returns None if the feed does not go back far enough, such as after a vacuum: then every date may have
    changed.
    """
    reader = (
        spark.read.format("delta")
        .option("readChangeFeed", "true")
        .option("startingVersion", after + 1)
        .option("endingVersion", up_to)
    )
    try:
        feed = reader.load(values.path) if values.path is not None else reader.table(values.sql)
        of_tenant = feed.where(F.col("tenant_id") == F.lit(tenant_id))
        return frozenset(row["event_date"] for row in of_tenant.select("event_date").distinct().collect())
    except (spark_errors.PySparkException, py4j_errors.Py4JJavaError):
        # Other faults show when the caller reads all rows instead.
        return None
