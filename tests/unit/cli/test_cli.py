"""The command line without Spark: options, answers, exit codes."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from featurestore import errors
from featurestore.cli import run
from featurestore.cli.arguments import checked_known_at
from featurestore.cli.invocation import Invocation, common_options
from featurestore.errors import FeatureStoreError, NotFoundError
from featurestore.stores.small_tables.rows import UnreadableRowWarning

COMMANDS = [
    ["init"],
    ["plan"],
    ["apply"],
    ["ingest"],
    ["materialize"],
    ["doctor"],
    ["groups", "list"],
    ["groups", "show"],
    ["derived", "list"],
    ["derived", "show"],
    ["runs", "list"],
    ["training-set", "build"],
    ["training-set", "list"],
    ["training-set", "show"],
    ["training-set", "rebuild"],
    ["catalog", "build"],
]
ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FeatureStoreError)]


def app_with(command: Callable[[Invocation], None]) -> typer.Typer:
    """A command line of one command, with the common options."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(common_options(command))
    return app


def exit_code_of(app: typer.Typer, *arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        app(args=list(arguments))
    return int(end.value.code or 0)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_has_the_common_options(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    assert run([*command, "--help"]) == 0

    output = capsys.readouterr().out
    assert [option for option in ("--conf", "--profile", "--tenant", "--json") if option not in output] == []


def test_help_loads_no_spark() -> None:
    code = "import sys; from featurestore.cli import run; run(['--help']); sys.exit('pyspark' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["ingest", "user_stats"],
        ["ingest", "user_stats", "rows.csv", "--on-invalid", "ignore", "--tenant", "acme"],
        ["materialize", "user_stats", "--start", "2026-01-01T00:00:00Z", "--tenant", "acme"],
        ["runs", "list", "--limit", "0", "--tenant", "acme"],
        ["runs", "list", "--limit", "2147483648", "--tenant", "acme"],
        ["history", "g:f", "--entity", "user_id=ann", "--limit", "1000001", "--tenant", "acme"],
        ["search", "g:f", "--vector", "[1, 2]", "--limit", "-1", "--tenant", "acme"],
        ["training-set", "load", "churn", "g:f", "--spine", "s.parquet", "--seed", "x", "--tenant", "acme"],
        ["apply", "conf/features", "--unknown"],
        # A report is of one group.
        ["profile", "--report", "profile.html", "--tenant", "acme"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2

    output = capsys.readouterr()
    assert output.out == ""
    assert "Usage:" in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "g:f", "--at", "2026-11-01T00:00:00Z", "--entity", "ann"], "'ann' is not KEY=VALUE"),
        (["get", "g:f", "--at", "soon", "--entity", "user_id=ann"], "'soon' is not an ISO 8601 timestamp"),
        (["history", "g:f", "--entity", "user_id=ann", "--start", "2026-13-01"], "'2026-13-01' is not an ISO 8601"),
        (["join", "g:f", "--spine", "s.parquet", "--known-at", "evnt"], "'evnt' is not an ISO 8601 timestamp"),
        (["write", "g:f", "0.5", "--entity", "user_id=ann", "--at", "11 o'clock"], "is not an ISO 8601 timestamp"),
        (["search", "g:f", "--entity", "user_id"], "'user_id' is not KEY=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unreadable_timestamp_or_entity_is_refused_before_spark_starts(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(invocation: Invocation) -> None:
        pytest.fail("Spark was started")

    monkeypatch.setattr(Invocation, "open", opened)
    monkeypatch.setenv("COLUMNS", "200")

    assert run([*arguments, "--tenant", "acme"]) == 2
    assert message in capsys.readouterr().err


def test_the_store_checks_naive_timestamps_and_event() -> None:
    assert [checked_known_at(value) for value in (None, "event", "2026-11-01")] == [None, "event", "2026-11-01"]


@pytest.mark.parametrize(
    "arguments", [["ingest", "g", "f.csv"], ["runs", "list"], ["training-set", "list"]], ids=" ".join
)
def test_a_command_on_rows_needs_a_tenant(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEATURESTORE_TENANT", raising=False)

    assert run(arguments) == 2
    assert "FEATURESTORE_TENANT" in capsys.readouterr().err


def test_an_invalid_tenant_id_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list", "--tenant", "../acme"]) == 7
    assert "'../acme' is refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment", "tenant"),
    [
        (["--tenant", "after"], None, "after"),
        (["--tenant", "after"], "environment", "after"),
        ([], "environment", "environment"),
        ([], "", None),
        ([], None, None),
    ],
)
def test_the_tenant_of_the_command_overrides_that_of_the_environment(
    arguments: list[str], environment: str | None, tenant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEATURESTORE_TENANT", raising=False)
    if environment is not None:
        monkeypatch.setenv("FEATURESTORE_TENANT", environment)
    seen: list[Invocation] = []

    assert exit_code_of(app_with(seen.append), *arguments) == 0

    assert [invocation.tenant for invocation in seen] == [tenant]


def test_options_may_come_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "--tenant", "-wrong-", "runs", "list"]) == 7
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "InvalidNameError"


