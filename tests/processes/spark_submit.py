"""The jobs as a scheduler starts them: by spark-submit, with the project's properties file, in processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def submit_command(
    job: str,
    *arguments: str,
    master: str = "local[2]",
    properties: Mapping[str, str] | None = None,
    wheel: Path | None = None,
) -> list[str]:
    """The command line; ``properties`` are Spark's, over those of these tests and of the project's file.

    ``wheel``: the package for the job, which by default is where Python finds it.
    """
    settings = {
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
        "spark.jars.ivy": str(PROJECT / ".ivy"),
        **(properties or {}),
    }
    return [
        *(str(Path(sys.executable).parent / "spark-submit"), "--master", master),
        *("--properties-file", str(PROJECT / "conf" / "spark-defaults.conf")),
        *(word for name, value in settings.items() for word in ("--conf", f"{name}={value}")),
        *(() if wheel is None else ("--py-files", str(wheel))),
        str(PROJECT / "jobs" / f"{job}.py"),
        *arguments,
    ]


def spark_environment() -> dict[str, str]:
    """This process's environment without what ties it to its own Spark; a driver's Python is this one."""
    spark_variables = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "SPARK_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in spark_variables}
    return environment | {"PYSPARK_PYTHON": sys.executable}
