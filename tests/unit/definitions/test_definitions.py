"""What may be declared, and what each fault is told as."""

import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from featurestore import (
    Entity,
    Feature,
    FeatureGroup,
    Lookup,
    Source,
    SpineQuery,
    TimeSplit,
    TrainingSetDefinition,
    Transformation,
    VectorIndex,
)
from featurestore.definitions.lookup import as_lookups
from featurestore.definitions.names import check_name, check_tenant_id, parse_reference
from featurestore.definitions.sets.collection import Definitions
from featurestore.definitions.values.durations import format_duration, parse_duration
from featurestore.definitions.values.types import parse_type
from featurestore.errors import DefinitionError, InvalidNameError, NotFoundError, TransformationError
from featurestore.operations.definitions.plan import make_plan
from featurestore.stores.small_tables.registry import Entry, RegistryState

USER = Entity("user", join_keys={"user_id": "string"})
SCORE = Feature("score", "double")
STATS = FeatureGroup("stats", USER, features=[SCORE, Feature("visits", "long")], ttl="7d")
TRIPS = SpineQuery(sources={"trips": Source(path="{tenant_id}/trips")}, transformation="SELECT * FROM trips")

HOSTILE = [
    *(
        "",
        ".",
        "..",
        "../other",
        "/",
        "a/b",
        "a\\b",
        "a.b",
        "a:b",
        "a b",
        "a*",
        "a%2e",
        "a'b",
        'a"b',
        "a`b",
        "a;b",
        "a=b",
    ),
    *("A", "aB", "_a", "é", "ａ", "a\u0301", "a\u200b", "а", "a\n", "\na", "a\0", "a" * 64),  # noqa: RUF001
    *(None, 7, True, b"a", ["a"]),
]


def with_names(*parts: Any) -> Any:
    """Parameters that show what is hostile about each."""
    return pytest.mark.parametrize(("name"), parts, ids=[ascii(part) for part in parts])


# Names.


@with_names(*HOSTILE, "-a", "__", "-")
def test_a_hostile_tenant_id_is_refused(name: Any) -> None:
    with pytest.raises(InvalidNameError, match=r"^tenant id .* is refused: use 1 to 63 of a-z, 0-9, '_' and '-'"):
        check_tenant_id(name)


@with_names(*HOSTILE, "1a", "a-b")
def test_a_hostile_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidNameError, match=r"^name .* is refused: use 1 to 63 of a-z, 0-9 and '_'"):
        check_name(name)


@with_names(*(part for part in HOSTILE if isinstance(part, str)))
@pytest.mark.parametrize(
    "define",
    [
        lambda name: Entity(name, join_keys={"k": "long"}),
        lambda name: Entity("e", join_keys={name: "long"}),
        lambda name: Feature(name, "long"),
        lambda name: FeatureGroup(name, USER, features=[SCORE]),
        lambda name: Lookup(name),
        lambda name: Lookup("stats", [name]),
        lambda name: TrainingSetDefinition(name, ["stats:score"], spine=TRIPS, label="late"),
    ],
    ids=["entity", "join key", "feature", "group", "lookup", "looked-up feature", "training set"],
)
def test_a_definition_with_a_hostile_name_is_refused(define: Any, name: str) -> None:
    with pytest.raises(DefinitionError, match="is refused"):
        define(name)


@with_names("a", "0", "a-b_c", "a" * 63)
def test_a_plain_tenant_id_is_taken_as_it_is(name: str) -> None:
    assert check_tenant_id(name) == name


@with_names("a", "a_b", "a0", "a" * 63)
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert check_name(name) == name


@with_names("stats", "stats:", ":score", "stats:score:x", "stats.score", "Stats:score", "stats:../score", "", None, 7)
def test_a_reference_is_group_and_feature(name: Any) -> None:
    with pytest.raises(InvalidNameError):
        parse_reference(name)
    assert parse_reference("stats:score") == ("stats", "score")


@pytest.mark.parametrize("name", ["tenant_id", "event_date", "event_timestamp", "created_timestamp"])
def test_columns_of_the_store_cannot_be_declared(name: str) -> None:
    with pytest.raises(DefinitionError, match="store; give the join key another name"):
        Entity("user", join_keys={name: "string"})
    with pytest.raises(DefinitionError, match="store; give the feature another name"):
        Feature(name, "double")


