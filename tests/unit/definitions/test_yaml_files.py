"""Definitions in YAML: the same words as in Python, and faults told by file, line and field."""

from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from featurestore import Entity, Feature, FeatureGroup, Lookup, Source, SpineQuery, TimeSplit, TrainingSetDefinition
from featurestore.definitions.sets.collection import Definitions
from featurestore.definitions.sets.yaml_files import load_definitions
from featurestore.errors import DefinitionError

ENTITIES = """
entities:
  - name: airport
    join_keys: {airport: string}
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(dedent(text), encoding="utf-8")
    return folder


def faults_of(path: Path) -> list[str]:
    """The lines of the error, each without the folder."""
    folder = path if path.is_dir() else path.parent
    with pytest.raises(DefinitionError) as raised:
        load_definitions(path)
    return [line.removeprefix(f"{folder}/") for line in str(raised.value).splitlines()]


def test_a_folder_says_the_same_as_python(tmp_path: Path) -> None:
    (tmp_path / "weather.sql").write_text("SELECT * FROM observations\n", encoding="utf-8")
    write(
        tmp_path,
        entities=ENTITIES,
        groups="""
            feature_groups:
              - name: airport_weather
                entity: airport
                description: Hourly, so it says
                owner: weather@example.org
                tags: [hourly]
                ttl: 3h
                retention: P400D
                nulls: keep
                partition_by: month
                version: 2
                features:
                  - {name: temp, type: double, min: -90, max: 140}
                  - name: visibility
                    type: long
                    allowed_values: [1, 2]
                sources:
                  observations: {path: "{landing}/{tenant_id}/weather", format: parquet}
                transformation:
                  sql_file: weather.sql
        """,
        trainings="""
            training_sets:
              - name: late
                features:
                  - airport_weather:temp
                  - group: airport_weather
                    on: {airport: dest}
                    prefix: dest_
                label: is_late
                known_at: event
                spine:
                  sources:
                    flights: {table: raw.flights, tenant_column: tenant}
                  transformation: SELECT * FROM flights
                split: {validation_from: 2013-10-01T00:00:00Z, test_from: "2013-11-01T00:00:00+00:00"}
        """,
    )
    airport = Entity("airport", {"airport": "string"})
    weather = FeatureGroup(
        "airport_weather",
        airport,
        description="Hourly, so it says",
        owner="weather@example.org",
        tags=["hourly"],
        ttl=timedelta(hours=3),
        retention=timedelta(days=400),
        nulls="keep",
        partition_by="month",
        version=2,
        features=[Feature("temp", "double", min=-90, max=140), Feature("visibility", "long", allowed_values=[1, 2])],
        sources={"observations": Source(path="{landing}/{tenant_id}/weather", format="parquet")},
        transformation="SELECT * FROM observations\n",
    )
    late = TrainingSetDefinition(
        "late",
        ["airport_weather:temp", Lookup("airport_weather", on={"airport": "dest"}, prefix="dest_")],
        label="is_late",
        known_at="event",
        spine=SpineQuery(
            sources={"flights": Source(table="raw.flights", tenant_column="tenant")},
            transformation="SELECT * FROM flights",
        ),
        split=TimeSplit(validation_from="2013-10-01T00:00:00Z", test_from="2013-11-01T00:00:00Z"),
    )

    assert load_definitions(tmp_path) == Definitions((airport,), (weather,), (late,))
    assert load_definitions(str(tmp_path / "entities.yml")) == Definitions((airport,))


def test_an_empty_file_defines_nothing(tmp_path: Path) -> None:
    assert load_definitions(write(tmp_path, empty="# nothing yet\n", sections="entities:\nfeature_groups: []\n")) == (
        Definitions()
    )


def test_every_fault_is_told_with_file_line_and_field(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_entities=ENTITIES,
        b_groups="""\
            feature_groups:
              - name: weather
                entity: airport
                tll: 3h
                features:
                  - name: temp
                    type: double
                    min: warm
                  - name: Wind
                    type: double
                  - {name: visibility, type: miles}
                  - {name: pressure, type: double}
              - name: delays
                entity: carrier
                features: []
              - name: runways
                entity: airport
                ttl: 3 hours
        """,
        c_trainings="""\
            training_sets:
              - name: late
                features: ["weather:temp"]
                split:
                  test_from: 2013-11-01
        """,
    )

    assert faults_of(tmp_path) == [
        "b_groups.yml:8: feature_groups.0.features.0.min (weather): "
        "Input should be a valid number, unable to parse string as a number",
        "b_groups.yml:9: feature_groups.0.features.1.name (weather): "
        "name 'Wind' is refused: use 1 to 63 of a-z, 0-9 and '_', starting with a letter",
        "b_groups.yml:11: feature_groups.0.features.2.type (weather): type 'miles' is not known; possible: double, float, "
        "long, int, boolean, string, timestamp, date, json, array<double>, array<string>, embedding(dims)",
        "b_groups.yml:4: feature_groups.0.tll (weather): unknown key; remove it or correct its spelling",
        "b_groups.yml:13: feature_groups.1 (delays): entity 'carrier' is not defined. Known: airport.",
        "b_groups.yml:16: feature_groups.2.features (runways): missing; it must be given",
        "b_groups.yml:18: feature_groups.2.ttl (runways): "
        "duration '3 hours' cannot be read; write '90m', '36h', '7d', '2w' or ISO 8601 as 'P7D'",
        "c_trainings.yml:2: training_sets.0.spine (late): missing; it must be given",
        "c_trainings.yml:2: training_sets.0.label (late): missing; it must be given",
        "c_trainings.yml:5: training_sets.0.split.test_from (late): "
        "datetime.date(2013, 11, 1) is a date without a time; give an instant with its offset",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("entities: [", "bad.yml:1: not YAML: "),
        ("entities:\n\t- name: a", "bad.yml:2: not YAML: "),
        ("a: 1\n---\nb: 2", "bad.yml:2: not YAML: "),
        ("entities: *missing", "bad.yml:1: not YAML: "),
        ("- a\n- b", "bad.yml:1: expected the sections entities, feature_groups, derived_features, training_sets"),
        ("just text", "bad.yml:1: expected the sections"),
        ("entities: []\nfeature_group: []", "bad.yml:2: feature_group: unknown section. Did you mean 'feature_groups'"),
        ("entities:\n  user: {}", "bad.yml:1: entities: expected a list"),
        ("entities:\n  - user", "bad.yml:2: entities.0: "),
        ("entities:\n  -", "bad.yml:2: entities.0: "),
        ("entities:\n  - name: a\n    join_keys: {k: long}\n    name: b", "bad.yml:4: entities.0.name: given twice"),
        ("entities:\n  - name: 7\n    join_keys: {k: long}", "bad.yml:2: entities.0.name (7): "),
        (
            "entities:\n  - name: a\n    join_keys: {k: double}",
            "bad.yml:3: entities.0.join_keys.k (a): Input should be",
        ),
        ("entities:\n  - name: a\n    join_keys: {K: long}", "bad.yml:3: entities.0.join_keys.K"),
        (
            "entities:\n  - name: ../a\n    join_keys: {k: long}",
            "bad.yml:2: entities.0.name (../a): name '../a' is ref",
        ),
        ("entities:\n  - name: a\n    join_keys: {}", "bad.yml:3: entities.0.join_keys (a): an entity needs at least"),
        ("entities:\n  - name: a\n    ? [k, l]\n    : long", "bad.yml:3: "),
        ("entities:\n  - name: !secret a", "bad.yml:2: "),
        ("entities:\n  - name: a\n    description: 2026-13-45", "bad.yml:3: "),
        ("entities: \x00", "bad.yml:1: "),
    ],
)
def test_a_broken_file_is_told_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    faults = faults_of(write(tmp_path, bad=text) / "bad.yml")

    assert faults[0].startswith(fault)
    assert len(faults) == 1


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_bytes(b"entities:\n  - name: caf\xe9\n")

    assert faults_of(tmp_path)[0].startswith("bad.yml:")


def test_a_sql_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    group = """\
        feature_groups:
          - name: weather
            entity: airport
            features: [{name: temp, type: double}]
            sources: {s: {path: "{tenant_id}"}}
            transformation: {sql_file: no.sql}
    """
    write(tmp_path, entities=ENTITIES, groups=group)

    assert faults_of(tmp_path) == [
        f"groups.yml:2: feature_groups.0 (weather): transformation.sql_file: there is no file {tmp_path / 'no.sql'}"
    ]


def test_two_definitions_of_one_name_must_agree(tmp_path: Path) -> None:
    write(tmp_path, one=ENTITIES, two=ENTITIES)
    assert [entity.name for entity in load_definitions(tmp_path).entities] == ["airport"]

    write(tmp_path, two=ENTITIES.replace("string", "long"))
    with pytest.raises(DefinitionError, match="entity 'airport' is defined twice, and differently"):
        load_definitions(tmp_path)


def test_a_path_without_definitions_says_so(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"the folder holds no \.yml file; write definitions there"):
        load_definitions(tmp_path)
    with pytest.raises(DefinitionError, match=r"no: there is no such file or folder of definitions"):
        load_definitions(tmp_path / "no")


def test_whole_numbers_of_yaml_stay_whole(tmp_path: Path) -> None:
    features = "[{name: a, type: long, min: 9007199254740993}, {name: b, type: long, max: 1e3}, {name: c, type: int, min: 0.0}]"
    group = f"feature_groups:\n  - {{name: stats, entity: airport, features: {features}}}\n"

    [stats] = load_definitions(write(tmp_path, all=ENTITIES + group)).feature_groups

    assert [(feature.min, feature.max) for feature in stats.features] == [(2**53 + 1, None), (None, 1000), (0, None)]
    assert '"min":9007199254740993' in stats.to_json()
