"""The Spark session: an existing one is adopted, else one is started, with Delta Lake and in UTC."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from featurestore.config import Settings
from featurestore.errors import ConfigurationError, InvalidArgumentError, RuntimeSetupError, shown
from featurestore.late_spark import SparkFiles, SparkSession
from featurestore.object_stores import CONDITIONAL_LOG_STORE, LOG_STORE_SETTINGS, is_object_store, log_store_jar
from featurestore.spark_start import ClassArchive, java_command, java_with_log

DELTA_PACKAGE = "io.delta:delta-spark_4.2_2.13:4.4.0"
SUPPORTED_JAVA = (17, 21, 25)

# What Spark ships itself; without these, Delta needs a third of the download.
SHIPPED_WITH_SPARK = (
    "com.fasterxml.jackson.core:*",
    "com.fasterxml.jackson.datatype:*",
    "com.github.luben:*",
    "com.google.code.findbugs:*",
    "commons-logging:*",
    "commons-pool:*",
    "io.airlift:*",
    "io.unitycatalog:*",
    "javax.annotation:*",
    "org.apache.hadoop:*",
    "org.apache.logging.log4j:*",
    "org.apache.parquet:*",
    "org.locationtech.jts:*",
    "org.roaringbitmap:*",
    "org.slf4j:*",
    "org.xerial.snappy:*",
)

# Hadoop's connector for S3, and those modules of the AWS SDK that it uses, in the version that it was made with: 16 MB.
# It asks for the whole SDK as one jar, of half a gigabyte.
_AWS_SDK = "2.35.4"
S3_PACKAGES = (
    "org.apache.hadoop:hadoop-aws:3.5.0",
    *(
        f"software.amazon.awssdk:{module}:{_AWS_SDK}"
        for module in ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
    ),
)
NOT_FOR_S3 = (
    *(known for known in SHIPPED_WITH_SPARK if known != "org.apache.hadoop:*"),
    "commons-codec:*",
    "io.netty:*",
    "org.apache.hadoop:hadoop-client-api",
    "org.apache.hadoop:hadoop-client-runtime",
    "org.apache.httpcomponents:*",
    "org.wildfly.openssl:*",
    "software.amazon.awssdk:bundle",
    "software.amazon.encryption.s3:*",
)

_DECIDED_BY_SUBMIT = frozenset({"spark.master", "spark.submit.deployMode"})
_MIB, _GIB = 1024**2, 1024**3


def open_session(
    settings: Settings, spark: SparkSession | None = None, environ: MutableMapping[str, str] = os.environ
) -> SparkSession:
    """Return ``spark``, else the active session, else a new one (of the server in ``SPARK_REMOTE``, if that is set).

    An adopted session or a server's session is never changed: its settings belong to whoever started it. What a new
    one prints goes to a log file (``spark_log``). Raises RuntimeSetupError if Java is missing or too old, if Spark does
    not start, or if the session has no Delta Lake.
    """
    adopted = adopted_session(spark, environ) or SparkSession.getActiveSession()
    if adopted is not None:
        return _checked(adopted)
    if remote := environ.get("SPARK_REMOTE") or settings.spark.get("spark.remote"):
        return _checked(SparkSession.builder.remote(remote).getOrCreate())
    if "DATABRICKS_RUNTIME_VERSION" in environ:
        # The platform's session exists, even if not active in this thread; it has its own Delta and settings.
        return _checked(SparkSession.builder.getOrCreate())
    check_java(environ)
    # Workers must run this Python. Spark reads the environment before the JVM starts; a builder's setting is too late.
    environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("featurestore")
    properties = session_properties(settings, environ)
    archive = ClassArchive.of(properties, environ)
    if archive is not None and archive.is_there:
        properties = archive.used(properties)
    for key, value in properties.items():
        builder = builder.config(key, value)
    with java_with_log(properties, settings.spark_log):
        session = builder.getOrCreate()
    started = _checked(session)
    _give_to_executors(started, getattr(__spec__.loader, "archive", ""))
    return started


def adopted_session(spark: SparkSession | None, environ: Mapping[str, str]) -> SparkSession | None:
    """The session to adopt at once: ``spark``, or the active one; None if one is started when it is first needed.

    Raises InvalidArgumentError for anything but a session, RuntimeSetupError for one without Delta Lake.
    """
    # By its method, because a session of Spark Connect is of another class.
    if spark is not None and not callable(getattr(spark, "createDataFrame", None)):
        raise InvalidArgumentError(f"spark is {shown(spark)} ({type(spark).__name__}); give a SparkSession, or None")
    # Nobody has a session while PySpark is not even loaded.
    adopted = spark if spark is not None or "pyspark" not in sys.modules else SparkSession.getActiveSession()
    return None if adopted is None else _checked(adopted)


def why_only_spark(settings: Settings, spark: SparkSession | None, environ: Mapping[str, str]) -> str | None:
    """Why only Spark reads and writes the tables; None if this process also does. See the setting ``small_tables``.

    Raises ConfigurationError if the setting demands it and the tables are not in a folder of this machine.
    """
    if settings.small_tables == "spark":
        return "small_tables is 'spark'"
    obstacle = _obstacle(settings, spark, environ)
    if obstacle is not None and settings.small_tables == "native":
        raise ConfigurationError(f"small_tables is 'native', and {obstacle}; set it to 'auto' or 'spark'")
    return obstacle


def why_only_spark_reads(settings: Settings, spark: SparkSession | None, environ: Mapping[str, str]) -> str | None:
    """Why only Spark reads the files of values; None if others do, or are to try (on an object store)."""
    return "small_tables is 'spark'" if settings.small_tables == "spark" else _keeper(settings, spark, environ)


def _obstacle(settings: Settings, spark: SparkSession | None, environ: Mapping[str, str]) -> str | None:
    """Why this process may not touch the tables' files by itself; None if it may."""
    if keeper := _keeper(settings, spark, environ):
        return keeper
    if is_object_store(settings.warehouse):
        # Whether this process reaches it, is found out when a table is first needed.
        return None
    if "://" in settings.warehouse and not settings.warehouse.startswith("file:/"):
        return f"the warehouse {settings.warehouse!r} is not a folder of this machine, and no object store"
    return None if spark is None else _other_file_system(settings, spark)


