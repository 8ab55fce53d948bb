"""Record the classes that Java loads for Spark, in an archive that later sessions start from; see ``ClassArchive``.

Run as a module, since a process has one Java for Spark, and Java writes the archive when it ends.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurestore.cli.doctor_checks import Check, judge_class_archive
from featurestore.spark_start import ClassArchive

# Java takes less than a minute on a slow machine; this is only a guard against hanging.
_MOST_SECONDS = 600
_CAUSE = re.compile(r"(Caused by: )?[\w.]+(Error|Exception)\b")


def recorded(properties: Mapping[str, str], jars: list[str]) -> Check | None:
    """Record the archive for sessions with these properties unless it is there; None if such sessions have none.

    ``jars``: the files that Spark fetched for the properties' packages.
    """
    archive = ClassArchive.of(properties)
    if archive is None:
        return None
    if archive.is_there:
        return judge_class_archive(archive.file, is_new=False)
    fault = _record(archive, properties, jars)
    return judge_class_archive(archive.file, is_new=True, fault=fault)


def _record(archive: ClassArchive, properties: Mapping[str, str], jars: list[str]) -> str:
    """Why there is no archive; empty if there is one now."""
    try:
        archive.file.parent.mkdir(parents=True, exist_ok=True)
        # Another process may record the same archive: each has a file of its own, and the last one stays.
        with tempfile.TemporaryDirectory(prefix=".new-", dir=archive.file.parent) as folder:
            new = Path(folder, archive.file.name)
            options = archive.recording(properties, jars, new)
            command = [sys.executable, "-m", __name__, folder, *(f"{name}={value}" for name, value in options.items())]
            ended = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False
            )
            if ended.returncode or not new.exists():
                lines = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
                causes = [line for line in lines if _CAUSE.match(line)]
                return [f"Java wrote no {new.name}", *lines[-1:], *causes[-1:]][-1]
            archive.publish(new, jars)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""


def _load_classes(folder: str, properties: Mapping[str, str]) -> None:
    """Start Spark with these properties, use what the store uses of it, and wait until Java has ended."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    spark = SparkSession.builder.config(conf=SparkConf().setAll(list(properties.items()))).getOrCreate()
    table = str(Path(folder, "table"))
    rows = spark.range(100).select(F.col("id"), (F.col("id") % 5).alias("key"), F.lit("a").alias("text"))
    for _ in range(2):
        rows.repartition("key").write.format("delta").partitionBy("key").mode("append").save(table)
    read = spark.read.format("delta").load(table)
    read.createOrReplaceTempView("rows")
    spark.sql("SELECT key, sum(id), max(text) FROM rows WHERE id > 3 GROUP BY key ORDER BY key").toArrow()
    before = "lag(id) OVER (PARTITION BY rows.key ORDER BY id) AS before"
    spark.sql(f"SELECT id, rows.key, {before} FROM rows JOIN rows AS more USING (id)").toArrow()
    read.mapInArrow(lambda batches: batches, read.schema).toArrow()
    java: Any = SparkContext._gateway
    spark.stop()
    java.shutdown()
    # Java ends when its standard input does.
    java.proc.stdin.close()
    if code := java.proc.wait():
        sys.exit(f"Java ended with exit code {code}")


if __name__ == "__main__":
    _load_classes(sys.argv[1], dict(argument.split("=", 1) for argument in sys.argv[2:]))
