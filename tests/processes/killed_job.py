"""Run a command of ``featurestore`` and kill its own process, as a power cut would, after one of the job's steps.

``python killed_job.py STEP COMMAND ...``. A step is named as ``FeatureStore.open(on_step=...)`` names it;
``write.values#2`` is the second time that the job reaches it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count

from featurestore.cli import run


def kill_after(step: str) -> Callable[[str], None]:
    """A function for ``on_step`` that kills this process by SIGKILL when the job reaches the step."""
    name, _, number = step.partition("#")
    times = count(1)

    def on_step(done: str) -> None:
        if done == name and next(times) == int(number or 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:], on_step=kill_after(sys.argv[1])))
