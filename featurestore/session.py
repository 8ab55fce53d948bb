"""The Spark session: adopted where there is one, else started with Delta Lake and UTC."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark import SparkFiles
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from featurestore.config import Settings
from featurestore.errors import InvalidArgumentError, RuntimeSetupError, shown

DELTA_PACKAGE = "io.delta:delta-spark_4.2_2.13:4.4.0"
SUPPORTED_JAVA = (17, 21, 25)

# What Spark ships itself; left out, Delta needs a third of the download.
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

# File systems that give a file another's name in one step.
_RENAME_OVER = frozenset({"hdfs", "viewfs"})
_DECIDED_BY_SUBMIT = frozenset({"spark.master", "spark.submit.deployMode"})
_GIB = 1024**3


def open_session(
    settings: Settings, spark: SparkSession | None = None, environ: MutableMapping[str, str] = os.environ
) -> SparkSession:
    """The given session, else the active one, else a new one, of the Spark Connect server that ``SPARK_REMOTE`` names, if any.

    An adopted session, as that of a server, is never changed: its settings belong to whoever started it. Raises RuntimeSetupError when
    Java is missing or too old, or when the session has no Delta Lake.
    """
    # By what it can do: a session of Spark Connect is of another class.
    if spark is not None and not callable(getattr(spark, "createDataFrame", None)):
        raise InvalidArgumentError(f"spark is {shown(spark)} ({type(spark).__name__}); give a SparkSession, or None")
    adopted = spark or SparkSession.getActiveSession()
    if adopted is not None:
        return _checked(adopted)
    if remote := environ.get("SPARK_REMOTE") or settings.spark.get("spark.remote"):
        return _checked(SparkSession.builder.remote(remote).getOrCreate())
    if "DATABRICKS_RUNTIME_VERSION" in environ:
        # The platform's session is there, if not active in this thread; it has its own Delta and settings.
        return _checked(SparkSession.builder.getOrCreate())
    check_java(environ)
    # The workers' Python is this one: the environment counts before the JVM starts, a builder's setting does not.
    environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("featurestore")
    for key, value in session_properties(settings, environ).items():
        builder = builder.config(key, value)
    started = _checked(builder.getOrCreate())
    _give_to_executors(started, getattr(__spec__.loader, "archive", ""))
    return started


def _give_to_executors(spark: SparkSession, archive: str) -> None:
    """This package, where it runs from a wheel of ``--py-files``.

    The driver is given any file; executors find modules only in those whose names they know, of which ``.whl`` is none.
    """
    if not archive.endswith(".whl"):
        return
    # Spark serves the file from here as long as it runs, and removes it then.
    renamed = Path(SparkFiles.getRootDirectory(), f"{Path(archive).stem}.zip")
    shutil.copyfile(archive, renamed)
    spark.sparkContext.addPyFile(str(renamed))


def session_properties(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Spark properties for a session that this package starts: its defaults, the user's over them."""
    cores = os.cpu_count() or 1
    defaults = {
        "spark.jars.packages": DELTA_PACKAGE,
        "spark.jars.excludes": ",".join(SHIPPED_WITH_SPARK),
        "spark.jars.ivy": str(Path.home() / ".cache" / "featurestore" / "ivy"),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.driver.memory": f"{_driver_memory_gib()}g",
    }
    under_submit = "PYSPARK_GATEWAY_PORT" in environ
    if not under_submit:
        defaults["spark.master"] = "local[*]"
    if not under_submit and settings.spark.get("spark.master", "local").startswith("local"):
        defaults |= {
            "spark.sql.shuffle.partitions": str(max(4, 2 * cores)),
            "spark.databricks.delta.snapshotPartitions": "2",
            "spark.ui.enabled": "false",
        }
    given = settings.spark
    if under_submit:
        # Who submits decides where the job runs; a setting of the code would go over it.
        given = {key: value for key, value in given.items() if key not in _DECIDED_BY_SUBMIT}
    return defaults | given


