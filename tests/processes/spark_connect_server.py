"""A Spark Connect server on 127.0.0.1, with Delta, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes.quick_spark import QUICK
from tests.processes.spark_cluster import HOST, last_lines
from tests.processes.spark_submit import PROJECT, spark_environment
from tests.processes.waiting import wait_for

_SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
_STARTED = re.compile(r"Spark Connect server started at: \S*:(\d+)")


@contextmanager
def spark_connect_server(folder: Path) -> Iterator[str]:
    """The URL of a server that runs meanwhile; its log is in ``folder``. Raises TimeoutError with the log."""
    properties = QUICK | {
        "spark.connect.grpc.binding.address": HOST,
        "spark.connect.grpc.binding.port": "0",
        "spark.driver.host": HOST,
        "spark.driver.memory": "1g",
    }
    command = [
        *(str(Path(sys.executable).parent / "spark-submit"), "--class", _SERVER, "--master", "local[2]"),
        *("--properties-file", str(PROJECT / "conf" / "spark-defaults.conf")),
        *(word for name, value in properties.items() for word in ("--conf", f"{name}={value}")),
        "spark-internal",
    ]
    log = folder / "connect_server.log"
    with log.open("wb") as out:
        # The server is this very process: spark-submit gives its place to Java.
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=spark_environment() | {"SPARK_LOCAL_IP": HOST},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        port = wait_for(
            "Spark Connect server",
            lambda: _STARTED.search(log.read_text(encoding="utf-8")),
            lambda: last_lines(log),
        )
        yield f"sc://{HOST}:{port[1]}"
    finally:
        server.kill()
        server.wait()
