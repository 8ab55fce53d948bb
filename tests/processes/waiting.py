"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.05
# The seconds after which a process that a test started counts as hanging. Some machines need minutes for one Spark job.
PATIENCE = 1_800

Found = TypeVar("Found")


def wait_for(what: str, look: Callable[[], Found | None], details: Callable[[], str]) -> Found:
    """The first true result of ``look``; raises TimeoutError with ``details`` after ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        result = look()
        if result:
            return result
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{what}: not there after {PATIENCE} s\n{details()}")
