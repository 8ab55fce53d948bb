"""A Spark standalone cluster on 127.0.0.1: a real master and real workers, in processes of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.processes.spark_submit import spark_environment
from tests.processes.waiting import wait_for

HOST = "127.0.0.1"
_SHOWN_LINES = 40
# Executors stay in their worker's process group. It dies when the pipe to this process is closed, by whatever ends it.
_UNTIL_STDIN_CLOSES = '"$@" & cat >/dev/null; kill -s KILL 0'


@dataclass(frozen=True)
class Cluster:
    """A running cluster: the URL of its master, the shells that hold its workers, and the folder of its logs."""

    master: str
    workers: tuple[subprocess.Popen[bytes], ...]
    folder: Path

    def executors(self, application: str) -> dict[str, psutil.Process]:
        """The executor processes that an application has now, by executor id.

        A process that an executor is just starting (Hadoop runs chmod for files that it writes) has its command line
        until it has become another program; parents are listed before their children, so the first is the executor.
        """
        executors: dict[str, psutil.Process] = {}
        for worker in self.workers:
            for process in psutil.Process(worker.pid).children(recursive=True):
                words = _command_line(process)
                if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in words and application in words:
                    executors.setdefault(words[words.index("--executor-id") + 1], process)
        return executors

    def logs(self) -> str:
        """The last lines of the master's and the workers' logs and of what each executor wrote to stderr."""
        return "\n".join(
            last_lines(log) for log in sorted([*self.folder.glob("*.log"), *self.folder.glob("*/*/*/stderr")])
        )


@contextmanager
def standalone_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A master and its workers, of 1 core and 1 GiB for executors each; ``folder`` keeps their work and logs.

    Raises TimeoutError with the logs where they do not come up. At the end all is killed, executors too.
    """
    with ExitStack() as running:
        master_log = folder / "master.log"
        running.enter_context(_daemon(folder, "master", "deploy.master.Master", "--port", "0", "--webui-port", "0"))
        url = f"spark://{HOST}:{wait_for_port('sparkMaster', master_log)}"
        started = tuple(running.enter_context(_worker(folder, f"worker_{number}", url)) for number in range(workers))
        cluster = Cluster(url, started, folder)
        wait_for(
            f"{workers} workers of {url}",
            lambda: _registered(master_log) == workers,
            cluster.logs,
        )
        yield cluster


def _registered(master_log: Path) -> int:
    """How many workers the master says it took; its web page answers with errors while it comes up."""
    return len(re.findall(r"Registering worker .* with \d+ cores", master_log.read_text(encoding="utf-8")))


def _worker(folder: Path, name: str, master: str) -> Any:
    place = ("--port", "0", "--webui-port", "0", "--work-dir", str(folder / name))
    return _daemon(folder, name, "deploy.worker.Worker", *place, "--cores", "1", "--memory", "1g", master)


@contextmanager
def _daemon(folder: Path, name: str, kind: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    spark_class = str(Path(sys.executable).parent / "spark-class")
    command = [spark_class, f"org.apache.spark.{kind}", "--host", HOST, *arguments]
    environment = spark_environment() | {
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_DIRS": str(folder / "shuffles"),
        "SPARK_DAEMON_MEMORY": "256m",
        # Its second way to submit has a port that is the same for every master of a machine.
        "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
    }
    with (folder / f"{name}.log").open("wb") as log:
        shell = subprocess.Popen(
            ["sh", "-c", _UNTIL_STDIN_CLOSES, "sh", *command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with shell:
        # Leaving closes the pipe, and waits.
        yield shell


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        # It ended after it was listed.
        return []


def wait_for_port(service: str, log: Path) -> int:
    """The port of one of Spark's services, from its log; raises TimeoutError with the log."""
    started = re.compile(rf"Successfully started service '{service}' on port (\d+)")
    match = wait_for(
        f"{service} of {log}",
        lambda: started.search(log.read_text(encoding="utf-8")),
        lambda: last_lines(log),
    )
    return int(match[1])


def last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([f"--- {log}", *lines[-_SHOWN_LINES:]])
