"""The command doctor: does everything fit together here?"""

from __future__ import annotations

import os
from dataclasses import asdict

import typer
from rich.console import Console
from rich.text import Text

from featurestore.cli.doctor import Check, examine
from featurestore.cli.invocation import Invocation
from featurestore.config import Settings
from featurestore.errors import ConfigurationError, RuntimeSetupError


def doctor(invocation: Invocation) -> None:
    """Check Python, Java, Spark, Delta, the warehouse and the time zone, and say how to mend what is wrong."""
    settings, check = _settings(invocation)
    checks = [check]
    _tell(invocation, check)
    for check in examine(settings, os.environ):
        checks.append(check)
        _tell(invocation, check)
    ok = all(check.ok for check in checks)
    summary = "All is well." if ok else "Something is wrong; see above how to mend it."
    invocation.answer({"ok": ok, "checks": [asdict(check) for check in checks]}, Text(summary))
    if not ok:
        raise typer.Exit(RuntimeSetupError.exit_code)


def _settings(invocation: Invocation) -> tuple[Settings, Check]:
    """The settings, or the defaults with what is wrong with the settings."""
    try:
        settings = Settings.find(invocation.conf, os.environ, invocation.profile)
        return settings, Check("settings", True, f"warehouse {settings.warehouse}")
    except ConfigurationError as error:
        found, _, mend = str(error).partition("; ")
        return Settings(), Check("settings", False, found, mend or "mend that line or variable")


def _tell(invocation: Invocation, check: Check) -> None:
    """A line a check, as soon as it is made; on stderr where stdout is for the document."""
    mark = ("ok   ", "green") if check.ok else ("WRONG", "bold red")
    line = Text.assemble(mark, f" {check.name}: {check.found}")
    if not check.ok:
        line.append(f"\n      mend: {check.mend}")
    Console(stderr=invocation.as_json, soft_wrap=True).print(line, highlight=False)
