"""An offline feature store on Spark and Delta Lake.

Names are loaded when first used, so that ``import featurestore`` starts nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featurestore.config import Settings
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.definitions.entity import Entity
    from featurestore.definitions.feature import Feature
    from featurestore.definitions.feature_group import FeatureGroup
    from featurestore.definitions.lookup import Lookup
    from featurestore.definitions.source import Source
    from featurestore.definitions.time_window import TimeWindow
    from featurestore.definitions.training_set import SpineQuery, TimeSplit, TrainingSetDefinition
    from featurestore.definitions.transformation import Transformation
    from featurestore.feature_store import FeatureStore
    from featurestore.offline_store import OfflineStore
    from featurestore.operations.ingest import WriteResult
    from featurestore.operations.training_set import TrainingSet

_HOME = {
    "Entity": "featurestore.definitions.entity",
    "Feature": "featurestore.definitions.feature",
    "FeatureDataLoader": "featurestore.data_loader",
    "FeatureGroup": "featurestore.definitions.feature_group",
    "FeatureStore": "featurestore.feature_store",
    "Lookup": "featurestore.definitions.lookup",
    "OfflineStore": "featurestore.offline_store",
    "Settings": "featurestore.config",
    "Source": "featurestore.definitions.source",
    "SpineQuery": "featurestore.definitions.training_set",
    "TimeSplit": "featurestore.definitions.training_set",
    "TimeWindow": "featurestore.definitions.time_window",
    "TrainingSet": "featurestore.operations.training_set",
    "TrainingSetDefinition": "featurestore.definitions.training_set",
    "Transformation": "featurestore.definitions.transformation",
    "WriteResult": "featurestore.operations.ingest",
}

__all__ = [
    "Entity",
    "Feature",
    "FeatureDataLoader",
    "FeatureGroup",
    "FeatureStore",
    "Lookup",
    "OfflineStore",
    "Settings",
    "Source",
    "SpineQuery",
    "TimeSplit",
    "TimeWindow",
    "TrainingSet",
    "TrainingSetDefinition",
    "Transformation",
    "WriteResult",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'featurestore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
