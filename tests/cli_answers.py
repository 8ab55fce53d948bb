"""What commands answer, on the settings of a project and for the tenant acme."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featurestore.cli import run

Answer = Callable[..., Any]


def output_of(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints on stdout, once its exit code is as expected."""
    return _streams_of(project, capsys, arguments, code)[0]


def error_output_of(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    """What a command prints on stderr, once its exit code is as expected."""
    return _streams_of(project, capsys, arguments, code)[1]


def document_of(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """The document that it prints with ``--json``."""
    return json.loads(output_of(project, capsys, *arguments, "--json", code=code))


def _streams_of(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int
) -> tuple[str, str]:
    capsys.readouterr()
    exit_code = run([*arguments, "--conf", str(project / "conf"), "--tenant", "acme"])
    output, errors = capsys.readouterr()
    assert exit_code == code, errors
    return output, errors
