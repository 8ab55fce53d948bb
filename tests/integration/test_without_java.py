"""On a machine without Java, everything works that needs no Spark, and Spark is not even loaded.

A mistake in a command that needs Spark is told there, too, since it is found before Spark is loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("what", ["methods", "commands", "mistakes"])
def test_all_of_them_work_without_java(what: str, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK", "PYSPARK"))}
    nowhere = str(tmp_path / "nowhere")

    done = subprocess.run(
        [sys.executable, "-m", "tests.processes.without_java", what, str(tmp_path)],
        env={**environ, "PATH": nowhere, "JAVA_HOME": nowhere},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
