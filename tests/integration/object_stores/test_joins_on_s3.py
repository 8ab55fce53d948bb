"""With tables on S3, which Spark writes, each host gives the answers that the same tables on a disk give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.s3_server import s3_server
from tests.processes.spark_submit import PROJECT, spark_environment
from tests.processes.waiting import PATIENCE

pytestmark = pytest.mark.slow


def test_each_host_joins_as_on_a_disk_and_no_credential_is_shown(tmp_path: Path) -> None:
    with s3_server(tmp_path) as server:
        server.make_bucket("features")
        done = subprocess.run(
            [sys.executable, "-m", "tests.processes.store_on_s3", "features", str(tmp_path / "warehouse")],
            env=spark_environment() | server.environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    assert done.returncode == 0, done.stderr[-5_000:]
    assert done.stdout.endswith("the same\n")
    assert server.environment["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
