"""A manifest of a training set and the numbers of its report, made up: for reports without a store."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from featurestore import Entity, Feature, FeatureGroup, Lookup
from featurestore.reports.training_set_numbers import FeatureNumbers, PeriodNumbers, TrainingSetNumbers
from featurestore.stores.training_sets.manifests import GroupSnapshot, Manifest, SplitCuts

WEATHER = FeatureGroup(
    "weather",
    Entity("airport", join_keys={"airport": "string"}),
    features=[Feature("temp", "double", description="Degrees <Fahrenheit>"), Feature("gust", "double")],
    ttl=timedelta(hours=4),
    owner="flight & operations",
)


def manifest(**changed: Any) -> Manifest:
    fields: dict[str, Any] = {
        "tenant_id": "acme",
        "name": "delays",
        "version": 3,
        "description": "Late? <script>alert('x')</script>",
        "created_at": datetime(2026, 11, 1, 12, tzinfo=UTC),
        "location": "/warehouse/training_sets/acme/delays/v3",
        "row_count": 1200,
        "content_hash": "c0ffee",
        "label": "late",
        "timestamp_column": "event_timestamp",
        "features": (Lookup("weather", ["temp", "gust"]),),
        "full_feature_names": False,
        "known_at": None,
        "columns": ("airport", "event_timestamp", "late", "temp", "gust", "weather__event_timestamp", "split"),
        "spine_columns": ("airport", "event_timestamp", "late"),
        "key_columns": ("airport",),
        "feature_columns": ("temp", "gust"),
        "event_timestamp_columns": ("weather__event_timestamp",),
        "spine_fingerprint": "beef",
        "spine_rows_before_sampling": 1200,
        "sample_size": None,
        "seed": 0,
        "split": SplitCuts(validation_from=None, test_from=datetime(2026, 3, 1, tzinfo=UTC)),
        "groups": (
            GroupSnapshot(
                name="weather",
                version=1,
                revision=2,
                table="/warehouse/groups/weather_v1/values",
                table_version=7,
                definition=WEATHER.to_json(),
            ),
        ),
        "code_version": "0.1.0",
    }
    return Manifest(**(fields | changed))


def numbers(ages: bool = True, label_sum: float | None = 2.5, days: int = 120) -> TrainingSetNumbers:
    start = date(2026, 1, 1)
    return TrainingSetNumbers(
        features=tuple(
            FeatureNumbers(
                name=name,
                group="weather",
                type="double",
                description=WEATHER.feature(name).description,
                ttl=WEATHER.ttl,
                event_timestamp_column="weather__event_timestamp",
                rows=10 * days,
                values=found,
                age_low=0.0 if ages else None,
                age_median=1800.0 if ages else None,
                age_high=7200.0 if ages else None,
            )
            for name, found in (("temp", 10 * days), ("gust", 3 * days))
        ),
        days=tuple(
            PeriodNumbers(
                start + timedelta(days=number),
                start + timedelta(days=number),
                "train" if number < 59 else "test",
                10,
                8,
                label_sum,
                (9,) if ages else (),
            )
            for number in range(days)
        ),
        lookups=("weather",) if ages else (),
    )
