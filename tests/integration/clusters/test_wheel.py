"""A release: what is in its wheel, what that says of itself, and that each Python installs it and works with it."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes.waiting import PATIENCE

PROJECT = Path(__file__).parents[3]
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
PYTHONS = ("3.11", "3.12", "3.13")
LEFT_BEHIND = shutil.ignore_patterns(
    *(
        ".git",
        ".venv",
        ".ivy",
        ".*_cache",
        ".hypothesis",
        "__pycache__",
        "*.egg-info",
        "build",
        "dist",
        "output",
        "site",
    )
)

pytestmark = pytest.mark.slow


def run_python(python: Path | str, *words: str, folder: Path | None = None) -> str:
    """What it prints; it knows of the tree neither by PYTHONPATH nor by its folder."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYSPARK"))}
    done = subprocess.run(
        [str(python), *words],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "couldn't stop thread" not in done.stderr, "a pool of connections was closed too late"
    return done.stdout


def pip(*arguments: str, python: Path | str = sys.executable) -> None:
    # Compiling every module takes longer than those that a test imports.
    compiling = ["--no-compile"] if arguments[0] == "install" else []
    run_python(python, "-m", "pip", "--disable-pip-version-check", "--quiet", arguments[0], *compiling, *arguments[1:])


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it.

    From a copy of the whole tree: what must stay out of it was there to be taken.
    """
    folder = tmp_path_factory.mktemp("release")
    shutil.copytree(PROJECT, folder / "source", ignore=LEFT_BEHIND)
    run_python(sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(folder / "source"))
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(release: Path) -> Path:
    [wheel] = release.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed; what it depends on is here already."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--target", str(folder), str(wheel))
    return folder


def files_of_the_package() -> Iterator[str]:
    for path in (PROJECT / "featurestore").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(PROJECT))


def run_installed(site: Path, folder: Path, *words: str) -> str:
    """A command of the installed package, in another folder than the project's."""
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_is_in_it_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    about = [name for name in names if ".dist-info/" in name]
    assert sorted(set(names) - set(about)) == sorted(files_of_the_package())
    assert {"featurestore/py.typed", "featurestore/project_template/gitignore.j2"} <= set(names)
    assert f"offline_feature_store-{VERSION}.dist-info/licenses/LICENSE" in about


def test_the_metadata_describes_the_package(metadata: Message) -> None:
    fields = {
        name: metadata[name] for name in ("Name", "License-Expression", "License-File", "Author", "Requires-Python")
    }

    assert fields == {
        "Name": "offline-feature-store",
        "License-Expression": "Apache-2.0",
        "License-File": "LICENSE",
        "Author": "The offline feature store authors",
        "Requires-Python": ">=3.11",
    }
    assert {"embedded", "demo", "notebooks", "dev"} <= set(metadata.get_all("Provides-Extra", []))
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata.get_all("Project-URL") is None, "it has no address of its own"
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_installed_it_is_itself_and_not_the_tree(site: Path, tmp_path: Path) -> None:
    code = "import featurestore, featurestore.cli; print(featurestore.__file__, featurestore.__version__)"

    output = run_installed(site, tmp_path, sys.executable, "-c", code)

    assert output == f"{site}/featurestore/__init__.py {VERSION}\n"


def test_its_command_works_with_the_templates_that_it_has(site: Path, tmp_path: Path) -> None:
    command = str(site / "bin" / "featurestore")

    for words in ([command], [sys.executable, "-m", "featurestore"]):
        assert run_installed(site, tmp_path, *words, "--version") == f"featurestore {VERSION}\n"
    run_installed(site, tmp_path, command, "init", "shop")
    assert (tmp_path / "shop" / "jobs" / "daily.py").is_file()


def test_its_reports_have_their_templates(site: Path, tmp_path: Path) -> None:
    code = (
        "import jinja2\n"
        "loader = jinja2.PackageLoader('featurestore.reports', 'templates')\n"
        "print(*loader.list_templates(), sep='\\n')\n"
    )

    output = run_installed(site, tmp_path, sys.executable, "-c", code)

    wanted = sorted(path.name for path in (PROJECT / "featurestore" / "reports" / "templates").iterdir())
    assert output.split() == wanted


def python_of(version: str) -> Path | None:
    """An interpreter of that version: the path's, or one that pyenv keeps; None if neither has it."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{version}.*/bin/python")
    of_path = shutil.which(f"python{version}")
    code = "import ensurepip, sys; print(*sys.version_info[:2], sep='.')"
    for python in [*([of_path] if of_path else []), *sorted(map(str, kept))]:
        # pyenv has commands of the versions that are not in use, which only say so.
        shown = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if shown.stdout.strip() == version:
            return Path(python)
    return None


def packages_of(python: Path) -> set[str]:
    listed = json.loads(run_python(python, "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"))
    return {package["name"].lower().replace("_", "-") for package in listed}


def doctor(python: Path, folder: Path) -> dict[str, str]:
    """What it found, by the name of the check; nothing is wrong."""
    conf = folder / "conf"
    conf.mkdir(exist_ok=True)
    spark = {
        "spark.jars.ivy": str(PROJECT / ".ivy"),
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        # With a class path of its own there is no archive of classes, whose recording takes a minute.
        "spark.driver.extraClassPath": str(conf),
    }
    settings: dict[str, Any] = {"warehouse": str(folder / "warehouse"), "spark": spark}
    (conf / "base.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (conf / "dev.yml").write_text("{}\n", encoding="utf-8")
    answer = json.loads(
        run_python(python, "-m", "featurestore", "doctor", "--conf", str(conf), "--json", folder=folder)
    )
    assert answer["ok"]
    return {check["name"]: check["found"] for check in answer["checks"]}


@pytest.mark.parametrize("version", PYTHONS)
def test_each_python_installs_it_without_spark_and_then_with_it(version: str, release: Path, tmp_path: Path) -> None:
    base = python_of(version)
    if base is None:
        pytest.skip(f"Python {version} is not installed here, so that the release was not tried with it")
    run_python(base, "-m", "venv", str(tmp_path / "venv"))
    python = tmp_path / "venv" / "bin" / "python"
    pins = ("-c", str(PROJECT / "constraints.txt"))

    pip("install", *pins, f"{next(release.glob('*.tar.gz'))}[embedded]", python=python)
    without_spark = doctor(python, tmp_path)

    assert not {"delta-spark", "py4j", "pyspark"} & packages_of(python)
    state, install, _ = without_spark["Spark packages"].split("; ", 2)
    assert (state, install) == ("not installed", "pip install 'offline-feature-store[spark]'")
    assert "Spark session" not in without_spark
    assert_all_methods_work(python, tmp_path)

    pip("install", "--no-deps", "--force-reinstall", str(next(release.glob("*.whl"))), python=python)
    pip("install", *pins, install.split("'")[1], python=python)

    assert {"Spark session", "Delta table", "worker Python"} <= set(doctor(python, tmp_path))


def assert_all_methods_work(python: Path, folder: Path) -> None:
    """All that needs no Spark, with the installed package: of the tree there are only the test's own modules."""
    for file in ("tests/settings_folder.py", "tests/processes/without_java.py"):
        (folder / "own" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, folder / "own" / file)
    run_python(python, "-m", "tests.processes.without_java", "methods", str(folder), folder=folder / "own")
    # A process that ends with open connections, as that of a command does.
    code = (
        "import sys\n"
        "from featurestore import Settings\n"
        "from featurestore.stores.postgres.connections import Postgres\n"
        "postgres = Postgres(Settings(warehouse=sys.argv[1]))\n"
        "with postgres.owner() as connection:\n"
        "    connection.execute('SELECT 1')\n"
    )
    run_python(python, "-c", code, str(folder / "warehouse"), folder=folder / "own")