@pytest.mark.parametrize("name", ["text__model_version", "stats__event_timestamp"])
def test_a_feature_cannot_be_named_as_a_column_that_the_store_makes(name: str) -> None:
    with pytest.raises(DefinitionError, match="ends like a column that the store makes"):
        Feature(name, "string")


# Every definition.


@pytest.mark.parametrize("definition", [USER, SCORE, STATS, Lookup("stats"), TRIPS, TimeSplit(test=0.2)])
def test_definitions_are_frozen(definition: Any) -> None:
    field = next(iter(type(definition).model_fields))

    with pytest.raises(ValueError, match="frozen"):
        setattr(definition, field, "other")


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (lambda: Entity("user", {"id": "long"}, ttl="7d"), "Entity 'user'; ttl: unknown key; remove it or correct"),
        (lambda: Feature("score", "double", minimum=0), "Feature 'score'; minimum: unknown key"),
        (lambda: FeatureGroup("stats", USER, features=[SCORE], tll="7d"), "FeatureGroup 'stats'; tll: unknown key"),
        (lambda: Lookup("stats", keys={}), "Lookup; keys: unknown key"),
        (lambda: FeatureGroup("stats", USER), "FeatureGroup 'stats'; features: missing; it must be given"),
        (
            lambda: FeatureGroup("s", USER, features=[{"name": "a", "type": "double", "mx": 1}]),
            r"features\.0\.mx: unknown",
        ),
        (lambda: Feature("score", "double", "text"), "Feature takes 2 values by position"),
        (lambda: Feature("score", name="score"), r"was given \['name'\] both by position and by name"),
    ],
)
def test_a_fault_names_the_definition_and_the_field(define: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        define()


@pytest.mark.parametrize(
    "definition",
    [
        USER,
        STATS,
        Feature("plan", "string", allowed_values=["a", "b"], not_null=True, description="é", tags=["x"]),
        FeatureGroup(
            "g", USER, features=[Feature("text", "embedding(3)")], ttl=timedelta(microseconds=1), retention="2w", version=2
        ),
        TrainingSetDefinition("t", ["stats:score", Lookup("stats", prefix="x_")], spine=TRIPS, label="late"),
        TrainingSetDefinition(
            *("t", ["stats:score"]),
            spine=TRIPS,
            label="late",
            known_at="2026-01-01T00:00:00+01:00",
            split=TimeSplit(validation_from="2026-01-01T00:00Z", test_from="2026-02-01T00:00Z"),
        ),
    ],
)  # fmt: skip
def test_json_gives_the_same_definition_back(definition: Any) -> None:
    text = definition.to_json()

    assert type(definition).from_json(text) == definition
    assert type(definition).from_json(text).to_json() == text


def test_declaring_needs_no_spark() -> None:
    code = "import featurestore, sys; featurestore.FeatureGroup; sys.exit('pyspark' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Features.


@pytest.mark.parametrize(
    ("kind", "rules", "message"),
    [
        ("string", {"min": 0}, "rule 'min' is for a numeric type, and this feature is string"),
        ("timestamp", {"max": 0}, "rule 'max' is for a numeric type"),
        ("embedding(3)", {"min": 0}, "rule 'min' is for a numeric type"),
        ("array<double>", {"max": 0}, "rule 'max' is for a numeric type"),
        ("double", {"allowed_values": [1]}, "rule 'allowed_values' is for string, long, int or boolean"),
        ("long", {"pattern": "x"}, "rule 'pattern' is for string"),
        ("json", {"pattern": "x"}, "rule 'pattern' is for string"),
        ("long", {"min_length": 1}, "rule 'min_length' is for string or an array"),
        ("embedding(3)", {"max_length": 3}, "rule 'max_length' is for string or an array"),
        ("string", {"model_version": "m"}, r"rule 'model_version' is for embedding\(dims\)"),
        ("double", {"min": 2, "max": 1}, "min 2.0 is greater than max 1.0"),
        ("string", {"min_length": 2, "max_length": 1}, "min_length 2 is greater than max_length 1"),
        ("string", {"min_length": -1}, "min_length: .*greater than or equal to 0"),
        ("double", {"min": float("nan")}, "min: .*finite"),
        ("double", {"max": float("inf")}, "max: .*finite"),
        ("double", {"max": Decimal("NaN")}, "max: .*finite"),
        ("double", {"max": Decimal("1e999999")}, "max: .*too large"),
        ("long", {"min": True}, "min: True is a boolean"),
        ("long", {"min": np.True_}, "min: True is a boolean"),
        ("long", {"min": "few"}, "min: .*valid number"),
        ("double", {"max": 2**53 + 1}, "max: 9007199254740993 is not exact as double; the nearest .* 9007199254740992"),
        ("float", {"max": 2**24 + 1}, "max: 16777217 is not exact as float; the nearest that it holds is 16777216"),
        ("int", {"min": 2**31}, "min 2147483648 is greater than 2147483647, the greatest value of int"),
        ("long", {"max": -(2**63) - 1}, "max -9223372036854775809 is less than -9223372036854775808, the least value"),
        ("float", {"min": 1e39}, "the greatest value of float: no value can satisfy it"),
        ("long", {"min": 2**53 + 1, "max": 2**53}, "min 9007199254740993 is greater than max 9007199254740992"),
        ("long", {"min": 0.2, "max": 0.8}, "no whole number lies between min 0.2 and max 0.8"),
        ("long", {"allowed_values": [2**63]}, "allowed value 9223372036854775808 is beyond the range of long"),
        ("long", {"allowed_values": [1, "2"]}, "allowed value '2' is not of type long"),
        ("long", {"allowed_values": [True]}, "allowed value True is not of type long"),
        ("string", {"allowed_values": [1]}, "allowed value 1 is not of type string"),
        ("boolean", {"allowed_values": [1]}, "allowed value 1 is not of type boolean"),
        ("string", {"pattern": "("}, "pattern '\\(' is not a regular expression"),
    ],
)
def test_a_rule_that_does_not_fit_the_type_is_refused(kind: str, rules: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=f"^Feature 'f'; .*{message}"):
        Feature("f", kind, **rules)


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        ("double", {"min": 0, "max": 0, "not_null": True}),
        ("int", {"min": -1, "allowed_values": [1, 2]}),
        ("boolean", {"allowed_values": [True]}),
        ("string", {"pattern": "[A-Z]{3}", "min_length": 0, "max_length": 3, "allowed_values": ["a"]}),
        ("array<string>", {"min_length": 1, "max_length": 1}),
        ("embedding(16000)", {"model_version": "m", "not_null": True}),
    ],
)
def test_a_rule_that_fits_the_type_is_kept(kind: str, rules: dict[str, Any]) -> None:
    stored = Feature("f", kind, **rules).model_dump(include=set(rules))

    assert {rule: list(value) if isinstance(value, tuple) else value for rule, value in stored.items()} == rules


