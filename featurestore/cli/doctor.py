"""Check that Python, Java, Spark, Delta and the warehouse work together, and how to fix what does not.

The functions ``judge_*`` decide from facts and touch nothing; ``examine`` collects the facts.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa

from featurestore.cli import class_archive
from featurestore.cli.doctor_checks import (
    PROBE_ROWS,
    REQUIRED_PACKAGES,
    Check,
    WarehouseFacts,
    is_without_spark,
    judge_jars,
    judge_java,
    judge_local_round_trip,
    judge_object_store,
    judge_own_tables,
    judge_packages,
    judge_python,
    judge_round_trip,
    judge_session,
    judge_time_zone,
    judge_warehouse,
    judge_worker,
)
from featurestore.config import Settings
from featurestore.errors import ConfigurationError, RuntimeSetupError, StorageError
from featurestore.object_stores import is_object_store
from featurestore.session import adopted_session, check_java, open_session, session_properties, why_only_spark
from featurestore.spark_start import spark_log
from featurestore.stores.delta.native_table import NativeTable
from featurestore.stores.files.object_files import ObjectFiles
from featurestore.stores.layout import Layout
from featurestore.stores.object_commits import ConditionalPuts, check_store
from featurestore.stores.places import library_uri
from featurestore.stores.small_tables.registry import Registry
from featurestore.stores.training_sets.store import TrainingSetStore
from featurestore.stores.value_files.reach import why_unreachable
from featurestore.stores.writer_lock import WriterLock

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def examine(settings: Settings, environ: MutableMapping[str, str]) -> Iterator[Check]:
    """Yield each check as soon as it is made; stop after a failure that makes the rest pointless.

    First comes what works without Spark; that is all if the extra ``spark`` was left out. Then a Spark session is
    started unless one is active, which fetches Delta's jars if they are missing; from then on, sessions start from an
    archive of Java's classes (``ClassArchive``). With and without Spark, a table of three rows is written and read: in
    the warehouse if it is an existing folder, under the prefix of an object store, else in a temporary
    folder.
    """
    yield judge_python(sys.version_info[:3])
    is_native = why_only_spark(settings, None, environ) is None
    # A platform's Spark need not be a package of pip; whether its session works is checked below.
    is_platforms = "DATABRICKS_RUNTIME_VERSION" in environ
    installed = None if is_platforms else {name: _installed(name) for name in REQUIRED_PACKAGES}
    packages = judge_packages(installed, is_native)
    yield packages
    warehouse = WarehouseFacts.of(settings.warehouse)
    place = _object_store(warehouse) if is_native and is_object_store(warehouse.root) else judge_warehouse(warehouse)
    yield place
    # Spark may reach an object store that this process does not reach.
    is_native = is_native and (place.ok or warehouse.nearest is not None)
    if is_native:
        yield _round_trip_without_spark(warehouse)
        yield _own_tables(settings, environ)
    if not packages.ok or is_without_spark(installed):
        return
    java = _java(environ, is_native)
    yield java
    if not java.ok:
        return
    is_ours = adopted_session(None, environ) is None and not environ.get("SPARK_REMOTE")
    spark, session = _start(settings, environ)
    yield session
    if spark is None:
        return
    properties = settings_of(spark)
    folder = _jar_folder(properties.get("spark.jars.ivy", _ivy_folder(settings)))
    yield judge_jars(folder, _delta_jars(folder), "spark.jars.packages" in properties)
    yield judge_time_zone(properties["spark.sql.session.timeZone"])
    round_trip = _delta_round_trip(spark, warehouse)
    yield round_trip
    worker = _worker(spark)
    yield worker
    jars = [unquote(jar.removeprefix("file://")) for jar in properties.get("spark.jars", "").split(",") if jar]
    if is_ours and round_trip.ok and worker.ok:
        archive = class_archive.recorded(session_properties(settings, environ), jars)
        if archive is not None:
            yield archive
    if not is_native:
        yield _own_tables(settings, environ, spark)


def settings_of(spark: SparkSession) -> dict[str, str]:
    """The session's Spark properties."""
    return {name: value for name, value in spark.conf.getAll.items() if value is not None}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _java(environ: MutableMapping[str, str], is_native: bool) -> Check:
    try:
        return judge_java(check_java(environ), "", is_native)
    except RuntimeSetupError as error:
        return judge_java(None, str(error), is_native)


