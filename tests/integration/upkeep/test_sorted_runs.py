"""Files as sorted runs: large dates are cut by key range when they are written, and old files when they are optimized."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from featurestore.columnar.rows import file_layout
from featurestore.columnar.rows.file_layout import ROW_GROUP_ROWS, FileLimits
from featurestore.operations.upkeep import optimize as optimize_module
from featurestore.stores.delta.delta_log import LogFile
from tests.conftest import Clock, OpenFeatureStore, spark_setting

MONDAY = date(2026, 11, 2)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
VISITS = FeatureGroup(
    "visits",
    Entity("user", join_keys={"shop": "int", "user_id": "string"}),
    features=[Feature("pages", "long"), Feature("seconds", "double")],
)
COLUMNS = (
    "cast(id % 2 AS int) AS shop",
    "concat('u', lpad(cast(id * 7919 % 1000 AS string), 4, '0')) AS user_id",
    "timestamp'2026-11-02 12:00:00' + make_dt_interval(0, 0, 0, id % 50) AS event_timestamp",
    "id AS pages",
    "id / 7 AS seconds",
)
# Estimated by types, a row of these has 68 bytes, and a file 400 rows.
LIMITS = FileLimits(group_rows=50, file_bytes=68 * 400)


@pytest.fixture
def store(open_feature_store: OpenFeatureStore, monkeypatch: pytest.MonkeyPatch) -> OfflineStore:
    monkeypatch.setattr(file_layout, "LIMITS", LIMITS)
    fs = open_feature_store(Clock(NOON + timedelta(days=9)))
    fs.apply([VISITS])
    return fs.tenant("acme")


def files_of(store: OfflineStore, day: date = MONDAY) -> list[LogFile]:
    files = store._scope.table(VISITS).files(store.tenant_id, with_keys=True)
    return [file for file in files if file.partition["event_date"] == day]


def paths_of(store: OfflineStore) -> list[Path]:
    root = store._scope.table(VISITS).values.path
    assert root is not None
    return [Path(root, file.path.rpartition(f"{root}/")[2]) for file in files_of(store)]


def sorted_rows(path: Path) -> list[tuple[Any, ...]]:
    """The keys and times of a file, which must be in order there."""
    rows = pq.read_table(path, columns=["shop", "user_id", "event_timestamp"], partitioning=None)
    found = [tuple(row.values()) for row in rows.to_pylist()]
    assert found == sorted(found)
    return found


def check_disjoint(paths: list[Path]) -> None:
    runs = sorted(sorted_rows(path) for path in paths)
    assert [row for run in runs for row in run] == sorted(row for run in runs for row in run)


def row_groups(path: Path) -> list[int]:
    footer = pq.read_metadata(path)
    return [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]


def old_file(spark: SparkSession, store: OfflineStore, rows: int, files: int = 1) -> None:
    """Write Monday's rows as another writer would: in no order, and in row groups as large as files."""
    frame = spark.range(rows).selectExpr(*COLUMNS)
    table = store._scope.table(VISITS)
    table.values.append(table.as_stored(with_created(frame), store.tenant_id, NOON).repartition(files))


def with_created(frame: DataFrame) -> DataFrame:
    return frame.selectExpr("*", "CAST(NULL AS timestamp) AS created_timestamp")


def contents(store: OfflineStore) -> list[str]:
    values = ["visits:pages", "visits:seconds"]
    return sorted(
        map(repr, store.get_batch_features(values, NOON, NOON + timedelta(days=9), to="arrow").rows.to_pylist())
    )


@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_a_large_date_is_cut_by_key_range_and_small_ones_are_one_file(
    spark: SparkSession, store: OfflineStore, adaptive: str
) -> None:
    days = [MONDAY + timedelta(days=number) for number in (1, 2, 3)]
    later = spark.range(30).selectExpr(*COLUMNS)
    later = later.selectExpr(
        "* EXCEPT (event_timestamp)", "event_timestamp + make_dt_interval(1 + pages % 3) AS event_timestamp"
    )
    frame = spark.range(3000).selectExpr(*COLUMNS).unionByName(later).repartition(3)
    # Executors write it, as they do a frame that is too large for this process.
    settings = store._scope.settings.model_copy(update={"local_batch_rows": 0})
    by_executors = FeatureStore.open(settings, spark=spark, clock=Clock(NOON + timedelta(days=9))).tenant("acme")

    with spark_setting(spark, "spark.sql.adaptive.enabled", adaptive):
        assert by_executors.write_batch("visits", frame).written == 3030

    paths = paths_of(store)
    assert len(paths) > 3
    check_disjoint(paths)
    assert all(size <= LIMITS.group_rows for path in paths for size in row_groups(path))
    assert [len(files_of(store, day)) for day in days] == [1, 1, 1]
    assert [result.rewritten for result in store.optimize()] == [0]


