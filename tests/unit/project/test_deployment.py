"""What deploy/ starts is understood by the command line as it is; its files are well-formed, and say what was not tested."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from featurestore import cli
from featurestore.cli.invocation import Invocation
from featurestore.config import Settings
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.errors import ConfigurationError, ExpectationError, JobFailedError, StorageError, TransformationError
from featurestore.session import DELTA_PACKAGE, session_properties

PROJECT = Path(__file__).parents[3]
DEPLOY = PROJECT / "deploy"
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
DOCUMENTS = sorted([*DEPLOY.rglob("*.yml"), *DEPLOY.rglob("*.yaml")])
DAY = ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")
TEMPLATES = {
    "{{ data_interval_start | ts }}": "2026-11-01T00:00:00+00:00",
    "{{ data_interval_end | ts }}": "2026-11-02T00:00:00+00:00",
    "{{job.parameters.start}}": DAY[0],
    "{{job.parameters.end}}": DAY[1],
    "{{job.parameters.tenant}}": "acme",
    "${var.conf}": "conf",
}


def command_of(job: str) -> list[str]:
    """The command that a file of ``jobs/`` runs."""
    source = (PROJECT / "jobs" / f"{job}.py").read_text(encoding="utf-8")
    command = re.search(r"main\(\[(.*?), \*sys\.argv", source)
    assert command is not None, job
    return list(ast.literal_eval(f"[{command[1]}]"))


def daily_commands_of_airflow() -> Any:
    sys.path.insert(0, str(DEPLOY / "airflow"))
    try:
        import daily_commands
    finally:
        sys.path.pop(0)
    return daily_commands


def airflow_commands() -> Iterator[list[str]]:
    daily_commands = daily_commands_of_airflow()
    for tenant in daily_commands.TENANTS:
        for step in daily_commands.DAILY:
            yield daily_commands.arguments(step, tenant, "conf")


def bundle_commands() -> Iterator[list[str]]:
    for file in sorted((DEPLOY / "databricks" / "resources").glob("*.yml")):
        for job in yaml.safe_load(file.read_text(encoding="utf-8"))["resources"]["jobs"].values():
            yield from (task["python_wheel_task"]["parameters"] for task in job["tasks"])


def operator_commands() -> Iterator[list[str]]:
    for document in (
        document for file in DOCUMENTS for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ):
        if str(document.get("kind", "")).endswith("SparkApplication"):
            spec = document["spec"].get("template", document["spec"])
            yield [*command_of(Path(spec["mainApplicationFile"]).stem), *spec["arguments"]]


def cron_commands() -> Iterator[list[str]]:
    """The commands of ``featurestore``; what is a script's is tried by running it."""
    for line in (DEPLOY / "cron" / "featurestore.cron").read_text(encoding="utf-8").splitlines():
        if re.match(r"[0-9*]", line):
            words = shlex.split(line)
            if "featurestore" in words[6:]:
                yield words[len(words) - words[::-1].index("featurestore") :]


def filled(words: list[str]) -> list[str]:
    for template, value in TEMPLATES.items():
        words = [word.replace(template, value) for word in words]
    return words