def _keeper(settings: Settings, spark: SparkSession | None, environ: Mapping[str, str]) -> str | None:
    """Who keeps the tables, so that nobody else may touch their files; None if nobody does."""
    if settings.catalog is not None:
        return f"a catalog, {settings.catalog!r}, holds the tables"
    if "DATABRICKS_RUNTIME_VERSION" in environ:
        return "the platform keeps storage to itself"
    is_server = environ.get("SPARK_REMOTE") or settings.spark.get("spark.remote")
    if is_server or (spark is not None and type(spark).__module__.startswith("pyspark.sql.connect")):
        return "a Spark Connect server reads and writes the tables"
    return None


def check_file_system(settings: Settings, spark: SparkSession) -> SparkSession:
    """Return the session; raises RuntimeSetupError if the warehouse is another place to it than to this process."""
    if other := _other_file_system(settings, spark):
        raise RuntimeSetupError(f"{other}; write it as a URI, file://{settings.warehouse}, or as one of that system")
    return spark


def _other_file_system(settings: Settings, spark: SparkSession) -> str | None:
    """Where Spark looks for a warehouse without a scheme, if that is not this machine's disk; else None."""
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        return "a Spark Connect server reads and writes the tables, and the store was opened without it"
    context: Any = spark
    default = str(context._jsc.hadoopConfiguration().get("fs.defaultFS"))
    if "://" in settings.warehouse or default.startswith("file:"):
        return None
    return f"the warehouse {settings.warehouse!r} has no scheme, and Spark's default file system is {default}"


def _give_to_executors(spark: SparkSession, archive: str) -> None:
    """Send this package to the executors if it runs from a wheel of ``--py-files``.

    The driver imports from any archive; executors import only from archives of known suffixes, without ``.whl``.
    """
    if not archive.endswith(".whl"):
        return
    # Spark serves the file from here while it runs, and removes it afterwards.
    renamed = Path(SparkFiles.getRootDirectory(), f"{Path(archive).stem}.zip")
    shutil.copyfile(archive, renamed)
    spark.sparkContext.addPyFile(str(renamed))


