"""Every code block in README.md and docs/ runs, page by page, and prints what the page says it prints.

- ``python`` blocks of a page run in order, in one namespace; ``bash`` blocks run their ``featurestore`` commands.
- A ``text`` or ``json`` block is what the block before it printed; ``...`` stands for what differs each time.
- A block whose fence names a file (``yaml conf/base.yml``) is that file.
- What cannot run here stands in NOT_RUN, with the reason.
"""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from featurestore import errors
from featurestore.cli import run

PROJECT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(page.relative_to(PROJECT)) for page in (PROJECT / "docs").rglob("*.md"))]
# Run by `make test`; the other pages by `make test_slow`, since together they run for minutes.
FIRST_READ = ["README.md", "docs/five_minutes.md", "docs/writing.md", "docs/training_sets.md", "docs/point_in_time.md"]

# A command's beginning, or a block's first line -> why it is not run.
NOT_RUN = {
    "make demo": "installs an environment and runs for minutes; it is run by itself",
    "MLFLOW_TRACKING_URI=http://127.0.0.1:5000 make demo": "as make demo, and needs a server; tests/integration/demo/test_flights_demo.py has MLflow record it",
    "make test": "would run this test",
    "spark-submit": "starts a cluster's driver; tests/integration/jobs/test_jobs.py runs one",
    "export PYSPARK_PYTHON": "for spark-submit",
    "pip install": "needs the wheel; tests/integration/clusters/test_wheel.py installs it",
    "pytest": "starts a Spark of its own; tests/integration/demo/test_project_template.py runs it",
    "python jobs/daily.py": "starts a Spark of its own; tests/integration/demo/test_project_template.py runs it",
    "featurestore --install-completion": "writes to the reader's own shell; tests/unit/cli/test_cli.py asks for completions",
    "_FEATURESTORE_COMPLETE=": "is for a shell; tests/unit/cli/test_cli.py has one read the script",
    "export SPARK_REMOTE": "needs a Spark Connect server; tests/integration/clusters/test_spark_connect.py runs one",
    "from tecton import": "Tecton's own code, quoted; it runs on Tecton's platform alone",
    "from ai.chronon": "Chronon's own code, quoted; it runs on Chronon's platform alone",
    "pip wheel": "makes the wheel; tests/integration/clusters/test_wheel.py makes one",
    "python3 -m venv /opt": "makes an environment; tests/integration/jobs/test_airflow.py makes that of Airflow",
    "export AIRFLOW_HOME": "needs Airflow; tests/integration/jobs/test_airflow.py does the same",
    "airflow ": "needs Airflow; tests/integration/jobs/test_airflow.py does the same",
    "cp /opt/airflow/": "needs Airflow; tests/integration/jobs/test_airflow.py has such programs",
    "/opt/": "needs the environments of the page; tests/integration/jobs/test_airflow.py does the same",
    "python3 -m venv mlflow_server": "makes an environment; tests/integration/training_sets/test_mlflow_server.py has a server",
    "user ann": "a drawing",
    "newest partition": "a drawing",
}
# PyTorch's wheels for Linux bring gigabytes of CUDA, so that it is no dependency of the tests.
if find_spec("torch") is None:
    NOT_RUN["import torch"] = "PyTorch is not installed"
# Page -> the commands that start Spark. The others answer without it, and must go on doing so.
START_SPARK = {"docs/five_minutes.md": ["backfill", "training-set build", "materialize"]}
_BLOCK = re.compile(r"^```(\w*)[ \t]*(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT_CODE = re.compile(r"#.*\bexit code (\d+)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is, its text, and the page's line where the text begins."""

    language: str
    file: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    text = (PROJECT / page).read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        yield Block(match[1], match[2], match[3], text.count("\n", 0, match.start(3)) + 1)


def commands(text: str) -> list[str]:
    """A command a line; a backslash at its end joins the next."""
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def why_not_run(text: str) -> str | None:
    return next((reason for start, reason in NOT_RUN.items() if text.startswith(start)), None)


class Reader:
    """Somebody who does all that a page says, in a folder of their own."""

    def __init__(self, page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.page, self.folder, self.monkeypatch = page, folder, monkeypatch
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.printed: str | None = None
        self.started_spark: list[str] = []

    def follow(self, block: Block) -> None:
        place = f"{self.page}:{block.line}"
        if why_not_run(block.text):
            return
        if block.file:
            file = self.folder / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            code = compile("\n" * (block.line - 1) + block.text, self.page, "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, self.namespace)
            self.printed = out.getvalue()
        elif block.language == "bash":
            self.printed = "".join(self.type(command, place) for command in commands(block.text))
        elif block.language in ("text", "json"):
            assert self.printed is not None, f"{place}: no block before it printed this"
            assert_printed(self.printed, block.text, place)
            self.printed = None
        else:
            pytest.fail(f"{place}: a block of {block.language or 'no language'} that nothing runs; see NOT_RUN")

    def type(self, command: str, place: str) -> str:
        """Run a command of a bash block; gives what it prints on stdout."""
        if why_not_run(command):
            return ""
        words = shlex.split(command, comments=True)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.monkeypatch.setenv(name, value)
            return ""
        if words[0] == "cd":
            self.monkeypatch.chdir(words[1])
            return ""
        assert words[0] == "featurestore", f"{place}: {command!r} is not run; see NOT_RUN"
        wanted = _EXIT_CODE.search(command)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words[1:])
        assert code == (int(wanted[1]) if wanted else 0), f"{place}: {command}\n{out.getvalue()}{err.getvalue()}"
        if "Starting Spark" in err.getvalue():
            self.started_spark.append(" ".join(words[1:3] if words[1] == "training-set" else words[1:2]))
        return out.getvalue()


def assert_printed(printed: str, wanted: str, place: str) -> None:
    tidy = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()) + "\n"
    same = doctest.OutputChecker().check_output(wanted, tidy, doctest.ELLIPSIS)
    assert same, f"{place}: the page says\n{wanted}\nand what was printed is\n{tidy}"


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[] if page in FIRST_READ else pytest.mark.slow) for page in PAGES]
)
def test_every_block_of_the_page_runs_and_prints_the_text_on_the_page(
    page: str, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A page's own modules are found, as by a notebook or a script in that folder.
    monkeypatch.syspath_prepend(tmp_path)
    reader = Reader(page, tmp_path, monkeypatch)

    for block in blocks(page):
        reader.follow(block)

    assert reader.started_spark == START_SPARK.get(page, reader.started_spark)


def test_the_first_pages_exist() -> None:
    assert set(FIRST_READ) - set(PAGES) == set()


def test_every_reason_for_not_running_is_needed() -> None:
    lines = [line for page in PAGES for block in blocks(page) for line in [block.text, *commands(block.text)]]

    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)] == []


def test_output_that_differs_is_noticed() -> None:
    assert_printed("1 written\n", "1 written\n", "here")
    assert_printed("hash 3f2a\n", "hash ...\n", "here")
    with pytest.raises(AssertionError, match="the page says"):
        assert_printed("2 written\n", "1 written\n", "here")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = (PROJECT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)

    local = [link for link in links if "://" not in link]

    assert [link for link in local if not ((PROJECT / page).parent / link).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")

    assert [page for page in PAGES[1:] if f"({page})" not in text] == []


def test_the_page_on_the_command_line_lists_every_exit_code() -> None:
    text = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    exit_codes = {name: int(code) for code, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE)}

    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert exit_codes == {kind.__name__: kind.exit_code for kind in kinds if kind is not errors.FeatureStoreError}
