"""Settings by which Spark computes the small tables of tests in little time."""

from __future__ import annotations

from pathlib import Path

# Short queries never earn back what compilers cost: Java's optimising one, and Spark's own of each query; nor what adaptive
# execution costs. The as-of join's properties, the cluster and the jobs by spark-submit run as in production.
QUICK = {
    # Without the optimising compiler Java keeps 48 MB for compiled code, which a long run fills, and then throws code out.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC",
    "spark.driver.memory": "2g",
    "spark.jars.ivy": str(Path(__file__).parents[2] / ".ivy"),
    # The logs of these tables are a few lines, and a task costs more than reading them.
    "spark.databricks.delta.snapshotPartitions": "1",
    # Where the process's time zone is not UTC, Delta reads the whole log again after each commit, to compare.
    "spark.databricks.delta.allFilesInCrc.verificationMode.forceOnNonUTC.enabled": "false",
    # In short queries there is nothing to adapt, and each shuffle would be a job of its own.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}
