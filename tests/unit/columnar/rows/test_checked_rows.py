"""A local batch, checked without Spark: values in the group's types, every reason in order, and faulty rows as text."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.checked_rows import check_local_rows
from featurestore.columnar.rows.local_rows import arrow_from_dicts, arrow_from_pandas, arrow_from_table
from featurestore.columnar.rows.names import FAULTS, ROW
from featurestore.columnar.rows.reasons_of_rows import Reasons
from featurestore.columnar.spark_names import spark_name
from featurestore.errors import SchemaError
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.kinds.registry import kind_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
USER = Entity("user", join_keys={"user_id": "string"})


def group_of(*features: Feature) -> FeatureGroup:
    return FeatureGroup("stats", USER, features=list(features))


def checked(rows: list[Any], group: FeatureGroup, zone: str | None = None) -> pa.Table:
    result = check_local_rows(arrow_from_dicts(rows, group, zone), group, "acme", zone)
    assert result is not None
    return result


def test_good_and_bad_rows() -> None:
    group = group_of(Feature("age", "long", min=0), Feature("score", "double"))
    rows = [
        {"user_id": "u1", "event_timestamp": NOON, "age": 3, "score": 0.5},
        {"user_id": "u2", "event_timestamp": NOON, "age": -1, "score": float("inf")},
        {"user_id": None, "event_timestamp": "noon", "age": 2.5, "score": None},
        {"user_id": "u4", "event_timestamp": NOON, "years": 4},
    ]

    result = checked(rows, group)

    assert result.to_pydict() == {
        "user_id": ["u1", "u2", None, "u4"],
        "event_timestamp": [NOON, NOON, None, NOON],
        "created_timestamp": [None] * 4,
        "age": [3, -1, None, None],
        "score": [0.5, float("inf"), None, None],
        FAULTS: [
            [],
            ["age: less than min 0", "score: not a finite number"],
            ["event_timestamp: not readable as timestamp", "age: not a whole number, for long", "user_id: missing"],
            [
                "years: not a column of the group. Known: age, created_timestamp, event_timestamp, score, tenant_id, "
                "user_id."
            ],
        ],
        ROW: [
            None,
            '{"user_id":"u2","event_timestamp":"2026-11-01T12:00:00.000000Z","age":-1,"score":"Infinity"}',
            '{"user_id":null,"event_timestamp":"noon","age":2.5,"score":null}',
            '{"user_id":"u4","event_timestamp":"2026-11-01T12:00:00.000000Z","years":4}',
        ],
    }


@pytest.mark.parametrize(
    ("feature", "good", "bad", "reason"),
    [
        (Feature("f", "double", min=0.5), [0.5, None, 1e300], [0.4999, -1.0], "less than min 0.5"),
        (Feature("f", "double", max=0), [0.0, -0.0], [5e-324], "greater than max 0"),
        (Feature("f", "float", min=0.1), [np.float32(0.1).item()], [0.09], "less than min 0.1"),
        (Feature("f", "long", max=2**53), [2**53], [2**53 + 1], "greater than max 9007199254740992"),
        (Feature("f", "int", min=-0.5), [0], [-1], "less than min -0.5"),
        (Feature("f", "int", allowed_values=[1, 2**31]), [1, None], [0], "not among allowed_values"),
        (Feature("f", "string", allowed_values=["é"]), ["é"], ["e", ""], "not among allowed_values"),
        (Feature("f", "boolean", allowed_values=[True]), [True], [False], "not among allowed_values"),
        (Feature("f", "string", pattern="[a-z]+"), ["abc"], ["", "a\n", "A"], "does not match pattern"),
        (Feature("f", "string", min_length=2), ["é😀"], ["😀"], "shorter than min_length 2"),
        (Feature("f", "string", max_length=1), ["😀", ""], ["ab"], "longer than max_length 1"),
        (Feature("f", "array<string>", min_length=1), [[None]], [[]], "shorter than min_length 1"),
        (Feature("f", "array<double>", max_length=1), [[1.0]], [[1.0, 2.0]], "longer than max_length 1"),
        (Feature("f", "date", not_null=True), [date(2026, 11, 1)], [None], "missing"),
        (Feature("f", "embedding(2)"), [[1.0, 2.0]], [[1.0]], "not of 2 dims"),
        (Feature("f", "json"), ["[]"], ["["], "not readable as json"),
    ],
)
def test_each_rule(feature: Feature, good: list[Any], bad: list[Any], reason: str) -> None:
    rows = [{"user_id": "u", "event_timestamp": NOON, "f": value} for value in (*good, *bad)]

    result = checked(rows, group_of(feature))

    assert result.column(FAULTS).to_pylist() == [[]] * len(good) + [[f"f: {reason}"]] * len(bad)


def test_nan_breaks_one_rule_and_an_unreadable_value_none() -> None:
    group = group_of(Feature("f", "double", min=0, max=1, not_null=True))
    rows = [{"user_id": "u", "event_timestamp": NOON, "f": value} for value in (float("nan"), "x")]

    assert checked(rows, group).column(FAULTS).to_pylist() == [
        ["f: not a finite number"],
        ["f: expected double, found str"],
    ]


def test_a_typed_row_as_text_has_every_column_that_was_given() -> None:
    group = group_of(Feature("a", "double", max=1), Feature("b", "array<double>"), Feature("c", "string"))
    table = pa.table(
        {
            "b": pa.array([[1.5, None], None], pa.list_(pa.float32())),
            "event_timestamp": pa.array([NOON, NOON], pa.timestamp("ns", "Asia/Tokyo")),
            "a": pa.array([1e7, 2], pa.float32()),
            "user_id": pa.array(['"', None]).dictionary_encode(),
            "tenant_id": ["acme", "other"],
        }
    )

    result = check_local_rows(arrow_from_table(table, group), group, "acme")

    assert result is not None
    assert result.select([FAULTS, ROW]).to_pylist() == [
        {
            FAULTS: ["a: greater than max 1", "b: holds a number that is missing or not finite"],
            ROW: '{"b":[1.5,null],"event_timestamp":"2026-11-01T12:00:00.000000Z","a":1.0E7,"user_id":"\\"",'
            '"tenant_id":"acme"}',
        },
        {
            FAULTS: ["tenant_id: not the tenant of this store", "user_id: missing", "a: greater than max 1"],
            ROW: '{"b":null,"event_timestamp":"2026-11-01T12:00:00.000000Z","a":2.0,"user_id":null,"tenant_id":"other"}',
        },
    ]


def test_the_columns_have_the_types_of_their_kinds() -> None:
    words = (
        "double",
        "float",
        "long",
        "int",
        "boolean",
        "string",
        "timestamp",
        "date",
        "json",
        "array<double>",
        "array<string>",
    )
    group = group_of(*(Feature(f"f{number}", word) for number, word in enumerate(words)), Feature("v", "embedding(2)"))

    for rows in ([], [{"user_id": "u", "event_timestamp": NOON}]):
        result = checked(rows, group)
        expected = ["string", "timestamp", "timestamp", *words, "embedding(2)", "string"]
        assert [field.type for field in result.schema][:-2] == [kind_of(word).arrow_type for word in expected]
        assert result.column_names[-3:] == ["v__model_version", FAULTS, ROW]
        assert result.column(FAULTS).to_pylist() == [[]] * len(rows)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"f": pa.array(["1"])}, "column 'f' is string and cannot be read losslessly as long; cast it yourself"),
        ({"f": pa.array([[{"a": 1}]])}, "column 'f' is array<struct<a:bigint>> and cannot be read losslessly as long"),
        (
            {"f": pa.array([1]), "event_timestamp": pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us"))},
            "column 'event_timestamp' is timestamp_ntz and cannot be read losslessly as timestamp; cast it yourself, or mend "
            "the definition (it has no time zone: give instants, or name the zone to read it in as timestamp_zone in the "
            "settings)",
        ),
        ({}, "none of its features"),
        ({"f": pa.array([1]), "g": pa.array([1])}, "has no columns ['g']"),
    ],
)
def test_columns_that_can_never_fit(columns: dict[str, pa.Array], message: str) -> None:
    group = group_of(Feature("f", "long"))
    table = pa.table({"user_id": ["u"], "event_timestamp": pa.array([NOON], INSTANT)} | columns)

    with pytest.raises(SchemaError) as refused:
        check_local_rows(table, group, "acme")

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        (Feature("f", "string", pattern=r"(?i)a"), pa.array(["a"])),
        (Feature("f", "json"), pa.array(['"\\ud800"'])),
        (Feature("f", "timestamp"), pa.array([2**63 - 1], pa.int64()).cast(INSTANT)),
        (Feature("f", "long"), pa.nulls(1, pa.decimal128(5, 10))),
        (Feature("f", "string"), pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])),
    ],
)  # fmt: skip
def test_what_must_go_by_spark(feature: Feature, values: pa.Array) -> None:
    table = pa.table({"user_id": ["u"], "event_timestamp": pa.array([NOON], INSTANT), "f": values})

    assert check_local_rows(table, group_of(feature), "acme") is None


def test_a_pandas_time_that_python_cannot_hold_is_outside_the_years() -> None:
    times = pd.Series(
        pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC")).to_pandas(types_mapper=pd.ArrowDtype)
    )
    frame = pd.DataFrame({"user_id": pd.Series([1], dtype=object), "event_timestamp": times, "f": [1.0]})
    group = group_of(Feature("f", "double"))

    result = check_local_rows(arrow_from_pandas(frame, group, None), group, "acme")

    assert result is not None
    assert result.column(ROW).to_pylist() == [
        '{"user_id":1,"event_timestamp":"+148108-07-06T14:00:27.387904Z","f":1.0}'
    ]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.int8(), "tinyint"),
        (pa.decimal128(10, 2), "decimal(10,2)"),
        (pa.struct([("a", pa.list_(pa.date32())), ("B", pa.map_(pa.string(), pa.null()))]), "struct<a:array<date>,B:map<string,void>>"),
        (pa.duration("us"), "interval day to second"),
    ],
)  # fmt: skip
def test_types_by_the_names_of_spark(kind: pa.DataType, name: str) -> None:
    assert spark_name(kind) == name


@pytest.mark.parametrize(
    "kind", [pa.large_list(pa.int8()), pa.struct([]), pa.binary(3), pa.timestamp("ns"), pa.uint8()]
)
def test_types_that_only_spark_can_judge(kind: pa.DataType) -> None:
    with pytest.raises(UndecidedError):
        spark_name(kind)


def test_a_reason_counts_once_on_a_row_in_the_order_in_which_reasons_were_found() -> None:
    reasons = Reasons(3)
    reasons.add(np.array([False, True, True]), "late")
    reasons.add_texts(np.array([2, 1, 2]), pa.array(["odd", "late", "odd"]))
    reasons.add(np.array([False, False, True]), "late")

    assert reasons.is_faulty().tolist() == [False, True, True]
    assert reasons.column().to_pylist() == [[], ["late"], ["late", "odd"]]
