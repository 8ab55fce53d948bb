"""Jobs in processes of their own, with settings in a folder; killed after one of their steps, where one is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import QUICK

_SECONDS = 300


def write_settings(folder: Path) -> None:
    """``conf/`` with a warehouse and a landing folder beside it, and a Spark that starts quickly."""
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    spark = json.dumps(QUICK | {"spark.master": "local[1]"})
    settings = f"warehouse: warehouse\nlanding: landing\nspark: {spark}\n"
    (folder / "conf" / "base.yml").write_text(settings, encoding="utf-8")
    (folder / "conf" / "dev.yml").write_text("{}\n", encoding="utf-8")


def exit_code(folder: Path, *words: str, stop_at: str = "", **environment: str) -> int:
    """Run a command on the settings in the folder; gives its exit code, or less than 0 by the signal that killed it."""
    ended = subprocess.run(
        [sys.executable, "-m", "featurestore", *words, "--tenant", "acme", "--conf", str(folder / "conf")],
        env={**os.environ, **environment, "FEATURESTORE_STOP_AT": stop_at},
        cwd=folder,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    return ended.returncode
