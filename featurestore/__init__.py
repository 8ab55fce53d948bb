"""An offline feature store on Spark and Delta Lake.

Names are loaded when first used, so that ``import featurestore`` starts nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featurestore.config import Settings
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.definitions.entity import Entity
    from featurestore.definitions.feature import Feature
    from featurestore.definitions.feature_group import DriftThresholds, Expectations, FeatureGroup
    from featurestore.definitions.finding import Finding, Findings
    from featurestore.definitions.lookup import Lookup
    from featurestore.definitions.source import Source
    from featurestore.definitions.time_window import TimeWindow
    from featurestore.definitions.training_set import (
        EntitySplit,
        RandomSplit,
        SpineQuery,
        TimeSplit,
        TrainingSetDefinition,
    )
    from featurestore.definitions.transformation import Transformation
    from featurestore.definitions.types import FeatureType
    from featurestore.definitions.vector_index import VectorIndex
    from featurestore.feature_store import FeatureStore
    from featurestore.frames.drift import FeatureDrift
    from featurestore.frames.encodings import ColumnEncoding, Encoded, Encoding
    from featurestore.frames.feature_statistics import Distribution, FeatureStatistics
    from featurestore.offline_store import OfflineStore
    from featurestore.operations.backfill import BackfillResult, PlannedWindow
    from featurestore.operations.batch_features import BatchFeatures
    from featurestore.operations.catalog_model import Catalog
    from featurestore.operations.diff import FeatureDiff, TrainingSetDiff
    from featurestore.operations.drift import DriftResult
    from featurestore.operations.embed_texts import EmbedResult
    from featurestore.operations.erase import ErasureCertificate
    from featurestore.operations.erasing import ErasedTable
    from featurestore.operations.fine_tuning import FineTuningSet
    from featurestore.operations.ingest import WriteResult
    from featurestore.operations.load_training_set import TrainingFrame, TrainingMatrix
    from featurestore.operations.materialize import MaterializeResult
    from featurestore.operations.optimize import OptimizeResult
    from featurestore.operations.plan import Change, Plan
    from featurestore.operations.profile import GroupProfile, ProfiledGroup, ProfileResult
    from featurestore.operations.retain import RetentionResult
    from featurestore.operations.similar_entities import SimilarEntities, SimilarEntity
    from featurestore.operations.stats import GroupStats
    from featurestore.operations.sync_result import SyncResult
    from featurestore.operations.training_set import TrainingSet
    from featurestore.operations.vacuum import VacuumResult
    from featurestore.operations.values_at import FeatureValue
    from featurestore.stores.fine_tuning_sets import FineTuningFile
    from featurestore.stores.runs import Run
    from featurestore.stores.training_sets import Manifest

    __version__: str

_HOME = {
    "BackfillResult": "featurestore.operations.backfill",
    "BatchFeatures": "featurestore.operations.batch_features",
    "Catalog": "featurestore.operations.catalog_model",
    "Change": "featurestore.operations.plan",
    "ColumnEncoding": "featurestore.frames.encodings",
    "Distribution": "featurestore.frames.feature_statistics",
    "DriftResult": "featurestore.operations.drift",
    "DriftThresholds": "featurestore.definitions.feature_group",
    "EmbedResult": "featurestore.operations.embed_texts",
    "Encoded": "featurestore.frames.encodings",
    "Encoding": "featurestore.frames.encodings",
    "Entity": "featurestore.definitions.entity",
    "EntitySplit": "featurestore.definitions.training_set",
    "ErasedTable": "featurestore.operations.erasing",
    "ErasureCertificate": "featurestore.operations.erase",
    "Expectations": "featurestore.definitions.feature_group",
    "Feature": "featurestore.definitions.feature",
    "FeatureDataLoader": "featurestore.data_loader",
    "FeatureDiff": "featurestore.operations.diff",
    "FeatureDrift": "featurestore.frames.drift",
    "FeatureGroup": "featurestore.definitions.feature_group",
    "FeatureStatistics": "featurestore.frames.feature_statistics",
    "FeatureStore": "featurestore.feature_store",
    "FeatureType": "featurestore.definitions.types",
    "FeatureValue": "featurestore.operations.values_at",
    "Finding": "featurestore.definitions.finding",
    "FineTuningFile": "featurestore.stores.fine_tuning_sets",
    "Findings": "featurestore.definitions.finding",
    "FineTuningSet": "featurestore.operations.fine_tuning",
    "GroupProfile": "featurestore.operations.profile",
    "GroupStats": "featurestore.operations.stats",
    "Lookup": "featurestore.definitions.lookup",
    "Manifest": "featurestore.stores.training_sets",
    "MaterializeResult": "featurestore.operations.materialize",
    "OfflineStore": "featurestore.offline_store",
    "OptimizeResult": "featurestore.operations.optimize",
    "Plan": "featurestore.operations.plan",
    "PlannedWindow": "featurestore.operations.backfill",
    "ProfileResult": "featurestore.operations.profile",
    "ProfiledGroup": "featurestore.operations.profile",
    "RandomSplit": "featurestore.definitions.training_set",
    "RetentionResult": "featurestore.operations.retain",
    "Run": "featurestore.stores.runs",
    "Settings": "featurestore.config",
    "SimilarEntities": "featurestore.operations.similar_entities",
    "SimilarEntity": "featurestore.operations.similar_entities",
    "Source": "featurestore.definitions.source",
    "SpineQuery": "featurestore.definitions.training_set",
    "SyncResult": "featurestore.operations.sync_result",
    "TimeSplit": "featurestore.definitions.training_set",
    "TimeWindow": "featurestore.definitions.time_window",
    "TrainingFrame": "featurestore.operations.load_training_set",
    "TrainingMatrix": "featurestore.operations.load_training_set",
    "TrainingSet": "featurestore.operations.training_set",
    "TrainingSetDefinition": "featurestore.definitions.training_set",
    "TrainingSetDiff": "featurestore.operations.diff",
    "Transformation": "featurestore.definitions.transformation",
    "VacuumResult": "featurestore.operations.vacuum",
    "VectorIndex": "featurestore.definitions.vector_index",
    "WriteResult": "featurestore.operations.ingest",
}

__all__ = [
    "BackfillResult",
    "BatchFeatures",
    "Catalog",
    "Change",
    "ColumnEncoding",
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
    "Expectations",
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
    "TrainingFrame",
    "TrainingMatrix",
    "TrainingSet",
    "TrainingSetDefinition",
    "TrainingSetDiff",
    "Transformation",
    "VacuumResult",
    "VectorIndex",
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
    """The version in the package's metadata; ``unknown`` where only its files are there, as under ``--py-files``."""
    try:
        return version("offline-feature-store")
    except PackageNotFoundError:
        return "unknown"


def __dir__() -> list[str]:
    return __all__