def test_a_large_local_batch_is_cut_by_key_range(store: OfflineStore) -> None:
    rows = [
        {"shop": number % 2, "user_id": f"u{number * 7919 % 1000}", "event_timestamp": NOON, "pages": number}
        for number in range(2000)
    ]
    store.write_batch("visits", rows)

    paths = paths_of(store)
    assert len(paths) > 1
    check_disjoint(paths)
    assert [result.rewritten for result in store.optimize()] == [0]


@pytest.mark.parametrize(("local_bytes", "files"), [(1 << 25, 1), (0, 3)], ids=["without Spark", "in tasks"])
def test_optimize_mends_an_old_table_once(
    spark: SparkSession, store: OfflineStore, monkeypatch: pytest.MonkeyPatch, local_bytes: int, files: int
) -> None:
    monkeypatch.setattr(optimize_module, "_LOCAL_BYTES", local_bytes)
    old_file(spark, store, 3000, files)
    before = contents(store)
    version = store._scope.table(VISITS).values.version()
    [planned] = store.optimize(dry_run=True)

    [done] = store.optimize()

    assert (planned.rewritten, done.rewritten, done.busy, done.files_before) == (1, 1, 0, files)
    assert contents(store) == before
    paths = paths_of(store)
    assert len(paths) == done.files_after > 1
    check_disjoint(paths)
    assert all(size <= LIMITS.group_rows for path in paths for size in row_groups(path))
    table = store._scope.table(VISITS)
    assert table.changed_dates(store.tenant_id, version, table.values.version()) == frozenset()
    [again] = store.optimize()
    assert (again.rewritten, again.table_version) == (0, None)


@pytest.mark.parametrize("feature", ["delta.enableRowTracking", "delta.enableDeletionVectors"])
def test_optimize_mends_tables_that_only_spark_writes(
    spark: SparkSession, store: OfflineStore, monkeypatch: pytest.MonkeyPatch, feature: str
) -> None:
    monkeypatch.setattr(file_layout, "LIMITS", FileLimits(file_bytes=75_000))
    table = store._scope.table(VISITS)
    table.values.set_properties({feature: "true"})
    old_file(spark, store, 2 * ROW_GROUP_ROWS + 1000, 2)
    before = table.values.read().count()

    [done] = store.optimize()

    assert (done.rewritten, done.busy, done.files_before) == (1, 0, 2)
    assert table.values.read().count() == before
    paths = paths_of(store)
    assert len(paths) > 1
    check_disjoint(paths)
    assert all(size <= ROW_GROUP_ROWS for path in paths for size in row_groups(path))
    # The settings that Delta takes from the session are not those of this one.
    assert spark.conf.get("parquet.block.row.count.limit", None) is None
    assert [result.rewritten for result in store.optimize()] == [0]


def test_what_others_change_while_a_partition_is_rewritten_stays(
    spark: SparkSession, store: OfflineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimize_module, "_LOCAL_BYTES", 0)
    old_file(spark, store, 1000)
    table = store._scope.table(VISITS)
    more = {"shop": 1, "user_id": "u1", "event_timestamp": NOON, "pages": -1}
    tries: list[int] = []

    def while_the_first_try_reads(change: Callable[[], object]) -> Callable[[DataFrame], DataFrame]:
        def laid_out(rows: DataFrame) -> DataFrame:
            tries.append(1)
            if len(tries) == 1:
                change()
            return rows.coalesce(1).sortWithinPartitions(*table.order)

        return laid_out

    # An append is left alone; a rewritten file is read again.
    assert table.merge_in_tasks(
        store.tenant_id, MONDAY, while_the_first_try_reads(lambda: store.write_batch("visits", [more]))
    )
    assert (len(tries), table.values.read().count()) == (1, 1001)
    tries.clear()
    merge = while_the_first_try_reads(lambda: table.merge_locally(store.tenant_id, MONDAY))
    assert table.merge_in_tasks(store.tenant_id, MONDAY, merge)
    assert (len(tries), table.values.read().count()) == (2, 1001)
