"""The log store for S3, compiled from its source by the compiler that is in Spark.

Run as ``python -m tests.processes.log_store`` after a change of the source: it writes the jar that is shipped.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from featurestore import FeatureStore, Settings
from featurestore.object_stores import log_store_jar

SOURCE = Path(__file__).parents[2] / "featurestore" / "java" / "ConditionalS3LogStore.java"


def compiled(spark: SparkSession) -> dict[str, bytes]:
    """By file of the jar its content; the session must have Delta's and Hadoop's jars for S3."""
    context: Any = spark
    compiler = context._jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(context._jvm.java.lang.Thread.currentThread().getContextClassLoader())
    compiler.cook(SOURCE.read_text(encoding="utf-8"))
    codes = dict(compiler.getBytecodes())
    return {f"{str(name).replace('.', '/')}.class": bytes(code) for name, code in codes.items()}


def shipped() -> dict[str, bytes]:
    """The same of the jar that is shipped."""
    with zipfile.ZipFile(log_store_jar()) as jar:
        return {name: jar.read(name) for name in jar.namelist()}


def main() -> None:
    ivy = {"spark.jars.ivy": str(Path(".ivy").absolute())}
    spark = FeatureStore.open(Settings(warehouse="s3a://none/warehouse", spark=ivy)).spark
    with zipfile.ZipFile(log_store_jar(), "w", zipfile.ZIP_DEFLATED) as jar:
        for name, code in compiled(spark).items():
            # Without the time at which it was made.
            jar.writestr(zipfile.ZipInfo(name), code)


if __name__ == "__main__":
    main()
