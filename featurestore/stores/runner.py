"""Who runs a job: told in the ledger, so that a run whose process is gone can be recognised."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_runner() -> str:
    """Host, boot, process id and the process's start: no two processes have the same."""
    return "/".join((*_machine(), str(os.getpid()), _started(os.getpid())))


def is_gone(runner: str | None) -> bool:
    """Whether the process is certainly not running any more; of another machine's process nothing is certain."""
    if runner is None:
        return False
    *machine, process, started = runner.split("/")
    if tuple(machine) != _machine():
        # The same host after a reboot has none of its processes left.
        return len(machine) == 2 and machine[0] == _machine()[0] and machine[1] != _machine()[1]
    return _started(int(process)) != started


def _machine() -> tuple[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return socket.gethostname().replace("/", "_"), boot.read_text().strip() if boot.exists() else "unknown"


def _started(process: int) -> str:
    """When the process started, in clock ticks since boot; empty where there is none, or only what its parent has left."""
    stat = Path(f"/proc/{process}/stat")
    if not Path("/proc/self/stat").exists():
        return "unknown" if _exists(process) else ""
    try:
        # A name in parentheses comes before, and may hold spaces.
        fields = stat.read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
