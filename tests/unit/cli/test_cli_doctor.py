"""What doctor decides from what it finds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from featurestore.cli import doctor, run
from featurestore.cli.doctor import examine
from featurestore.cli.doctor_checks import (
    Check,
    WarehouseFacts,
    judge_jars,
    judge_local_round_trip,
    judge_object_store,
    judge_packages,
    judge_python,
    judge_round_trip,
    judge_session,
    judge_time_zone,
    judge_warehouse,
    judge_worker,
)
from featurestore.config import Settings
from tests.settings_folder import write_settings_folder


@pytest.mark.parametrize(("version", "ok"), [((3, 10, 13), False), ((3, 11, 0), True), ((3, 13, 2), True)])
def test_python_is_new_enough(version: tuple[int, ...], ok: bool) -> None:
    assert judge_python(version).ok is ok


@pytest.mark.parametrize(
    ("pyspark", "delta", "ok"),
    [
        ("4.2.0", "4.4.0", True),
        ("4.2.1", "4.4.1", True),
        ("4.20.0", "4.4.0", False),
        ("4.3.0", "4.4.0", False),
        ("4.2.0", "4.3.0", False),
        ("4.2.0", None, False),
        (None, None, False),
    ],
)
def test_the_versions_of_spark_and_delta_match(pyspark: str | None, delta: str | None, ok: bool) -> None:
    check = judge_packages({"pyspark": pyspark, "delta-spark": delta}, is_native=False)

    assert check.ok is ok
    assert (check.mend == "pip install 'offline-feature-store[spark]'") is not ok


def test_a_platform_brings_its_own_spark(tmp_path: Path) -> None:
    checks = examine(Settings(warehouse=str(tmp_path)), {"DATABRICKS_RUNTIME_VERSION": "18.0"})

    assert next(checks).name == "Python"
    assert next(checks) == Check("Spark packages", True, "come with the platform")


def test_where_the_extra_was_left_out_doctor_says_what_works_and_starts_no_spark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_installed", {"pyspark": None, "delta-spark": None}.get)
    conf = write_settings_folder(tmp_path / "conf", warehouse=str(tmp_path))

    exit_code = run(["doctor", "--conf", str(conf)])

    [*checks, summary] = capsys.readouterr().out.splitlines()
    assert exit_code == 0
    assert [line.partition(":")[0] for line in checks] == [
        f"ok    {name}"
        for name in ("settings", "Python", "Spark packages", "warehouse", "table without Spark", "own tables")
    ]
    assert "not installed; pip install 'offline-feature-store[spark]'; definitions, local batches, reads" in checks[2]
    assert summary == "Everything works that needs no Spark."


def test_one_package_of_two_is_a_fault_where_neither_is_needed() -> None:
    check = judge_packages({"pyspark": "4.2.0", "delta-spark": None}, is_native=True)

    assert (check.ok, check.found) == (False, "pyspark 4.2.0, delta-spark missing")
    assert check.mend.startswith("pip install 'offline-feature-store[spark]'; definitions, local batches, reads, joins")


@pytest.mark.parametrize(
    ("facts", "ok", "message"),
    [
        (WarehouseFacts("/w", Path("/w"), True, True), True, "/w (writable)"),
        (WarehouseFacts("/w/a/b", Path("/w"), True, True), True, "/w/a/b (will be created)"),
        (WarehouseFacts("/w/a", Path("/w"), True, False), False, "/w cannot be written to"),
        (WarehouseFacts("/w/a", Path("/w/a"), False, True), False, "/w/a is a file, not a folder"),
        (WarehouseFacts("s3a://w", None, True, True), True, "s3a://w (an object store; the Delta check writes there)"),
    ],
)
def test_the_warehouse_is_or_can_be_made(facts: WarehouseFacts, ok: bool, message: str) -> None:
    check = judge_warehouse(facts)

    assert (check.ok, check.found) == (ok, message)
    assert bool(check.mend) is not ok


@pytest.mark.parametrize(
    ("obstacle", "replaces", "found", "mend"),
    [
        (None, False, "s3a://w (an object store; reached, and it replaces no object)", ""),
        ("only Spark reads s3a://w", False, "only Spark reads s3a://w", "set small_tables to 'spark' if Spark alone"),
        (
            None,
            True,
            "s3a://w replaces an object although the request forbids it",
            "use a store that knows conditional",
        ),
    ],
)
def test_an_object_store_is_reached_and_replaces_nothing(
    obstacle: str | None, replaces: bool, found: str, mend: str
) -> None:
    check = judge_object_store("s3a://w", obstacle, replaces)

    assert check.found.startswith(found)
    assert check.mend.startswith(mend)
    assert check.ok is not bool(mend)


def test_the_facts_of_a_missing_warehouse_are_those_of_its_nearest_folder(tmp_path: Path) -> None:
    assert WarehouseFacts.of(f"{tmp_path}/a/b") == WarehouseFacts(f"{tmp_path}/a/b", tmp_path, True, True)


@pytest.mark.parametrize(
    ("jars", "fetched", "ok"),
    [(["io.delta_delta-spark_4.2_2.13-4.4.0.jar"], True, True), ([], True, False), ([], False, True)],
)
def test_delta_is_fetched_or_came_with_the_session(jars: list[str], fetched: bool, ok: bool) -> None:
    assert judge_jars(Path("/ivy/jars"), jars, fetched).ok is ok


@pytest.mark.parametrize(
    ("jars_there", "hint"), [(False, "Maven Central"), (True, "a wrong property in the settings under 'spark'")]
)
def test_a_missing_part_explains_a_session_that_did_not_start(jars_there: bool, hint: str) -> None:
    check = judge_session(None, "PySparkRuntimeError: Java gateway process exited", jars_there)

    assert not check.ok
    assert hint in check.mend


@pytest.mark.parametrize(("zone", "ok"), [("UTC", True), ("Etc/UTC", True), ("Europe/Berlin", False)])
def test_the_session_is_in_utc(zone: str, ok: bool) -> None:
    assert judge_time_zone(zone).ok is ok


@pytest.mark.parametrize(("read", "ok"), [(3, True), (2, False), (None, False)])
def test_all_rows_come_back(read: int | None, ok: bool) -> None:
    check = judge_round_trip("/w", read, "" if read is not None else "AnalysisException: no such format")

    assert check.ok is ok
    assert ("no such format" in check.found) is (read is None)


@pytest.mark.parametrize(
    ("worker", "ok"), [("3.11.7", True), ("3.11.2", True), ("3.9.2", False), ("3.1.1", False), (None, False)]
)
def test_workers_run_the_drivers_python(worker: str | None, ok: bool) -> None:
    check = judge_worker("3.11.7", worker, "PythonException: failed to start")

    assert check.ok is ok
    assert check.mend == ("" if ok else f"export PYSPARK_PYTHON={sys.executable} before Spark starts")


def test_without_java_nothing_is_started_and_the_rest_is_checked(tmp_path: Path) -> None:
    settings = Settings(warehouse=str(tmp_path))

    checks = list(examine(settings, {**os.environ, "JAVA_HOME": str(tmp_path)}))

    assert checks[-1] == Check(
        "Java",
        False,
        f"Spark needs Java 17 or 21 and JAVA_HOME={tmp_path} has none",
        checks[-1].mend,
    )
    assert "install it with" in checks[-1].mend
    assert "transformations, profiles, erasures and Spark DataFrames need it" in checks[-1].mend
    working = {check.name for check in checks if check.ok}
    assert {"Python", "warehouse", "table without Spark", "own tables"} <= working
    assert not list(tmp_path.iterdir())


def test_where_only_spark_reaches_the_tables_nothing_is_checked_without_it(tmp_path: Path) -> None:
    settings = Settings(warehouse=str(tmp_path), small_tables="spark")

    checks = list(examine(settings, {**os.environ, "JAVA_HOME": str(tmp_path)}))

    assert "table without Spark" not in {check.name for check in checks}
    assert "joins" not in checks[-1].mend


@pytest.mark.parametrize(("read", "ok"), [(3, True), (2, False), (None, False)])
def test_all_rows_come_back_without_spark(read: int | None, ok: bool) -> None:
    assert judge_local_round_trip("/w", read, "" if read is not None else "OSError: read-only").ok is ok
