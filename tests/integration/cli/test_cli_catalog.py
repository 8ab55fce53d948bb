"""``featurestore catalog build``: what it answers, what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings
from featurestore.cli import run
from tests.cli_answers import Answer
from tests.settings_folder import write_settings_folder

VISITS = FeatureGroup(
    "visits",
    Entity("user", join_keys={"user_id": "long"}),
    features=[Feature("pages", "double"), Feature("country", "string")],
)


@pytest.fixture(scope="module")
def project(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which a group is applied, and has no rows."""
    folder = tmp_path_factory.mktemp("catalog")
    write_settings_folder(folder / "conf", warehouse="warehouse")
    FeatureStore.open(Settings(warehouse=str(folder / "warehouse")), spark=spark).apply([VISITS])
    return folder


def test_the_answer_says_what_was_written(machine: Answer, tmp_path: Path) -> None:
    answer = machine("catalog", "build", str(tmp_path / "site"))

    size = sum(
        file.stat().st_size
        for file in (tmp_path / "site").rglob("*")
        if file.is_file() and file.name != ".written.json"
    )
    assert answer == {
        "path": str(tmp_path / "site"),
        "tenant": "acme",
        "groups": 1,
        "features": 2,
        "training_sets": 0,
        "pages": 3,
        "bytes": size,
    }
    assert "acme" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_without_a_tenant_definitions_are_written(
    project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEATURESTORE_TENANT", raising=False)

    assert run(["catalog", "build", str(tmp_path / "site"), "--conf", str(project / "conf")]) == 0

    assert "1 group, 2 features, definitions alone" in capsys.readouterr().out
    assert "without any tenant" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_a_second_build_replaces_the_first(person: Answer, tmp_path: Path) -> None:
    arguments = ("catalog", "build", str(tmp_path / "site"))
    person(*arguments)

    assert f"Wrote {tmp_path / 'site' / 'index.html'}: 1 group" in person(*arguments)
    assert [file.name for file in tmp_path.iterdir()] == ["site"]


def test_a_folder_with_other_files_and_a_bad_tenant_are_refused(machine: Answer, project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    refused = machine("catalog", "build", str(tmp_path), code=15)
    assert refused["error"]["kind"] == "ExportError"
    assert "mine.txt" in refused["error"]["message"]
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]

    assert (
        run(["catalog", "build", str(tmp_path / "site"), "--tenant", "../acme", "--conf", str(project / "conf")]) == 7
    )
