"""Commands of the command line in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.processes.waiting import PATIENCE


def command(folder: Path, *words: str, spark: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder, with these properties of Spark."""
    return subprocess.run(
        [sys.executable, "-m", "featurestore", *words],
        env={**os.environ, "FEATURESTORE_SPARK": json.dumps(spark)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
