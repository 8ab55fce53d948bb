"""The process that runs a job, as the ledger names it, so that others can find out whether it still runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_runner() -> str:
    """The host, boot, process id and start of this process; the combination is unique."""
    return "/".join((*_machine(), str(os.getpid()), _started(os.getpid())))


def is_gone(runner: str | None) -> bool:
    """Whether the process has certainly ended; False for a process of another machine."""
    if runner is None:
        return False
    *machine, process, started = runner.split("/")
    if tuple(machine) != _machine():
        # A reboot of the host ended all its processes.
        return len(machine) == 2 and machine[0] == _machine()[0] and machine[1] != _machine()[1]
    return _started(int(process)) != started


def is_running_here(runner: str) -> bool:
    """Whether the process is one of this machine, since its last boot, and still runs."""
    return tuple(runner.split("/")[:-2]) == _machine() and not is_gone(runner)


def _machine() -> tuple[str, str]:
    return socket.gethostname().replace("/", "_"), _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown"


def _started(process_id: int) -> str:
    """When the process started, in clock ticks since boot; "unknown" except on Linux; empty if it does not run."""
    try:
        process = psutil.Process(process_id)
        # A zombie has ended; its parent has not collected its exit code yet.
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return ""
        # Both change when the clock is set, but on Linux their difference does not.
        since_boot = process.create_time() - psutil.boot_time()
    except psutil.NoSuchProcess:
        return ""
    return str(round(since_boot * os.sysconf("SC_CLK_TCK"))) if psutil.LINUX else "unknown"
