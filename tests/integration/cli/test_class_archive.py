"""Doctor records Java's classes, in a real Java, and Spark starts from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.processes.commands import command
from tests.processes.quick_spark import QUICK
from tests.settings_folder import write_settings_folder


def doctor(project: Path, options: str) -> str:
    """What doctor prints, with these options of Java beside the tests' own."""
    spark = QUICK | {"spark.jars.ivy": str(project / "ivy"), "spark.driver.extraJavaOptions": options}
    done = command(project, "doctor", spark=spark)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_spark_starts_from_the_classes_that_doctor_recorded(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_settings_folder(project / "conf", warehouse="warehouse")
    fetched = Path(QUICK["spark.jars.ivy"])
    for folder in ("cache", "jars"):
        shutil.copytree(fetched / folder, project / "ivy" / folder)
    loaded = tmp_path / "loaded.log"

    first = doctor(project, QUICK["spark.driver.extraJavaOptions"])
    second = doctor(project, f"{QUICK['spark.driver.extraJavaOptions']} -Xlog:class+load:file={loaded}")

    assert "recorded now; Spark starts from it" in first
    assert "recorded before; Spark starts from it" in second
    lines = loaded.read_text().splitlines()
    archived = [line for line in lines if line.endswith("source: shared objects file (top)")]
    assert len(archived) > len(lines) / 2
    assert any(" org.apache.spark.sql.delta.DeltaLog " in line for line in archived)
