"""Commands as a test gives them, on the settings of a project and for the tenant acme."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from featurestore.cli import run


def output_of(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints on stdout, once its exit code is as expected."""
    capsys.readouterr()
    found = run([*arguments, "--conf", str(project / "conf"), "--tenant", "acme"])
    told = capsys.readouterr()
    assert found == code, told.err
    return told.out


def document_of(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """The document that it prints with ``--json``."""
    return json.loads(output_of(project, capsys, *arguments, "--json", code=code))
