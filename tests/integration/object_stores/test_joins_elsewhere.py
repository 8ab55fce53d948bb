"""With tables on S3 or HDFS, which Spark writes, each host gives the answers that the same tables on a disk give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.processes.hdfs_cluster import hdfs_cluster
from tests.processes.s3_server import s3_server
from tests.processes.spark_submit import PROJECT, spark_environment
from tests.processes.waiting import PATIENCE

pytestmark = pytest.mark.slow


def joined_as_on_a_disk(warehouse: str, folder: Path, environment: Mapping[str, str]) -> str:
    """All that a process wrote whose stores, there and on the disk, gave the same answers."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.processes.store_elsewhere", warehouse, str(folder / "warehouse")],
        env={**spark_environment(), **environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5_000:]
    assert done.stdout.endswith("the same\n")
    return done.stdout + done.stderr


def test_each_host_joins_on_s3_and_no_credential_is_shown(tmp_path: Path) -> None:
    with s3_server(tmp_path) as server:
        server.make_bucket("features")
        output = joined_as_on_a_disk("s3a://features/a warehouse", tmp_path, server.environment)

    assert server.environment["AWS_SECRET_ACCESS_KEY"] not in output


def test_each_host_joins_on_hdfs(tmp_path: Path) -> None:
    with hdfs_cluster(tmp_path) as root:
        joined_as_on_a_disk(f"{root}/warehouse", tmp_path, {})