@pytest.mark.parametrize(
    ("kind", "value", "bound", "rule"),
    [
        ("long", 2**53 + 1, 2**53 + 1, "min 9007199254740993"),
        ("long", "9007199254740993", 2**53 + 1, "min 9007199254740993"),
        ("long", Decimal(2**53 + 1), 2**53 + 1, "min 9007199254740993"),
        ("long", np.int64(2**53 + 1), 2**53 + 1, "min 9007199254740993"),
        ("long", 0.0, 0, "min 0"),
        ("int", 1e3, 1000, "min 1000"),
        ("long", 0.5, 0.5, "min 0.5"),
        ("long", -(10**30), -(10**30), "min -1000000000000000000000000000000"),
        ("double", 0, 0.0, "min 0"),
        ("double", Decimal("0.1"), 0.1, "min 0.1"),
        ("double", 1e300, 1e300, "min 1e+300"),
        ("float", 0.1, 0.1, "min 0.1"),
    ],
)
def test_a_bound_is_exact_and_read_back_as_it_was(kind: str, value: Any, bound: Any, rule: str) -> None:
    feature = Feature("f", kind, min=value)

    assert (feature.min, type(feature.min)) == (bound, type(bound))
    assert feature.rules == (rule,)
    assert Feature.from_json(feature.to_json()) == feature


def test_a_whole_number_that_was_stored_as_a_fraction_is_no_change() -> None:
    group = FeatureGroup("g", USER, features=[Feature("f", "long", min=0, max=2**60)])
    entry = Entry("feature_group", "g", 1, 3, group.to_json().replace('"min":0', '"min":0.0'))
    state = RegistryState({entry.key: entry, ("entity", "user", 1): Entry("entity", "user", 1, 1, USER.to_json())})

    [_, same] = make_plan(Definitions.of([group]), state).changes
    raised = FeatureGroup("g", USER, features=[Feature("f", "long", min=0, max=2**60 + 1)])
    [_, changed] = make_plan(Definitions.of([raised]), state).changes

    assert (same.action, same.entry) == ("unchanged", entry)
    assert (changed.action, changed.details) == (
        "update",
        ("~ feature f: max: 1152921504606846976 -> 1152921504606846977",),
    )


