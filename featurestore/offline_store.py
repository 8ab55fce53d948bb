"""``OfflineStore``: all that can be read and written for one tenant."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame

from featurestore.definitions.time_window import TimeWindow
from featurestore.operations.context import Context
from featurestore.operations.ingest import OnInvalid, Rows, WriteResult, write_batch
from featurestore.operations.materialize import MaterializeResult, materialize
from featurestore.operations.read import AsOfRequest, Features, Spine, as_spine, parse_known_at, point_in_time, resolve


class OfflineStore:
    """One tenant's store; there is no way to name another tenant through it."""

    def __init__(self, context: Context, tenant_id: str) -> None:
        self._context = context
        self._tenant_id = tenant_id

    @property
    def tenant_id(self) -> str:
        return self._tenant_id

    def write_batch(
        self, group: str, rows: Rows, batch_id: str | None = None, on_invalid: OnInvalid = "quarantine"
    ) -> WriteResult:
        """Write rows (Spark, pandas, pyarrow, list of dicts) to a group; see ``operations.ingest.write_batch``."""
        return write_batch(self._context, self._tenant_id, self._context.group(group), rows, batch_id, on_invalid)

    def rejected(self, group: str, batch_id: str | None = None) -> DataFrame:
        """Rows that were rejected: tenant_id, batch_id, rejected_at, reasons, row (JSON, as it came)."""
        table = self._context.table(self._context.group(group))
        return table.read_rejected(self._context.spark, self._tenant_id, batch_id)

    def get_point_in_time(
        self,
        spine: Spine,
        features: Features,
        timestamp_column: str = "event_timestamp",
        known_at: Any = None,
        full_feature_names: bool = False,
        with_timestamps: bool = False,
    ) -> DataFrame:
        """The spine with each feature's latest value at or before each row's timestamp.

        - Grain: exactly the spine's rows, duplicates included, its columns unchanged; row order is not kept.
        - ``features``: references ``"group:feature"`` and ``Lookup``s. ``known_at``: none, an instant, or ``"event"``.
        - ``with_timestamps`` adds ``<group>__event_timestamp``, the newest event timestamp of what was taken.
        - A null key, a null timestamp, or no match within the group's TTL gives nulls.

        Raises SpineError, NotFoundError, DefinitionError, InvalidNameError.
        """
        request = AsOfRequest(
            lookups=resolve(self._context, features, full_feature_names),
            timestamp_column=timestamp_column,
            known_at=parse_known_at(known_at, self._context.settings.timestamp_zone),
            with_timestamps=with_timestamps,
        )
        return point_in_time(self._context, self._tenant_id, as_spine(self._context, spine), request)

    def materialize_feature(self, group: str, start: Any, end: Any, rerun: bool = False) -> MaterializeResult:
        """Run the group's transformation over ``[start, end)`` and write its values, once; see ``operations.materialize``."""
        window = TimeWindow.of(start, end, self._context.settings.timestamp_zone)
        return materialize(self._context, self._tenant_id, self._context.group(group), window, rerun)

    def runs(self) -> DataFrame:
        """The run ledger: one row a run, its newest state."""
        return self._context.runs.runs(self._context.spark, self._tenant_id)
