"""A real Airflow in an environment of its own, with the shipped DAG and a small store, or a program in its place."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.processes.spark_submit import PROJECT
from tests.processes.waiting import PATIENCE, wait_for

SHIPPED = PROJECT / "deploy" / "airflow"
DAG = "featurestore_daily_acme"
# What the page tells to install.
AIRFLOW = re.search(r"'(apache-airflow==[\d.]+)'", (PROJECT / "docs" / "airflow.md").read_text(encoding="utf-8"))
# It writes down its words, ends with the next exit code of the file of faults, if there is one, or else well or as the
# program that is named last.
_PROGRAM = """#!/usr/bin/env bash
echo "$*" >> {home}/calls
if [ -s {home}/faults ]; then
    code=$(head -n 1 {home}/faults)
    sed -i 1d {home}/faults
    [ "$code" != killed ] || kill -KILL $$
    exit "$code"
fi
{then}
"""


def install(folder: Path) -> Path:
    """The folder of commands of a new environment with Airflow, as docs/airflow.md makes it."""
    assert AIRFLOW is not None, "docs/airflow.md names the version"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--no-compile", "--only-binary", ":all:"]
    words = ["--disable-pip-version-check", "-c", str(SHIPPED / "constraints.txt"), AIRFLOW[1]]
    subprocess.run([*pip, *words], check=True, timeout=PATIENCE)
    return folder / "bin"


class Airflow:
    """Airflow with a database of its own below ``folder``, and the store's home beside it."""

    def __init__(self, commands: Path, folder: Path) -> None:
        self.commands, self.folder, self.home = commands, folder, folder / "featurestore"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self.home / ".venv" / "bin").mkdir(parents=True)
        self.runs_program("exit 0")
        self._copy_dag()
        self.run("db", "migrate")

    def _copy_dag(self) -> None:
        """The two files, with what a user is to change: the places, the first day, and how long to wait."""
        dags = self.folder / "airflow" / "dags"
        dags.mkdir(parents=True)
        (dags / "featurestore_daily.py").write_bytes((SHIPPED / "featurestore_daily.py").read_bytes())
        text = (SHIPPED / "daily_commands.py").read_text(encoding="utf-8")
        for name, value in {
            "HOME": repr(str(self.home)),
            "FIRST_DAY": "datetime(2026, 10, 30, tzinfo=UTC)",
            "RETRY_DELAY": "timedelta(milliseconds=1)",
        }.items():
            text, changed = re.subn(rf"^{name} = .*", f"{name} = {value}", text, flags=re.MULTILINE)
            assert changed == 1, name
        (dags / "daily_commands.py").write_text(text, encoding="utf-8")

    def runs_program(self, then: str) -> None:
        """What stands for the command ``featurestore`` from now on."""
        program = self.home / ".venv" / "bin" / "featurestore"
        program.write_text(_PROGRAM.format(home=self.home, then=then), encoding="utf-8")
        program.chmod(0o755)

    def runs_featurestore(self) -> None:
        """The package's own command from now on."""
        self.runs_program(f'PYTHONPATH={PROJECT} exec {sys.executable} -m featurestore "$@"')

    def faults(self, *codes: str) -> None:
        """How the next calls end; also forgets earlier calls."""
        (self.home / "calls").unlink(missing_ok=True)
        (self.home / "faults").write_text("".join(f"{code}\n" for code in codes), encoding="utf-8")

    @property
    def calls(self) -> list[list[str]]:
        file = self.home / "calls"
        return [line.split() for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            # Of the days since the first one, only those of a backfill.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "PATH": f"{self.commands}:{os.environ['PATH']}",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
        return others | own

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.commands / "airflow"), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def backfilled(self) -> dict[str, str] | None:
        """Logical date -> state of the runs of a backfill, once all of them have ended."""
        with closing(sqlite3.connect(self.folder / "airflow" / "airflow.db")) as database:
            rows = database.execute("SELECT logical_date, state FROM dag_run WHERE run_type = 'backfill'").fetchall()
        runs = {str(date)[:10]: str(state) for date, state in rows}
        return runs if runs and set(runs.values()) <= {"success", "failed"} else None

    @contextmanager
    def serving(self) -> Iterator[Path]:
        """A scheduler and the server that its tasks report to; gives the scheduler's log."""
        log = self.folder / "scheduler.log"
        server = self._start("api-server", "--host", "127.0.0.1", "--port", str(self.port))
        started = [server]
        try:
            wait_for("Airflow's server", self._answers, (self.folder / "api-server.log").read_text)
            started.append(self._start("scheduler"))
            yield log
        finally:
            for process in started:
                # It may not heed SIGTERM while it starts its workers, and nothing of it is needed any more.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=PATIENCE)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [str(self.commands / "airflow"), *words]
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0
