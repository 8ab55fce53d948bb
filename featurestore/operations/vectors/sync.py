"""Sync embeddings: make a feature's vectors in PostgreSQL exactly what the Delta table says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from time import perf_counter

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import parse_reference
from featurestore.display.displayed import Listing
from featurestore.errors import FeatureStoreError, InvalidArgumentError, InvariantError, JobFailedError
from featurestore.operations.context import Context, Scope, check_stored
from featurestore.operations.job_run import recorded_run
from featurestore.operations.vectors.sync_by_spark import RowsBySpark
from featurestore.operations.vectors.sync_here import RowsHere, fits_here
from featurestore.operations.vectors.sync_plan import DeltaState, SyncPlan, make_sync_plan
from featurestore.operations.vectors.sync_result import SyncResult, describe_synced
from featurestore.operations.vectors.sync_rows import SyncedFeature, SyncRows
from featurestore.stores.postgres.connections import as_postgres_error
from featurestore.stores.postgres.copy import Fingerprints, Sent, VectorRows
from featurestore.stores.postgres.erasure import mark_written
from featurestore.stores.postgres.graph import ensure_graph
from featurestore.stores.postgres.layout import ensure_partition, ensure_table, migrate
from featurestore.stores.postgres.staging import (
    attach,
    create_staging,
    drop_left_behind,
    keep_attempts,
    long_texts_as_sync_error,
    make_partition_of,
)
from featurestore.stores.postgres.sync import (
    Merged,
    SyncTarget,
    Watermark,
    analyze,
    fingerprints,
    locked,
    merge,
    read_watermark,
    require_unchanged,
    write_watermark,
)
from featurestore.stores.postgres.tables import VectorTable, has_partition

SYNC = "sync_embeddings"


def sync_embeddings(scope: Scope, reference: str, *, full: bool, verify: bool) -> SyncResult:
    """Bring the tenant's vectors of a feature in PostgreSQL up to date with the newest version of the Delta table.

    Afterwards PostgreSQL has one row per entity and model version with a newest valid vector (``newest_vectors``), and
    no other rows. The changes and the watermark are one transaction: if a sync is stopped, the rows are as before or as
    after it, and the next sync continues from there. ``full`` reads all entities, not just the changed ones. ``verify``
    then compares all rows by counts and hashes of their content, and repairs rows that differ. Raises NotFoundError,
    InvalidArgumentError (not an embedding), SyncError (also while another sync of the same vectors runs),
    PostgresError, StorageError (a file of the table is damaged or gone), ConfigurationError.
    """
    group, feature = synced_feature(scope.context, reference)
    with recorded_run(scope, SYNC, group) as job:
        with as_postgres_error(), scope.postgres.connect_owner() as connection:
            migrate(connection)
            scope.step("sync_embeddings.schema")
            table = VectorTable.of(group, feature, feature.default_model_version)
            sync = _Sync(
                scope,
                group,
                feature,
                SyncTarget(connection, scope.tenant_id, table),
                scope.now(),
            )
            with locked(sync.target):
                result = sync.run(full, verify)
        job.report(asdict(result), rows_written=result.rows_upserted, table_version=result.to_version)
    return result


def synced_feature(context: Context, reference: str) -> tuple[FeatureGroup, Feature]:
    """The current group and its embedding; raises NotFoundError, InvalidArgumentError."""
    group_name, name = parse_reference(reference)
    context.refresh()
    group = context.group_with_values(group_name)
    check_stored(group, "a sync of embeddings")
    feature = group.feature(name)
    if not feature.feature_type.is_embedding:
        raise InvalidArgumentError(f"feature {reference!r} is {feature.type}; only an embedding(dims) can be synced")
    return group, feature


def indexed_features(context: Context) -> list[str]:
    """References of the embeddings in current groups that have an ``index`` in their definition."""
    return [
        f"{group.name}:{feature.name}"
        for group in context.refresh().stored_feature_groups()
        for feature in group.features
        if feature.index is not None
    ]


def sync_all_embeddings(scope: Scope, *, full: bool, verify: bool) -> Listing[SyncResult]:
    """Sync every embedding with an ``index`` in its definition; a failure does not stop the others.

    After all were tried, JobFailedError names every embedding that failed.
    """
    results, failures = [], []
    references = indexed_features(scope.context)
    for reference in references:
        try:
            results.append(sync_embeddings(scope, reference, full=full, verify=verify))
        except FeatureStoreError as error:
            failures.append((reference, error))
    if failures:
        reasons = "".join(f"\n- {reference}: {type(error).__name__}: {error}" for reference, error in failures)
        raise JobFailedError(
            f"sync of {len(failures)} of {len(references)} embeddings failed, the others are done:{reasons}"
        ) from failures[0][1]
    return Listing(results, describe_synced)


@dataclass(frozen=True)
class _Sync:
    """One sync in progress, which holds its lock."""

    scope: Scope
    group: FeatureGroup
    feature: Feature
    target: SyncTarget
    now: datetime

    @property
    def synced(self) -> SyncedFeature:
        return SyncedFeature(self.scope, self.group, self.feature, self.table, self.now)

    def rows(self, version: int) -> SyncRows:
        """What reads the rows of this version of the Delta table: this process if they are few, else Spark."""
        return RowsHere(self.synced) if fits_here(self.synced, version) else RowsBySpark(self.synced)

    @property
    def table(self) -> VectorTable:
        """The table of the feature's own model version; tables of other model versions differ only in the model."""
        return self.target.table

    def run(self, full: bool, verify: bool) -> SyncResult:
        began = perf_counter()
        drop_left_behind(self.target)
        changed = self._ensure_tables()
        self.scope.step("sync_embeddings.tables")
        watermark = self._read_watermark()
        delta = self.synced.delta_state(watermark)
        plan = make_sync_plan(watermark, delta, self.now, full, changed)
        entities, merged, rate, plan = self._carry_out(plan, delta)
        built = self._ensure_graphs(merged)
        result = SyncResult(
            feature=f"{self.group.name}:{self.feature.name}",
            mode=plan.mode,
            reason=plan.reason,
            from_version=plan.from_version,
            to_version=plan.to_version,
            model_versions=tuple(part.model for part in merged if part.rows),
            entities=entities,
            rows_upserted=sum(part.upserted for part in merged),
            rows_deleted=sum(part.deleted for part in merged),
            rows=sum(part.rows for part in merged),
            lag_versions=None if watermark is None else max(0, delta.version - watermark.delta_version),
            lag_seconds=None if watermark is None else _seconds_between(watermark.delta_timestamp, delta.timestamp),
            seconds=0.0,
            rows_per_second=rate,
            graphs_built=built,
        )
        if verify:
            result = self._verified(result, delta)
        return replace(result, seconds=round(perf_counter() - began, 3))

    def _ensure_tables(self) -> str | None:
        """Make the feature's tables match its current definition; return the reason for a full sync, if any."""
        connection = self.target.connection
        with connection.transaction():
            tables = {table.model: table for table in (*self.target.tables(), self.table)}
            changes = [
                ensure_table(connection, VectorTable.of(self.group, self.feature, model)) for model in sorted(tables)
            ]
        return next((change for change in changes if change is not None), None)

    def _partitions(self) -> list[VectorTable]:
        """The tables in which the tenant has a partition."""
        connection, tenant_id = self.target.connection, self.target.tenant_id
        return [table for table in self.target.tables() if has_partition(connection, table, tenant_id)]

    def _read_watermark(self) -> Watermark | None:
        with self._entered():
            return read_watermark(self.target)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """A transaction limited to the tenant."""
        with self.target.connection.transaction():
            self.scope.postgres.enter(self.target.connection, self.target.tenant_id)
            yield

    def _carry_out(self, plan: SyncPlan, delta: DeltaState) -> tuple[int | None, list[Merged], float | None, SyncPlan]:
        """Carry out a plan; the returned plan is a full one if the change feed could not be read.

        Returns the number of entities, the merged tables, rows per second, and the plan.
        """
        if plan.mode == "none":
            return 0, self._counted(), None, plan
        rows = self.rows(plan.to_version)
        mark = self._mark(delta, rows)
        if plan.mode == "incremental":
            touched = rows.touched(plan)
            if isinstance(touched, str):
                plan = plan.in_full(touched)
            else:
                self.scope.progress.rows(0, touched.number)
                try:
                    return touched.number, *self._stage_and_merge(touched.rows, mark, whole=False), plan
                finally:
                    touched.close()
        return None, *self._stage_and_merge(rows.newest(plan.to_version), mark, whole=True), plan

    def _mark(self, delta: DeltaState, rows: SyncRows) -> Watermark:
        ahead = rows.next_event_timestamp(delta.version)
        return Watermark(delta.table_id, delta.version, delta.timestamp, self.now, ahead)

    def _counted(self) -> list[Merged]:
        with self._entered():
            counts = self.target.connection.execute(
                "SELECT model_version, row_count FROM featurestore.watermarks JOIN featurestore.vector_tables USING "
                "(table_name) WHERE tenant_id = %s AND feature_group = %s AND group_version = %s AND feature = %s",
                [self.target.tenant_id, self.group.name, self.group.version, self.feature.name],
            ).fetchall()
        return [Merged(model, 0, 0, rows) for model, rows in sorted(counts)]

    def _stage_and_merge(
        self, rows: VectorRows | None, mark: Watermark, whole: bool, buckets: list[int] | None = None
    ) -> tuple[list[Merged], float | None]:
        """Send the rows to a staging table, and merge them in one transaction with the watermark."""
        if rows is None:
            return self._merge(None, mark, whole, buckets), None
        began = perf_counter()
        is_first = whole and buckets is None and not self._partitions()
        staging = create_staging(self.target, attachable=is_first)
        try:
            self.scope.step("sync_embeddings.staging")
            sent = rows.copy_to(staging, self.scope.postgres.worker_dsn)
            self.scope.progress.rows(sent.rows, sent.rows)
            self.scope.step("sync_embeddings.copied")
            keep_attempts(self.target, staging, sent.attempts, sent.rows)
            with long_texts_as_sync_error(self.target, staging):
                merged = self._bring_in(staging, sent, mark, whole, buckets, is_first)
            self.scope.step("sync_embeddings.merged")
        finally:
            if not self.target.connection.broken:
                drop_left_behind(self.target)
        self.scope.step("sync_embeddings.cleaned")
        seconds = perf_counter() - began
        return merged, round(sent.rows / seconds, 1) if sent.rows else None

    def _bring_in(
        self, staging: str, sent: Sent, mark: Watermark, whole: bool, buckets: list[int] | None, is_first: bool
    ) -> list[Merged]:
        """Make the staging table the tenant's partition, or merge it into that partition."""
        if is_first and sent.models == (self.table.model,):
            make_partition_of(self.target, self.table, staging)
            self.scope.step("sync_embeddings.partitions")
            return self._attach(staging, mark, sent.rows)
        self._ensure_partitions(sent.models)
        analyze(self.target, staging)
        self.scope.step("sync_embeddings.partitions")
        return self._merge(staging, mark, whole, buckets)

    def _ensure_partitions(self, models: Sequence[str]) -> None:
        for model in {self.table.model, *models}:
            table = VectorTable.of(self.group, self.feature, model)
            ensure_table(self.target.connection, table)
            ensure_partition(self.target.connection, table, self.target.tenant_id)

    def _attach(self, staging: str, mark: Watermark, rows: int) -> list[Merged]:
        """Make the staging table the tenant's partition, in one transaction with the watermark."""
        with self._entered():
            require_unchanged(self.target, [self.table])
            attach(self.target, self.table, staging)
            write_watermark(self.target, self.table, mark, rows)
        return [Merged(self.table.model, rows, 0, rows)]

    def _merge(self, staging: str | None, mark: Watermark, whole: bool, buckets: list[int] | None) -> list[Merged]:
        tables, merged = self._partitions(), []
        for table in tables if staging is not None else ():
            mark_written(self.target, table)
        with self._entered():
            require_unchanged(self.target, [VectorTable.of(self.group, self.feature, table.model) for table in tables])
            counted = {counts.model: counts for counts in self._counted()} if staging is None else {}
            for table in tables:
                if staging is not None:
                    done = merge(self.target, table, staging, whole, buckets)
                else:
                    done = counted.get(table.model, Merged(table.model, 0, 0, 0))
                write_watermark(self.target, table, mark, done.rows)
                merged.append(done)
        return merged

    def _ensure_graphs(self, merged: Sequence[Merged]) -> int:
        changed = {part.model for part in merged if part.upserted or part.deleted}
        built = 0
        for table in self._partitions():
            if table.model in changed:
                analyze(self.target, table.partition(self.target.tenant_id))
            built += ensure_graph(self.target.connection, table, self.target.tenant_id)
            self.scope.step("sync_embeddings.graph")
        return built

    def _verified(self, result: SyncResult, delta: DeltaState) -> SyncResult:
        """Compare both sides at the synced version, and repair what differs."""
        rows = self.rows(result.to_version)
        newest = rows.newest(result.to_version)
        expected = newest.fingerprints()
        buckets = self._differing(expected)
        if not buckets:
            return replace(result, repaired=0)
        repairs = newest.of_buckets(buckets)
        merged, _ = self._stage_and_merge(repairs, self._mark(delta, rows), whole=True, buckets=buckets)
        still_differing = self._differing(expected)
        if still_differing:
            raise InvariantError(
                f"{result.feature}: {len(still_differing)} buckets of rows in PostgreSQL still differ from the Delta "
                "table's after their repair; sync with full=True"
            )
        return replace(
            result,
            rows=sum(part.rows for part in merged),
            model_versions=tuple(part.model for part in merged if part.rows),
            repaired=sum(part.upserted + part.deleted for part in merged),
        )

    def _differing(self, expected: Fingerprints) -> list[int]:
        """The buckets in which counts or hashes of any model version differ."""
        with self._entered():
            stored = {table.model: fingerprints(self.target, table) for table in self._partitions()}
        differing: set[int] = set()
        for model in expected.keys() | stored.keys():
            ours, theirs = expected.get(model, {}), stored.get(model, {})
            differing |= {bucket for bucket in ours.keys() | theirs.keys() if ours.get(bucket) != theirs.get(bucket)}
        return sorted(differing)


def _seconds_between(before: datetime, after: datetime) -> float:
    return max(0.0, (after - before).total_seconds())
