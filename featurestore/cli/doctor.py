"""Check that Python, Java, Spark, Delta and the warehouse work together, and how to fix what does not.

The functions ``judge_*`` decide from facts and touch nothing; ``examine`` collects the facts.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.config import Settings
from featurestore.errors import RuntimeSetupError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OLDEST_PYTHON = (3, 11)
# The newest versions that work together; the jar named in session.py is of this Delta.
REQUIRED_PACKAGES = {"pyspark": "4.2.", "delta-spark": "4.4."}
PROBE_ROWS = 3


@dataclass(frozen=True)
class Check:
    """One check: whether it passed, what was found, and how to fix what failed."""

    name: str
    ok: bool
    found: str
    mend: str = ""

    @classmethod
    def judged(cls, name: str, ok: bool, found: str, mend: str) -> Check:
        """A check that keeps ``mend`` only if it failed."""
        return cls(name, ok, found, "" if ok else mend)


@dataclass(frozen=True)
class WarehouseFacts:
    """Facts about the warehouse that need no Spark: ``nearest`` is its closest parent that exists, or itself."""

    root: str
    nearest: Path | None
    is_folder: bool
    writable: bool

    @property
    def exists(self) -> bool:
        return self.nearest == Path(self.root)

    @classmethod
    def of(cls, root: str) -> WarehouseFacts:
        if "://" in root:
            return cls(root, None, is_folder=True, writable=True)
        nearest = next(path for path in (Path(root), *Path(root).parents) if path.exists())
        return cls(root, nearest, nearest.is_dir(), os.access(nearest, os.W_OK | os.X_OK))


def examine(settings: Settings, environ: MutableMapping[str, str]) -> Iterator[Check]:
    """Yield each check as soon as it is made; stop after a failure that makes the rest pointless.

    Starts a Spark session unless one is active, which fetches Delta's jars if they are missing. Writes and reads a
    table of three rows: in the warehouse if it is an existing folder, under its ``_doctor`` if it is an object store,
    else in a temporary folder.
    """
    yield judge_python(sys.version_info[:3])
    packages = judge_packages({name: _installed(name) for name in REQUIRED_PACKAGES})
    yield packages
    warehouse = WarehouseFacts.of(settings.warehouse)
    yield judge_warehouse(warehouse)
    if not packages.ok:
        return
    java = _java(environ)
    yield java
    if not java.ok:
        return
    spark, session = _start(settings, environ)
    yield session
    if spark is None:
        return
    properties = settings_of(spark)
    folder = _jar_folder(properties.get("spark.jars.ivy", _ivy_folder(settings)))
    yield judge_jars(folder, _delta_jars(folder), "spark.jars.packages" in properties)
    yield judge_time_zone(properties["spark.sql.session.timeZone"])
    yield _delta_round_trip(spark, warehouse)
    yield _worker(spark)
    yield _own_tables(spark, settings, environ)


def judge_python(version: tuple[int, ...]) -> Check:
    text = ".".join(str(part) for part in version)
    oldest = ".".join(str(part) for part in OLDEST_PYTHON)
    return Check.judged("Python", version >= OLDEST_PYTHON, text, f"use Python {oldest} or newer")


def judge_packages(installed: dict[str, str | None]) -> Check:
    """Spark and Delta must have the versions that work together."""
    text = ", ".join(f"{name} {version or 'missing'}" for name, version in installed.items())
    ok = all((installed.get(name) or "").startswith(prefix) for name, prefix in REQUIRED_PACKAGES.items())
    pins = " ".join(f"'{name}=={prefix}*'" for name, prefix in REQUIRED_PACKAGES.items())
    return Check.judged("Spark packages", ok, text, f"pip install {pins}")


def judge_warehouse(facts: WarehouseFacts) -> Check:
    name = "warehouse"
    if facts.nearest is None:
        return Check(name, True, f"{facts.root} (an object store; the Delta check writes there)")
    if not facts.is_folder:
        mend = "name a folder as warehouse in the settings, or move the file away"
        return Check(name, False, f"{facts.nearest} is a file, not a folder", mend)
    if not facts.writable:
        mend = f"let this user write there (chmod u+w {facts.nearest}), or name another warehouse in the settings"
        return Check(name, False, f"{facts.nearest} cannot be written to", mend)
    return Check(name, True, f"{facts.root} ({'writable' if facts.exists else 'will be created'})")


def judge_jars(folder: Path, jars: Iterable[str], fetched: bool) -> Check:
    """``fetched``: the session's properties name Delta as a package to fetch; otherwise it came with the session."""
    name, files = "Delta jars", sorted(jars)
    if files:
        return Check(name, True, f"{len(files)} in {folder}")
    if not fetched:
        return Check(name, True, "come with the session")
    return Check(
        name, False, f"none in {folder}", "start once with access to Maven Central, or set spark.jars.ivySettings"
    )


