"""Derived features as they are declared: how inputs are named, and each bad declaration with its error."""

from __future__ import annotations

from typing import Any

import pytest

from featurestore import DerivedFeature, Entity, Feature, FeatureGroup, Lookup
from featurestore.definitions.derived.order import with_inputs_first
from featurestore.errors import DefinitionError, TransformationError
from tests.inputs.derived_functions import halves

ORIGIN = Lookup("airports", "lat", on={"airport": "origin"}, prefix="origin_")
DEST = Lookup("airports", "lat", on={"airport": "dest"}, prefix="dest_")


def test_a_list_names_each_input_by_its_own_name_and_a_mapping_by_any() -> None:
    listed = DerivedFeature("north", "double", inputs=[ORIGIN, "airports:lon", "seats"], sql="origin_lat + LON + seats")
    mapped = DerivedFeature("north", "double", inputs={"a": "airports:lat", "b": DEST}, sql="b - a")

    assert listed.inputs_by_name == {"origin_lat": ORIGIN, "lon": "airports:lon", "seats": "seats"}
    assert mapped.inputs_by_name == {"a": "airports:lat", "b": DEST}
    assert listed.spine_columns == ["seats"]
    assert mapped.references == [("airports", "lat"), ("airports", "lat")]
    assert DerivedFeature("twice", "double", inputs="seats", sql="seats * 2").inputs == ("seats",)


def test_stored_as_json_and_read_again() -> None:
    for feature in (
        DerivedFeature("north", "double", inputs=[ORIGIN, DEST], sql="dest_lat - origin_lat", version=2, owner="geo"),
        DerivedFeature("north", "double", inputs={"a": "airports:lat"}, function="geo.north:of", frame="pandas"),
    ):
        assert DerivedFeature.from_json(feature.to_json()) == feature


def test_a_function_is_stored_by_its_name() -> None:
    feature = DerivedFeature("half", "double", inputs=["fares:price"], function=halves)

    assert feature.function == "tests.inputs.derived_functions:halves"
    assert DerivedFeature.from_json(feature.to_json()).load() is halves
    with pytest.raises(TransformationError, match=r"'half': its function 'geo\.north:of' cannot be imported"):
        DerivedFeature("half", "double", inputs=["fares:price"], function="geo.north:of").load()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "itself": ({"inputs": ["derived:bad"], "sql": "bad"}, "it names itself, derived:bad"),
    "itself by a lookup": (
        {"inputs": {"x": Lookup("derived", "bad")}, "sql": "x"},
        "it names itself, derived:bad",
    ),
    "a collision": (
        {"inputs": ["a:lat", "b:lat"], "sql": "lat"},
        r"\['lat'\] would each name two inputs; give other names with a mapping",
    ),
    "a collision but for case": ({"inputs": {"x": "a:lat", "X": "b:lat"}, "sql": "x"}, "would each name two inputs"),
    "an unknown name": ({"inputs": ["a:lat"], "sql": "lat + lon"}, "sql: .*'lon' is not among the inputs"),
    "an unused input": (
        {"inputs": ["a:lat", "seats"], "sql": "lat"},
        r"sql: the expression does not use the inputs \['seats'\]; leave them out",
    ),
    "an unknown function": ({"inputs": ["a:lat"], "sql": "haversin(lat)"}, "sql: .*function haversin is not allowed"),
    "a subquery": ({"inputs": ["a:lat"], "sql": "(select lat)"}, "sql: .*a subquery is not allowed"),
    "an aggregate": ({"inputs": ["a:lat"], "sql": "avg(lat)"}, "sql: .*function avg is not allowed: it reads many"),
    "chance": ({"inputs": ["a:lat"], "sql": "lat * random()"}, "sql: .*random is not allowed: it depends on chance"),
    "two ways": ({"inputs": ["x"], "sql": "x", "function": halves}, "exactly one of 'sql' and 'function'"),
    "no way": ({"inputs": ["x"]}, "exactly one of 'sql' and 'function'"),
    "pandas for an expression": ({"inputs": ["x"], "sql": "x", "frame": "pandas"}, "'frame' is for a function"),
    "a function of nothing": ({"inputs": [], "function": halves}, "a function needs at least one"),
    "a lambda": ({"inputs": ["x"], "function": lambda x: x}, "has no name to import it by"),
    "a bad path": ({"inputs": ["x"], "function": "geo.north"}, "function"),
    "an embedding": ({"inputs": ["x"], "sql": "x", "type": "embedding(3)"}, "cannot be embedding"),
    "an unknown type": ({"inputs": ["x"], "sql": "x", "type": "decimal"}, "type 'decimal' is not known"),
    "a reserved column": ({"name": "event_date", "inputs": ["x"], "sql": "x"}, "like a column of the store"),
    "a lookup of two": ({"inputs": [Lookup("a", ["x", "y"])], "sql": "x"}, "names 2 features; an input is one"),
    "a lookup of all": ({"inputs": [Lookup("a")], "sql": "x"}, "names 0 features; an input is one"),
    "keys of a derived one": (
        {"inputs": [Lookup("derived", "x", on={"k": "c"})], "sql": "x"},
        "a Lookup of a derived feature takes no on=",
    ),
    "no reference": ({"inputs": ["a:b:c"], "sql": "c"}, "feature reference 'a:b:c' is refused"),
    "no column": ({"inputs": [""], "sql": "1"}, "'' cannot be a column of a spine"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_declaration_says_what_is_wrong(case: str) -> None:
    fields, fault = BAD[case]
    with pytest.raises(DefinitionError, match=fault):
        DerivedFeature(**{"name": "bad", "type": "double"} | fields)


def test_no_group_may_be_named_derived() -> None:
    with pytest.raises(DefinitionError, match="'derived' is reserved: derived:x is the derived feature x"):
        FeatureGroup("derived", Entity("user", join_keys={"id": "long"}), features=[Feature("x", "double")])


def test_what_a_feature_reads_is_computed_before_it() -> None:
    known = {
        name: DerivedFeature(name, "double", inputs=[f"derived:{read}" for read in reads] or ["x"], sql=sql)
        for name, reads, sql in (("a", ["c"], "c"), ("b", ["a", "c"], "a + c"), ("c", [], "x"), ("d", [], "x"))
    }

    assert with_inputs_first(["b"], known) == ["c", "a", "b"]
    circle = known | {"c": DerivedFeature("c", "double", inputs=["derived:b"], sql="b")}
    with pytest.raises(DefinitionError, match=r"read each other in a circle: (\w <- ){2,3}\w; compute one of them"):
        with_inputs_first(["b"], circle)
