"""The wheel: what is in it, what it says of itself, and that it works without the tree that it was built from."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from tests.processes.waiting import PATIENCE

PROJECT = Path(__file__).parents[3]
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
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


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the whole tree: what must stay out of it was there to be taken."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(PROJECT, folder / "source", ignore=LEFT_BEHIND)
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(folder / "source"))
    return next(folder.glob("*.whl"))


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
