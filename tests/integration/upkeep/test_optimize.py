"""Optimize changes files, and never an answer."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from featurestore.columnar.rows.file_layout import FILE_BYTES
from featurestore.frames.fingerprint import content_hash
from featurestore.operations.upkeep.optimize import PartitionFiles
from featurestore.stores.delta.table_files import TableFiles
from tests.conftest import Clock, OpenFeatureStore

START = datetime(2026, 1, 1, tzinfo=UTC)
DOCS = FeatureGroup(
    "docs",
    Entity("doc", join_keys={"shelf": "long", "doc_id": "string"}),
    features=[Feature("words", "long"), Feature("text", "embedding(2)")],
)


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def doc(number: int, hour: float) -> dict[str, Any]:
    return {
        "shelf": number % 2, "doc_id": f"d{number}", "event_timestamp": hours(hour), "words": number, "text": [hour, 1.0],
    }  # fmt: skip


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(hours(1000)))
    fs.apply([DOCS])
    return fs


@pytest.fixture(scope="module")
def store(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


def files_of(store: OfflineStore, day: int) -> list[Path]:
    """The files of a day of January that are in the newest version."""
    context = store._scope.context
    files = TableFiles(context.spark, context.files, context.table(DOCS).values, {"tenant_id": store.tenant_id})
    live = files.live()
    paths = [Path(file.path.removeprefix("file:")) for file in files.stored() if file.name in live]
    return [path for path in paths if path.parent.name == f"event_date=2026-01-0{day}"]


def test_small_files_become_one_in_order_and_no_answer_changes(
    feature_store: FeatureStore, store: OfflineStore
) -> None:
    for hour in (3, 1, 2):
        # The first day in three files, the second in one.
        store.write_batch("docs", [doc(number, hour) for number in (3, 1, 2)] + ([doc(9, 30)] if hour == 1 else []))
    feature_store.tenant("other").write_batch("docs", [doc(1, 1)])
    spine = pd.DataFrame({"shelf": [1, 0, 1], "doc_id": ["d1", "d2", "d3"], "event_timestamp": [hours(2.5)] * 3})
    table = store._scope.context.table(DOCS).values

    def answers() -> list[Any]:
        joined = store.get_point_in_time(spine, ["docs:words", "docs:text"], to="spark")
        return [content_hash(table.read()), sorted(map(repr, joined.collect()))]

    before = answers()
    assert (len(files_of(store, 1)), len(files_of(store, 2))) == (3, 1)
    [tried] = store.optimize(dry_run=True)

    [done] = store.optimize()

    assert (done.partitions, done.rewritten, done.busy, done.files_before, done.files_after) == (2, 1, 0, 4, 2)
    assert (tried.rewritten, tried.files_after, tried.bytes_before) == (1, 2, done.bytes_before)
    assert 0 < done.bytes_after < done.bytes_before
    assert answers() == before
    [file] = files_of(store, 1)
    rows = pq.ParquetFile(file).read().to_pylist()
    in_file = [(row["shelf"], row["doc_id"], row["event_timestamp"]) for row in rows]
    assert in_file == sorted(in_file)
    assert len(in_file) == 9
    changes = feature_store.spark.read.format("delta").option("readChangeFeed", "true")
    assert changes.option("startingVersion", done.table_version).load(table.path).count() == 0
    [again] = store.optimize()
    assert (again.rewritten, again.table_version) == (0, None)
    runs = [run for run in store.runs(to="arrow").to_pylist() if run["job"] == "optimize"]
    assert [run["state"] for run in runs] == ["succeeded"] * 2


def test_rows_appended_concurrently_are_neither_lost_nor_duplicated(
    feature_store: FeatureStore, store: OfflineStore
) -> None:
    busy = feature_store.tenant("busy")
    busy.write_batch("docs", [doc(number, 0) for number in range(20)])
    failures: list[BaseException] = []

    def append() -> None:
        try:
            for hour in range(1, 6):
                busy.write_batch("docs", [doc(number, hour) for number in range(20)])
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=append)
    writer.start()
    rewritten = 0
    while writer.is_alive():
        [result] = busy.optimize(["docs"])
        rewritten += result.rewritten
    writer.join()

    assert failures == []
    assert rewritten > 0
    rows = busy.get_batch_features(["docs:words", "docs:text"], hours(0), hours(24), to="arrow").rows
    texts = sorted((row["words"], row["text"][0]) for row in rows.to_pylist())
    assert texts == sorted((number, float(hour)) for number in range(20) for hour in range(6))
    table = busy._scope.context.table(DOCS).values.read()
    assert table.where("tenant_id = 'busy'").count() == 120


def test_good_partitions_are_recognized() -> None:
    def partition(*sizes: int, are_sorted_runs: bool = True) -> PartitionFiles:
        return PartitionFiles(date(2026, 1, 1), sizes, are_sorted_runs)

    eighth = FILE_BYTES // 8
    assert partition(1).is_good
    assert not partition(1, are_sorted_runs=False).is_good
    assert not partition(1, 1).is_good
    assert partition(eighth, eighth, eighth).is_good
    assert not partition(eighth, eighth, are_sorted_runs=False).is_good
    assert not partition(eighth - 1, 1).is_good
    assert partition(FILE_BYTES, 1).is_good
    assert [partition(size).target_count for size in (1, FILE_BYTES, FILE_BYTES + 1, 3 * FILE_BYTES)] == [1, 1, 2, 4]
    # What a partition was cut into is good, however many bytes it has.
    for size in (FILE_BYTES + 1, 2 * FILE_BYTES, 9 * FILE_BYTES):
        number = partition(size).target_count
        assert partition(*[size // number] * number).is_good
