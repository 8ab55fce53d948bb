"""What a user declares, as frozen pydantic models; importing this package never starts Spark."""

from featurestore.definitions.entity import Entity
from featurestore.definitions.events import Events
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.source import Source
from featurestore.definitions.training_set import SpineQuery, TimeSplit, TrainingSetDefinition
from featurestore.definitions.transformation import Transformation
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.definitions.window_aggregate import WindowAggregate

__all__ = [
    "Entity",
    "Events",
    "Feature",
    "FeatureGroup",
    "Lookup",
    "Source",
    "SpineQuery",
    "TimeSplit",
    "TimeWindow",
    "TrainingSetDefinition",
    "Transformation",
    "WindowAggregate",
]