@pytest.mark.parametrize(
    ("word", "storage"),
    [
        *(("double", "double"), ("float", "float"), ("long", "bigint"), ("int", "int"), ("boolean", "boolean")),
        *(("string", "string"), ("timestamp", "timestamp"), ("date", "date"), ("json", "string")),
        *(("array<double>", "array<double>"), ("array<string>", "array<string>"), ("embedding(1536)", "array<float>")),
    ],
)
def test_a_type_has_a_storage_type(word: str, storage: str) -> None:
    assert parse_type(word).storage == storage


@pytest.mark.parametrize("word", ["Double", "decimal", "array<int>", "array< double>", "embedding", "embedding()", ""])
def test_an_unknown_type_is_refused_with_those_that_are_known(word: str) -> None:
    with pytest.raises(DefinitionError, match=r"is not known; possible: double, float, .*embedding\(dims\)"):
        Feature("f", word)


@pytest.mark.parametrize("dims", ["0", "16001", "99999"])
def test_an_embedding_has_1_to_16000_dims(dims: str) -> None:
    with pytest.raises(DefinitionError, match="an embedding has 1 to 16000 dims"):
        Feature("f", f"embedding({dims})")


# Entities and groups.


def test_keys_keep_their_order() -> None:
    assert Entity("leg", {"origin": "string", "number": "long", "day": "date"}).keys == ["origin", "number", "day"]


@pytest.mark.parametrize(
    ("join_keys", "message"),
    [
        ({}, "an entity needs at least one join key"),
        ({"user_id": "double"}, "join_keys.user_id: Input should be 'string', 'long'"),
        ({"user_id": "json"}, "join_keys.user_id: Input should be"),
    ],
)
def test_join_keys_are_exact_types(join_keys: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Entity("user", join_keys)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"features": []}, "features: .*at least 1 item"),
        ({"features": [SCORE, SCORE]}, r"columns \['score'\] are named twice among the join keys and features"),
        ({"features": [Feature("user_id", "string")]}, r"columns \['user_id'\] are named twice"),
        ({"version": 0}, "version: .*greater than or equal to 1"),
        ({"nulls": "drop"}, "nulls: Input should be 'skip' or 'keep'"),
        ({"partition_by": "hour"}, "partition_by: Input should be 'day' or 'month'"),
        ({"ttl": "0s"}, "ttl: duration '0s' must be longer than zero"),
        ({"retention": timedelta(days=-1)}, "retention: duration .* must be longer than zero"),
        ({"entity": "user"}, "entity: "),
        ({"sources": {"s": Source(path="{tenant_id}")}}, "'sources' are declared, but no 'transformation' reads them"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=f"^FeatureGroup 'stats'; .*{message}"):
        FeatureGroup(**{"name": "stats", "entity": USER, "features": [SCORE]} | more)


EMBEDDING = {"name": "text", "type": "embedding(3)"}


