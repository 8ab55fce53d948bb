"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.05

Found = TypeVar("Found")


def wait_for(what: str, look: Callable[[], Found | None], seconds: float, told: Callable[[], str]) -> Found:
    """The first thing found that is true; raises TimeoutError with what was ``told``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{what}: not there after {seconds} s\n{told()}")
