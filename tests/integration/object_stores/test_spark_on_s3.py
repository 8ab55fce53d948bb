"""Stores on S3 by Spark: the whole path, to the last byte that an erasure leaves, and drivers that write at once."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import FeatureStore, Settings
from featurestore.errors import StorageError
from featurestore.stores.object_commits import check_commits
from featurestore.stores.postgres.security import APPLICATION_ROLE
from featurestore.stores.postgres.server import OWNER, EmbeddedServer
from tests.byte_search import holds
from tests.processes.s3_server import S3Server, s3_server
from tests.processes.spark_submit import PROJECT, spark_environment
from tests.processes.store_on_s3 import DAILY, READY, START, STATS
from tests.processes.waiting import PATIENCE

SMALL = {"user_id": "small", "event_timestamp": START, "score": 1.0, "note": "small"}


def start(server: S3Server, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.processes.store_on_s3", *arguments],
        env={**spark_environment(), **server.environment, **environment},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(process: subprocess.Popen[str]) -> str:
    """All that it wrote; it must have ended well."""
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors[-5_000:]
    return out + errors


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which a process finds a server."""
    server = EmbeddedServer(tmp_path / "postgres")
    server.start()
    logins = {"FEATURESTORE_POSTGRES_DSN": OWNER, "FEATURESTORE_POSTGRES_APP_DSN": APPLICATION_ROLE}
    yield {name: server.dsn(role) for name, role in logins.items()}
    server.release()


@pytest.mark.slow
def test_the_whole_path_by_spark(tmp_path: Path, postgres: dict[str, str]) -> None:
    """In a bucket that keeps versions; once they are removed, as the erasure says, no byte of the person is left."""
    with s3_server(tmp_path) as server:
        server.make_bucket("features")
        server.keep_versions("features")
        landed = pa.table(
            {
                "user_id": ["ann", "bob", "bob"],
                "at": pa.array([START, START, datetime(2026, 3, 2, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            }
        )
        content = io.BytesIO()
        pq.write_table(landed, content)
        server.client().put_object(Bucket="features", Key="landing/acme/visits/1.parquet", Body=content.getvalue())

        secret = "no one may guess this"
        output = done(start(server, "path", "features", FEATURESTORE_SUPPRESSION_SECRET=secret, **postgres))
        everything = server.keys("features")
        server.remove_older_versions("features")
        objects = server.keys("features")

    assert "the bucket of s3a://features/warehouse keeps older versions of objects" in output
    assert holding(tmp_path, everything, b"kept-ann")
    assert holding(tmp_path, objects, b"kept-ann") == []
    assert holding(tmp_path, objects, b"kept-bob")
    assert server.environment["AWS_SECRET_ACCESS_KEY"] not in output


def holding(folder: Path, objects: Mapping[str, bytes], marker: bytes) -> list[str]:
    """The keys of the objects that hold a marker."""
    file, found = folder / "object", []
    for key, content in objects.items():
        file.write_bytes(content)
        if holds(file, marker):
            found.append(key)
    return found


@pytest.mark.slow
def test_drivers_and_native_writers_at_once_lose_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path) as server:
        server.make_bucket("features")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        fs = FeatureStore.open(Settings(warehouse="s3a://features/warehouse"), clock=lambda: START)
        fs.apply([STATS, DAILY])
        store = fs.tenant("acme")
        drivers = [start(server, "writer", "features", name, "3") for name in ("first", "second")]
        for driver in drivers:
            assert driver.stdout is not None
            assert driver.stdout.readline() == f"{READY}\n", driver.communicate()

        count = 0
        with ThreadPoolExecutor(2) as pool:
            while any(driver.poll() is None for driver in drivers):
                batches = [f"native-{number}" for number in (count, count + 1)]
                list(pool.map(lambda batch: store.write_batch("stats", [SMALL], batch_id=batch), batches))
                count += 2
        for driver in drivers:
            done(driver)

        table = deltalake.DeltaTable("s3://features/warehouse/groups/stats_v1/values")
        users = pa.table(table.to_pyarrow_table()).column("user_id").to_pylist()
        assert {user: users.count(user) for user in set(users)} == {"first": 3, "second": 3, "small": count}
        # Each writer met the others.
        assert table.version() == 6 + count


def test_a_session_whose_commits_may_replace_others_is_refused(spark: SparkSession) -> None:
    with pytest.raises(StorageError, match="commits to S3 by the default log store of Delta, which can replace"):
        check_commits(lambda: spark, "s3a://features/warehouse/groups/stats_v1/values")
    check_commits(lambda: spark, "abfss://features@account/warehouse/groups/stats_v1/values")