def _start(settings: Settings, environ: MutableMapping[str, str]) -> tuple[SparkSession | None, Check]:
    try:
        spark = open_session(settings, environ=environ)
    except Exception as error:  # any error is the finding
        return None, judge_session(
            None, _first_line(error), jars_there=bool(_delta_jars(_jar_folder(_ivy_folder(settings))))
        )
    return spark, judge_session(spark.version, "", jars_there=True, log=spark_log())


def _ivy_folder(settings: Settings) -> str:
    return session_properties(settings)["spark.jars.ivy"]


def _jar_folder(ivy_folder: str) -> Path:
    return Path(ivy_folder) / "jars"


def _delta_jars(folder: Path) -> list[str]:
    return [jar.name for jar in folder.glob("io.delta_*.jar")]


def _delta_round_trip(spark: SparkSession, warehouse: WarehouseFacts) -> Check:
    if warehouse.nearest is None:
        return _write_and_read(spark, f"{warehouse.root.rstrip('/')}/_doctor")
    with _probe_folder(warehouse) as folder:
        return _write_and_read(spark, folder)


def _object_store(warehouse: WarehouseFacts) -> Check:
    obstacle, replaces_objects = why_unreachable(warehouse.root), False
    if obstacle is None:
        try:
            check_store(warehouse.root)
        except ConfigurationError:
            replaces_objects = True
        except StorageError as error:
            obstacle = str(error)
    return judge_object_store(warehouse.root, obstacle, replaces_objects)


@contextmanager
def _probe_folder(warehouse: WarehouseFacts) -> Iterator[str]:
    usable = warehouse.is_folder and warehouse.writable and warehouse.exists
    folder = tempfile.mkdtemp(prefix=".doctor-", dir=warehouse.root if usable else None)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _round_trip_without_spark(warehouse: WarehouseFacts) -> Check:
    if warehouse.nearest is None:
        folder = f"{warehouse.root.rstrip('/')}/.doctor-{uuid4().hex}"
        try:
            return _written_and_read(folder, NativeTable(library_uri(folder), ConditionalPuts(warehouse.root)))
        finally:
            ObjectFiles().delete(folder)
    with _probe_folder(warehouse) as folder:
        return _written_and_read(folder, NativeTable(f"{folder}/table", WriterLock(Path(folder, "lock"), timeout=0)))


def _written_and_read(place: str, table: NativeTable) -> Check:
    try:
        rows = pa.table({"id": pa.array(range(PROBE_ROWS), pa.int64())})
        table.create(rows.schema)
        table.append(rows)
        return judge_local_round_trip(place, table.read().num_rows)
    except Exception as error:  # any error is the finding
        return judge_local_round_trip(place, None, _first_line(error))


def _write_and_read(spark: SparkSession, place: str) -> Check:
    try:
        spark.range(PROBE_ROWS).coalesce(1).write.format("delta").mode("overwrite").save(place)
        return judge_round_trip(place, spark.read.format("delta").load(place).count())
    except Exception as error:  # any error is the finding
        return judge_round_trip(place, None, _first_line(error))


def _worker(spark: SparkSession) -> Check:
    from pyspark.sql import functions as F

    driver = platform.python_version()
    worker_version = F.udf(lambda _: platform.python_version(), "string")
    try:
        worker = spark.range(1).select(worker_version("id").alias("version")).collect()[0]["version"]
    except Exception as error:  # any error is the finding
        return judge_worker(driver, None, _first_line(error))
    return judge_worker(driver, worker)


def _own_tables(settings: Settings, environ: MutableMapping[str, str], spark: SparkSession | None = None) -> Check:
    """Without ``spark`` by delta-rs, which the settings must allow."""

    def session() -> SparkSession:
        assert spark is not None
        return spark

    try:
        layout = Layout.of(settings, session, is_native=spark is None)
        definitions = Registry.of(layout.registry).state().unreadable()
        manifests = TrainingSetStore(layout).manifests().unreadable.values()
    except Exception as error:  # any error is the finding
        return judge_own_tables([_first_line(error)])
    return judge_own_tables([str(problem) for problem in (*definitions, *manifests)])


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
