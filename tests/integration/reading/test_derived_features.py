"""Derived features in as-of joins: computed from an example's own columns and features, without Spark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from featurestore import DerivedFeature, Entity, Feature, FeatureGroup, FeatureStore, Lookup, OfflineStore, Settings
from featurestore.errors import DefinitionError, InvalidArgumentError, NotFoundError, SpineError, TransformationError
from tests.conftest import Clock
from tests.inputs.derived_functions import halves, unlucky

DAY = datetime(2026, 1, 1, tzinfo=UTC)
AIRPORTS = FeatureGroup(
    "airports",
    Entity("airport", join_keys={"airport": "string"}),
    features=[Feature("lat", "double"), Feature("name", "string"), Feature("gates", "long")],
)
FARES = FeatureGroup("fares", Entity("carrier", join_keys={"carrier": "string"}), features=[Feature("price", "double")])
DERIVED = [
    DerivedFeature("per_gate", "double", inputs=["fares:price", "airports:gates"], sql="price / nullif(gates, 0)"),
    DerivedFeature(
        "north",
        "double",
        inputs=[
            Lookup("airports", "lat", on={"airport": "dest"}, prefix="dest_"),
            Lookup("airports", "lat", prefix="origin_"),
        ],
        sql="round(dest_lat - origin_lat, 3)",
    ),
    DerivedFeature("is_north", "boolean", inputs=["derived:north"], sql="north > 0"),
    DerivedFeature("total", "double", inputs={"a": "seats", "b": "fares:price"}, sql="a * b"),
    DerivedFeature("shout", "string", inputs=["airports:name"], sql="upper(name) || '!'"),
    DerivedFeature("gate_share", "double", inputs=["airports:gates"], sql="1000 / gates"),
    DerivedFeature("half", "double", inputs=["fares:price"], function=halves),
    DerivedFeature("unlucky", "double", inputs=["fares:price"], function=unlucky, frame="pandas"),
    DerivedFeature("weekday", "long", inputs=["event_timestamp"], sql="dayofweek(event_timestamp)"),
]


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    warehouse = str(tmp_path_factory.mktemp("derived") / "warehouse")
    fs = FeatureStore.open(Settings(warehouse=warehouse), clock=Clock(DAY + timedelta(days=9)))
    fs.apply([AIRPORTS, FARES, *DERIVED])
    store = fs.tenant("acme")
    airports = [("JFK", 40.64, "Kennedy", 128), ("SEA", 47.45, "Tacoma", 80), ("XNA", 36.28, "Bentonville", 0)]
    store.write_batch(
        "airports",
        [dict(zip(("airport", "lat", "name", "gates"), row, strict=True), event_timestamp=DAY) for row in airports],
    )
    prices = [("AA", 1, 256.0), ("AA", 3, 512.0), ("DL", 2, 13.0)]
    store.write_batch(
        "fares",
        [{"carrier": key, "price": price, "event_timestamp": DAY + timedelta(days=day)} for key, day, price in prices],
    )
    return fs


@pytest.fixture(scope="module")
def store(fs: FeatureStore) -> OfflineStore:
    return fs.tenant("acme")


def spine(*rows: tuple[Any, ...]) -> pa.Table:
    names = ("airport", "dest", "carrier", "seats", "event_timestamp")
    columns: dict[str, list[Any]] = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    columns["event_timestamp"] = [DAY + timedelta(days=day) for day in columns["event_timestamp"]]
    return pa.table(columns)


SPINE = spine(
    ("JFK", "SEA", "AA", 2, 2),
    ("JFK", "SEA", "AA", 2, 4),
    ("SEA", "JFK", "DL", 3, 1),
    ("SEA", None, "DL", None, 2),
)


def test_inputs_are_joined_as_of_each_row_and_left_out_of_the_result(store: OfflineStore) -> None:
    found = store.get_point_in_time(SPINE, ["derived:per_gate"])

    assert found.column_names == [*SPINE.column_names, "per_gate"]
    assert found.select(SPINE.column_names).equals(SPINE)
    # The price of the third row came a day later.
    assert found.column("per_gate").to_pylist() == [2.0, 4.0, None, 13 / 80]


def test_columns_stand_in_the_order_of_the_request(store: OfflineStore) -> None:
    features = ["derived:north", "fares:price", "derived:is_north", "airports:lat"]
    found = store.get_point_in_time(SPINE, features)

    # References to one group stand together, also those to derived features.
    assert found.column_names[5:] == ["north", "is_north", "price", "lat"]
    assert found.column("north").to_pylist() == [6.81, 6.81, -6.81, None]
    assert found.column("is_north").to_pylist() == [True, True, False, None]
    later = store.get_point_in_time(SPINE, ["fares:price", Lookup("derived", ["north"], prefix="x_")])
    assert later.column_names[5:] == ["price", "x_north"]


def test_a_derived_feature_may_read_another_that_is_not_asked_for(store: OfflineStore) -> None:
    found = store.get_point_in_time(SPINE, "derived:is_north")

    assert found.column_names[5:] == ["is_north"]
    assert found.column("is_north").to_pylist() == [True, True, False, None]


def test_inputs_may_be_columns_of_the_spine_alone(store: OfflineStore) -> None:
    found = store.get_point_in_time(SPINE, ["derived:weekday", "derived:total"])

    assert found.column("weekday").to_pylist() == [6, 1, 5, 6]
    assert found.column("total").to_pylist() == [512.0, 1024.0, None, None]
    assert store.get_point_in_time(SPINE, "derived:weekday").column("weekday").to_pylist() == [6, 1, 5, 6]


def test_full_names_and_timestamps(store: OfflineStore) -> None:
    features = ["airports:gates", "derived:per_gate"]
    found = store.get_point_in_time(SPINE, features, full_feature_names=True, with_timestamps=True)

    # A derived feature has no timestamp of its own.
    assert found.column_names[5:] == ["airports__gates", "airports__event_timestamp", "derived__per_gate"]


def test_pandas_gives_pandas(store: OfflineStore) -> None:
    frame = SPINE.to_pandas().set_index(pd.Index([7, 8, 9, 9]))

    found = store.get_point_in_time(frame, ["derived:shout", "derived:half"])

    assert list(found.index) == [7, 8, 9, 9]
    assert found["shout"].tolist() == ["KENNEDY!", "KENNEDY!", "TACOMA!", "TACOMA!"]
    assert found["half"].tolist()[:2] == [128.0, 256.0]


def test_an_empty_spine_gives_typed_columns(store: OfflineStore) -> None:
    found = store.get_point_in_time(SPINE.slice(0, 0), ["derived:north", "derived:shout", "derived:half"])

    assert found.schema.field("north").type == pa.float64()
    assert found.schema.field("shout").type == pa.string()
    assert found.num_rows == 0


def test_an_error_names_the_feature_and_the_key_of_the_row(store: OfflineStore) -> None:
    rows = spine(("JFK", "SEA", "AA", 2, 2), ("XNA", "SEA", "AA", 2, 4))

    with pytest.raises(
        TransformationError,
        match=r"^derived feature 'gate_share': the row with airport='XNA', event_timestamp=2026-01-05 00:00:00\+00:00: "
        "it gives inf, which is not a finite number; divide by nullif",
    ):
        store.get_point_in_time(rows, "derived:gate_share")
    with pytest.raises(
        TransformationError, match=r"'unlucky': the row with carrier='DL', .*: the function raised ValueError: 13"
    ):
        store.get_point_in_time(SPINE, "derived:unlucky")


def test_a_spine_needs_the_columns_that_derived_features_read(store: OfflineStore) -> None:
    with pytest.raises(SpineError, match="no column 'seats', an input of derived feature 'total'; add it"):
        store.get_point_in_time(SPINE.drop_columns(["seats"]), "derived:total")
    with pytest.raises(SpineError, match="no column 'dest', by which 'airports' is looked up"):
        store.get_point_in_time(SPINE.drop_columns(["dest"]), "derived:is_north")
    with pytest.raises(SpineError, match="'__input_0_lat' has a name that derived features use"):
        store.get_point_in_time(SPINE.append_column("__input_0_lat", SPINE.column("seats")), "derived:north")
    with pytest.raises(SpineError, match="column 'north' would stand twice"):
        store.get_point_in_time(SPINE.append_column("north", SPINE.column("seats")), "derived:north")
    text = SPINE.set_column(3, "seats", pa.array(["a", "b", "c", "d"]))
    with pytest.raises(DefinitionError, match=r"'total': the expression is refused: No function matches.*VARCHAR"):
        store.get_point_in_time(text, "derived:total")


def test_references_that_are_not_known(store: OfflineStore) -> None:
    with pytest.raises(NotFoundError, match=r"derived feature 'nort' was never applied\. Did you mean 'north'"):
        store.get_point_in_time(SPINE, "derived:nort")
    with pytest.raises(DefinitionError, match="lookup of 'derived' takes no on=: its features' own inputs"):
        store.get_point_in_time(SPINE, Lookup("derived", ["north"], on={"airport": "dest"}))
    with pytest.raises(DefinitionError, match="lookup of 'derived' names no feature"):
        store.get_point_in_time(SPINE, Lookup("derived"))


def test_reads_of_stored_values_say_what_to_use(store: OfflineStore) -> None:
    entity, window = {"airport": "JFK"}, {"start": DAY, "end": DAY + timedelta(days=9)}
    reads: list[Any] = [
        lambda: store.get_feature_at_time("derived:north", entity, DAY),
        lambda: store.get_features_at_time(["derived:north"], entity, DAY),
        lambda: store.get_feature_history("derived:north", entity, to="arrow", **window),
        lambda: store.get_batch_features(["derived:north"], to="arrow", **window),
        lambda: store.aggregate_feature("derived:north", "avg", every="day", **window),
        lambda: store.write_feature_value("derived:north", entity, 1.0, event_timestamp=DAY),
        lambda: store.write_batch("derived", []),
        lambda: store.materialize_feature("derived", **window),
        lambda: store.profile("derived"),
    ]
    for read in reads:
        with pytest.raises(InvalidArgumentError, match=r"derived features have no stored values.*get_point_in_time"):
            read()


def test_a_caller_who_serves_computes_the_same(fs: FeatureStore, store: OfflineStore) -> None:
    joined = store.get_point_in_time(SPINE, ["fares:price", "airports:gates", "derived:per_gate", "derived:half"])

    for name in ("per_gate", "half"):
        served = fs.derived_feature(name).compute(joined)
        assert served.equals(joined.column(name).combine_chunks())
    # Whole numbers are read as the feature's type, in which the training set had them.
    assert fs.derived_feature("half").compute({"price": [3]}).to_pylist() == [1.5]


def test_newer_versions_stand_beside_older_ones(tmp_path: Path) -> None:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path)))
    first = DerivedFeature("twice", "long", inputs=["seats"], sql="seats * 2")
    fs.apply([first])
    fs.apply([DerivedFeature("twice", "double", inputs=["seats"], sql="seats * 2.5", version=2)])
    store = fs.tenant("acme")

    assert fs.derived_feature("twice").version == 2
    assert fs.derived_feature("twice", 1) == first
    assert [feature.version for feature in fs.derived_features()] == [2]
    rows = pa.table({"seats": [3], "event_timestamp": pa.array([DAY])})
    assert store.get_point_in_time(rows, "derived:twice").column("twice").to_pylist() == [7.5]
