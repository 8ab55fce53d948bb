"""Derived features in training sets: saved, audited, rebuilt and loaded as other features, without Spark."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from featurestore import (
    DerivedFeature,
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Lookup,
    Settings,
)
from featurestore.errors import DefinitionError, SpineError, TransformationError
from featurestore.reports.training_set_report import training_set_report
from tests.conftest import Clock

DAY = datetime(2026, 1, 1, tzinfo=UTC)
STATS = FeatureGroup(
    "stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("visits", "long"), Feature("spend", "double"), Feature("plan", "string")],
)
DERIVED = [
    DerivedFeature("per_visit", "double", inputs=["stats:spend", "stats:visits"], sql="spend / nullif(visits, 0)"),
    DerivedFeature("is_paid", "boolean", inputs=["stats:plan"], sql="plan <> 'free'"),
    DerivedFeature("price_ratio", "double", inputs=["derived:per_visit", "price"], sql="price / per_visit"),
]


@pytest.fixture
def fs(tmp_path: Any) -> FeatureStore:
    settings = Settings(warehouse=str(tmp_path / "warehouse"), landing=str(tmp_path / "landing"))
    fs = FeatureStore.open(settings, clock=Clock(DAY + timedelta(days=30)))
    fs.apply([STATS, *DERIVED])
    rows = [
        {"user_id": f"u{number}", "visits": number, "spend": 4.0 * number, "plan": "free" if number % 2 else "pro"}
        for number in range(8)
    ]
    fs.tenant("acme").write_batch("stats", [row | {"event_timestamp": DAY} for row in rows])
    return fs


SPINE = pa.table(
    {
        "user_id": [f"u{number % 9}" for number in range(40)],
        "event_timestamp": [DAY + timedelta(hours=number) for number in range(40)],
        "price": [2.0 + number for number in range(40)],
        "bought": [number % 3 == 0 for number in range(40)],
    }
)
FEATURES = ["stats:visits", "derived:price_ratio", Lookup("derived", "is_paid", prefix="now_")]


def test_a_set_holds_derived_columns_and_records_what_computed_them(fs: FeatureStore) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))

    saved = loader.load_training_data(SPINE, FEATURES, name="offers", label="bought", split={"test": 0.25})

    assert saved.manifest.columns == (
        *SPINE.column_names,
        *("visits", "stats__event_timestamp", "price_ratio", "now_is_paid", "split"),
    )
    assert saved.manifest.feature_columns == ("visits", "price_ratio", "now_is_paid")
    assert saved.manifest.event_timestamp_columns == ("stats__event_timestamp",)
    rows = saved.to_pandas().X
    assert rows["price_ratio"].tolist()[1:4] == [3 / 4, 4 / 4, 5 / 4]
    assert rows["now_is_paid"].tolist()[:3] == [True, False, True]

    recorded = {each.name: each for each in saved.manifest.derived}
    assert list(recorded) == ["is_paid", "per_visit", "price_ratio"]
    assert recorded["per_visit"].feature == DERIVED[0]
    assert recorded["per_visit"].code == '("spend" / nullif("visits", 0))'
    text = f"{recorded['per_visit'].definition}\n{recorded['per_visit'].code}"
    assert recorded["per_visit"].code_hash == hashlib.sha256(text.encode()).hexdigest()
    # What was joined for them alone; ``visits`` was asked for.
    assert saved.manifest.inputs == (Lookup("stats", ["plan", "spend"]),)


def test_a_set_is_up_to_date_until_a_derived_feature_changes(fs: FeatureStore) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))

    def version() -> int:
        return loader.load_training_data(
            SPINE, FEATURES, name="offers", label="bought", new_version=False
        ).manifest.version

    assert (version(), version()) == (1, 1)
    fs.apply([DerivedFeature("per_visit", "double", inputs=["stats:spend"], sql="spend + 1")])
    assert (version(), version()) == (2, 2)


def test_missing_values_of_derived_columns_are_filled_or_dropped(fs: FeatureStore) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))

    filled = loader.load_training_data(
        SPINE, FEATURES, name="filled", label="bought", missing={"price_ratio": -1.0, "now_is_paid": False}
    )
    dropped = loader.load_training_data(SPINE, FEATURES, name="dropped", label="bought", missing="drop")

    # u0 has no visits and u8 no values at all.
    assert (filled.to_pandas().X["price_ratio"] == -1.0).sum() == 9
    assert dropped.manifest.rows_dropped == 9


def test_a_set_of_derived_features_alone(fs: FeatureStore) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))

    saved = loader.load_training_data(SPINE, ["derived:is_paid"], name="paid", label="bought")

    assert saved.manifest.columns == (*SPINE.column_names, "is_paid")
    assert saved.manifest.features == ()
    assert saved.manifest.key_columns == ("user_id",)
    assert [group.name for group in saved.manifest.groups] == ["stats"]


def test_derived_columns_are_encoded_by_their_types(fs: FeatureStore) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))
    saved = loader.load_training_data(SPINE, FEATURES, name="offers", label="bought")

    matrix = saved.to_numpy()

    assert {column.feature: column.type for column in matrix.encoding.features} == {
        "visits": "bigint",
        "price_ratio": "double",
        "now_is_paid": "boolean",
    }


def test_a_report_shows_them(fs: FeatureStore, tmp_path: Any) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))
    saved = loader.load_training_data(SPINE, FEATURES, name="offers", label="bought")

    page = training_set_report(saved, tmp_path / "report.html").read_text(encoding="utf-8")

    assert "<code>price_ratio</code>" in page


def test_a_failing_row_publishes_nothing(fs: FeatureStore) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))
    fs.apply([DerivedFeature("bad", "double", inputs=["stats:visits"], sql="1 / visits")])

    with pytest.raises(TransformationError, match="'bad': the row with user_id='u0', event_timestamp=2026-01-01"):
        loader.load_training_data(SPINE, ["derived:bad"], name="bad", label="bought")
    assert loader.list() == []


def test_no_derived_feature_may_read_the_label(fs: FeatureStore) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))

    with pytest.raises(
        SpineError, match="label 'price' is an input of derived feature 'price_ratio', which would give"
    ):
        loader.load_training_data(SPINE, ["derived:price_ratio"], name="bad", label="price")
    with pytest.raises(DefinitionError, match="'stats:spend' is the label, and a derived feature reads it"):
        loader.load_training_data(SPINE, ["derived:per_visit"], name="bad", label="stats:spend")
    # A later value is another one.
    later = loader.load_training_data(
        SPINE, ["derived:per_visit"], name="later", label="stats:spend", label_offset="1d"
    )
    assert later.manifest.columns[-2:] == ("per_visit", "spend")


def test_a_derived_feature_is_no_label(fs: FeatureStore) -> None:
    loader = FeatureDataLoader(fs.tenant("acme"))

    with pytest.raises(DefinitionError, match="label 'derived:is_paid' is a derived feature; a label is a column"):
        loader.load_training_data(SPINE, ["stats:visits"], name="bad", label="derived:is_paid")
