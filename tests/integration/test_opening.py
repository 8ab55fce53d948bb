"""Opening a store: which tables this process reads and writes itself, and when Spark starts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import FeatureStore, Settings
from featurestore.errors import ConfigurationError, InvalidArgumentError, RuntimeSetupError


@pytest.fixture
def hdfs_by_default(spark: SparkSession) -> Iterator[SparkSession]:
    """The session, as if a cluster's configuration made HDFS its default file system."""
    configuration: Any = spark._jsc.hadoopConfiguration()
    before = configuration.get("fs.defaultFS")
    configuration.set("fs.defaultFS", "hdfs://cluster:8020")
    yield spark
    configuration.set("fs.defaultFS", before)


def is_native(settings: Settings, spark: SparkSession | None, **environ: str) -> bool:
    return FeatureStore.open(settings, spark=spark, environ=environ)._context.is_native


def test_a_folder_of_this_machine_is_read_and_written_without_spark(spark: SparkSession, tmp_path: Path) -> None:
    assert is_native(Settings(warehouse=str(tmp_path)), spark)
    assert is_native(Settings(warehouse=f"file://{tmp_path}"), spark)
    assert not is_native(Settings(warehouse=str(tmp_path), small_tables="spark"), spark)


@pytest.mark.parametrize(
    ("settings", "environ", "obstacle"),
    [
        (
            {"warehouse": "hdfs://cluster/store"},
            {},
            "the warehouse 'hdfs://cluster/store' is not a folder of this machine, and no object store",
        ),
        ({"warehouse": "s3a://bucket/store"}, {}, r"only Spark reads s3a://bucket/store \(.+\); .+, Object stores"),
        ({"catalog": "main.features"}, {}, "a catalog, 'main.features', holds the tables"),
        ({}, {"DATABRICKS_RUNTIME_VERSION": "17.0"}, "the platform keeps storage to itself"),
        ({}, {"SPARK_REMOTE": "sc://localhost"}, "a Spark Connect server reads and writes the tables"),
        ({"spark": {"spark.remote": "sc://localhost"}}, {}, "a Spark Connect server reads and writes the tables"),
    ],
)
def test_where_only_spark_reaches_the_tables_it_does_everything(
    spark: SparkSession, settings: dict[str, Any], environ: dict[str, str], obstacle: str
) -> None:
    assert not is_native(Settings(**settings), spark, **environ)
    with pytest.raises(ConfigurationError, match=rf"small_tables is 'native', and {obstacle}; set it to 'auto'"):
        is_native(Settings(small_tables="native", **settings), spark, **environ)


def test_a_path_that_spark_finds_on_another_file_system_is_left_to_it(
    hdfs_by_default: SparkSession, tmp_path: Path
) -> None:
    assert not is_native(Settings(warehouse=str(tmp_path)), hdfs_by_default)
    assert is_native(Settings(warehouse=f"file://{tmp_path}"), hdfs_by_default)
    with pytest.raises(ConfigurationError, match="Spark's default file system is hdfs://cluster:8020; set it to"):
        is_native(Settings(warehouse=str(tmp_path), small_tables="native"), hdfs_by_default)


def test_a_session_that_starts_later_must_find_the_warehouse_on_this_machine(
    hdfs_by_default: SparkSession, tmp_path: Path
) -> None:
    from featurestore.session import check_file_system

    with pytest.raises(RuntimeSetupError, match=rf"hdfs://cluster:8020; write it as a URI, file://{tmp_path}, or"):
        check_file_system(Settings(warehouse=str(tmp_path)), hdfs_by_default)


def test_what_is_no_session_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="spark is 'local'"):
        FeatureStore.open(Settings(warehouse=str(tmp_path)), spark="local")  # type: ignore[arg-type]


@pytest.mark.usefixtures("spark")
def test_a_session_of_the_package_does_not_note_where_columns_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[int] = []
    monkeypatch.setattr("pyspark.errors.utils._capture_call_site", noted.append)

    _ = F.col("score") > F.lit(1)

    assert noted == []
