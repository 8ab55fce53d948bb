"""Values on S3 are read by delta-rs and Arrow as they are on a disk, and what cannot be reached is said."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import boto3
import pyarrow as pa
import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, Settings
from featurestore.columnar.as_of.join import as_of_join
from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.errors import StorageError
from featurestore.stores.group_table import GroupTable
from featurestore.stores.layout import Layout
from featurestore.stores.value_files.faults import value_file_errors
from featurestore.stores.value_files.reach import why_unreachable
from tests.processes.s3_server import S3Server, s3_server

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
STATS = FeatureGroup(
    "stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("score", "double"), Feature("tags", "array<string>")],
)
# A tenant's values lie in folders that are named after it, and some characters mean something in a URI.
WAREHOUSE = "of a team/100%"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as started:
        yield started


@pytest.fixture(autouse=True)
def _found(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def local(tmp_path: Path) -> OfflineStore:
    """A store on the disk with two batches, one of which has a correction, on three days."""
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")), clock=lambda: NOON)
    fs.apply([STATS])
    store = fs.tenant("acme")
    for score in (0.0, 100.0):
        rows = [
            {
                "user_id": f"u{n % 4}",
                "event_timestamp": NOON + timedelta(hours=5 * n),
                "score": score + n,
                "tags": ["a"],
            }
            for n in range(10)
        ]
        store.write_batch("stats", rows[:5] if score else rows)
    return store


@pytest.fixture
def bucket(server: S3Server, local: OfflineStore, tmp_path: Path) -> str:
    """A bucket with a copy of the store's files; each test's own."""
    name = f"bucket-{abs(hash(tmp_path))}"
    server.make_bucket(name)
    files = [path for path in (tmp_path / "warehouse").rglob("*") if path.is_file()]
    for path in files:
        key = f"{WAREHOUSE}/{path.relative_to(tmp_path / 'warehouse')}"
        boto3.client("s3").upload_file(str(path), name, key)
    return name


def no_spark() -> NoReturn:
    raise AssertionError("Spark was started")


def table_on_s3(bucket: str) -> GroupTable:
    settings = Settings(warehouse=f"s3a://{bucket}/{WAREHOUSE}")
    return GroupTable.of(Layout.of(settings, no_spark, is_native=False, reads_values=lambda: True), STATS)


def local_table(store: OfflineStore) -> GroupTable:
    return store._scope.table(STATS)


def test_logs_and_files_are_read_as_on_a_disk(bucket: str, local: OfflineStore) -> None:
    there, here = table_on_s3(bucket), local_table(local)
    columns = ["user_id", "event_timestamp", "score", "tags"]
    days = (date(2026, 3, 1), date(2026, 3, 2))
    keys = pa.table({"user_id": ["u1", "u2"]})

    assert there.values.version() == here.values.version()
    assert there.values.schema() == here.values.schema()
    assert there.files("acme", with_keys=True) == here.files("acme", with_keys=True)
    assert there.extent(there.files("acme")) == (NOON, NOON + timedelta(hours=45))
    assert there.are_sorted_runs(there.files("acme", with_keys=True)) == here.are_sorted_runs(
        here.files("acme", with_keys=True)
    )
    for chosen in ({}, {"dates": days}, {"keys": keys}, {"dates": days, "keys": keys}, {"version": 1}):
        found, expected = (table.read_local("acme", columns, **chosen) for table in (there, here))
        assert found is not None
        assert found.num_rows > 0
        assert found.equals(expected)


@pytest.mark.parametrize("read_at_once", [0, 1 << 20], ids=["by parts", "whole"])
def test_the_kernel_takes_the_same_values_also_in_a_task(
    read_at_once: int, server: S3Server, bucket: str, local: OfflineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to a task is pickled, and finds the store by the environment there."""
    monkeypatch.setattr("featurestore.stores.value_files.parquet.READ_AT_ONCE", read_at_once)
    users = [f"u{n % 6}" for n in range(30)]
    times = [NOON + timedelta(hours=2 * n) for n in range(30)]
    spine = SpineRows.of([pa.array(users)], pa.array(times, INSTANT))
    types = {"score": pa.float64(), "tags": pa.list_(pa.string())}
    rules = AsOfRules(("user_id",), tuple(types))
    partitions = [table.partitions("acme", list(types)) for table in (table_on_s3(bucket), local_table(local))]

    there, here = (files.partitions for files in partitions if files is not None)
    taken, expected = (as_of_join(spine, files, rules, types) for files in (pickle.loads(pickle.dumps(there)), here))

    assert taken.features["score"].to_pylist() == expected.features["score"].to_pylist()
    assert taken.features["tags"].to_pylist() == expected.features["tags"].to_pylist()
    assert 100.0 in taken.features["score"].to_pylist()
    assert server.environment["AWS_SECRET_ACCESS_KEY"].encode() not in pickle.dumps(there)


def test_a_file_that_is_gone_is_named_with_its_table(bucket: str) -> None:
    table = table_on_s3(bucket)
    files = table.partitions("acme", ["score"])
    assert files is not None
    file = files.partitions[0].files[0]
    assert file.elsewhere is not None
    boto3.client("s3").delete_object(Bucket=bucket, Key=file.elsewhere[1].removeprefix(f"{bucket}/"))

    root = files.table
    with pytest.raises(StorageError, match=rf"^table {root}: tenant_id=acme/.*is not there"), value_file_errors(root):
        file.open()


def test_a_store_that_refuses_is_said_with_advice(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(StorageError, match=r"the store refused or did not answer; see that .* reach it"):
        table_on_s3(bucket).values.version()


def test_a_warehouse_that_is_reached_has_no_obstacle(bucket: str) -> None:
    assert why_unreachable(f"s3a://{bucket}/{WAREHOUSE}/") is None
    assert why_unreachable(f"s3://{bucket}/not/yet/there") is None


def test_an_hdfs_path_that_delta_rs_does_not_find_is_left_to_spark() -> None:
    found = why_unreachable("hdfs://127.0.0.1:9/a warehouse")

    assert found is not None
    assert "hdfs://127.0.0.1:9/a warehouse: delta-rs finds no HDFS path with such characters" in found


@pytest.mark.parametrize(
    ("warehouse", "port", "fault"),
    [
        ("s3a://bucket-{}/warehouse", 9, "Generic S3 error"),
        ("s3a://no-such-bucket/warehouse", None, "NoSuchBucket|Not Found"),
        ("abc://bucket/warehouse", None, "abc"),
    ],
)
def test_why_a_warehouse_is_not_reached(
    warehouse: str, port: int | None, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if port is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")

    found = why_unreachable(warehouse)

    assert found is not None
    assert found.startswith(f"only Spark reads {warehouse} (")
    assert re.search(fault, found)
    assert "docs/deployment.md" in found
