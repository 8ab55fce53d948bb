"""The result of a sync of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.definitions.values.durations import spoken
from featurestore.display.description import Display, Table, count, counted
from featurestore.display.displayed import Displayed
from featurestore.operations.vectors.sync_plan import Mode


@dataclass(frozen=True)
class SyncResult(Displayed):
    """One feature of one tenant: how its vectors were brought to ``to_version`` of the Delta table, and the reason.

    - ``mode``: ``none``, nothing to do; ``incremental``, by the Change Data Feed after ``from_version``; ``full``.
    - ``entities``: the number of entities checked, with ``incremental``. ``rows_upserted``, ``rows_deleted``: of all
      model versions; a row that was right already counts in neither. ``rows``: the number of rows now.
    - ``lag_versions``, ``lag_seconds``: how far the earlier sync was behind, in versions and in seconds between the two
      commits; None at the first sync.
    - ``rows_per_second``: rows sent, per second from reading them to their merge; None if no rows were sent.
    - ``graphs_built``: HNSW graphs that were built or rebuilt.
    - ``repaired``: with ``verify``, the number of rows that differed and were repaired (changed, added, or deleted).
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
        """What the sync did, why, and how far behind the vectors were."""
        changes = f"{counted(self.rows_upserted, 'row')} written, {self.rows_deleted:,} deleted"
        behind = f"{counted(self.lag_versions or 0, 'version')}, {spoken(self.lag_seconds)}"
        speed = f"{self.rows_per_second or 0:,.0f} rows a second, {counted(self.graphs_built, 'graph')} built"
        repairs = f"{counted(self.repaired or 0, 'row')} differed" + (
            f" and {'is' if self.repaired == 1 else 'are'} repaired now" if self.repaired else ""
        )
        facts = (
            (self.mode, self.reason),
            ("models", ", ".join(self.model_versions)),
            ("was behind", behind if self.lag_versions else None),
            ("speed", speed if self.rows_per_second is not None else None),
            ("verified", repairs if self.repaired is not None else None),
        )
        outcome = "nothing to do" if self.mode == "none" else changes
        return Display(
            f"{self.feature}: {outcome}; {counted(self.rows, 'row')} at version {self.to_version}",
            facts=tuple(fact for fact in facts if fact[1]),
        )


def describe_synced(results: Sequence[SyncResult]) -> Display:
    """One line per embedding."""
    columns = ("embedding", "mode", "written", "deleted", "rows", "table version", "was behind")
    rows = tuple(
        (
            result.feature,
            result.mode,
            *map(count, (result.rows_upserted, result.rows_deleted, result.rows)),
            result.to_version,
            spoken(result.lag_seconds),
        )
        for result in results
    )
    return Display(f"{counted(len(results), 'embedding')} synced", tables=(Table(columns, rows),))
