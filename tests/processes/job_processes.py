"""Jobs in processes of their own, with settings in a folder, that are killed after one of their steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.processes.quick_spark import QUICK
from tests.processes.waiting import PATIENCE

_KILLED_JOB = Path(__file__).with_name("killed_job.py")


def write_settings(folder: Path) -> None:
    """``conf/`` with a warehouse and a landing folder next to it, and a Spark that starts quickly."""
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    spark = json.dumps(QUICK | {"spark.master": "local[1]"})
    settings = f"warehouse: warehouse\nlanding: landing\nspark: {spark}\n"
    (folder / "conf" / "base.yml").write_text(settings, encoding="utf-8")
    (folder / "conf" / "dev.yml").write_text("{}\n", encoding="utf-8")


def exit_code(folder: Path, *words: str, stop_at: str, **environment: str) -> int:
    """Run a command on the settings in the folder and kill it after a step.

    Returns the exit code of its process: the negative number of the signal that killed it, or that of a command that
    ended before the step.
    """
    ended = subprocess.run(
        [sys.executable, str(_KILLED_JOB), stop_at, *words, "--tenant", "acme", "--conf", str(folder / "conf")],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return ended.returncode
