"""Commands on the ``project`` of a module, for the tenant acme; each fails unless its exit code is ``code``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.cli_answers import Answer, document_of, error_output_of, output_of


@pytest.fixture
def machine(project: Path, capsys: pytest.CaptureFixture[str]) -> Answer:
    """Runs a command with ``--json``; returns the document."""
    return partial(document_of, project, capsys)


@pytest.fixture
def person(project: Path, capsys: pytest.CaptureFixture[str]) -> Answer:
    """Runs a command; returns its text on stdout."""
    return partial(output_of, project, capsys)


@pytest.fixture
def refusal(project: Path, capsys: pytest.CaptureFixture[str]) -> Answer:
    """Runs a command that is refused; returns its text on stderr."""
    return partial(error_output_of, project, capsys)
