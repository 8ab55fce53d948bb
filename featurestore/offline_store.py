"""``OfflineStore``: all that can be read and written for one tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame

from featurestore.arguments import checked_arguments
from featurestore.display.displayed import Listing
from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.frames.vectors.text_vectors import Model
from featurestore.operations.catalog.model import Catalog
from featurestore.operations.catalog.read import read_catalog
from featurestore.operations.context import Context, Scope
from featurestore.operations.entities import Entities, EntityKey
from featurestore.operations.erasure.erase import ErasureCertificate, certificates, erase
from featurestore.operations.instants import argument_count, argument_duration, argument_window
from featurestore.operations.job_run import abandon_run
from featurestore.operations.jobs.backfill import BackfillResult, Order, PlannedWindow, backfill, plan_backfill
from featurestore.operations.jobs.materialize import MaterializeResult, materialize
from featurestore.operations.jobs.materialize_all import materialize_all
from featurestore.operations.reading.aggregate import DEFAULT_PERCENTILE, aggregate_feature
from featurestore.operations.reading.as_of import point_in_time
from featurestore.operations.reading.batch import BatchFeatures, get_batch_features
from featurestore.operations.reading.history import get_feature_history
from featurestore.operations.reading.request import AsOfRequest, Features, Spine, as_spine, parse_known_at, resolve
from featurestore.operations.reading.values_at import FeatureValue, get_features_at_time
from featurestore.operations.statistics.drift import Compared, DriftResult, drift
from featurestore.operations.statistics.metrics import write_metrics
from featurestore.operations.statistics.profile import ProfiledGroup, ProfileResult, profile, profiled, statistics
from featurestore.operations.statistics.stats import GroupStats, get_stats
from featurestore.operations.upkeep.optimize import OptimizeResult, optimize
from featurestore.operations.upkeep.retain import RetentionResult, cleanup
from featurestore.operations.vectors.search import (
    VectorOrEntity,
    search_similar_embeddings,
    search_similar_embeddings_batch,
)
from featurestore.operations.vectors.search_for import search_similar_for
from featurestore.operations.vectors.similar_entities import SimilarEntities
from featurestore.operations.vectors.sync import sync_all_embeddings, sync_embeddings
from featurestore.operations.vectors.sync_result import SyncResult
from featurestore.operations.writing.embed_texts import EmbedResult, embed_texts
from featurestore.operations.writing.ingest import OnInvalid, Rows, WriteResult, write_batch
from featurestore.operations.writing.retry_rejected import retry_rejected
from featurestore.operations.writing.write_value import write_embedding, write_feature_value
from featurestore.stores.small_tables.runs import Run


@checked_arguments
class OfflineStore:
    """One tenant's store; there is no way to name another tenant through it."""

    def __init__(self, context: Context, tenant_id: str) -> None:
        self._scope = Scope(context, tenant_id)

    @property
    def tenant_id(self) -> str:
        return self._scope.tenant_id

    def write_feature_value(self, feature: str, entity: EntityKey, value: Any, event_timestamp: Any) -> WriteResult:
        """Write one value of ``"group:feature"`` for one entity, such as ``{"user_id": "u1"}``, as of an event timestamp.

        It passes the same validation as a batch; a bad value raises InvalidRowsError, which names the rule, and nothing
        is written. Each call is a commit of its own, with files of its own: write more than a few values as a batch.
        """
        return write_feature_value(self._scope, feature, entity, value, event_timestamp)

    def write_embedding(
        self,
        feature: str,
        entity: EntityKey,
        vector: Any,
        event_timestamp: Any,
        model_version: str | None = None,
    ) -> WriteResult:
        """Write one embedding: exactly the feature's dims of finite numbers, and the model version that made it.

        ``model_version`` none means the feature's own. Many embeddings are a batch, whose rows have the vector under the
        feature's name and the model under ``<feature>__model_version``. Raises InvalidRowsError, InvalidArgumentError.
        """
        return write_embedding(self._scope, feature, entity, vector, event_timestamp, model_version)

    def write_batch(
        self, group: str, rows: Rows, batch_id: str | None = None, on_invalid: OnInvalid = "quarantine"
    ) -> WriteResult:
        """Write rows (Spark, pandas, pyarrow, list of dicts) to a group; see ``operations.ingest.write_batch``."""
        return write_batch(self._scope, self._scope.group(group), rows, batch_id, on_invalid)

    def rejected(self, group: str, batch_id: str | None = None) -> DataFrame:
        """Rows that were rejected: tenant_id, batch_id, rejected_at, reasons, row (JSON, as it came)."""
        table = self._scope.table(self._scope.group(group))
        return table.read_rejected(self._scope.spark, self._scope.tenant_id, batch_id)

    def retry_rejected(self, group: str, batch_id: str | None = None) -> WriteResult:
        """Write rejected rows (of a batch, or all of the group's) that the rules in force now allow; each once.

        The others stay rejected: ``failed`` and ``errors`` tell of them. See ``operations.retry_rejected``.
        """
        return retry_rejected(self._scope, self._scope.group(group), batch_id)

    def embed_texts(
        self,
        feature: str,
        rows: DataFrame | pd.DataFrame | pa.Table,
        text: str,
        model: Model,
        *,
        hash_feature: str,
        batch_size: int = 64,
        attempts: int = 5,
        batch_id: str | None = None,
    ) -> EmbedResult:
        """Write the rows with the vector of each one's ``text`` column as the embedding ``feature``.

        ``model`` takes a list of at most ``batch_size`` texts and gives a vector each; it runs on Spark's workers, and is
        called again where it fails, ``attempts`` times. Texts that the group has a vector of, by the feature's model
        version and the hash in ``hash_feature``, are not embedded again. A null text gives a null vector. Values are read
        as ``write_batch`` reads them; a text that is none is a fault of its row. Raises InvalidArgumentError, NotFoundError, SchemaError, TransformationError (the model failed; nothing is written).
        """
        return embed_texts(self._scope, feature, rows, text, model, hash_feature, batch_size, attempts, batch_id)

    def get_feature_at_time(
        self, feature: str, entity: EntityKey, at: Any, known_at: Any = None
    ) -> FeatureValue | None:
        """The value of ``"group:feature"`` that was valid for one entity at a moment, or None; see the next."""
        return self.get_features_at_time([feature], entity, at, known_at)[feature]

    def get_features_at_time(
        self, features: str | Iterable[str], entity: EntityKey, at: Any, known_at: Any = None
    ) -> dict[str, FeatureValue | None]:
        """By reference, the value that was valid for one entity at ``at`` (included), or None where none was.

        The as-of rules of ``get_point_in_time`` for one example; one small job a feature group. For many examples join a
        spine. Raises NotFoundError, and InvalidArgumentError for an entity or a moment that cannot be read.
        """
        return get_features_at_time(self._scope, features, entity, at, known_at)

    def get_batch_features(
        self,
        features: Features,
        start: Any,
        end: Any,
        entities: Entities | None = None,
        full_feature_names: bool = False,
    ) -> BatchFeatures:
        """Values with event timestamps in ``[start, end)``: a row an entity and event timestamp, features side by side.

        Features of several groups of one entity may be asked, and stand in that order. Corrections are resolved; nothing is carried from one
        moment to another. ``entities``: a mapping of join keys, several, or a frame; none means all. ``.rows`` is a
        DataFrame that has not run yet, ``.metadata(count_rows=True)`` counts and times it.
        Raises NotFoundError, InvalidArgumentError, SpineError.
        """
        return get_batch_features(self._scope, features, start, end, entities, full_feature_names)

    def get_feature_history(
        self,
        feature: str,
        entity: EntityKey,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        all_versions: bool = False,
    ) -> DataFrame:
        """One feature of one entity with event timestamps in ``[start, end]``, both included, newest first.

        Columns: join keys, ``event_timestamp``, ``created_timestamp``, the feature. A corrected value shows once, as
        corrected; with ``all_versions`` every row that was written does. Raises NotFoundError, InvalidArgumentError.
        """
        return get_feature_history(self._scope, feature, entity, start, end, limit, all_versions)

    def aggregate_feature(
        self,
        feature: str,
        function: str,
        every: str = "day",
        *,
        start: Any,
        end: Any,
        entities: Entities | None = None,
        time_zone: str = "UTC",
        by_entity: bool = False,
        percentile: float = DEFAULT_PERCENTILE,
    ) -> DataFrame:
        """One row a calendar bucket that has values (and entity, with ``by_entity``); the order of rows is not kept.

        - Columns: join keys (with ``by_entity``), ``bucket_start`` (included), ``bucket_end`` (not), both instants, ``value``.
        - ``function``: sum, avg, count, min, max, stddev (of a sample: n - 1; null for one value), or approx_percentile
          (the least value that at least the share ``percentile`` is at or below, exact). Nulls are no values.
        - ``every``: hour, day, week (from Monday), month of the calendar of ``time_zone``. A day of a clock change has 23
          or 25 hours; the local hour that comes twice is two buckets.
        - Values with event timestamps in ``[start, end)`` count, each once, as corrected. A bucket that the window cuts
          has its calendar bounds, and the values of the part inside.
        - A sum of long or int is an exact long (the query fails where it does not fit), of others a double.

        Raises NotFoundError, InvalidArgumentError (also for a feature that is no number, unless it is counted).
        """
        return aggregate_feature(
            self._scope,
            feature,
            function,
            every,
            start,
            end,
            entities,
            time_zone,
            by_entity,
            percentile,
        )

    def search_similar_embeddings(
        self,
        feature: str,
        vector_or_entity: VectorOrEntity,
        limit: int = 10,
        threshold: float = 0.7,
        at: Any = None,
        filters: Mapping[str, Any] | None = None,
        model_version: str | None = None,
        exact: bool | None = None,
    ) -> SimilarEntities:
        """The entities whose embeddings have the greatest cosine similarity.

        - ``vector_or_entity``: a vector of the feature's dims, or a mapping of join keys, whose own latest vector is the
          query and which is not among the matches.
        - ``limit``: at most so many, most similar first, ties by key. ``threshold``: from -1 to 1, included.
        - ``at``: vectors as valid at that moment (now by default), by the as-of rules: TTL, null policy, corrections.
        - ``filters``: by join keys and features of the same group, as valid at ``at``, applied before the limit: a value,
          a list of which any, or ``{"min": a, "max": b}``, both included.
        - ``model_version``: vectors of this model alone are compared; by default the queried entity's, or the feature's.
        - ``exact``: with no ``at``, vectors that ``sync_embeddings`` brought to PostgreSQL are searched there, as of that
          sync, through their index; ``True`` compares every one. All else is searched in the group's table, exactly.
          The answer's ``source`` and ``exact`` say which it was.

        A vector that is zero in all dims has no direction: a query by it is an error, a stored one is never a match.
        Raises NotFoundError (also for an entity without a valid vector, and where all vectors are of other models),
        InvalidArgumentError, PostgresError (never a part of an answer).
        """
        return search_similar_embeddings(
            self._scope,
            feature,
            vector_or_entity,
            limit,
            threshold,
            at,
            filters,
            model_version,
            exact,
        )

    def search_similar_embeddings_batch(
        self,
        feature: str,
        queries: Sequence[VectorOrEntity] | np.ndarray[Any, Any],
        limit: int = 10,
        threshold: float = 0.7,
        at: Any = None,
        filters: Mapping[str, Any] | None = None,
        model_version: str | None = None,
        exact: bool | None = None,
    ) -> list[SimilarEntities]:
        """The answers of ``search_similar_embeddings`` to many vectors (or entities), in their order.

        Those that an index answers go to it in one round trip (a thousand at a time); without one each is a search of its
        own. A two-dimensional array is a query a row.
        """
        return search_similar_embeddings_batch(
            self._scope, feature, queries, limit, threshold, at, filters, model_version, exact
        )

    def search_similar_for(
        self,
        queries: DataFrame,
        feature: str,
        vector_column: str = "vector",
        limit: int = 10,
        threshold: float = 0.7,
        filters: Mapping[str, Any] | None = None,
        model_version: str | None = None,
        exact: bool | None = None,
    ) -> DataFrame:
        """Search by every row of a Spark DataFrame, on its executors, in the vectors that were synced to PostgreSQL.

        - Grain: a row a query and match, computed when it is used; a query without matches, or whose vector is null, has none.
        - Columns: the queries' but for the vector; ``rank`` from 1; ``similar``, a struct of join keys, similarity, both
          timestamps and the filters' columns; ``exact``.
        - Each task has a connection of its own, 16 at once at the most. They must reach PostgreSQL: an embedded one is
          reached from this machine alone.

        Raises NotFoundError where the vectors were not synced, SchemaError, InvalidArgumentError.
        """
        return search_similar_for(
            self._scope,
            queries,
            feature,
            vector_column,
            limit,
            threshold,
            filters,
            model_version,
            exact,
        )

    def sync_embeddings(self, feature: str, full: bool = False, verify: bool = False) -> SyncResult:
        """Bring the vectors of ``"group:feature"`` in PostgreSQL up to date with the table, so that searches use them.

        By the table's Change Data Feed since the last sync, or, where that does not tell all, by comparing every entity;
        ``full`` asks for the latter. One transaction: an interrupted sync leaves what was there. ``verify`` compares all
        rows by their content afterwards, and mends those that differ. See docs/vector_index.md.
        Raises NotFoundError, InvalidArgumentError, SyncError (also while another sync of the same runs), PostgresError.
        """
        return sync_embeddings(self._scope, feature, full, verify)

    def sync_all_embeddings(self, full: bool = False, verify: bool = False) -> Listing[SyncResult]:
        """The same of every embedding whose definition has an ``index``; raises JobFailedError where some failed."""
        return sync_all_embeddings(self._scope, full, verify)

    def get_stats(self, entities: bool = True) -> Listing[GroupStats]:
        """This tenant's rows, entities, times, files and bytes: a line a feature group in force, by name.

        ``pandas.DataFrame(store.get_stats())`` shows them as a table. Counting entities exactly shuffles the distinct
        join keys; ``entities=False`` leaves it out. See ``operations.stats``.
        """
        return get_stats(self._scope, entities)

    def profile(
        self, groups: str | Iterable[str] | None = None, start: Any = None, end: Any = None, full: bool = False
    ) -> ProfileResult:
        """Bring the statistics of these groups, or of all, up to date: the event dates whose rows changed, and no others.

        ``full`` computes every date again. With ``start`` and ``end``, both given, only dates that hold a part of
        ``[start, end)`` are looked at. See ``operations.profile``. Raises NotFoundError, InvalidArgumentError.
        """
        return profile(self._scope, groups, start, end, full)

    def get_statistics(
        self, group: str, start: Any = None, end: Any = None, by_date: bool = False
    ) -> Listing[FeatureStatistics]:
        """What the profiled values of a group's features are like, over the dates that hold a part of ``[start, end)``.

        One a feature, in the group's order; ``by_date``: one a feature and date, oldest first. As of the last ``profile``:
        empty before the first. Raises NotFoundError, InvalidArgumentError.
        """
        return statistics(self._scope, self._scope.group(group), start, end, by_date)

    def profiled(self, group: str, start: Any = None, end: Any = None) -> ProfiledGroup:
        """The same, over all the dates and by date together: what ``profile_report`` shows."""
        return profiled(self._scope, self._scope.group(group), start, end)

    def drift(
        self,
        group: str,
        baseline: Compared | None = None,
        current: Compared | None = None,
        features: Iterable[str] | None = None,
        refresh: bool = True,
    ) -> DriftResult:
        """Compare how a group's features are spread in two periods, or in a saved training set and a period.

        - A period is ``"2026-11-01/2026-11-08"`` or a pair of dates (UTC; the first included, the end not), or a length such as
          ``"7d"``: the current one ends with yesterday, the baseline where the current one begins.
        - A training set is ``"training_set:churn"``, ``"training_set:churn@3"``, or a ``TrainingSet``.
        - Without either: the last 7 days against the 28 before, or the last month against the 3 before where a group is
          partitioned by month. ``refresh`` profiles what changed first.

        Thresholds are the group's (``drift`` in its definition). Drift is no error here: ``require_none()`` raises DriftError.
        Raises NotFoundError (also for a side without rows), InvalidArgumentError.
        """
        group_in_force = self._scope.group(group)
        return drift(self._scope, group_in_force, baseline, current, features, refresh)

    def catalog(self) -> Catalog:
        """The definitions in force with this tenant's freshness, statistics, runs and saved training sets.

        As profiles and runs left them: run ``profile`` first for statistics. ``reports.catalog_site.catalog_site`` writes
        it as pages. See ``operations.read_catalog`` and docs/catalogue.md.
        """
        return read_catalog(self._scope.context, self._scope)

    def write_metrics(self, path: str | Path) -> Path:
        """Write what this tenant's jobs did and its groups hold to a local ``.prom`` file, in Prometheus text format.

        It replaces one that is there when all of it is written; see ``operations.metrics``. Raises ExportError.
        """
        return write_metrics(self._scope, path)

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

        - Grain: exactly the spine's rows, duplicates included, its columns unchanged; row order is not kept. The features'
          columns stand in the order asked, those of references to one group together.
        - ``features``: references ``"group:feature"`` and ``Lookup``s. ``known_at``: none, an instant, or ``"event"``.
        - ``with_timestamps`` adds ``<group>__event_timestamp``, the newest event timestamp of what was taken.
        - A null key, a null timestamp, or no match within the group's TTL gives nulls.

        Raises SpineError, NotFoundError, DefinitionError, InvalidNameError.
        """
        request = AsOfRequest(
            lookups=resolve(self._scope.context, features, full_feature_names),
            timestamp_column=timestamp_column,
            known_at=parse_known_at(known_at, self._scope.settings.timestamp_zone),
            with_timestamps=with_timestamps,
        )
        return point_in_time(self._scope, as_spine(self._scope.context, spine, request), request)

    def materialize_feature(
        self, group: str, start: Any, end: Any, rerun: bool = False, lookback: timedelta | str | None = None
    ) -> MaterializeResult:
        """Run the group's transformation over ``[start, end)`` and write its values, once; see ``operations.materialize``.

        ``lookback``: windows that were done and end so shortly before are computed again first, for late source rows.
        """
        return materialize(
            self._scope,
            self._scope.group(group),
            argument_window(start, end, self._scope.settings.timestamp_zone),
            rerun,
            argument_duration("lookback", lookback),
        )

    def materialize_all(
        self, start: Any, end: Any, rerun: bool = False, lookback: timedelta | str | None = None
    ) -> Listing[MaterializeResult]:
        """The same of every group with a transformation, each after the groups that it reads.

        Raises JobFailedError where groups failed; those that do not read them are done all the same.
        """
        window = argument_window(start, end, self._scope.settings.timestamp_zone)
        return materialize_all(self._scope, window, rerun, argument_duration("lookback", lookback))

    def plan_backfill(self, group: str, start: Any, end: Any, every: timedelta | str = "1d") -> Listing[PlannedWindow]:
        """The windows that ``backfill`` would cut ``[start, end)`` into, oldest first, each with its state."""
        window = argument_window(start, end, self._scope.settings.timestamp_zone)
        return plan_backfill(self._scope, self._scope.group(group), window, every)

    def backfill(
        self,
        group: str,
        start: Any,
        end: Any,
        every: timedelta | str = "1d",
        parallel: int = 1,
        order: Order = "oldest",
        told: Callable[[MaterializeResult | None], None] = lambda result: None,
    ) -> BackfillResult:
        """Cut ``[start, end)`` into windows and materialize those that were not done, ``parallel`` at once.

        After an interruption the same call does what is missing. ``order``: which windows come first. ``told`` is called
        after each. Raises JobFailedError where windows failed (the others are done), ExpectationError where windows
        broke what the group expects.
        """
        planned = self.plan_backfill(group, start, end, every)
        return backfill(self._scope, self._scope.group(group), planned, parallel, order, told)

    def cleanup(
        self, retention_days: int | None = None, dry_run: bool = False, groups: Sequence[str] | None = None
    ) -> Listing[RetentionResult]:
        """Delete rows that are older than their group's ``retention``, or than ``retention_days``; a line a group.

        Whole partitions alone are deleted, without a look into their files. With ``keep_latest`` in a group's definition
        the rows stay that reads after the cut still need. ``dry_run`` tells rows and bytes and deletes nothing. The files
        leave the disk by ``FeatureStore.vacuum``. Raises NotFoundError, InvalidArgumentError.
        """
        return cleanup(self._scope, retention_days, dry_run, groups)

    def optimize(self, groups: Sequence[str] | None = None, dry_run: bool = False) -> Listing[OptimizeResult]:
        """Rewrite partitions that are many small files as few, sorted ones; a line a group. No answer changes by it.

        Safe beside writers and readers. See ``operations.optimize``. Raises NotFoundError.
        """
        return optimize(self._scope, groups, dry_run)

    def erase(self, entity: str, keys: EntityKey | Sequence[EntityKey]) -> ErasureCertificate:
        """Forget entities, such as ``erase("user", {"user_id": "u1"})``: in every group, rejected row, saved training set
        and export, physically, and for good; gives a certificate.

        Needs the secret in ``FEATURESTORE_SUPPRESSION_SECRET``. What was interrupted goes on where it was when called
        again. See ``operations.erase`` and docs/retention_and_erasure.md. Raises ConfigurationError, NotFoundError,
        InvalidArgumentError, ErasureError.
        """
        return erase(self._scope, entity, keys)

    def erasures(self) -> Listing[ErasureCertificate]:
        """The certificates of all erasures that were completed, oldest first."""
        return certificates(self._scope)

    def runs(self) -> DataFrame:
        """The run ledger: one row a run, its newest state."""
        return self._scope.runs.runs(self._scope.spark, self._scope.tenant_id)

    def latest_runs(self, limit: int = 20) -> Listing[Run]:
        """The newest runs in the ledger, newest first, to look at."""
        return self._scope.runs.latest(self._scope.spark, self._scope.tenant_id, argument_count("limit", limit))

    def run(self, run_id: str) -> Run:
        """One run, by its id or the beginning of it; raises NotFoundError."""
        return self._scope.runs.get(self._scope.spark, self._scope.tenant_id, run_id)

    def abandon_run(self, run_id: str) -> Run:
        """Mark a run that is said to be running, and is not, as abandoned; raises InvalidArgumentError for any other."""
        return abandon_run(self._scope.context, self.run(run_id))
