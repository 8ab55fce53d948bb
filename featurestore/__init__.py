"""An offline feature store on Spark and Delta Lake.

Names are loaded on first use, so that ``import featurestore`` starts nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featurestore.columnar.derived.derived_feature import DerivedFeature
    from featurestore.config import Settings
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.definitions.entity import Entity
    from featurestore.definitions.events import Events
    from featurestore.definitions.feature import Feature
    from featurestore.definitions.feature_group import DriftThresholds, Expectations, FeatureGroup
    from featurestore.definitions.finding import Finding, Findings
    from featurestore.definitions.in_place import InPlace
    from featurestore.definitions.lookup import Lookup
    from featurestore.definitions.source import Source
    from featurestore.definitions.training_set import (
        EntitySplit,
        RandomSplit,
        SpineQuery,
        TimeSplit,
        TrainingSetDefinition,
    )
    from featurestore.definitions.transformation import Transformation
    from featurestore.definitions.values.time_window import TimeWindow
    from featurestore.definitions.values.types import FeatureType
    from featurestore.definitions.vector_index import VectorIndex
    from featurestore.definitions.window_aggregate import WindowAggregate
    from featurestore.feature_store import FeatureStore
    from featurestore.frames.statistics.drift import FeatureDrift
    from featurestore.frames.statistics.feature_statistics import Distribution, FeatureStatistics
    from featurestore.frames.training_sets.encodings import ColumnEncoding, Encoded, Encoding
    from featurestore.offline_store import OfflineStore
    from featurestore.operations.as_of.explain import JoinExplanation, JoinRead
    from featurestore.operations.catalog.model import Catalog
    from featurestore.operations.definitions.plan import Change, Plan
    from featurestore.operations.erasure.erase import ErasureCertificate
    from featurestore.operations.erasure.erasing import ErasedTable
    from featurestore.operations.fine_tuning.fine_tuning import FineTuningSet
    from featurestore.operations.jobs.backfill import BackfillResult, PlannedWindow
    from featurestore.operations.jobs.materialize import MaterializeResult
    from featurestore.operations.one_entity.values_at import FeatureValue
    from featurestore.operations.reading.batch import BatchFeatures
    from featurestore.operations.repeats.exports import ExportedFolder
    from featurestore.operations.saved_sets.batches import TrainingBatches
    from featurestore.operations.saved_sets.diff import FeatureDiff, TrainingSetDiff
    from featurestore.operations.saved_sets.load import TrainingFrame, TrainingMatrix
    from featurestore.operations.statistics.drift import DriftResult
    from featurestore.operations.statistics.profile import GroupProfile, ProfiledGroup, ProfileResult
    from featurestore.operations.statistics.stats import GroupStats
    from featurestore.operations.upkeep.optimize import OptimizeResult
    from featurestore.operations.upkeep.retain import RetentionResult
    from featurestore.operations.upkeep.vacuum import VacuumResult
    from featurestore.operations.vectors.similar_entities import SimilarEntities, SimilarEntity
    from featurestore.operations.vectors.sync_result import SyncResult
    from featurestore.operations.writing.batch import WriteResult
    from featurestore.operations.writing.embed_texts import EmbedResult
    from featurestore.stores.small_tables.runs import Run
    from featurestore.stores.training_sets.fine_tuning_sets import FineTuningFile
    from featurestore.stores.training_sets.manifests import Manifest
    from featurestore.training_set import TrainingSet

    __version__: str

_HOME = {
    "BackfillResult": "featurestore.operations.jobs.backfill",
    "BatchFeatures": "featurestore.operations.reading.batch",
    "Catalog": "featurestore.operations.catalog.model",
    "Change": "featurestore.operations.definitions.plan",
    "ColumnEncoding": "featurestore.frames.training_sets.encodings",
    "DerivedFeature": "featurestore.columnar.derived.derived_feature",
    "Distribution": "featurestore.frames.statistics.feature_statistics",
    "DriftResult": "featurestore.operations.statistics.drift",
    "DriftThresholds": "featurestore.definitions.feature_group",
    "EmbedResult": "featurestore.operations.writing.embed_texts",
    "Encoded": "featurestore.frames.training_sets.encodings",
    "Encoding": "featurestore.frames.training_sets.encodings",
    "Entity": "featurestore.definitions.entity",
    "EntitySplit": "featurestore.definitions.training_set",
    "ErasedTable": "featurestore.operations.erasure.erasing",
    "ErasureCertificate": "featurestore.operations.erasure.erase",
    "Events": "featurestore.definitions.events",
    "Expectations": "featurestore.definitions.feature_group",
    "ExportedFolder": "featurestore.operations.repeats.exports",
    "Feature": "featurestore.definitions.feature",
    "FeatureDataLoader": "featurestore.data_loader",
    "FeatureDiff": "featurestore.operations.saved_sets.diff",
    "FeatureDrift": "featurestore.frames.statistics.drift",
    "FeatureGroup": "featurestore.definitions.feature_group",
    "FeatureStatistics": "featurestore.frames.statistics.feature_statistics",
    "FeatureStore": "featurestore.feature_store",
    "FeatureType": "featurestore.definitions.values.types",
    "FeatureValue": "featurestore.operations.one_entity.values_at",
    "Finding": "featurestore.definitions.finding",
    "FineTuningFile": "featurestore.stores.training_sets.fine_tuning_sets",
    "Findings": "featurestore.definitions.finding",
    "FineTuningSet": "featurestore.operations.fine_tuning.fine_tuning",
    "GroupProfile": "featurestore.operations.statistics.profile",
    "GroupStats": "featurestore.operations.statistics.stats",
    "InPlace": "featurestore.definitions.in_place",
    "JoinExplanation": "featurestore.operations.as_of.explain",
    "JoinRead": "featurestore.operations.as_of.explain",
    "Lookup": "featurestore.definitions.lookup",
    "Manifest": "featurestore.stores.training_sets.manifests",
    "MaterializeResult": "featurestore.operations.jobs.materialize",
    "OfflineStore": "featurestore.offline_store",
    "OptimizeResult": "featurestore.operations.upkeep.optimize",
    "Plan": "featurestore.operations.definitions.plan",
    "PlannedWindow": "featurestore.operations.jobs.backfill",
    "ProfileResult": "featurestore.operations.statistics.profile",
    "ProfiledGroup": "featurestore.operations.statistics.profile",
    "RandomSplit": "featurestore.definitions.training_set",
    "RetentionResult": "featurestore.operations.upkeep.retain",
    "Run": "featurestore.stores.small_tables.runs",
    "Settings": "featurestore.config",
    "SimilarEntities": "featurestore.operations.vectors.similar_entities",
    "SimilarEntity": "featurestore.operations.vectors.similar_entities",
    "Source": "featurestore.definitions.source",
    "SpineQuery": "featurestore.definitions.training_set",
    "SyncResult": "featurestore.operations.vectors.sync_result",
    "TimeSplit": "featurestore.definitions.training_set",
    "TimeWindow": "featurestore.definitions.values.time_window",
    "TrainingBatches": "featurestore.operations.saved_sets.batches",
    "TrainingFrame": "featurestore.operations.saved_sets.load",
    "TrainingMatrix": "featurestore.operations.saved_sets.load",
    "TrainingSet": "featurestore.training_set",
    "TrainingSetDefinition": "featurestore.definitions.training_set",
    "TrainingSetDiff": "featurestore.operations.saved_sets.diff",
    "Transformation": "featurestore.definitions.transformation",
    "VacuumResult": "featurestore.operations.upkeep.vacuum",
    "VectorIndex": "featurestore.definitions.vector_index",
    "WindowAggregate": "featurestore.definitions.window_aggregate",
    "WriteResult": "featurestore.operations.writing.ingest",
}

__all__ = [
    "BackfillResult",
    "BatchFeatures",
    "Catalog",
    "Change",
    "ColumnEncoding",
    "DerivedFeature",
    "Distribution",
    "DriftResult",
    "DriftThresholds",
    "EmbedResult",
    "Encoded",
    "Encoding",
    "Entity",
    "EntitySplit",
    "ErasedTable",
    "ErasureCertificate",
    "Events",
    "Expectations",
    "ExportedFolder",
    "Feature",
    "FeatureDataLoader",
    "FeatureDiff",
    "FeatureDrift",
    "FeatureGroup",
    "FeatureStatistics",
    "FeatureStore",
    "FeatureType",
    "FeatureValue",
    "Finding",
    "Findings",
    "FineTuningFile",
    "FineTuningSet",
    "GroupProfile",
    "GroupStats",
    "InPlace",
    "JoinExplanation",
    "JoinRead",
    "Lookup",
    "Manifest",
    "MaterializeResult",
    "OfflineStore",
    "OptimizeResult",
    "Plan",
    "PlannedWindow",
    "ProfileResult",
    "ProfiledGroup",
    "RandomSplit",
    "RetentionResult",
    "Run",
    "Settings",
    "SimilarEntities",
    "SimilarEntity",
    "Source",
    "SpineQuery",
    "SyncResult",
    "TimeSplit",
    "TimeWindow",
    "TrainingBatches",
    "TrainingFrame",
    "TrainingMatrix",
    "TrainingSet",
    "TrainingSetDefinition",
    "TrainingSetDiff",
    "Transformation",
    "VacuumResult",
    "VectorIndex",
    "WindowAggregate",
    "WriteResult",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name == "__version__":
        return _installed_version()
    raise AttributeError(f"module 'featurestore' has no attribute {name!r}")


def _installed_version() -> str:
    """The version in the package's metadata; ``unknown`` if there is no metadata, as under ``--py-files``."""
    try:
        return version("offline-feature-store")
    except PackageNotFoundError:
        return "unknown"


def __dir__() -> list[str]:
    return __all__
