"""Derived features in plan and apply: what is checked against the groups, in YAML and Python, without Spark."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from featurestore import DerivedFeature, Entity, Feature, FeatureGroup, FeatureStore, Lookup, Settings
from featurestore.definitions.sets.yaml_files import load_definitions
from featurestore.errors import DefinitionError, NotFoundError
from tests.cli_answers import document_of, output_of
from tests.settings_folder import write_settings_folder

TRIP = Entity("trip", join_keys={"trip_id": "string"})
TRIPS = FeatureGroup(
    "trips",
    TRIP,
    features=[
        Feature("km", "double"),
        Feature("stops", "int"),
        Feature("riders", "long"),
        Feature("ended", "timestamp"),
        Feature("city", "string"),
        Feature("legs", "array<double>"),
        Feature("emb", "embedding(3)"),
    ],
)
YAML = """
entities:
  - name: trip
    join_keys: {trip_id: string}
feature_groups:
  - name: trips
    entity: trip
    features:
      - {name: km, type: double}
      - {name: hours, type: double}
derived_features:
  - name: speed
    type: double
    inputs: ["trips:km", "trips:hours"]
    sql: km / nullif(hours, 0)
    description: Mean speed in km/h
    owner: mobility
    tags: [trip]
  - name: detour
    type: double
    inputs:
      there: {group: trips, features: km, on: {trip_id: outward_id}}
      back: "trips:km"
    sql: back - there
