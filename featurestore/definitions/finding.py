"""A finding of an audit: one fault or doubt about a training set, with its numbers and what to do."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from featurestore.display.description import Display, Mark, Table, Tone, counted
from featurestore.display.displayed import Displayed

Severity = Literal["error", "warning", "info"]
Check = Literal[
    "newer_than_spine",
    "equals_label",
    "tells_label",
    "known_later",
    "doubled_rows",
    "ttl_too_short",
    "always_missing",
    "label_missing",
    "label_constant",
    "not_compared",
]


class Finding(BaseModel):
    """One finding of the leakage audit; docs/leakage_audit.md explains each ``check``.

    - ``severity``: ``error`` (a leak), ``warning`` (most likely a fault), ``info`` (worth knowing);
    - ``subject``: the feature, lookup or column that it is about;
    - ``message``: what was found, with numbers; ``advice``: what to do;
    - ``measured``: the numbers by name; shares are from 0 to 1, ages are in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    check: Check
    severity: Severity
    subject: str
    message: str
    advice: str
    measured: dict[str, float] = {}

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}. {self.advice}"


_TONES: dict[Severity, Tone] = {"error": "bad", "warning": "warning", "info": "muted"}


class Findings(Displayed, tuple[Finding, ...]):
    """The findings of an audit, errors first: a tuple that shows itself as a table."""

    __slots__ = ()

    def display(self) -> Display:
        """One line per finding, or a note that there are none."""
        if not self:
            return Display("Nothing was found.")
        columns = ("severity", "check", "subject", "found", "what to do")
        rows = (
            (
                Mark(finding.severity, _TONES[finding.severity]),
                finding.check,
                finding.subject,
                finding.message,
                finding.advice,
            )
            for finding in self
        )
        return Display(counted(len(self), "finding"), tables=(Table(columns, tuple(rows)),))
