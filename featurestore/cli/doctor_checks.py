"""What doctor checks: facts about the environment, and how to fix what is wrong. Nothing here touches anything else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from featurestore.late_spark import INSTALL_SPARK

OLDEST_PYTHON = (3, 11)
# The newest versions that work together; the jar named in session.py is of this Delta.
REQUIRED_PACKAGES = {"pyspark": "4.2.", "delta-spark": "4.4."}
PROBE_ROWS = 3
SPARK_SESSION = "Spark session"
_WITHOUT_SPARK = (
    "definitions, local batches, reads, joins and training sets of pandas and Arrow examples, vectors and upkeep work "
    "without it; transformations, profiles, erasures and Spark DataFrames need it"
)


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


def judge_python(version: tuple[int, ...]) -> Check:
    text = ".".join(str(part) for part in version)
    oldest = ".".join(str(part) for part in OLDEST_PYTHON)
    return Check.judged("Python", version >= OLDEST_PYTHON, text, f"use Python {oldest} or newer")


def judge_packages(installed: dict[str, str | None] | None, is_native: bool) -> Check:
    """Spark and Delta must have the versions that work together; ``installed``: None if a platform brings them.

    ``is_native``: whether anything works without them; then neither need be there.
    """
    if installed is None:
        return Check("Spark packages", True, "come with the platform")
    if is_native and is_without_spark(installed):
        return Check("Spark packages", True, f"not installed; {_or_without(INSTALL_SPARK, is_native)}")
    text = ", ".join(f"{name} {version or 'missing'}" for name, version in installed.items())
    ok = all((installed.get(name) or "").startswith(prefix) for name, prefix in REQUIRED_PACKAGES.items())
    return Check.judged("Spark packages", ok, text, _or_without(INSTALL_SPARK, is_native))


def is_without_spark(installed: dict[str, str | None] | None) -> bool:
    """Whether the extra was left out: neither package is there, and no platform brings them."""
    return installed is not None and not any(installed.values())


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


def judge_object_store(root: str, obstacle: str | None, replaces_objects: bool) -> Check:
    """``obstacle``: why this process does not read and write the warehouse; ``replaces_objects``: also if forbidden."""
    name = "warehouse"
    if obstacle is not None:
        mend = (
            "set small_tables to 'spark' if Spark alone is to read and write it; the Delta check tries whether it can"
        )
        return Check(name, False, obstacle, mend)
    if replaces_objects:
        mend = (
            "use a store that knows conditional puts, or set small_tables to 'spark' and let one driver do all the "
            "writing"
        )
        return Check(name, False, f"{root} replaces an object although the request forbids it (If-None-Match)", mend)
    return Check(name, True, f"{root} (an object store; reached, and it replaces no object)")


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


def judge_session(spark_version: str | None, fault: str, jars_there: bool, log: Path | None = None) -> Check:
    """``log``: the file with Spark's own messages, if this package started the session."""
    if spark_version is not None:
        messages = "" if log is None else f"; its messages are in {log}"
        return Check(SPARK_SESSION, True, f"Spark {spark_version}{messages}")
    mend = "read Spark's messages; a wrong property in the settings under 'spark' is the usual cause"
    if not jars_there:
        mend = (
            "Delta's jars are missing and Spark could not fetch them: check the connection to Maven Central, or name a "
            "mirror with spark.jars.ivySettings"
        )
    return Check(SPARK_SESSION, False, fault, mend)


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


def judge_local_round_trip(place: str, read: int | None, fault: str = "") -> Check:
    """The same without Spark."""
    if read == PROBE_ROWS:
        return Check("table without Spark", True, f"written and read in {place}")
    mend = f"let this user write to {place}, and reinstall the package deltalake if it cannot be imported"
    return Check("table without Spark", False, fault or f"{read} of {PROBE_ROWS} rows came back from {place}", mend)


def judge_worker(driver: str, worker: str | None, fault: str = "") -> Check:
    """Workers must run the driver's major and minor version of Python."""
    mend = f"export PYSPARK_PYTHON={sys.executable} before Spark starts"
    if worker is None:
        return Check("worker Python", False, fault, mend)
    same = driver.split(".")[:2] == worker.split(".")[:2]
    return Check.judged("worker Python", same, worker if same else f"{worker}, but the driver has {driver}", mend)


def judge_class_archive(file: Path, is_new: bool, fault: str = "") -> Check:
    """``fault``: why none could be recorded; Spark then starts as it does without one, so that nothing is to mend."""
    name = "class archive"
    if fault:
        return Check(name, True, f"none: {fault}; each start of Spark takes about twice as long as with one")
    return Check(name, True, f"{file} ({'recorded now' if is_new else 'recorded before'}; Spark starts from it)")


def judge_own_tables(problems: Sequence[str]) -> Check:
    """``problems``: rows of the store's own tables that cannot be read, each with its remedy."""
    if not problems:
        return Check("own tables", True, "definitions and manifests can be read")
    return Check(
        "own tables", False, "; ".join(problems), "apply each problem's remedy; everything else works meanwhile"
    )


def judge_java(version: str | None, fault: str, is_native: bool) -> Check:
    """``fault``: what is wrong, and after a semicolon how to fix it; ``is_native``: whether anything works without."""
    if version is not None:
        return Check("Java", True, version)
    found, _, mend = fault.partition("; ")
    return Check("Java", False, found, _or_without(mend, is_native))


def _or_without(mend: str, is_native: bool) -> str:
    return f"{mend}; {_WITHOUT_SPARK}" if is_native else mend