@pytest.mark.parametrize(
    ("dims", "index", "message"),
    [
        (3, {"filter": ["visits"]}, "index.filter: unknown key"),
        (3, {"filters": ["visits", "visits"]}, r"filters \['visits'\] are named twice"),
        (3, {"storage": "bit"}, "index.storage: Input should be 'halfvec' or 'vector'"),
        (3, {"m": 1}, "index.m: .*greater than or equal to 2"),
        (3, {"m": 40}, "ef_construction 64 is less than 2 \\* m, which is 80"),
        (3, {"ef_construction": 1001}, "index.ef_construction: .*less than or equal to 1000"),
        (2001, {"storage": "vector"}, "index.storage 'vector' is for up to 2000 dims"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(dims: int, index: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=f"^Feature 'text'; .*{message}"):
        Feature("text", f"embedding({dims})", index=index)


def test_only_an_embedding_has_an_index() -> None:
    with pytest.raises(DefinitionError, match=r"rule 'index' is for embedding\(dims\), and this feature is double"):
        Feature("score", "double", index={})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("visit", "names 'visit', which is not a feature of the group. Did you mean 'visits'"),
        ("user_id", "names 'user_id', which is a join key; searches filter by these anyway"),
        ("tags", "names 'tags', which is array<string>; possible types: string, boolean"),
        ("text", "names 'text', which is embedding\\(3\\); possible types"),
        ("extra", "names 'extra', which is json; possible types"),
    ],
)
def test_an_index_filters_by_scalar_features_of_its_group(name: str, message: str) -> None:
    others = [Feature("visits", "long"), Feature("tags", "array<string>"), Feature("extra", "json")]

    with pytest.raises(DefinitionError, match=f"feature 'text': index.filters {message}"):
        FeatureGroup("stats", USER, features=[Feature(**EMBEDDING, index={"filters": [name]}), *others])


@pytest.mark.parametrize(
    ("dims", "setting", "storage"),
    [(2000, None, "vector"), (2001, None, "halfvec"), (3, "halfvec", "halfvec"), (16000, None, "halfvec")],
)
def test_an_embedding_is_stored_as_asked_or_as_its_dims_need(dims: int, setting: Any, storage: str) -> None:
    assert VectorIndex(storage=setting).storage_of(dims) == storage


def test_an_index_may_change() -> None:
    def group(**index: Any) -> FeatureGroup:
        return FeatureGroup("stats", USER, features=[Feature(**EMBEDDING, **index), Feature("visits", "long")])

    before = Entry("feature_group", "stats", 1, 1, group().to_json())
    entity = Entry("entity", "user", 1, 1, USER.to_json())
    state = RegistryState({before.key: before, entity.key: entity})

    [change] = [
        candidate
        for candidate in make_plan(Definitions.of([group(index={"filters": ["visits"]})]), state).changes
        if candidate.action != "unchanged"
    ]

    assert change.details == ('~ feature text: index: none -> {"filters":["visits"]}',)


def test_an_unknown_feature_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r"feature 'visit' is not in group 'stats'\. Did you mean 'visits'"):
        STATS.feature("visit")


# Durations.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90m", timedelta(minutes=90)),
        ("36h", timedelta(hours=36)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        (" 1 s ", timedelta(seconds=1)),
        ("250ms", timedelta(milliseconds=250)),
        ("1us", timedelta(microseconds=1)),
        ("P7D", timedelta(days=7)),
        ("PT0.000001S", timedelta(microseconds=1)),
        (timedelta(hours=1), timedelta(hours=1)),
    ],
)
def test_a_duration_is_read_as_people_write_it(written: Any, meant: timedelta) -> None:
    assert parse_duration(written) == meant
    assert parse_duration(format_duration(meant)) == meant


@pytest.mark.parametrize(
    "written", ["", "7", "7 days", "1.5h", "-1d", "0d", "P", "7D", 7, 7.0, None, timedelta(0), "-P1D"]
)
def test_a_duration_that_is_not_one_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(written)


@pytest.mark.parametrize("written", ["9999999999999w", "999999999999999999999999d"])
def test_a_duration_beyond_all_time_is_refused(written: str) -> None:
    with pytest.raises(DefinitionError, match=r"ttl: .*duration"):
        FeatureGroup("stats", USER, features=[SCORE], ttl=written)


def test_a_group_shows_its_durations_shortly() -> None:
    assert '"ttl":"1w"' in STATS.to_json()
    assert FeatureGroup.from_json(STATS.to_json()).ttl == timedelta(days=7)


# Lookups and references.


def test_references_of_one_group_become_one_lookup() -> None:
    destination = Lookup("weather", "temp", on={"airport": "dest"}, prefix="dest_")

    assert as_lookups(["stats:score", destination, "weather:wind", "stats:visits"]) == [
        Lookup("stats", ["score", "visits"]),
        destination,
        Lookup("weather", ["wind"]),
    ]
    assert as_lookups("stats:score") == [Lookup("stats", ["score"])]


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (lambda: Lookup("stats", ["score", "score"]), r"features: \['score'\] are listed twice"),
        (lambda: as_lookups(["stats:score", "stats:score"]), r"features: \['score'\] are listed twice"),
        (lambda: Lookup("stats", on={"User": "dest"}), r"on\.User.*name 'User' is refused"),
        (lambda: Lookup("stats", prefix=""), "prefix: "),
        (lambda: Lookup("stats", prefix="to-"), "prefix: "),
    ],
)
def test_a_lookup_that_makes_no_sense_is_refused(define: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        define()


# Sources, transformations, training sets.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shared": True}, "exactly one of 'path', 'table' and 'group'"),
        ({"path": "a", "table": "a", "shared": True}, "exactly one of 'path', 'table' and 'group'"),
        ({"path": "landing/trips"}, "limit it to one tenant in exactly one way"),
        ({"path": "{tenant_id}/trips", "tenant_column": "tenant"}, "in exactly one way"),
        ({"path": "{tenant_id}/trips", "shared": True}, "in exactly one way"),
        ({"path": "{home}/trips", "shared": True}, r"unknown placeholders \['home'\]; possible:"),
        ({"path": "{0}/{tenant_id}"}, r"unknown placeholders \['0'\]"),
        ({"path": "{}/{tenant_id}"}, r"unknown placeholders \[''\]"),
        ({"path": "{tenant_id"}, "expected '}'"),
        ({"table": "a b", "shared": True}, "table: "),
        ({"table": "a.b.c.d", "shared": True}, "table: "),
        ({"table": "trips; DROP TABLE x", "shared": True}, "table: "),
        ({"table": "trips", "format": "csv", "shared": True}, "'format' is only for 'path'"),
        ({"path": "x", "shared": True, "format": "orc"}, "format: Input should be"),
    ],
)
def test_a_source_that_is_not_kept_to_one_tenant_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Source(**fields)