"""


@pytest.fixture
def fs(tmp_path: Path) -> FeatureStore:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")))
    fs.apply([TRIPS])
    return fs


def test_yaml_says_the_same_as_python(tmp_path: Path) -> None:
    file = tmp_path / "trips.yml"
    file.write_text(YAML)
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")))

    plan = fs.apply(file)

    assert [str(change).splitlines()[0] for change in plan.changes[2:]] == [
        "+ derived feature speed v1: create",
        "+ derived feature detour v1: create",
    ]
    assert not fs.plan(file).has_changes
    assert [feature.to_json() for feature in fs.derived_features()] == [
        DerivedFeature(
            "detour",
            "double",
            inputs={"there": Lookup("trips", "km", on={"trip_id": "outward_id"}), "back": "trips:km"},
            sql="back - there",
        ).to_json(),
        DerivedFeature(
            "speed",
            "double",
            inputs=["trips:km", "trips:hours"],
            sql="km / nullif(hours, 0)",
            description="Mean speed in km/h",
            owner="mobility",
            tags=["trip"],
        ).to_json(),
    ]
    history = fs.registry_history(to="arrow").to_pylist()
    assert [row["name"] for row in history if row["kind"] == "derived_feature"] == ["speed", "detour"]


def test_the_command_line_applies_lists_shows_and_joins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_settings_folder(tmp_path / "conf", warehouse=str(tmp_path / "warehouse"))
    (tmp_path / "trips.yml").write_text(YAML)
    answer, show = partial(document_of, tmp_path, capsys), partial(output_of, tmp_path, capsys)

    changes = answer("apply", str(tmp_path / "trips.yml"))["changes"]
    assert [(change["kind"], change["name"]) for change in changes[2:]] == [
        ("derived_feature", "speed"),
        ("derived_feature", "detour"),
    ]
    assert [each["name"] for each in answer("derived", "list")] == ["detour", "speed"]
    assert answer("derived", "show", "speed")["sql"] == "km / nullif(hours, 0)"
    assert "km / nullif(hours, 0)" in show("derived", "list")
    # What is shown can be applied.
    shown = yaml.safe_load(show("derived", "show", "detour"))
    assert shown["derived_features"][0]["inputs"]["there"]["on"] == {"trip_id": "outward_id"}

    store = FeatureStore.open(tmp_path / "conf", environ={}).tenant("acme")
    day = datetime(2026, 1, 1, tzinfo=UTC)
    store.write_batch("trips", [{"trip_id": "a", "km": 90.0, "hours": 1.5, "event_timestamp": day}])
    pq.write_table(pa.table({"trip_id": ["a"], "event_timestamp": [day]}), tmp_path / "spine.parquet")
    joined = answer("join", "derived:speed", "--spine", str(tmp_path / "spine.parquet"))
    assert joined[0]["speed"] == 60.0


def test_a_fault_in_yaml_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "trips.yml"
    file.write_text(YAML.replace("km / nullif(hours, 0)", "km / hous"))

    with pytest.raises(
        DefinitionError, match=r"trips\.yml:15: derived_features\.0\.sql \(speed\): .*Did you mean 'hours'"
    ):
        load_definitions(file)


def test_a_change_is_shown_and_recorded_as_a_new_state(fs: FeatureStore) -> None:
    fs.apply([DerivedFeature("far", "boolean", inputs=["trips:km"], sql="km > 100")])

    plan = fs.apply([DerivedFeature("far", "boolean", inputs=["trips:km"], sql="km > 200", owner="geo")])

    assert plan.changes[0].details == ("~ sql: km > 100 -> km > 200", "~ owner:  -> geo")
    assert fs.derived_feature("far").sql == "km > 200"
    with pytest.raises(NotFoundError, match=r"derived feature 'fra' was never applied\. Did you mean 'far'"):
        fs.derived_feature("fra")
    with pytest.raises(NotFoundError, match=r"derived feature 'far' has no version 2; it has \[1\]"):
        fs.derived_feature("far", 2)


TYPED = {
    ("double", "km + stops"),
    ("double", "km * 1.5"),
    ("double", "riders * 1.5"),
    ("double", "stops"),
    ("long", "stops + 1"),
    ("int", "stops"),
    ("string", "city || stops"),
    ("boolean", "km > riders"),
    ("timestamp", "ended + interval '1 day'"),
    ("date", "cast(ended as date)"),
    ("array<double>", "list_sort(legs)"),
    ("array<double>", "list_value(km, list_sum(legs))"),
    ("double", "list_cosine_similarity(emb, emb)"),
    ("float", "km::float"),
    ("json", "city::json"),
    ("double", "null"),
}
MISTYPED = {
    ("int", "riders"): "gives BIGINT, which cannot be read as int without loss; .*CAST the result AS INTEGER",
    ("long", "km"): "gives DOUBLE, which cannot be read as long",
    ("long", "stops / 2"): "gives DOUBLE, which cannot be read as long",
    ("float", "km * 2"): "gives DOUBLE, which cannot be read as float without loss; .*AS FLOAT",
    ("double", "city"): "gives VARCHAR, which cannot be read as double",
    ("string", "stops"): "gives INTEGER, which cannot be read as string",
    ("boolean", "stops"): "gives INTEGER, which cannot be read as boolean",
    ("timestamp", "cast(ended as date)"): "gives DATE, which cannot be read as timestamp .*TIMESTAMPTZ",
    ("timestamp", "strptime(city, '%Y')"): "gives TIMESTAMP, which cannot be read as timestamp .*AT TIME ZONE",
    ("double", "interval '1 day' * stops"): "gives INTERVAL, which cannot be read as double",
    ("array<double>", "km"): "gives DOUBLE, which cannot be read as array<double>",
    ("double", "city * 2"): r"'\*\(VARCHAR",
    ("boolean", "!(km > 1)"): "it can be read in more than one way",
}


def _inputs(sql: str) -> list[str]:
    return [f"trips:{feature.name}" for feature in TRIPS.features if feature.name in sql.replace("(", " ")]


def test_the_declared_type_holds_what_the_expression_gives(fs: FeatureStore) -> None:
    features = [
        DerivedFeature(f"f{number}", word, inputs=_inputs(sql), sql=sql)
        for number, (word, sql) in enumerate(sorted(TYPED))
    ]

    assert fs.plan(features).has_changes


@pytest.mark.parametrize(("word", "sql"), MISTYPED)
def test_an_expression_of_another_type_is_refused(word: str, sql: str, fs: FeatureStore) -> None:
    feature = DerivedFeature("bad", word, inputs=_inputs(sql), sql=sql)

    with pytest.raises(DefinitionError, match=f"^derived feature 'bad': .*{MISTYPED[(word, sql)]}"):
        fs.apply([feature])
    assert fs.derived_features() == []


UNKNOWN: dict[str, tuple[Any, str]] = {
    "group": ("trip:km", r"input trip:km: there is no feature group 'trip'\. Did you mean 'trips'"),
    "feature": ("trips:kms", r"input trips:kms: feature 'kms' is not in group 'trips'\. Did you mean 'km'"),
    "derived": ("derived:kms", "input derived:kms: there is no derived feature 'kms'"),
    "key": (Lookup("trips", "km", on={"id": "x"}), r"on= names \['id'\]; the join keys of 'trips' are \['trip_id'\]"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_input_is_refused(what: str, fs: FeatureStore) -> None:
    place, fault = UNKNOWN[what]

    with pytest.raises(DefinitionError, match=f"^derived feature 'bad': .*{fault}"):
        fs.plan([DerivedFeature("bad", "double", inputs={"x": place}, sql="x")])


def test_a_circle_is_refused_also_through_what_was_applied_before(fs: FeatureStore) -> None:
    first = DerivedFeature("first", "double", inputs=["trips:km"], sql="km")
    fs.apply([first, DerivedFeature("second", "double", inputs=["derived:first"], sql="first")])

    with pytest.raises(DefinitionError, match=r"circle: (first|second) <- (first|second) <- "):
        fs.plan([DerivedFeature("first", "double", inputs=["derived:second"], sql="second")])


def test_a_change_that_would_break_a_derived_feature_is_refused(fs: FeatureStore) -> None:
    fs.apply(
        [
            DerivedFeature("label", "string", inputs=["trips:city"], sql="upper(city)"),
            DerivedFeature("shout", "string", inputs=["derived:label"], sql="label"),
        ]
    )
    without_city = FeatureGroup("trips", TRIP, features=[Feature("km", "double")], version=2)

    with pytest.raises(DefinitionError, match="derived feature 'label': input trips:city: feature 'city' is not in"):
        fs.plan([without_city])
    with pytest.raises(DefinitionError, match="derived feature 'shout': its expression gives BIGINT"):
        fs.plan([DerivedFeature("label", "long", inputs=["trips:riders"], sql="riders")])


def test_a_function_must_be_importable(fs: FeatureStore) -> None:
    with pytest.raises(DefinitionError, match=r"'bad': its function 'geo\.north:of' cannot be imported"):
        fs.apply([DerivedFeature("bad", "double", inputs=["trips:km"], function="geo.north:of")])
