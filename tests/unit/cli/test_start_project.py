"""``featurestore init``: what it writes, and where it does not write."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from featurestore.cli import run
from featurestore.cli.start_project import FILES, start_project
from featurestore.config import Settings
from featurestore.definitions.sets.yaml_files import load_definitions
from featurestore.errors import ExportError
from featurestore.stores.files.local import write_new_folder

PROJECT = Path(__file__).parents[3]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def properties(file: Path) -> dict[str, str]:
    """A properties file of Spark's, without its comments."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    start_project(tmp_path / "web shop", "1.2.3")
    return tmp_path / "web shop"


def test_the_command_lists_the_files_that_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(["init", "shop", "--json"]) == 0

    output = json.loads(capsys.readouterr().out)
    assert output["path"] == str(tmp_path / "shop")
    assert set(output["files"]) == files_in(tmp_path / "shop")
    assert files_in(tmp_path) == {f"shop/{file}" for file in output["files"]}, "nothing is left beside it"


def test_every_template_is_a_file_of_the_project() -> None:
    templates = files_in(PROJECT / "featurestore" / "project_template")

    assert templates == {f"{file.removeprefix('.')}.j2" for file in FILES}


def test_the_project_has_the_name_of_its_folder_and_requires_this_version(project: Path) -> None:
    project_table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert (project_table["name"], project_table["dependencies"]) == (
        "web-shop",
        ["offline-feature-store[spark]>=1.2.3"],
    )
    assert 'owner: "web-shop"' in (project / "conf/features/customers.yml").read_text(encoding="utf-8")


def test_an_unknown_version_is_not_required(tmp_path: Path) -> None:
    start_project(tmp_path / "shop", "unknown")

    settings = tomllib.loads((tmp_path / "shop" / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["dependencies"] == ["offline-feature-store[spark]"]


@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_its_settings_and_definitions_are_good(project: Path, profile: str) -> None:
    settings = Settings.load(project / "conf", environ={}, profile=profile)
    definitions = load_definitions(project / "conf" / "features")

    assert settings.landing == str(project / "landing")
    assert [group.name for group in definitions.feature_groups] == ["customer_orders"]


def test_spark_submit_gets_the_settings_of_this_project(project: Path) -> None:
    ours = properties(PROJECT / "conf" / "spark-defaults.conf")

    assert properties(project / "conf" / "spark-defaults.conf") == ours


def test_its_python_is_tidy(project: Path) -> None:
    config = ["--config", str(PROJECT / "pyproject.toml"), "--no-cache"]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config, str(project)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [".", "./", "../shop", "../shop/../shop/."])
def test_the_folder_that_a_shell_is_in_is_filled_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    (tmp_path / "shop" / ".git").mkdir(parents=True)
    (tmp_path / "shop" / ".git" / "config").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "shop")
    before = (tmp_path / "shop").stat().st_ino

    assert run(["init", path, "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / "shop")
    assert Path.cwd().stat().st_ino == before
    assert files_in(Path()) == {*FILES, ".git/config"}
    assert 'name = "shop"' in Path("pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("taken", "taken is not empty (.gitignore, conf, zoo); name a new or empty folder"),
        ("loop/x", "cannot be written"),
        ("~nobody-of-this-name/x", "cannot be written"),
        ("a\0b", "cannot be written"),
        ("x" * 300, "cannot be written"),
    ],
)
def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path, path: str, message: str) -> None:
    taken = tmp_path / "taken"
    for name in (".gitignore", ".venv", "conf", "zoo"):
        (taken / name).mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(ExportError, match=re.escape(message)):
        start_project(path if path.startswith("~") else tmp_path / path, "1.2.3")

    assert files_in(tmp_path) == set()
    assert {entry.name for entry in tmp_path.iterdir()} == {"taken", "loop"}


@pytest.mark.parametrize(
    ("folder", "name"), [("Web Shop!", "web-shop"), ("--a..b__c--", "a-b-c"), ("проект", "features"), ('"; x', "x")]
)
def test_a_folder_of_any_name_makes_a_project_of_a_good_name(tmp_path: Path, folder: str, name: str) -> None:
    start_project(tmp_path / folder, "1.2.3")

    project = tomllib.loads((tmp_path / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == name


def test_no_file_is_moved_where_one_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()

    with pytest.raises(ExportError, match="tests is there already"):
        write_new_folder(tmp_path, {"conf/base.yml": "a", "tests/test_a.py": "b", "zoo": "c"})

    assert [entry.name for entry in tmp_path.iterdir()] == ["tests"]


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    assert run(["init", str(tmp_path)]) == ExportError.exit_code

    assert capsys.readouterr().err == (f"Error: {tmp_path} is not empty (notes.txt); name a new or empty folder\n")
    assert files_in(tmp_path) == {"notes.txt"}


def test_a_file_in_the_way_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "shop"
    file.write_text("mine", encoding="utf-8")

    with pytest.raises(ExportError, match="shop is a file; name a new or empty folder"):
        start_project(file, "1.2.3")
    with pytest.raises(ExportError, match="cannot be written"):
        start_project(file / "below", "1.2.3")
    assert file.read_text(encoding="utf-8") == "mine"


def test_no_file_is_written_where_one_cannot_be(project: Path, tmp_path: Path) -> None:
    """As on a disk that is full: files may not grow as long as the longest that is to be written."""
    longest = max((project / file).stat().st_size for file in FILES)
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({longest - 1}, {longest - 1}))\n"
        "from featurestore.cli import run\n"
        "sys.exit(run(['init', 'web shop']))\n"
    )
    folder = tmp_path / "full"
    folder.mkdir()

    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == ExportError.exit_code, done.stderr
    assert "cannot be written: [Errno 27] File too large" in done.stderr
    assert list(folder.iterdir()) == []