def session_properties(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Spark properties for a session that this package starts: its defaults, overridden by the user's."""
    cores = os.cpu_count() or 1
    defaults = {
        "spark.jars.packages": DELTA_PACKAGE,
        "spark.jars.excludes": ",".join(SHIPPED_WITH_SPARK),
        "spark.jars.ivy": str(Path.home() / ".cache" / "featurestore" / "ivy"),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Delta takes these only from the session. Files of tables that only Spark writes get small row groups.
        "spark.hadoop.parquet.block.size": str(8 * _MIB),
        "spark.hadoop.parquet.dictionary.page.size": str(4 * _MIB),
        # Otherwise Java is told of each step of a column, by several calls, in which line of Python it was made.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.driver.memory": f"{_driver_memory_gib()}g",
        # Stage bars would run into a command's output.
        "spark.ui.showConsoleProgress": "false",
    }
    if settings.warehouse.startswith(("s3://", "s3a://")):
        defaults |= _for_s3(environ)
    under_submit = "PYSPARK_GATEWAY_PORT" in environ
    if not under_submit:
        defaults["spark.master"] = "local[*]"
    if not under_submit and settings.spark.get("spark.master", "local").startswith("local"):
        defaults |= {
            "spark.sql.shuffle.partitions": str(max(4, 2 * cores)),
            "spark.databricks.delta.snapshotPartitions": "2",
            "spark.ui.enabled": "false",
        }
    properties = settings.spark
    if under_submit:
        # spark-submit decides where the job runs; a property set in code would override it.
        properties = {key: value for key, value in properties.items() if key not in _DECIDED_BY_SUBMIT}
    if "spark.jars" in defaults and "spark.jars" in properties:
        properties = properties | {"spark.jars": f"{defaults['spark.jars']},{properties['spark.jars']}"}
    return defaults | properties


def _for_s3(environ: Mapping[str, str]) -> dict[str, str]:
    """What Spark needs for tables on S3; region and endpoint come from the variables that Arrow and delta-rs read."""
    properties = {
        "spark.jars.packages": ",".join((DELTA_PACKAGE, *S3_PACKAGES)),
        "spark.jars.excludes": ",".join(NOT_FOR_S3),
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.jars": str(log_store_jar()),
        **dict.fromkeys(LOG_STORE_SETTINGS, CONDITIONAL_LOG_STORE),
    }
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if region is not None:
        properties["spark.hadoop.fs.s3a.endpoint.region"] = region
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    if endpoint is not None:
        # Another store than Amazon's seldom gives each bucket a host name.
        properties |= {"spark.hadoop.fs.s3a.endpoint": endpoint, "spark.hadoop.fs.s3a.path.style.access": "true"}
    return properties


def _driver_memory_gib() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(8, physical // 4 // _GIB))


def _checked(spark: SparkSession) -> SparkSession:
    """Return the session; raises RuntimeSetupError if it has no Delta Lake."""
    if "DeltaSparkSessionExtension" in (spark.conf.get("spark.sql.extensions", "") or "") or _on_databricks(spark):
        return spark
    raise RuntimeSetupError(
        "this Spark session has no Delta Lake; start it with spark-submit --properties-file conf/spark-defaults.conf, "
        f"or with --packages {DELTA_PACKAGE} and spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension"
    )


def _on_databricks(spark: SparkSession) -> bool:
    return bool(spark.conf.get("spark.databricks.clusterUsageTags.sparkVersion", ""))


def check_java(environ: Mapping[str, str] = os.environ) -> str:
    """Return the version of the Java that Spark would start; raises RuntimeSetupError if Spark cannot use it."""
    home, java = environ.get("JAVA_HOME"), java_command(environ)
    install = "install it with: apt-get install -y openjdk-17-jre-headless (macOS: brew install openjdk@17)"
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME={home}" if home else "PATH"
        raise RuntimeSetupError(f"Spark needs Java 17 or 21 and {where} has none; {install}")
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)([^"]*)"', output)
    if match is None:
        raise RuntimeSetupError(f"{java} -version did not name a version ({output.strip()[:200]!r}); {install}")
    if int(match.group(1)) not in SUPPORTED_JAVA:
        raise RuntimeSetupError(f"Spark 4.2 needs Java 17 or 21 and {java} is {match.group(1)}; {install}")
    return match.group(1) + match.group(2)
