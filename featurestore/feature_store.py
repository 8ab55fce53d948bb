"""``FeatureStore``: a warehouse, its definitions, and access to each tenant's store."""

from __future__ import annotations

import os
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from featurestore import __version__
from featurestore.arguments import ByContent, checked_arguments
from featurestore.columnar.derived.derived_feature import DerivedFeature
from featurestore.config import Settings
from featurestore.definitions.derived.definition import describe_derived
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_group import FeatureGroup, describe_groups
from featurestore.definitions.names import check_tenant_id
from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.display.displayed import Listing
from featurestore.late_spark import SparkSession
from featurestore.offline_store import OfflineStore
from featurestore.operations.catalog.model import Catalog
from featurestore.operations.catalog.read import read_catalog
from featurestore.operations.context import Clock, Context, Step, no_step
from featurestore.operations.definitions.apply import apply
from featurestore.operations.definitions.derived_inputs import input_words
from featurestore.operations.definitions.plan import Plan, make_plan, read_definitions
from featurestore.operations.given_as import Frame, To, given_as
from featurestore.operations.instants import argument_count
from featurestore.operations.job_run import STORE
from featurestore.operations.upkeep.vacuum import VacuumResult, vacuum
from featurestore.session import adopted_session, check_file_system, open_session, why_only_spark, why_only_spark_reads
from featurestore.stores.small_tables.runs import Run


def utc_now() -> datetime:
    return datetime.now(UTC)


@checked_arguments
class FeatureStore:
    """Open with ``FeatureStore.open()``; work with ``store = fs.tenant("acme")``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @classmethod
    def open(
        cls,
        source: Settings | str | Path | None = None,
        *,
        spark: SparkSession | None = None,
        profile: str | None = None,
        clock: Clock = utc_now,
        environ: MutableMapping[str, str] = os.environ,
        on_step: Step = no_step,
    ) -> FeatureStore:
        """Open a store from ``Settings``, from a folder of settings, or from ``conf/`` and the environment.

        A Spark session that is passed in, or already active, is used as it is; otherwise one is started when it is
        first needed (``spark``). ``clock``
        gives the created timestamps. ``on_step`` is called between any two side effects of a job, with the name of
        the step that was just done, such as ``write.values``; what it raises ends the job there. Raises
        ConfigurationError or RuntimeSetupError.
        """
        settings = Settings.find(source, environ, profile)
        adopted = adopted_session(spark, environ)
        only_spark = why_only_spark(settings, adopted, environ)
        only_spark_reads = why_only_spark_reads(settings, adopted, environ)

        def start_spark() -> SparkSession:
            session = open_session(settings, adopted, environ)
            return check_file_system(settings, session) if only_spark is None else session

        return cls(Context(start_spark, settings, clock, __version__, on_step, environ, only_spark, only_spark_reads))

    @property
    def spark(self) -> SparkSession:
        """The Spark session; starts Spark if nothing needed it yet. Raises RuntimeSetupError."""
        return self._context.spark

    @property
    def settings(self) -> Settings:
        return self._context.settings

    def plan(self, definitions: str | Path | Iterable[object]) -> Plan:
        """What ``apply`` would change, from YAML (a file or folder) or a list of definitions. Changes nothing."""
        return make_plan(read_definitions(definitions), self._context.refresh())

    def apply(self, definitions: str | Path | Iterable[object]) -> Plan:
        """Create and evolve tables as the definitions say; returns what was changed.

        Raises DefinitionError, or IncompatibleChangeError for a change that stored rows could not follow.
        """
        return apply(self._context, read_definitions(definitions))

    def tenant(self, tenant_id: Annotated[str, ByContent]) -> OfflineStore:
        """The store of one tenant; raises InvalidNameError for an id that is not safe to use in a path."""
        return OfflineStore(self._context, check_tenant_id(tenant_id))

    def entities(self) -> list[Entity]:
        """The entities in force, by name."""
        return self._context.refresh().entities()

    def feature_groups(self) -> Listing[FeatureGroup]:
        """Every group in its highest major version, by name."""
        return Listing(self._context.refresh().feature_groups(), describe_groups)

    def feature_group(self, name: str, version: int | None = None) -> FeatureGroup:
        """One group, in its highest major version by default; raises NotFoundError."""
        return self._context.group(name, version)

    def derived_features(self) -> Listing[DerivedFeature]:
        """Every derived feature in its highest major version, by name."""
        return Listing(self._context.refresh().derived_features(), describe_derived)

    def derived_feature(self, name: str, version: int | None = None) -> DerivedFeature:
        """One derived feature, in its highest major version by default; ``compute`` of it reads its features' types.

        Raises NotFoundError.
        """
        feature = self._context.derived_feature(name, version)
        return feature.with_input_types(input_words(feature, self._context.state))

    def training_set_definitions(self) -> list[TrainingSetDefinition]:
        return self._context.refresh().training_sets()

    def catalog(self) -> Catalog:
        """The definitions in force; ``reports.catalog_site.catalog_site(fs.catalog(), "site")`` writes them as pages.

        It holds no tenant's data; ``OfflineStore.catalog`` adds one tenant's numbers.
        """
        return read_catalog(self._context)

    def vacuum(
        self, *, older_than: timedelta | str = "7d", force: bool = False, dry_run: bool = False
    ) -> Listing[VacuumResult]:
        """Remove files that have not been in any table's newest version for ``older_than``; one line per table.

        It concerns the whole store, since a table holds the rows of all tenants. Without ``force`` the horizon may not
        be shorter than a running reader, or a saved training set of any tenant, needs. ``dry_run`` removes nothing.
        See ``operations.upkeep.vacuum``. Raises InvalidArgumentError.
        """
        return vacuum(self._context, older_than=older_than, force=force, dry_run=dry_run)

    def runs(self, *, to: To = "spark") -> Frame:
        """The run ledger of store-wide jobs, such as ``vacuum``: one row per run, its newest state."""
        return given_as(self._context, self._context.runs.rows(STORE), to)

    def latest_runs(self, *, limit: int = 20) -> Listing[Run]:
        """The newest store-wide runs in the ledger, newest first."""
        return self._context.runs.latest(STORE, argument_count("limit", limit))

    def registry_history(self, *, to: To = "spark") -> Frame:
        """Every state of every definition, one row each.

        Columns: kind, name, version, revision, definition (JSON), applied_at, code_version.
        """
        return given_as(self._context, self._context.registry.history(), to)
