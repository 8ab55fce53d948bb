"""The offline store that a Feast project names in its ``feature_store.yaml``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from feast import FeatureView, FileSource, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from feast.utils import (
    _get_requested_feature_views_to_features_dict,
    _get_requested_on_demand_feature_views,
    compute_non_entity_date_range,
)

from featurestore.config import Settings
from featurestore.errors import InvalidArgumentError
from featurestore.feast.entity_rows import EntityRows
from featurestore.feast.join import looked_up
from featurestore.feast.pulled import PulledColumns, pulled
from featurestore.feast.retrieval_job import FeatureStoreRetrievalJob
from featurestore.feast.saved_datasets import SavedDatasets
from featurestore.feast.sources import Session, source_table
from featurestore.feast.time_range import entities_in_range
from featurestore.feast.views import ViewLookup, check_distinct_outputs
from featurestore.feast.writes import append, write_logs
from featurestore.late_spark import SparkSession
from featurestore.session import open_session


class FeatureStoreOfflineStoreConfig(FeastConfigBaseModel):
    """The section ``offline_store`` of ``feature_store.yaml``.

    - ``threads``: how many read and join at once; by default one for each core;
    - ``time_range``: what a retrieval without entity rows returns. ``snapshot``: each entity that has a row within the
      range, as of its end; ``rows``: each entity at the time of each of its rows within the range;
    - ``spark_conf``: properties of the Spark session that is started for sources which only Spark reads.
    """

    type: Literal["featurestore.feast.FeatureStoreOfflineStore"] = "featurestore.feast.FeatureStoreOfflineStore"
    threads: int | None = None
    time_range: Literal["snapshot", "rows"] = "snapshot"
    spark_conf: dict[str, str] | None = None


class FeatureStoreOfflineStore(OfflineStore):
    """Feast's offline store over files, Delta tables and Spark's tables, by the as-of join of this package."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Features as of each entity row, in the order of the rows, each row once; see ``looked_up`` for the rules.

        ``entity_df``: a pandas or Spark DataFrame, an Arrow table, a query of Spark's, or None for a range of time.
        """
        on_demand = _get_requested_on_demand_feature_views(feature_refs, project, registry)
        asked, derived = _get_requested_feature_views_to_features_dict(feature_refs, feature_views, on_demand)
        lookups = [ViewLookup.of(view, features, full_feature_names) for view, features in asked.items()]
        check_distinct_outputs(lookups, full_feature_names)
        settings, session = _config(config), _session(config)
        repo_path = str(config.repo_path)
        tables = [source_table(lookup.source, repo_path, session) for lookup in lookups]
        if entity_df is None:
            start, end = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            entities = entities_in_range(
                list(zip(lookups, tables, strict=True)), start, end, each_row=settings.time_range == "rows"
            )
        else:
            entities = EntityRows.of(entity_df, lambda query: session().sql(query).toArrow())
        entities.check_columns(
            keys=[name for lookup in lookups for name in lookup.keys.values()],
            outputs=[
                *(name for lookup in lookups for name in lookup.outputs.values()),
                *(
                    f"{view.projection.name_to_use()}__{name}" if full_feature_names else name
                    for view, features in derived.items()
                    for name in features
                ),
            ],
        )

        def joined() -> pa.Table:
            rows = entities.rows
            for lookup, table in zip(lookups, tables, strict=True):
                found = looked_up(
                    entities, lookup, table, by_created=filter_by_created_timestamp, threads=settings.threads
                )
                for name, values in found.items():
                    rows = rows.append_column(name, values)
            return rows

        earliest, newest = entities.bounds
        metadata = RetrievalMetadata(
            features=feature_refs,
            keys=[name for name in entities.rows.column_names if name != entities.timestamp],
            min_event_timestamp=earliest,
            max_event_timestamp=newest,
        )
        return FeatureStoreRetrievalJob(
            joined,
            SavedDatasets(repo_path, session),
            full_feature_names=full_feature_names,
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=metadata,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """The latest row of each entity within ``[start_date, end_date]``; see ``pulled``."""
        wanted = PulledColumns(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        return _pulled(config, data_source, wanted, start_date, end_date, latest=True)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """All rows within ``[start_date, end_date]``; see ``pulled``."""
        wanted = PulledColumns(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        return _pulled(config, data_source, wanted, start_date, end_date, latest=False)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Append rows to the source of a view; see ``append``."""
        if feature_view.batch_source is None:
            raise InvalidArgumentError(
                f"feature view {feature_view.name!r} has no batch source to which rows are written"
            )
        append(feature_view.batch_source, table, str(config.repo_path), _session(config))
        if progress is not None:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """Add logged features to a folder of Parquet files; see ``write_logs``."""
        destination = logging_config.destination
        if not isinstance(destination, FileLoggingDestination):
            raise InvalidArgumentError(
                f"logged features are written to FileLoggingDestination, not to {type(destination).__name__}"
            )
        write_logs(data, destination, str(config.repo_path))

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """The columns of a source; of files as they are read here, since Feast's own way knows no credentials."""
        if isinstance(data_source, FileSource):
            schema = source_table(data_source, str(config.repo_path), _session(config)).schema
            return [(each.name, str(each.type)) for each in schema]
        return list(super().get_table_column_names_and_types_from_data_source(config, data_source))


def _config(config: RepoConfig) -> FeatureStoreOfflineStoreConfig:
    found = config.offline_store
    assert isinstance(found, FeatureStoreOfflineStoreConfig)
    return found


def _session(config: RepoConfig) -> Session:
    """Starts Spark with the project's properties, or takes the session that is there."""

    def session() -> SparkSession:
        return open_session(Settings(spark=_config(config).spark_conf or {}))

    return session


def _pulled(
    config: RepoConfig,
    source: DataSource,
    wanted: PulledColumns,
    start: datetime | None,
    end: datetime | None,
    *,
    latest: bool,
) -> RetrievalJob:
    session, repo_path = _session(config), str(config.repo_path)

    def rows() -> pa.Table:
        return pulled(source, source_table(source, repo_path, session), wanted, start, end, latest=latest)

    return FeatureStoreRetrievalJob(rows, SavedDatasets(repo_path, session))
