"""Why a row cannot be stored: a fault knows its column until the row has been checked, then it becomes text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

_ARROW_TYPE = pa.list_(pa.struct([("column", pa.string()), ("reason", pa.string())]))


@dataclass(frozen=True)
class Fault:
    """A reason, and the ``column`` of the value that could not be read; None for a fault of the whole row."""

    column: str | None
    reason: str

    def __str__(self) -> str:
        return self.reason if self.column is None else f"{self.column}: {self.reason}"


def arrow_faults(faults: Sequence[Sequence[Fault]]) -> pa.Array:
    """The faults of each row as a column, in the form that ``faults_present`` gives in Spark."""
    return pa.array([[asdict(fault) for fault in of_row] for of_row in faults], _ARROW_TYPE)
