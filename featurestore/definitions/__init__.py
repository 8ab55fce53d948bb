"""What the user declares. Pydantic only: importing this package never starts Spark."""

from featurestore.definitions.entity import Entity
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.source import Source
from featurestore.definitions.time_window import TimeWindow
from featurestore.definitions.training_set import SpineQuery, TimeSplit, TrainingSetDefinition
from featurestore.definitions.transformation import Transformation

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