def _driver_memory_gib() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(8, physical // 4 // _GIB))


def _checked(spark: SparkSession) -> SparkSession:
    """The session; raises RuntimeSetupError where it has no Delta Lake."""
    if "DeltaSparkSessionExtension" in (spark.conf.get("spark.sql.extensions", "") or "") or _on_databricks(spark):
        return spark
    raise RuntimeSetupError(
        "this Spark session has no Delta Lake; start it with spark-submit --properties-file conf/spark-defaults.conf, "
        f"or with --packages {DELTA_PACKAGE} and spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension"
    )


def _on_databricks(spark: SparkSession) -> bool:
    return bool(spark.conf.get("spark.databricks.clusterUsageTags.sparkVersion", ""))


class HadoopFiles:
    """Files on any file system that this Spark session knows (``featurestore.stores.file_system.Files``)."""

    def __init__(self, spark: SparkSession) -> None:
        """Raises RuntimeSetupError for a client of Spark Connect: the file systems are those of Spark's own Java."""
        if is_remote():
            raise RuntimeSetupError(
                "this reads or changes files beside the tables, which is done in Spark's own process, and this session is "
                "a client of Spark Connect; run it as a job with spark-submit, or in a session of this process"
            )
        self._jvm: Any = spark._jvm
        self._hadoop: Any = spark._jsc.hadoopConfiguration()

    def exists(self, path: str) -> bool:
        place, system = self._at(path)
        return bool(_told(lambda: system.exists(place)))

    def rename(self, source: str, target: str) -> None:
        place, system = self._at(source)
        other, _ = self._at(target)
        _told(lambda: system.mkdirs(other.getParent()))
        if not _told(lambda: not system.exists(other) and system.rename(place, other)):
            raise FileExistsError(f"{target} is there already, or {source} is not")

    def delete(self, path: str) -> None:
        place, system = self._at(path)
        _told(lambda: system.delete(place, True))

    def write_text(self, path: str, text: str) -> None:
        place, system = self._at(path)

        def write() -> None:
            stream = system.create(place, False)
            stream.write(bytearray(text.encode("utf-8")))
            stream.close()

        _told(write)

    def files_in(self, folder: str) -> list[tuple[str, int]]:
        found = [entry for entry in self._entries(folder) if entry.isFile()]
        return sorted((str(entry.getPath().getName()), int(entry.getModificationTime())) for entry in found)

    def folders_in(self, folder: str) -> list[str]:
        return sorted(str(entry.getPath().getName()) for entry in self._entries(folder) if entry.isDirectory())

    def _entries(self, folder: str) -> list[Any]:
        place, system = self._at(folder)
        if not _told(lambda: system.exists(place)):
            return []
        return list(_told(lambda: system.listStatus(place)))

    def read_text(self, path: str) -> str:
        place, system = self._at(path)

        def read() -> str:
            stream = system.open(place)
            try:
                return str(self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
            finally:
                stream.close()

        return str(_told(read))

    def length(self, path: str) -> int:
        place, system = self._at(path)
        return int(_told(lambda: system.getFileStatus(place).getLen()))

    def read_end(self, path: str, number: int) -> bytes:
        place, system = self._at(path)

        def read() -> Any:
            stream = system.open(place)
            try:
                stream.seek(max(0, system.getFileStatus(place).getLen() - number))
                return self._jvm.org.apache.commons.io.IOUtils.toByteArray(stream)
            finally:
                stream.close()

        return bytes(_told(read))

    def read_start(self, path: str, number: int) -> bytes:
        place, system = self._at(path)

        def read() -> Any:
            codec = self._jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(self._hadoop).getCodec(place)
            stream = system.open(place)
            try:
                return (stream if codec is None else codec.createInputStream(stream)).readNBytes(number)
            finally:
                stream.close()

        return bytes(_told(read))

    def copy_with(self, source: str, target: str, offset: int, inserted: bytes) -> None:
        place, system = self._at(source)
        new, _ = self._at(target)
        copy = self._jvm.org.apache.commons.io.IOUtils.copyLarge

        def write() -> None:
            read, written = system.open(place), system.create(new, False)
            try:
                copy(read, written, 0, offset)
                written.write(bytearray(inserted))
                copy(read, written)
            finally:
                read.close()
                written.close()

        _told(write)

    def replace_text(self, path: str, old: str, new: str) -> None:
        beside = f"{path}.{uuid4().hex}.tmp"
        self.write_text(beside, new)
        try:
            if self.read_text(path) != old:
                raise OSError(f"{path} was changed meanwhile")
            self.replace(beside, path)
        except OSError:
            self.delete(beside)
            raise

    def replace(self, source: str, target: str) -> None:
        new, system = self._at(source)
        old, _ = self._at(target)

        def replace() -> None:
            modified = system.getFileStatus(old).getModificationTime()
            scheme = str(system.getUri().getScheme())
            if scheme == "file":
                self._replace_local(new, old)
            elif scheme in _RENAME_OVER:
                options = self._jvm.java.lang.reflect.Array.newInstance(self._rename.getClass(), 1)
                options[0] = self._rename
                self._jvm.org.apache.hadoop.fs.FileContext.getFileContext(system.getUri(), self._hadoop).rename(
                    new, old, options
                )
            else:
                # An object store shows a copy when it is whole, over what there was.
                self._jvm.org.apache.hadoop.fs.FileUtil.copy(system, new, system, old, True, True, self._hadoop)
                return
            system.setTimes(old, modified, -1)

        _told(replace)

    @property
    def _rename(self) -> Any:
        return self._jvm.org.apache.hadoop.fs.Options.Rename.OVERWRITE

    def _replace_local(self, new: Any, old: Any) -> None:
        """Without Hadoop's checksum beside the file: no reader can then meet the new one with the old one's checksum."""
        raw = self._jvm.org.apache.hadoop.fs.FileSystem.getLocal(self._hadoop).getRawFileSystem()
        local = self._jvm.org.apache.hadoop.fs.FileSystem.getLocal(self._hadoop)
        for checksum in (local.getChecksumFile(old), local.getChecksumFile(new)):
            raw.delete(checksum, False)
        if not raw.rename(new, old):
            raise OSError(f"{new} cannot be given the name of {old}")

    def _at(self, path: str) -> tuple[Any, Any]:
        full = path if "://" in path else f"file://{Path(path).absolute()}"
        place = _told(lambda: self._jvm.org.apache.hadoop.fs.Path(full))
        return place, _told(lambda: place.getFileSystem(self._hadoop))


def _told(call: Callable[[], Any]) -> Any:
    """What Java says, with its errors of input and output as Python's."""
    try:
        return call()
    except Py4JJavaError as error:
        raise OSError(str(error.java_exception)) from error
    except IllegalArgumentException as error:
        # Such as a port that there is not, in a path.
        raise OSError(str(error).partition("\n")[0]) from error


def check_java(environ: Mapping[str, str] = os.environ) -> str:
    """The version of the Java that Spark would start; raises RuntimeSetupError where there is none that it can use."""
    home = environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))
    install = "install it with: apt-get install -y openjdk-17-jre-headless (macOS: brew install openjdk@17)"
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME={home}" if home else "PATH"
        raise RuntimeSetupError(f"Spark needs Java 17 or 21 and {where} has none; {install}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)([^"]*)"', told)
    if found is None:
        raise RuntimeSetupError(f"{java} -version did not name a version ({told.strip()[:200]!r}); {install}")
    if int(found.group(1)) not in SUPPORTED_JAVA:
        raise RuntimeSetupError(f"Spark 4.2 needs Java 17 or 21 and {java} is {found.group(1)}; {install}")
    return found.group(1) + found.group(2)
