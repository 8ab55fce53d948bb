"""Which sessions have an archive of Java's classes, and what becomes of their properties."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from featurestore.config import Settings
from featurestore.session import session_properties
from featurestore.spark_start import ClassArchive


def properties(ivy: Path, **more: str) -> dict[str, str]:
    """The properties of a session with these settings; an underscore stands for a dot."""
    named = {name.replace("_", "."): text for name, text in more.items()}
    return session_properties(Settings(spark={"spark.jars.ivy": str(ivy), **named}), {})


def recorded(asked: Mapping[str, str], folder: Path) -> ClassArchive:
    """An archive of one jar, as if it had been recorded."""
    archive = ClassArchive.of(asked)
    assert archive is not None
    jar, file = folder / "delta.jar", folder / "new.jsa"
    jar.touch()
    file.touch()
    archive.file.parent.mkdir()
    archive.publish(file, [str(jar)])
    return archive


@pytest.mark.parametrize(
    "other",
    [
        {"spark_master": "spark://127.0.0.1:7077"},
        {"spark_master": "local-cluster[2,1,1024]"},
        {"spark_jars": "my.jar"},
        {"spark_driver_extraClassPath": "my.jar"},
        {"spark_remote": "sc://localhost"},
    ],
)
def test_a_session_with_executors_or_jars_of_its_own_has_none(tmp_path: Path, other: dict[str, str]) -> None:
    assert ClassArchive.of(properties(tmp_path)) is not None
    assert ClassArchive.of(properties(tmp_path, **other)) is None


def test_under_spark_submit_there_is_none(tmp_path: Path) -> None:
    settings = Settings(spark={"spark.jars.ivy": str(tmp_path)})

    assert ClassArchive.of(session_properties(settings, {"PYSPARK_GATEWAY_PORT": "1"})) is None


def test_a_session_with_other_packages_or_another_java_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = [
        ClassArchive.of(properties(tmp_path)),
        ClassArchive.of(properties(tmp_path, spark_jars_packages="io.delta:delta-spark_4.2_2.13:4.4.1")),
    ]
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    archives.append(ClassArchive.of(properties(tmp_path)))

    assert len({archive.file for archive in archives if archive is not None}) == 3


def test_the_jars_are_on_the_class_path_and_the_user_s_options_come_last(tmp_path: Path) -> None:
    asked = properties(tmp_path, spark_driver_extraJavaOptions="-Xss8m")
    archive = recorded(asked, tmp_path)

    used = archive.used(asked)

    assert archive.is_there
    assert used["spark.driver.extraClassPath"] == str(tmp_path / "delta.jar")
    first, *_, last = used["spark.driver.extraJavaOptions"].split()
    assert first == f'"-XX:SharedArchiveFile={archive.file}"'
    assert last == "-Xss8m"
    assert "spark.jars.packages" not in used
    assert {name: used[name] for name in asked if name in used and "Options" not in name}.items() <= asked.items()


def test_an_archive_without_its_jars_is_not_there(tmp_path: Path) -> None:
    archive = recorded(properties(tmp_path), tmp_path)

    (tmp_path / "delta.jar").unlink()

    assert not archive.is_there