def judge_session(spark_version: str | None, fault: str, jars_there: bool) -> Check:
    if spark_version is not None:
        return Check("Spark session", True, f"Spark {spark_version}")
    mend = "read Spark's own messages above; a wrong property in the settings under 'spark' is the usual cause"
    if not jars_there:
        mend = (
            "Delta's jars are missing and Spark could not fetch them: check the connection to Maven Central, or name a "
            "mirror with spark.jars.ivySettings"
        )
    return Check("Spark session", False, fault, mend)


def judge_time_zone(zone: str) -> Check:
    ok = zone in ("UTC", "Etc/UTC", "GMT", "Z", "+00:00")
    mend = (
        "set spark.sql.session.timeZone=UTC: as-of joins do not depend on it, but hour() and to_date() in your SQL do"
    )
    return Check.judged("session time zone", ok, zone, mend)


def judge_round_trip(place: str, read: int | None, fault: str = "") -> Check:
    """``read``: how many of the written rows came back; None if none did, and ``fault`` says why."""
    if read == PROBE_ROWS:
        return Check("Delta table", True, f"written and read in {place}")
    mend = (
        f"make sure that Spark's drivers and workers can write to {place}, and that Delta's jars fit this Spark version"
    )
    return Check("Delta table", False, fault or f"{read} of {PROBE_ROWS} rows came back from {place}", mend)


def judge_worker(driver: str, worker: str | None, fault: str = "") -> Check:
    """Workers must run the driver's major and minor version of Python."""
    mend = f"export PYSPARK_PYTHON={sys.executable} before Spark starts"
    if worker is None:
        return Check("worker Python", False, fault, mend)
    same = driver.split(".")[:2] == worker.split(".")[:2]
    return Check.judged("worker Python", same, worker if same else f"{worker}, but the driver has {driver}", mend)


def judge_own_tables(problems: Sequence[str]) -> Check:
    """``problems``: rows of the store's own tables that cannot be read, each with its remedy."""
    if not problems:
        return Check("own tables", True, "definitions and manifests can be read")
    return Check(
        "own tables", False, "; ".join(problems), "apply each problem's remedy; everything else works meanwhile"
    )


def settings_of(spark: SparkSession) -> dict[str, str]:
    """The session's Spark properties."""
    return {name: value for name, value in spark.conf.getAll.items() if value is not None}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _java(environ: MutableMapping[str, str]) -> Check:
    from featurestore.session import check_java

    try:
        return Check("Java", True, check_java(environ))
    except RuntimeSetupError as error:
        found, _, mend = str(error).partition("; ")
        return Check("Java", False, found, mend)


def _start(settings: Settings, environ: MutableMapping[str, str]) -> tuple[SparkSession | None, Check]:
    from featurestore.session import open_session

    try:
        spark = open_session(settings, environ=environ)
    except Exception as error:  # any error is the finding
        return None, judge_session(
            None, _first_line(error), jars_there=bool(_delta_jars(_jar_folder(_ivy_folder(settings))))
        )
    return spark, judge_session(spark.version, "", jars_there=True)


def _ivy_folder(settings: Settings) -> str:
    from featurestore.session import session_properties

    return session_properties(settings)["spark.jars.ivy"]


def _jar_folder(ivy_folder: str) -> Path:
    return Path(ivy_folder) / "jars"


def _delta_jars(folder: Path) -> list[str]:
    return [jar.name for jar in folder.glob("io.delta_*.jar")]


def _delta_round_trip(spark: SparkSession, warehouse: WarehouseFacts) -> Check:
    if warehouse.nearest is None:
        return _write_and_read(spark, f"{warehouse.root.rstrip('/')}/_doctor")
    usable = warehouse.is_folder and warehouse.writable and warehouse.exists
    folder = tempfile.mkdtemp(prefix=".doctor-", dir=warehouse.root if usable else None)
    try:
        return _write_and_read(spark, folder)
    finally:
        shutil.rmtree(folder)


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


def _own_tables(spark: SparkSession, settings: Settings, environ: MutableMapping[str, str]) -> Check:
    from featurestore.session import needs_no_spark
    from featurestore.stores.layout import Layout
    from featurestore.stores.small_tables.registry import Registry
    from featurestore.stores.training_sets.store import TrainingSetStore

    layout = Layout.of(settings, lambda: spark, needs_no_spark(settings, spark, environ))
    try:
        definitions = Registry.of(layout.registry).state().unreadable()
        manifests = TrainingSetStore(layout).manifests().unreadable.values()
    except Exception as error:  # any error is the finding
        return judge_own_tables([_first_line(error)])
    return judge_own_tables([str(problem) for problem in (*definitions, *manifests)])


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
