"""A batch that has been checked: what the write of it needs to know, whether Spark or this process holds its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from featurestore.display.description import Display, Mark, Table, count, counted
from featurestore.display.displayed import Displayed
from featurestore.stores.group_table import BatchRecord


@dataclass(frozen=True)
class WriteResult(Displayed):
    """The result of writing a batch: ``written + failed`` is the number of its rows.

    ``errors`` counts reasons (a row may have several). ``samples`` has up to three rows per reason, as they came, as
    JSON. ``table_version``: the version of the values table that holds the batch; None for an empty batch. Rows of
    erased entities count as failed, with the reason ``suppressed``, and are stored nowhere. ``duplicate``: this batch
    id was written before, and nothing was written now.
    """

    written: int
    failed: int
    batch_id: str
    table_version: int | None
    errors: dict[str, int] = field(default_factory=dict)
    duplicate: bool = False
    samples: dict[str, list[str]] = field(default_factory=dict, repr=False)
    # The group's expectations that the rows of a run break; see Expectations.
    broken: tuple[str, ...] = ()

    def display(self) -> Display:
        """The number of rows written, and the reasons of rejected rows with one sample each."""
        title = f"{counted(self.written, 'row')} written, {self.failed:,} rejected"
        if self.duplicate:
            title = "this batch was written before; nothing was written now"
        return Display(
            title,
            lines=tuple(Mark(f"Not as expected: {breach}", "bad") for breach in self.broken),
            facts=(("batch", self.batch_id), ("table version", self.table_version)),
            tables=reasons(self.failed, self.errors, self.samples),
        )


def reasons(
    failed: int, errors: Mapping[str, int], samples: Mapping[str, Sequence[str]] | None = None
) -> tuple[Table, ...]:
    """A table of the reasons for rejection, most frequent first; no table if no row was rejected."""
    if not failed:
        return ()
    if not samples:
        return (Table(("rejected because", "rows"), tuple((reason, count(rows)) for reason, rows in errors.items())),)
    lines = tuple((reason, count(rows), next(iter(samples.get(reason, ())), "")) for reason, rows in errors.items())
    return (Table(("rejected because", "rows", "such as"), lines),)


class CheckedBatch(Protocol):
    """The rows of a batch, each with its reasons; rows of erased entities count, but no method writes them."""

    @property
    def record(self) -> BatchRecord:
        """Counts, reasons and fingerprint of all rows."""

    def broken(self, window_end: datetime) -> tuple[str, ...]:
        """A message for each of the group's expectations that the good rows of a run break."""

    def samples(self) -> dict[str, list[str]]:
        """Reason -> up to three rows, chosen by their hash, so that every run chooses the same ones.

        Samples are not in the batch's record: the record stays in the table's history, but a row may have to be erased.
        """

    def append_rejected(self, now: datetime) -> None:
        """Append the bad rows to the group's rejected rows, once."""

    def append_values(self, record: BatchRecord, now: datetime) -> None:
        """Append the good rows to the group's values, once, with the record in the commit."""

    def reject_run(self, broken: Sequence[str], now: datetime) -> dict[str, list[str]]:
        """Write all rows to the rejected rows, with their own reasons and these; returns the samples.

        Rows of an earlier attempt of the same run are replaced.
        """

    def is_stored(self, created: datetime) -> bool:
        """Whether every row that this batch would write is stored already, with this created timestamp."""

    def erase_again(self) -> None:
        """Remove rows of entities that were erased while the batch was written."""
