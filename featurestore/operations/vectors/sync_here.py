"""The rows of a sync in this process, without Spark: of a tenant whose rows are few, in files that are read here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.rows.file_layout import bytes_of_row
from featurestore.columnar.schema import key_fields
from featurestore.columnar.values.batch import distinct_rows
from featurestore.columnar.values.newest_vectors import newest_vectors, with_all_entities
from featurestore.errors import StorageError
from featurestore.frames.timestamps import partition_of
from featurestore.operations.vectors.sync_plan import SyncPlan
from featurestore.operations.vectors.sync_rows import SyncedFeature, Touched, lost_feed
from featurestore.stores.delta.pruning import Dates, Times
from featurestore.stores.postgres.copy import ArrowRows

_MICROSECOND = timedelta(microseconds=1)


def fits_here(of: SyncedFeature, version: int) -> bool:
    """Whether this process reads and sends the rows of this version itself.

    ``local_batch_rows`` is the most rows that it takes, here as in writing.
    """
    row_bytes = bytes_of_row(of.group, of.column_names)
    return of.values.is_small(of.scope.tenant_id, version, row_bytes, of.scope.settings.local_batch_rows)


@dataclass(frozen=True)
class RowsHere:
    """Reads the rows of a feature in this process, where ``fits_here``."""

    of: SyncedFeature

    def newest(self, version: int) -> ArrowRows:
        """The newest valid vectors of all entities."""
        return ArrowRows(self._newest(version), self.of.table)

    def touched(self, plan: SyncPlan) -> Touched | str:
        """The entities to bring up to date; or the reason why the change feed cannot be read any more."""
        try:
            keys = self._touched_keys(plan)
        except StorageError as error:
            return lost_feed(plan, str(error) if error.__cause__ is None else type(error.__cause__).__name__)
        if not keys.num_rows:
            return Touched(0, None)
        rows = with_all_entities(self._newest(plan.to_version, keys), keys)
        return Touched(keys.num_rows, ArrowRows(rows, self.of.table))

    def next_event_timestamp(self, version: int) -> datetime | None:
        """The first event timestamp after ``now``; None without one."""
        first = partition_of(self.of.now.date(), self.of.group.partition_by)
        ahead = self._read(["event_timestamp"], (first, None), (self.of.now + _MICROSECOND, None), version)
        earliest = pc.min(ahead.column("event_timestamp")).as_py()
        return None if earliest is None else earliest.astimezone(UTC)

    def _newest(self, version: int, keys: pa.Table | None = None) -> pa.Table:
        """The newest valid vectors of all entities, or of those with these keys."""
        now = self.of.now
        values = self._read(self.of.column_names, (None, now.date()), (None, now), version, keys)
        return newest_vectors(values, self.of.columns, self.of.times)

    def _touched_keys(self, plan: SyncPlan) -> pa.Table:
        """The distinct join keys of entities that changed, or got valid rows, since the last sync."""
        of, schema = self.of, pa.schema(key_fields(self.of.group))
        parts = []
        assert plan.from_version is not None
        if plan.to_version > plan.from_version:
            parts.append(of.values.changed_keys(of.scope.tenant_id, plan.from_version, plan.to_version))
        if plan.due_since is not None:
            dates = (partition_of(plan.due_since.date(), of.group.partition_by), of.now.date())
            times = (plan.due_since + _MICROSECOND, of.now)
            parts.append(self._read(of.group.join_keys, dates, times, plan.to_version).cast(schema))
        return distinct_rows(pa.concat_tables(parts))

    def _read(
        self, columns: list[str], dates: Dates, times: Times, version: int, keys: pa.Table | None = None
    ) -> pa.Table:
        rows = self.of.values.read_local(self.of.scope.tenant_id, columns, dates, times, keys, version)
        assert rows is not None, "fits_here has said that the rows are read here"
        return rows
