"""A tracking server of MLflow on 127.0.0.1, in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes.waiting import wait_for

_STARTED = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class MlflowServer:
    uri: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End the server and its workers; safe to repeat."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """A server without runs; it keeps runs in SQLite, and artefacts, in ``folder``. Raises TimeoutError with its log."""
    log = folder / "mlflow_server.log"
    where = ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", f"{folder}/artefacts"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "0", "--workers", "1", *where],
            cwd=folder,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = None
    try:
        started = wait_for("MLflow's server", lambda: _STARTED.search(log.read_text()), lambda: log.read_text()[-2000:])
        server = MlflowServer(started[1], process)
        yield server
    finally:
        (server or MlflowServer("", process)).kill()
