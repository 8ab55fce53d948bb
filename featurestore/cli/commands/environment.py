"""Commands for the environment: doctor checks it, log-store names a jar for Spark."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.text import Text

from featurestore.cli.doctor_checks import SPARK_SESSION, Check
from featurestore.cli.invocation import Invocation
from featurestore.config import Settings
from featurestore.errors import ConfigurationError, RuntimeSetupError
from featurestore.object_stores import CONDITIONAL_LOG_STORE, log_store_jar


def doctor(invocation: Invocation) -> None:
    """Check Python, Java, Spark, Delta, the warehouse and the time zone, and say how to fix what is wrong."""
    from featurestore.cli.doctor import examine

    settings, check = _settings(invocation)
    checks = [check]
    _print(invocation, check)
    for check in examine(settings, os.environ):
        checks.append(check)
        _print(invocation, check)
    ok = all(check.ok for check in checks)
    invocation.answer({"ok": ok, "checks": [asdict(check) for check in checks]}, Text(_summary(checks)))
    if not ok:
        raise typer.Exit(RuntimeSetupError.exit_code)


def _summary(checks: Sequence[Check]) -> str:
    if not all(check.ok for check in checks):
        return "Something is wrong; the lines above say how to fix it."
    if not any(check.name == SPARK_SESSION for check in checks):
        return "Everything works that needs no Spark."
    return "Everything works."


def log_store(invocation: Invocation) -> None:
    """Print the jar whose log store makes Spark's commits on S3 safe, for spark.jars of sessions started elsewhere."""
    jar = str(log_store_jar())
    invocation.answer({"jar": jar, "class": CONDITIONAL_LOG_STORE}, Text(jar))


def _settings(invocation: Invocation) -> tuple[Settings, Check]:
    """The settings; if they are wrong, the defaults with a failed check."""
    try:
        settings = Settings.find(invocation.conf, os.environ, invocation.profile)
        return settings, Check("settings", True, f"warehouse {settings.warehouse}")
    except ConfigurationError as error:
        found, _, mend = str(error).partition("; ")
        return Settings(), Check("settings", False, found, mend or "correct that line or variable")


def _print(invocation: Invocation, check: Check) -> None:
    """Print one line per check as soon as it is made; on stderr if stdout is for the document."""
    mark = ("ok   ", "green") if check.ok else ("WRONG", "bold red")
    line = Text.assemble(mark, f" {check.name}: {check.found}")
    if not check.ok:
        line.append(f"\n      fix: {check.mend}")
    Console(stderr=invocation.as_json, soft_wrap=True).print(line, highlight=False)