COMMANDS = [
    pytest.param(filled(words), id=f"{kind}: {' '.join(words[:2])}")
    for kind, commands_of in {
        "airflow": airflow_commands,
        "bundle": bundle_commands,
        "operator": operator_commands,
        "cron": cron_commands,
    }.items()
    for words in commands_of()
]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that was understood ends where it would start Spark, with the exit code of ConfigurationError."""

    def instead(_: Invocation) -> Any:
        raise ConfigurationError("would start Spark")

    monkeypatch.setattr(Invocation, "open", instead)
    monkeypatch.delenv("FEATURESTORE_TENANT", raising=False)


def assert_understood(words: list[str]) -> None:
    assert not [word for word in words if "{{" in word or "${" in word]
    assert cli.run(words) == ConfigurationError.exit_code
    if "--start" in words:
        TimeWindow.of(words[words.index("--start") + 1], words[words.index("--end") + 1])


@pytest.mark.parametrize("words", COMMANDS)
def test_the_command_line_understands_it(words: list[str], opened: None) -> None:
    assert_understood(words)


def test_every_kind_of_deployment_has_commands() -> None:
    kinds = {str(command.id).partition(":")[0] for command in COMMANDS}

    assert kinds == {"airflow", "bundle", "operator", "cron"}


def test_the_check_detects_an_invalid_command(opened: None) -> None:
    assert cli.run(["cleanup", "--tenant", "acme", "--day", "3"]) == 2


def test_airflow_retries_what_the_runbook_says_may_be_run_again() -> None:
    runbook = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
    again = {int(code) for code in re.findall(r"^\| (\d+) \|.*\| yes \|$", runbook, re.MULTILINE)}
    storage, killed = StorageError.exit_code, 137

    assert len(again) > 3
    assert again | {storage, killed} == daily_commands_of_airflow().RETRIED


def test_a_killed_command_has_the_exit_code_of_a_shell() -> None:
    codes = [daily_commands_of_airflow().exit_code(returned) for returned in (0, 21, -9)]

    assert codes == [0, 21, 137]


def recorder(folder: Path, name: str, body: str = "") -> Path:
    """A program that writes down its words, one line a call, with a tab between two."""
    program = folder / name
    program.write_text(f'#!/usr/bin/env bash\n(IFS=$\'\\t\'; echo "$*") >> "$RECORD"\n{body}\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def run_script(script: str, *words: str, folder: Path, **environment: str) -> tuple[int, list[list[str]]]:
    """The script's exit code, and the words of what it called."""
    record = folder / "record"
    done = subprocess.run(
        [str(DEPLOY / script), *words],
        env=os.environ | {"RECORD": str(record), "PATH": f"{folder}:{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    called = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return done.returncode, [line.split("\t") for line in called]


def test_the_daily_script_runs_the_day_that_is_named(tmp_path: Path, opened: None) -> None:
    recorder(tmp_path, "featurestore")

    code, called = run_script("daily.sh", "acme", "2026-02-28", folder=tmp_path)

    assert code == 0
    assert [words[0] for words in called] == ["materialize", "profile", "sync-embeddings", "cleanup"]
    assert called[0][1:6] == ["--all", "--start", "2026-02-28T00:00:00Z", "--end", "2026-03-01T00:00:00Z"]
    assert not {"--start", "--end"} & set(called[1]), "the day's values begin at its end, outside of it"
    for words in called:
        assert_understood(words)


def test_the_daily_script_takes_yesterday(tmp_path: Path) -> None:
    recorder(tmp_path, "featurestore")

    _, called = run_script("daily.sh", "acme", folder=tmp_path)

    end = datetime.fromisoformat(called[0][5])
    assert abs((datetime.now(UTC) - end).total_seconds()) < 25 * 3600
    assert (end - datetime.fromisoformat(called[0][3])).days == 1


@pytest.mark.parametrize(
    ("error", "calls"), [(ExpectationError, 4), (JobFailedError, 4), (TransformationError, 1), (ConfigurationError, 1)]
)
def test_the_daily_script_ends_with_the_first_code(error: type[ExpectationError], calls: int, tmp_path: Path) -> None:
    recorder(tmp_path, "featurestore", f'[ "$1" != materialize ] || exit {error.exit_code}')

    code, called = run_script("daily.sh", "acme", "2026-11-01", folder=tmp_path)

    assert (code, len(called)) == (error.exit_code, calls)


@pytest.mark.parametrize("command", ["materialize", "profile", "sync-embeddings", "cleanup"])
def test_kubernetes_runs_the_job_of_the_command(command: str, tmp_path: Path) -> None:
    recorder(tmp_path, "spark-submit")

    code, [called] = run_script(
        "kubernetes/submit.sh",
        command,
        "--tenant",
        "acme",
        folder=tmp_path,
        MASTER="k8s://https://here",
        IMAGE="an/image",
    )

    job = next(word for word in called if word.startswith("local://"))
    assert code == 0
    assert command_of(Path(job).stem) == [command]
    assert called[called.index(job) + 1 :] == ["--tenant", "acme"]
    assert Path(called[called.index("--properties-file") + 1]).is_file()
    settings = [called[index + 1] for index, word in enumerate(called) if word == "--conf"]
    assert all(re.fullmatch(r"spark\.[\w.]+=\S+", setting) for setting in settings), settings


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_shell_scripts_are_sound(script: Path) -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert shellcheck is not None, "shellcheck is not there; the extra dev brings it"

    checked = subprocess.run([shellcheck, str(script)], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_the_yaml_files_are_read(file: Path) -> None:
    documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))

    assert all(isinstance(document, dict) for document in documents)


def test_the_tasks_of_the_bundle_depend_on_existing_tasks() -> None:
    for file in (DEPLOY / "databricks" / "resources").glob("*.yml"):
        for job in yaml.safe_load(file.read_text(encoding="utf-8"))["resources"]["jobs"].values():
            keys = [task["task_key"] for task in job["tasks"]]
            before = {dependency["task_key"] for task in job["tasks"] for dependency in task.get("depends_on", [])}
            assert before <= set(keys)
            assert len(set(keys)) == len(keys)


def test_the_bundles_entry_point_is_the_packages() -> None:
    import tomllib

    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["featurestore-task"].partition(":")

    assert (module, getattr(cli, function)) == ("featurestore.cli", cli.task)


def test_a_task_of_a_platform_returns_where_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["featurestore", "--help"])
    cli.task()

    monkeypatch.setattr(sys, "argv", ["featurestore", "cleanup", "--day", "3"])
    with pytest.raises(SystemExit) as end:
        cli.task()
    assert end.value.code == 2


@pytest.mark.parametrize("file", sorted((DEPLOY / "object_stores").glob("*.conf")), ids=lambda file: file.name)
def test_an_object_store_has_the_delta_of_the_package(file: Path) -> None:
    settings = dict(
        line.split(None, 1) for line in file.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    )

    assert settings["spark.jars.packages"].split(",")[0] == DELTA_PACKAGE
    assert all(name.startswith("spark.") for name in settings)
    assert not [name for name in settings if re.search(r"secret|password|access\.key", name)]


def test_s3_has_the_packages_of_a_session_of_the_package() -> None:
    lines = (DEPLOY / "object_stores" / "s3.conf").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split(None, 1) for line in lines if line and line[0] != "#")
    properties = session_properties(Settings(warehouse="s3a://bucket/warehouse"), {})

    for name in ("spark.jars.packages", "spark.jars.excludes", "spark.hadoop.fs.s3.impl"):
        assert settings[name] == properties[name]


def test_every_file_says_what_was_not_tested() -> None:
    files = [file for file in DEPLOY.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    tested_here = {"environment.sh", "daily.sh", "daily_commands.py", "README.md"}
    silent = [
        str(file.relative_to(DEPLOY))
        for file in files
        if file.name not in tested_here
        and not re.search(r"[Nn]ot tested|see databricks.yml", file.read_text(encoding="utf-8"))
    ]

    assert silent == []
