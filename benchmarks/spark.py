"""The session, the tables and the consumption of a result, which all engines on Spark share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.answers import MODULUS, WEIGHTS, Answers
from benchmarks.dataset import TENANT, TIME, Dataset, GroupFiles, Kind
from featurestore import Settings
from featurestore.session import open_session

_PROJECT = Path(__file__).parents[1]


@contextmanager
def benchmark_session(settings: Settings, **properties: str) -> Iterator[SparkSession]:
    """The session that the feature store itself starts, with its defaults; every engine uses the same."""
    own = {
        "spark.jars.ivy": str(_PROJECT / ".ivy"),
        "spark.sql.warehouse.dir": settings.warehouse,
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
    session = open_session(settings.model_copy(update={"spark": own | properties}))
    try:
        yield session
    finally:
        session.stop()


def read_spine(spark: SparkSession, dataset: Dataset) -> DataFrame:
    return spark.read.parquet(dataset.spine)


def read_values(spark: SparkSession, dataset: Dataset, group: GroupFiles, times: Sequence[str] = (TIME,)) -> DataFrame:
    """One group's rows as a peer would read them: join keys, times, features."""
    rows = spark.read.format("delta").load(group.table).where(F.col("tenant_id") == F.lit(TENANT))
    return rows.select(*dataset.keys, *times, *group.features)


def consume(frame: DataFrame, columns: dict[str, Kind]) -> Answers:
    """The number of rows, and each column's count, sum, and sum weighted by row."""
    weight = F.pmod("id", F.lit(WEIGHTS))
    aggregates = [F.count(F.lit(1)).cast("double").alias("rows")]
    for name, kind in columns.items():
        number = _number(name, kind)
        aggregates += [
            F.count(name).cast("double").alias(f"{name} count"),
            F.coalesce(F.sum(number), F.lit(0.0)).alias(f"{name} sum"),
            F.coalesce(F.sum(number * weight), F.lit(0.0)).alias(f"{name} weighted"),
        ]
    return frame.agg(*aggregates).collect()[0].asDict()


def _number(name: str, kind: Kind) -> Column:
    column = F.col(name)
    numbers = {
        "double": lambda: column,
        "long": lambda: F.pmod(column, F.lit(MODULUS)),
        "timestamp": lambda: F.pmod(F.unix_micros(column), F.lit(MODULUS)),
        "string": lambda: F.length(column),
    }
    return numbers[kind]().cast("double")
