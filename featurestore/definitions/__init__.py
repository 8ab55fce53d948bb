"""What a user declares, as frozen pydantic models; importing this package never starts Spark."""

from featurestore.definitions.entity import Entity
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.source import Source
from featurestore.definitions.training_set import SpineQuery, TimeSplit, TrainingSetDefinition
from featurestore.definitions.transformation import Transformation
from featurestore.definitions.values.time_window import TimeWindow

__all__ = [
    "Entity",
    "Feature",
    "FeatureGroup",
    "Lookup",
    "Source",
    "SpineQuery",
    "TimeSplit",
    "TimeWindow",
    "TrainingSetDefinition",
    "Transformation",
]
