"""CPU and memory of this process and its descendants, from Linux's /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# Positions in /proc/PID/stat, counted after the command's name.
_PARENT, _USER_TICKS, _SYSTEM_TICKS = 1, 11, 12


@dataclass(frozen=True)
class Usage:
    """``cpu_seconds`` since the start, and ``peak_bytes`` of resident memory, the sum of each process's own peak."""

    cpu_seconds: float
    peak_bytes: int


def usage() -> Usage:
    """The usage of this process and its running descendants: the JVM, and the JVM's Python workers."""
    family = _family()
    return Usage(sum(_cpu_seconds(stat) for stat in family.values()), sum(_peak_bytes(process) for process in family))


def _family() -> dict[int, list[str]]:
    """This process and its descendants, each with its fields of /proc/PID/stat."""
    running = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    family = {os.getpid()}
    while True:
        children = {process for process, stat in running.items() if stat and int(stat[_PARENT]) in family} - family
        if not children:
            return {process: running[process] for process in family}
        family |= children


def _stat(process: int) -> list[str]:
    """The fields after the name, which may hold any character; empty for a process that has just ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cpu_seconds(stat: list[str]) -> float:
    return (int(stat[_USER_TICKS]) + int(stat[_SYSTEM_TICKS])) / _TICKS_A_SECOND


def _peak_bytes(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0  # a process that has ended but was not waited for