def double(sources: Any, window: Any) -> Any:
    return sources, window


def test_a_transformation_is_sql_or_an_importable_function() -> None:
    assert Transformation.of("SELECT 1") == Transformation(sql="SELECT 1")
    assert Transformation.of(double).load() is double
    assert Transformation(function="os.path:join").load().__name__ == "join"


@pytest.mark.parametrize("function", ["no.such.module:f", "os.path:no_such", "os:path.no_such"])
def test_a_function_that_cannot_be_imported_says_where_to_install_it(function: str) -> None:
    with pytest.raises(
        TransformationError, match=f"{function}.* cannot be imported .*install the package that holds it"
    ):
        Transformation(function=function).load()


@pytest.mark.parametrize("fields", [{}, {"sql": "SELECT 1", "function": "a:b"}, {"function": "os.system"}])
def test_a_transformation_is_one_of_both(fields: dict[str, str]) -> None:
    with pytest.raises(DefinitionError):
        Transformation(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give either 'test_from' .* or 'test'"),
        ({"test": 0.2, "test_from": "2026-01-01T00:00Z"}, "give either 'test_from' .* or 'test'"),
        ({"test": 0.2, "validation_from": "2026-01-01T00:00Z"}, "both parts as instants or both as shares"),
        ({"test_from": "2026-01-01T00:00Z", "validation": 0.1}, "both parts as instants or both as shares"),
        (
            {"test_from": "2026-01-01T00:00Z", "validation_from": "2026-01-01T01:00+01:00"},
            "validation_from must be before test_from",
        ),
        ({"test": 0.5, "validation": 0.5}, "leave nothing to train on"),
        ({"test": 0}, "test: .*greater than 0"),
        ({"test_from": "2026-01-01"}, "test_from: .*is a date without a time"),
        ({"test_from": "2026-01-01T00:00"}, "test_from: .*has no time zone"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        TimeSplit(**fields)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"features": []}, "features: .*at least 1 item"),
        ({"known_at": "soon"}, "known_at"),
        ({"known_at": "2026-01-01T00:00"}, "known_at.*no time zone"),
        ({"sample_size": 0}, "sample_size: .*greater than 0"),
        ({"spine": {"sources": {}, "transformation": "SELECT 1"}}, "spine.sources: .*at least 1 item"),
    ],
)
def test_a_training_set_that_makes_no_sense_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        TrainingSetDefinition(**{"name": "t", "features": ["stats:score"], "spine": TRIPS, "label": "late"} | more)


# Definitions together.


def test_definitions_are_sorted_by_kind_and_a_group_brings_its_entity() -> None:
    training_set = TrainingSetDefinition("t", ["stats:score"], spine=TRIPS, label="late")

    definitions = Definitions.of([training_set, STATS, STATS])

    assert definitions == Definitions((USER,), (STATS,), (training_set,))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([STATS, Entity("user", {"user_id": "long"})], "entity 'user' is defined twice, and differently"),
        ([STATS, STATS.model_copy(update={"owner": "me"})], r"feature group \('stats', 1\) is defined twice"),
        ([SCORE], r"Feature\) cannot be applied; give Entity, FeatureGroup, DerivedFeature or TrainingSetDefinition"),
    ],
)
def test_definitions_that_disagree_are_refused(items: list[Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Definitions.of(items)
