"""What a sync of embeddings did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.definitions.values.durations import spoken
from featurestore.display.description import Display, Table, count, counted
from featurestore.display.displayed import Displayed
from featurestore.operations.vectors.sync_plan import Mode


@dataclass(frozen=True)
class SyncResult(Displayed):
    """One feature of one tenant: how its vectors were brought to ``to_version`` of the Delta table, and why so.

    - ``mode``: ``none``, nothing was to do; ``incremental``, by the Change Data Feed after ``from_version``; ``full``.
    - ``entities``: whose vectors were looked at, with ``incremental``. ``rows_upserted``, ``rows_deleted``: of all model
      versions; a row that was right already is in neither. ``rows``: how many there are now.
    - ``lag_versions``, ``lag_seconds``: how far what was synced before was behind, the second between the two commits;
      none at the first sync.
    - ``rows_per_second``: rows that were sent, by the seconds from reading them to their merge; none where none were.
    - ``graphs_built``: HNSW graphs that were built or built anew.
    - ``repaired``: with ``verify``, how many rows differed and were mended (changed, added, or deleted).
    """

    feature: str
    mode: Mode
    reason: str
    from_version: int | None
    to_version: int
    model_versions: tuple[str, ...]
    entities: int | None
    rows_upserted: int
    rows_deleted: int
    rows: int
    lag_versions: int | None
    lag_seconds: float | None
    seconds: float
    rows_per_second: float | None
    graphs_built: int
    repaired: int | None = None

    def display(self) -> Display:
        """What was done, why so, and how far behind it was."""
        told = f"{counted(self.rows_upserted, 'row')} written, {self.rows_deleted:,} deleted"
        behind = f"{counted(self.lag_versions or 0, 'version')}, {spoken(self.lag_seconds)}"
        speed = f"{self.rows_per_second or 0:,.0f} rows a second, {counted(self.graphs_built, 'graph')} built"
        mended = f"{counted(self.repaired or 0, 'row')} differed" + (
            f" and {'is' if self.repaired == 1 else 'are'} mended now" if self.repaired else ""
        )
        facts = (
            (self.mode, self.reason),
            ("models", ", ".join(self.model_versions)),
            ("was behind", behind if self.lag_versions else None),
            ("speed", speed if self.rows_per_second is not None else None),
            ("verified", mended if self.repaired is not None else None),
        )
        what = "nothing to do" if self.mode == "none" else told
        return Display(
            f"{self.feature}: {what}; {counted(self.rows, 'row')} at version {self.to_version}",
            facts=tuple(fact for fact in facts if fact[1]),
        )


def describe_synced(results: Sequence[SyncResult]) -> Display:
    """A line an embedding."""
    columns = ("embedding", "mode", "written", "deleted", "rows", "table version", "was behind")
    rows = tuple(
        (
            one.feature,
            one.mode,
            *map(count, (one.rows_upserted, one.rows_deleted, one.rows)),
            one.to_version,
            spoken(one.lag_seconds),
        )
        for one in results
    )
    return Display(f"{counted(len(results), 'embedding')} synced", tables=(Table(columns, rows),))