def test_the_option_after_the_command_overrides_the_one_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--tenant", "acme", "runs", "list", "--tenant", "-wrong-"]) == 7
    assert "'-wrong-' is refused" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_prints_its_message_and_exits_with_the_code_of_its_class(
    kind: type[FeatureStoreError], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(invocation: Invocation) -> None:
        raise kind("what was found; what to do [not markup]")

    assert exit_code_of(app_with(fail)) == kind.exit_code

    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "Error: what was found; what to do [not markup]\n"


def test_with_json_an_error_is_one_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(invocation: Invocation) -> None:
        raise NotFoundError("there is no such group")

    assert exit_code_of(app_with(fail), "--json") == 6

    output = capsys.readouterr()
    assert json.loads(output.out) == {
        "error": {"kind": "NotFoundError", "message": "there is no such group", "exit_code": 6}
    }
    assert output.err == "Error: there is no such group\n"


def test_stderr_names_what_the_store_skips(capsys: pytest.CaptureFixture[str]) -> None:
    def pass_over(invocation: Invocation) -> None:
        warnings.warn("a manifest cannot be read", UnreadableRowWarning, stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert exit_code_of(app_with(pass_over)) == 0
        as_text = capsys.readouterr()
        assert exit_code_of(app_with(pass_over), "--log", "json") == 0
        as_json = capsys.readouterr()

    assert (as_text.out, as_text.err) == ("", "Warning: a manifest cannot be read\n")
    line = json.loads(as_json.err.splitlines()[0])
    assert (as_json.out, line["level"], line["event"]) == ("", "warning", "a manifest cannot be read")


def test_each_kind_of_error_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in ERRORS if kind is not FeatureStoreError]

    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, 1, 2}, "0 is success, 1 the unexpected, 2 wrong usage"


def test_the_unexpected_is_a_traceback_and_exit_code_1() -> None:
    code = (
        "import featurestore.cli.application as a\n"
        "from featurestore.cli.invocation import common_options\n"
        "def fail(invocation): raise RuntimeError('a bug')\n"
        "a.app.command('fail')(common_options(fail))\n"
        "a.main(['fail'])\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: a bug\n")


def test_the_version_is_printed_without_loading_spark() -> None:
    code = "import sys; from featurestore.cli import run; run(['--version']); sys.exit('pyspark' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"featurestore {version('offline-feature-store')}\n"


def test_python_m_featurestore_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "featurestore", "groups", "--help"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "Usage: featurestore groups [OPTIONS] COMMAND [ARGS]..." in done.stdout


# The shell's own function sets these before it calls the command: the line so far, and the index of the word.
BASH = {"_FEATURESTORE_COMPLETE": "complete_bash"}
ZSH = {"_FEATURESTORE_COMPLETE": "complete_zsh"}
FISH = {"_FEATURESTORE_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        (BASH | {"COMP_WORDS": "featurestore mat", "COMP_CWORD": "1"}, {"materialize"}),
        (BASH | {"COMP_WORDS": "featurestore groups ", "COMP_CWORD": "2"}, {"list", "show"}),
        (BASH | {"COMP_WORDS": "featurestore materialize --re", "COMP_CWORD": "2"}, {"--rerun"}),
        (ZSH | {"_TYPER_COMPLETE_ARGS": "featurestore training-set re"}, {"rebuild"}),
        (FISH | {"_TYPER_COMPLETE_ARGS": "featurestore runs "}, {"abandon", "list", "show"}),
    ],
)
def test_the_shell_completes_commands_and_options(
    environment: dict[str, str],
    wanted: set[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert run([]) == 0

    output = capsys.readouterr().out
    assert wanted <= set(re.findall(r"[\w-]+", output)), output
    assert "erase" not in output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_can_read(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_FEATURESTORE_COMPLETE", f"source_{shell}")

    assert run([]) == 0

    script = capsys.readouterr().out
    assert "_FEATURESTORE_COMPLETE=complete_" in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_bash_completes_by_its_script(tmp_path: Path) -> None:
    """End to end: bash reads the script and runs the command to learn what can follow."""
    command = tmp_path / "featurestore"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m featurestore "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    ask = (
        "_FEATURESTORE_COMPLETE=source_bash featurestore >script; . ./script; complete -p featurestore >&2; "
        "COMP_WORDS=(featurestore back); COMP_CWORD=1; _featurestore_completion featurestore; echo ${COMPREPLY[@]}"
    )

    done = subprocess.run(
        ["bash", "--norc", "-c", ask],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "backfill\n", done.stderr
    assert "complete -o default -F _featurestore_completion featurestore" in done.stderr


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_fault_in_definitions_is_reported_before_the_store_is_opened(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faulty.yml").write_text("feature_groups:\n  - name: x\n    entity: nobody\n", encoding="utf-8")

    assert run([command, str(tmp_path)]) == 4
    output = capsys.readouterr().err
    assert "faulty.yml:2: feature_groups.0 (x): entity 'nobody' is not defined" in output
    assert "Opening the store" not in output
