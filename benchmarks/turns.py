"""Run engines turn by turn, each run in its own process: all engines in round 1, all in round 2, and so on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.dataset import Options, is_complete
from benchmarks.measure import Measurement, Request

_PROJECT = Path(__file__).parents[1]
# An error as Python prints it, as py4j passes the JVM's on, and as the last of the JVM's causes.
_FAULT = re.compile(r"^(?:: |Caused by: )?((?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b.*)")


class ProcessFailedError(Exception):
    """A process of the benchmark ended without a result; the message says why."""


@dataclass(frozen=True)
class Run:
    """One engine's turn in one round: a measurement, or the reason why there is none."""

    engine: str
    round: int
    measurement: Measurement | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Turns:
    """How runs are made.

    ``rounds``; the limits of a run: ``cores``, Spark's heap, and ``timeout`` in seconds; ``cold``: whether each reads
    its files from the disk; ``data``: the folder of the data sets, and of the runs' logs.
    """

    rounds: int
    cores: int
    memory: str
    timeout: float
    cold: bool
    data: Path

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    def take(self, engines: Sequence[str], options: Options, report: Callable[[Run], None]) -> list[Run]:
        """Make all runs on one data set, which exists. An engine that failed once does not run again.

        Each round starts with another engine, so that no engine always follows the same one.
        """
        runs: list[Run] = []
        for number in range(self.rounds if engines else 0):
            first = number % len(engines)
            for engine in [*engines[first:], *engines[:first]]:
                if any(run.engine == engine and run.failure for run in runs):
                    continue
                runs.append(self._run(engine, options, number + 1))
                report(runs[-1])
        return runs

    def _run(self, engine: str, options: Options, number: int) -> Run:
        folder = self.data / options.folder
        request = Request(engine, str(folder), options.known_at, self.cores, self.memory, self.cold)
        log = self.logs / f"{folder.name}-{engine}-{number}.log"
        try:
            printed = run_process("benchmarks.measure", [json.dumps(asdict(request))], log, self.timeout)
        except ProcessFailedError as error:
            return Run(engine, number, failure=str(error))
        return Run(engine, number, Measurement.from_json(printed.splitlines()[-1]))


def write_dataset(options: Options, data: Path, memory: str) -> Path:
    """The folder of the data set with these options; it is written first unless it is complete.

    ``memory``: Spark's heap.
    """
    folder = data / options.folder
    if not is_complete(folder):
        log = data / "logs" / f"{folder.name}-data.log"
        run_process("benchmarks.data", [json.dumps(asdict(options)), str(folder), memory], log, timeout=None)
    return folder


def run_process(module: str, arguments: Sequence[str], log: Path, timeout: float | None) -> str:
    """Run a module of this package, with its stderr in ``log``; returns what it printed. Raises ProcessFailedError.

    A process that takes longer than ``timeout`` seconds is killed together with its JVM.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, *arguments]
    with log.open("w", encoding="utf-8") as errors:
        # In its own session, so that the process and its JVM are one process group.
        process = subprocess.Popen(
            command, cwd=_PROJECT, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            printed, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailedError(f"took longer than {timeout:.0f} s") from None
        finally:
            _end(process)
    if process.returncode != 0:
        raise ProcessFailedError(_reason(process.returncode, log))
    return printed


def _end(process: subprocess.Popen[str]) -> None:
    """Kill the process and its children if they still run."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of them have ended
    process.wait()


def _reason(returncode: int, log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    faults = [fault.group(1) for line in lines if (fault := _FAULT.match(line))]
    out_of_memory = [line for line in lines if "OutOfMemoryError" in line]
    if out_of_memory:
        return f"out of memory: {out_of_memory[0].strip()[:160]}"
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return faults[-1][:160] if faults else f"exit code {returncode}; see {log.name}"
