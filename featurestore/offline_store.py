"""``OfflineStore``: every read, write and job of one tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.arguments import checked_arguments
from featurestore.display.displayed import Listing
from featurestore.frames.statistics.feature_statistics import FeatureStatistics
from featurestore.frames.vectors.text_vectors import Model
from featurestore.late_pandas import pd
from featurestore.late_spark import DataFrame
from featurestore.operations.as_of.explain import JoinExplanation, explain_point_in_time
from featurestore.operations.as_of.hosts import Host
from featurestore.operations.as_of.join import get_point_in_time
from featurestore.operations.catalog.model import Catalog
from featurestore.operations.catalog.read import read_catalog
from featurestore.operations.context import Context, Scope
from featurestore.operations.entities import Entities, EntityKey
from featurestore.operations.erasure.erase import ErasureCertificate, certificates, erase
from featurestore.operations.given_as import Frame, To, given_as
from featurestore.operations.instants import argument_count, argument_duration, argument_window
from featurestore.operations.job_run import abandon_run
from featurestore.operations.jobs.backfill import (
    BackfillRequest,
    BackfillResult,
    Order,
    PlannedWindow,
    backfill,
    plan_backfill,
)
from featurestore.operations.jobs.materialize import MaterializeResult, materialize
from featurestore.operations.jobs.materialize_all import materialize_all
from featurestore.operations.one_entity.values_at import FeatureValue, get_features_at_time
from featurestore.operations.reading.aggregate import DEFAULT_PERCENTILE, AggregateRequest, aggregate_feature
from featurestore.operations.reading.batch import BatchFeatures, BatchRequest, get_batch_features
from featurestore.operations.reading.history import HistoryRequest, get_feature_history
from featurestore.operations.reading.request import AsOfRequest, Features, Spine, parse_known_at
from featurestore.operations.reading.resolved_features import resolve_features
from featurestore.operations.statistics.drift import Compared, DriftRequest, DriftResult, drift
from featurestore.operations.statistics.metrics import write_metrics
from featurestore.operations.statistics.profile import ProfiledGroup, ProfileResult, profile, profiled, statistics
from featurestore.operations.statistics.stats import GroupStats, get_stats
from featurestore.operations.upkeep.optimize import OptimizeResult, optimize
from featurestore.operations.upkeep.retain import RetentionResult, cleanup
from featurestore.operations.vectors.request import SearchRequest
from featurestore.operations.vectors.search import (
    VectorOrEntity,
    search_similar_embeddings,
    search_similar_embeddings_batch,
)
from featurestore.operations.vectors.search_for import search_similar_for
from featurestore.operations.vectors.similar_entities import SimilarEntities
from featurestore.operations.vectors.sync import sync_all_embeddings, sync_embeddings
from featurestore.operations.vectors.sync_result import SyncResult
from featurestore.operations.writing.batch import WriteResult
from featurestore.operations.writing.embed_texts import EmbedRequest, EmbedResult, embed_texts
from featurestore.operations.writing.ingest import OnInvalid, Rows, write_batch
from featurestore.operations.writing.ingest_file import ingest_file
from featurestore.operations.writing.retry_rejected import rejected, retry_rejected
from featurestore.operations.writing.write_value import write_embedding, write_feature_value
from featurestore.stores.files.rows import FileFormat
from featurestore.stores.small_tables.runs import Run


@checked_arguments
class OfflineStore:
    """One tenant's store. It cannot reach another tenant."""

    def __init__(self, context: Context, tenant_id: str) -> None:
        self._scope = Scope(context, tenant_id)

    @property
    def tenant_id(self) -> str:
        return self._scope.tenant_id

    def write_feature_value(self, feature: str, entity: EntityKey, value: Any, event_timestamp: Any) -> WriteResult:
        """Write one value of ``"group:feature"`` for one entity, such as ``{"user_id": "u1"}``.

        The value passes the same validation as a batch. An invalid value raises InvalidRowsError, which names the
        rule, and nothing is written. Each call is one commit with its own files: write more than a few values as a
        batch.
        """
        return write_feature_value(self._scope, feature, entity, value, event_timestamp)

    def write_embedding(
        self,
        feature: str,
        entity: EntityKey,
        vector: Any,
        event_timestamp: Any,
        *,
        model_version: str | None = None,
    ) -> WriteResult:
        """Write one embedding: exactly the feature's dims of finite numbers, and the model version that made it.

        A ``model_version`` of None means the feature's own. Write many embeddings as a batch: its rows have the vector
        in a column with the feature's name, and the model in ``<feature>__model_version``. Raises InvalidRowsError,
        InvalidArgumentError.
        """
        return write_embedding(self._scope, feature, entity, vector, event_timestamp, model_version=model_version)

    def write_batch(
        self, group: str, rows: Rows, *, batch_id: str | None = None, on_invalid: OnInvalid = "quarantine"
    ) -> WriteResult:
        """Write rows (Spark, pandas, pyarrow, list of dicts) to a group.

        See ``operations.writing.ingest.write_batch``.
        """
        return write_batch(
            self._scope, self._scope.group_with_values(group), rows, batch_id=batch_id, on_invalid=on_invalid
        )

    def ingest(
        self,
        group: str,
        path: str | Path,
        *,
        format: FileFormat | None = None,
        batch_id: str | None = None,
        on_invalid: OnInvalid = "quarantine",
    ) -> WriteResult:
        """Write the rows of a CSV, JSON lines or Parquet file, or of a folder of them, to a group, as one batch.

        ``format``: None for the one that the name implies. Raises NotFoundError, InvalidArgumentError for a name that
        cannot be opened, and SchemaError for columns that the group does not have, and like ``write_batch``.
        """
        return ingest_file(
            self._scope,
            self._scope.group_with_values(group),
            str(path),
            format=format,
            batch_id=batch_id,
            on_invalid=on_invalid,
        )

    def rejected(self, group: str, *, batch_id: str | None = None, to: To = "spark") -> Frame:
        """The rejected rows: tenant_id, batch_id, rejected_at, reasons, row (JSON, as it was submitted).

        ``to``: a Spark DataFrame, a pandas DataFrame or an Arrow table.
        """
        return rejected(self._scope, self._scope.group_with_values(group), batch_id, to)

    def retry_rejected(self, group: str, *, batch_id: str | None = None) -> WriteResult:
        """Write the rejected rows of a batch, or of the whole group, that the current rules allow; each row once.

        The others stay rejected; ``failed`` and ``errors`` count them. See ``operations.writing.retry_rejected``.
        """
        return retry_rejected(self._scope, self._scope.group_with_values(group), batch_id)

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
        """Write the rows with the vector of each row's ``text`` column as the embedding ``feature``.

        ``model`` takes a list of at most ``batch_size`` texts and returns one vector per text. It runs on Spark's
        workers, and a call that fails is repeated, up to ``attempts`` calls in all. A text is not embedded again if the
        group already has its vector, by the feature's model version and the hash in ``hash_feature``. A null text gives
        a null vector. Values are read as ``write_batch`` reads them; a value that is not a text is a fault of its row.
        Raises InvalidArgumentError, NotFoundError, SchemaError, TransformationError (the model failed; nothing is
        written).
        """
        request = EmbedRequest(
            feature=feature,
            text=text,
            model=model,
            hash_feature=hash_feature,
            batch_size=batch_size,
            attempts=attempts,
            batch_id=batch_id,
        )
        return embed_texts(self._scope, rows, request)

    def get_feature_at_time(
        self, feature: str, entity: EntityKey, at: Any, *, known_at: Any = None
    ) -> FeatureValue | None:
        """The value of ``"group:feature"`` that was valid for one entity at ``at``, or None.

        See ``get_features_at_time``.
        """
        return self.get_features_at_time([feature], entity, at, known_at=known_at)[feature]

    def get_features_at_time(
        self, features: str | Iterable[str], entity: EntityKey, at: Any, *, known_at: Any = None
    ) -> dict[str, FeatureValue | None]:
        """Each feature reference with the value that was valid for one entity at ``at`` (inclusive), or None.

        The rules are those of ``get_point_in_time`` for one example; each feature group takes one small job. For many
        examples, join a spine. Raises NotFoundError, and InvalidArgumentError for an entity or a moment that cannot be
        read.
        """
        return get_features_at_time(self._scope, features, entity, at=at, known_at=known_at)

    def get_batch_features(
        self,
        features: Features,
        start: Any,
        end: Any,
        *,
        entities: Entities | None = None,
        full_feature_names: bool = False,
        to: To = "spark",
    ) -> BatchFeatures:
        """Values with event timestamps in ``[start, end)``, one row per entity and event timestamp.

        The features are columns, in the order of ``features``, which may name several groups of one entity. Corrections
        are resolved; no value is carried from one moment to another. ``entities``: a mapping of join keys, several
        mappings, or a frame; None means all. ``.rows`` is a Spark DataFrame that has not run yet, or with ``to`` a
        pandas DataFrame or an Arrow table, which needs no Spark if this process reaches the files;
        ``.metadata(count_rows=True)`` counts and times it. Raises NotFoundError, InvalidArgumentError, SpineError.
        """
        request = BatchRequest(
            features=features, start=start, end=end, entities=entities, full_feature_names=full_feature_names, to=to
        )
        return get_batch_features(self._scope, request)

    def get_feature_history(
        self,
        feature: str,
        entity: EntityKey,
        start: Any = None,
        end: Any = None,
        *,
        limit: int | None = None,
        all_versions: bool = False,
        to: To = "spark",
    ) -> Frame:
        """One feature of one entity with event timestamps in ``[start, end]``, both inclusive, newest first.

        Columns: join keys, ``event_timestamp``, ``created_timestamp``, the feature. A corrected value appears once, as
        corrected; with ``all_versions`` every row that was written appears. ``to``: a Spark DataFrame, a pandas
        DataFrame or an Arrow table; the last two need no Spark if this process reaches the files. Raises
        NotFoundError, InvalidArgumentError.
        """
        request = HistoryRequest(
            feature=feature, entity=entity, start=start, end=end, limit=limit, all_versions=all_versions, to=to
        )
        return get_feature_history(self._scope, request)

    def aggregate_feature(
        self,
        feature: str,
        function: str,
        *,
        every: str = "day",
        start: Any,
        end: Any,
        entities: Entities | None = None,
        time_zone: str = "UTC",
        by_entity: bool = False,
        percentile: float = DEFAULT_PERCENTILE,
    ) -> DataFrame:
        """Aggregate a feature by calendar bucket: one row per bucket that has values, in no particular order.

        - With ``by_entity`` there is one row per bucket and entity.
        - Columns: join keys (with ``by_entity``), ``bucket_start`` (inclusive) and ``bucket_end`` (exclusive), both
          instants, ``value``.
        - ``function``: sum, avg, count, min, max, stddev (of a sample: n - 1; null for one value), or approx_percentile
          (exact: the smallest value with at least the share ``percentile`` of the values at or below it). Nulls are not
          counted.
        - ``every``: hour, day, week (from Monday), month of the calendar of ``time_zone``. A day of a clock change has
          23 or 25 hours; a local hour that occurs twice is two buckets.
        - Each value with an event timestamp in ``[start, end)`` counts once, as corrected. A bucket that the window
          cuts keeps its calendar bounds, and aggregates the values inside the window.
        - The sum of long or int is an exact long (the query fails if it does not fit); other sums are double.

        Raises NotFoundError, InvalidArgumentError (also for a feature that is not a number, unless it is counted).
        """
        request = AggregateRequest(
            feature=feature,
            function=function,
            every=every,
            start=start,
            end=end,
            entities=entities,
            time_zone=time_zone,
            by_entity=by_entity,
            percentile=percentile,
        )
        return aggregate_feature(self._scope, request)

    def search_similar_embeddings(
        self,
        feature: str,
        vector_or_entity: VectorOrEntity,
        *,
        limit: int = 10,
        threshold: float = 0.7,
        at: Any = None,
        filters: Mapping[str, Any] | None = None,
        model_version: str | None = None,
        exact: bool | None = None,
    ) -> SimilarEntities:
        """Search for the entities with the most similar embeddings, by cosine similarity.

        - ``vector_or_entity``: a vector of the feature's dims, or a mapping of join keys. For an entity, its own latest
          vector is the query, and the entity is not among the matches.
        - ``limit``: the maximum number of matches, most similar first, ties by key. ``threshold``: the minimum
          similarity, from -1 to 1, inclusive.
        - ``at``: vectors as valid at that moment (default: now), by the as-of rules: TTL, null policy, corrections.
        - ``filters``: by join keys and features of the same group, as valid at ``at``, applied before the limit: a
          value, a list of possible values, or ``{"min": a, "max": b}``, both inclusive.
        - ``model_version``: only vectors of this model are compared (default: the queried entity's, or the feature's).
        - ``exact``: without ``at``, the vectors that ``sync_embeddings`` copied to PostgreSQL are searched there, as of
          that sync, through their index; ``True`` compares every vector. All other vectors are searched in the group's
          table, exactly. The answer's ``source`` and ``exact`` report which search ran.

        A vector of zeros has no direction: such a query is an error, such a stored vector never matches. Raises
        NotFoundError (also for an entity without a valid vector, and if all vectors are of other models),
        InvalidArgumentError, PostgresError (the answer is never partial).
        """
        request = SearchRequest(
            feature=feature,
            limit=limit,
            threshold=threshold,
            at=at,
            filters=filters,
            model_version=model_version,
            exact=exact,
        )
        return search_similar_embeddings(self._scope, vector_or_entity, request)

    def search_similar_embeddings_batch(
        self,
        feature: str,
        queries: Sequence[VectorOrEntity] | np.ndarray[Any, Any],
        *,
        limit: int = 10,
        threshold: float = 0.7,
        at: Any = None,
        filters: Mapping[str, Any] | None = None,
        model_version: str | None = None,
        exact: bool | None = None,
    ) -> list[SimilarEntities]:
        """The answers of ``search_similar_embeddings`` for many vectors (or entities), in their order.

        Queries that an index can answer are sent to it in one round trip per thousand; without an index each query is
        a search of its own. A two-dimensional array holds one query per row.
        """
        request = SearchRequest(
            feature=feature,
            limit=limit,
            threshold=threshold,
            at=at,
            filters=filters,
            model_version=model_version,
            exact=exact,
        )
        return search_similar_embeddings_batch(self._scope, queries, request)

    def search_similar_for(
        self,
        queries: DataFrame,
        feature: str,
        *,
        vector_column: str = "vector",
        limit: int = 10,
        threshold: float = 0.7,
        filters: Mapping[str, Any] | None = None,
        model_version: str | None = None,
        exact: bool | None = None,
    ) -> DataFrame:
        """Search with every row of a Spark DataFrame, on its executors, in the vectors that were synced to PostgreSQL.

        - Grain: one row per query and match, computed when it is used; a query without matches, or with a null vector,
          has no rows.
        - Columns: the queries' columns without the vector; ``rank`` from 1; ``similar``, a struct of join keys,
          similarity, both timestamps and the filters' columns; ``exact``.
        - Each task opens its own connection, at most 16 at once. The executors must reach PostgreSQL; an embedded
          server is reachable from this machine only.

        Raises NotFoundError if the vectors were not synced, SchemaError, InvalidArgumentError.
        """
        request = SearchRequest(
            feature=feature,
            limit=limit,
            threshold=threshold,
            at=None,
            filters=filters,
            model_version=model_version,
            exact=exact,
        )
        return search_similar_for(self._scope, queries, vector_column, request)

    def sync_embeddings(self, feature: str, *, full: bool = False, verify: bool = False) -> SyncResult:
        """Bring the vectors of ``"group:feature"`` in PostgreSQL up to date with the table, so that searches use them.

        The sync reads the table's Change Data Feed since the last sync; if that is not enough, or with ``full``, it
        compares every entity. It is one transaction: an interrupted sync leaves the vectors as they were. ``verify``
        afterwards compares all rows by their content, and repairs those that differ. See docs/vector_index.md.
        Raises NotFoundError, InvalidArgumentError, SyncError (also while another sync of the same feature runs),
        PostgresError.
        """
        return sync_embeddings(self._scope, feature, full=full, verify=verify)

    def sync_all_embeddings(self, *, full: bool = False, verify: bool = False) -> Listing[SyncResult]:
        """Sync every embedding that has an ``index`` in its definition; raises JobFailedError if any failed."""
        return sync_all_embeddings(self._scope, full=full, verify=verify)

    def get_stats(self, *, entities: bool = True) -> Listing[GroupStats]:
        """This tenant's rows, entities, times, files and bytes: one line per feature group in force, by name.

        ``pandas.DataFrame(store.get_stats())`` shows them as a table. Counting entities exactly shuffles the distinct
        join keys; ``entities=False`` skips it. See ``operations.statistics.stats``.
        """
        return get_stats(self._scope, entities=entities)

    def profile(
        self, groups: str | Iterable[str] | None = None, start: Any = None, end: Any = None, *, full: bool = False
    ) -> ProfileResult:
        """Update the statistics of these groups, or of all, for the event dates whose rows changed.

        ``full`` computes every date again. ``start`` and ``end``, always given together, restrict the profile to dates
        that overlap ``[start, end)``. See ``operations.statistics.profile``. Raises NotFoundError,
        InvalidArgumentError.
        """
        return profile(self._scope, groups, start=start, end=end, full=full)

    def get_statistics(
        self, group: str, start: Any = None, end: Any = None, *, by_date: bool = False
    ) -> Listing[FeatureStatistics]:
        """The statistics of a group's features over the profiled dates that overlap ``[start, end)``.

        One per feature, in the group's order; with ``by_date`` one per feature and date, oldest first. They are as of
        the last ``profile``, and empty before the first. Raises NotFoundError, InvalidArgumentError.
        """
        return statistics(self._scope, self._scope.group_with_values(group), start=start, end=end, by_date=by_date)

    def profiled(self, group: str, start: Any = None, end: Any = None) -> ProfiledGroup:
        """The same statistics, over all dates and by date together: the input of ``profile_report``."""
        return profiled(self._scope, self._scope.group_with_values(group), start=start, end=end)

    def drift(
        self,
        group: str,
        *,
        baseline: Compared | None = None,
        current: Compared | None = None,
        features: Iterable[str] | None = None,
        refresh: bool = True,
    ) -> DriftResult:
        """Compare the distributions of a group's features in two periods, or in a saved training set and a period.

        - A period is ``"2026-11-01/2026-11-08"``, a pair of dates (UTC; the first inclusive, the second exclusive), or
          a length such as ``"7d"``: the current period ends with yesterday, the baseline ends where the current period
          begins.
        - A training set is ``"training_set:churn"``, ``"training_set:churn@3"``, or a ``TrainingSet``.
        - The default compares the last 7 days with the 28 before; for a group that is partitioned by month, the last
          month with the 3 before. ``refresh`` first profiles the dates that changed.

        The group's definition holds the thresholds (``drift``). Drift itself raises nothing; ``require_none()`` raises
        DriftError. Raises NotFoundError (also for a side without rows), InvalidArgumentError.
        """
        request = DriftRequest(baseline=baseline, current=current, features=features, refresh=refresh)
        return drift(self._scope, self._scope.group_with_values(group), request)

    def catalog(self) -> Catalog:
        """The definitions in force with this tenant's freshness, statistics, runs and saved training sets.

        It shows the last profiles and runs: run ``profile`` first for current statistics.
        ``reports.catalog_site.catalog_site`` writes it as pages. See ``operations.catalog.read`` and docs/catalogue.md.
        """
        return read_catalog(self._scope.context, self._scope)

    def write_metrics(self, path: str | Path) -> Path:
        """Write metrics of this tenant's jobs and groups to a local ``.prom`` file, in Prometheus text format.

        The new file replaces an existing one only when it is complete; see ``operations.statistics.metrics``. Raises
        ExportError.
        """
        return write_metrics(self._scope, path)

    def get_point_in_time(
        self,
        spine: Spine,
        features: Features,
        *,
        timestamp_column: str = "event_timestamp",
        known_at: Any = None,
        full_feature_names: bool = False,
        with_timestamps: bool = False,
        to: To | None = None,
        host: Host | None = None,
    ) -> Frame:
        """The spine with each feature's latest value at or before each row's timestamp.

        - Grain: exactly the spine's rows, duplicates included, its columns unchanged. The features' columns follow the
          order of ``features``, references to one group together.
        - A pandas spine gives a pandas DataFrame with the same index, an Arrow table gives an Arrow table, both in the
          order of the spine; a Spark DataFrame gives one that has not run yet, in no particular order. ``to`` chooses
          otherwise: ``"pandas"``, ``"arrow"`` or ``"spark"``.
        - ``host``: ``"in_process"`` joins here, without Spark; ``"in_tasks"`` in Spark's tasks, which read the files;
          ``"by_shuffle"`` by a shuffle of all rows. None chooses by the spine and the tables (see
          ``explain_point_in_time``, and the setting ``as_of_host``). The values are the same.
        - ``features``: references ``"group:feature"`` and ``Lookup``s. ``known_at``: None, an instant, or ``"event"``.
        - ``with_timestamps`` adds ``<group>__event_timestamp``, the newest event timestamp among the values of that
          group.
        - A null key, a null timestamp, or no match within the group's TTL gives nulls.

        Raises SpineError, NotFoundError, DefinitionError, InvalidNameError, and InvalidArgumentError for a host that
        cannot make the join.
        """
        request = self._as_of_request(features, timestamp_column, known_at, full_feature_names, with_timestamps)
        return get_point_in_time(self._scope, spine, request, to=to, host=host)

    def explain_point_in_time(
        self,
        spine: Spine,
        features: Features,
        *,
        timestamp_column: str = "event_timestamp",
        known_at: Any = None,
        full_feature_names: bool = False,
        with_timestamps: bool = False,
        host: Host | None = None,
    ) -> JoinExplanation:
        """Where ``get_point_in_time`` would join, why, and how many files, row groups, rows and bytes it reads at most.

        Reads the tables' logs and the footers of files, but no values, and runs no Spark job. Raises as
        ``get_point_in_time``.
        """
        request = self._as_of_request(features, timestamp_column, known_at, full_feature_names, with_timestamps)
        return explain_point_in_time(self._scope, spine, request, host)

    def _as_of_request(
        self,
        features: Features,
        timestamp_column: str,
        known_at: Any,
        full_feature_names: bool,
        with_timestamps: bool,
    ) -> AsOfRequest:
        resolved = resolve_features(self._scope.context, features, full_feature_names)
        return AsOfRequest(
            lookups=resolved.lookups,
            inputs=resolved.inputs,
            derived=resolved.derived,
            timestamp_column=timestamp_column,
            known_at=parse_known_at(known_at, self._scope.settings.timestamp_zone),
            with_timestamps=with_timestamps,
        )

    def materialize_feature(
        self, group: str, start: Any, end: Any, *, rerun: bool = False, lookback: timedelta | str | None = None
    ) -> MaterializeResult:
        """Run the group's transformation over ``[start, end)`` and write its values, once.

        ``rerun`` computes a window again that is done. ``lookback`` first recomputes the finished windows that end
        within that duration before ``start``, for late source rows. See ``operations.jobs.materialize``.
        """
        window = argument_window(start, end, self._scope.settings.timestamp_zone)
        duration = argument_duration("lookback", lookback)
        return materialize(self._scope, self._scope.group_with_values(group), window, rerun=rerun, lookback=duration)

    def materialize_all(
        self,
        start: Any,
        end: Any,
        *,
        rerun: bool = False,
        lookback: timedelta | str | None = None,
        parallel: int = 1,
    ) -> Listing[MaterializeResult]:
        """Materialize every group with a transformation, each after the groups that it reads, ``parallel`` at once.

        One result per group, in that order. If a group fails, the groups that do not read it are still materialized,
        and JobFailedError is raised at the end.
        """
        window = argument_window(start, end, self._scope.settings.timestamp_zone)
        duration = argument_duration("lookback", lookback)
        return materialize_all(self._scope, window, rerun=rerun, lookback=duration, parallel=parallel)

    def plan_backfill(
        self, group: str, start: Any, end: Any, *, every: timedelta | str = "1d"
    ) -> Listing[PlannedWindow]:
        """The windows that ``backfill`` would cut ``[start, end)`` into, oldest first, each with its state."""
        window = argument_window(start, end, self._scope.settings.timestamp_zone)
        return plan_backfill(self._scope, self._scope.group_with_values(group), window, every)

    def backfill(
        self,
        group: str,
        start: Any,
        end: Any,
        *,
        every: timedelta | str = "1d",
        parallel: int = 1,
        order: Order = "oldest",
        on_window_done: Callable[[MaterializeResult | None], None] = lambda result: None,
    ) -> BackfillResult:
        """Cut ``[start, end)`` into windows and materialize the missing ones, ``parallel`` at once.

        After an interruption the same call does the rest. ``order`` decides which windows run first.
        ``on_window_done`` is called after each window with its result, or with None if the window failed. Raises
        JobFailedError if windows failed (the others are done), ExpectationError if windows broke the group's
        expectations.
        """
        request = BackfillRequest(
            windows=self.plan_backfill(group, start, end, every=every),
            parallel=parallel,
            order=order,
            on_window_done=on_window_done,
        )
        return backfill(self._scope, self._scope.group_with_values(group), request)

    def cleanup(
        self, *, retention_days: int | None = None, dry_run: bool = False, groups: Sequence[str] | None = None
    ) -> Listing[RetentionResult]:
        """Delete rows older than their group's ``retention``, or than ``retention_days``; one line per group.

        Only whole partitions are deleted, without reading their files. A group with ``keep_latest`` keeps the rows that
        reads after the cut still need. ``dry_run`` counts rows and bytes and deletes nothing. The files leave the disk
        with ``FeatureStore.vacuum``. Raises NotFoundError, InvalidArgumentError.
        """
        return cleanup(self._scope, retention_days=retention_days, dry_run=dry_run, groups=groups)

    def optimize(self, groups: Sequence[str] | None = None, *, dry_run: bool = False) -> Listing[OptimizeResult]:
        """Rewrite small, overlapping or unsorted files as few sorted ones; one line per group. No answer changes.

        Safe while others write and read. See ``operations.upkeep.optimize``. Raises NotFoundError.
        """
        return optimize(self._scope, groups, dry_run=dry_run)

    def erase(self, entity: str, keys: EntityKey | Sequence[EntityKey]) -> ErasureCertificate:
        """Erase entities physically and permanently; returns a certificate.

        An example is ``erase("user", {"user_id": "u1"})``. The entities disappear from every group, rejected row, saved
        training set and export. The secret must be in ``FEATURESTORE_SUPPRESSION_SECRET``. The same call resumes an
        interrupted erasure. See ``operations.erasure.erase`` and docs/retention_and_erasure.md. Raises
        ConfigurationError, NotFoundError, InvalidArgumentError, ErasureError.
        """
        return erase(self._scope, entity, keys)

    def erasures(self) -> Listing[ErasureCertificate]:
        """The certificates of all completed erasures, oldest first."""
        return certificates(self._scope)

    def runs(self, *, to: To = "spark") -> Frame:
        """The run ledger: one row per run, its newest state, as ``to`` says."""
        return given_as(self._scope.context, self._scope.runs.rows(self._scope.tenant_id), to)

    def latest_runs(self, *, limit: int = 20) -> Listing[Run]:
        """The newest runs in the ledger, newest first."""
        return self._scope.runs.latest(self._scope.tenant_id, argument_count("limit", limit))

    def run(self, run_id: str) -> Run:
        """One run, by its id or the beginning of it; raises NotFoundError."""
        return self._scope.runs.get(self._scope.tenant_id, run_id)

    def abandon_run(self, run_id: str) -> Run:
        """Mark a run as abandoned: the ledger shows it as running, but its process is gone.

        Raises InvalidArgumentError for any other run.
        """
        return abandon_run(self._scope.context, self.run(run_id))
