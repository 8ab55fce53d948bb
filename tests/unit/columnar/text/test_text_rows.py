"""Rows of text as Arrow columns with faults; that Spark reads them alike is in tests/properties."""

from __future__ import annotations

import pytest

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.names import FAULTS, ROW
from featurestore.columnar.text.csv_records import csv_records
from featurestore.columnar.text.text_rows import arrow_from_json_lines, arrow_from_records
from featurestore.errors import SchemaError
from featurestore.kinds.arrow_columns.reading import UndecidedError

GROUP = FeatureGroup(
    "things",
    Entity("thing", join_keys={"id": "long"}),
    features=[
        Feature("score", "double"),
        Feature("open", "boolean"),
        Feature("document", "json"),
        Feature("vector", "embedding(2)"),
        Feature("words", "array<string>"),
    ],
)


def test_cells_become_typed_columns_with_faults() -> None:
    header, *records = csv_records(
        'id,event_timestamp,score,open,vector\n1,2026-11-01T00:00:00Z,1.5, TRUE ,"[1, 0.5]"\n2.5,,abc,yes,[1\n3,x\n'
    )

    rows = arrow_from_records([str(name) for name in header.cells], records, GROUP)

    assert rows.drop_columns([FAULTS, ROW]).to_pylist() == [
        {"id": 1, "event_timestamp": "2026-11-01T00:00:00Z", "score": 1.5, "open": True, "vector": [1.0, 0.5]},
        {"id": None, "event_timestamp": None, "score": None, "open": None, "vector": None},
        {"id": 3, "event_timestamp": "x", "score": None, "open": None, "vector": None},
    ]
    assert rows[FAULTS].to_pylist() == [
        [],
        [
            {"column": "id", "reason": "not a whole number, for long"},
            {"column": "score", "reason": "not readable as double"},
            {"column": "open", "reason": "not readable as boolean"},
            {"column": "vector", "reason": "not readable as embedding(2)"},
        ],
        [{"column": None, "reason": "the line has not as many cells as the header"}],
    ]
    assert rows[ROW].to_pylist()[1:] == [
        '{"id":"2.5","event_timestamp":null,"score":"abc","open":"yes","vector":"[1"}',
        '{"line":"3,x"}',
    ]


def test_a_column_that_the_group_lacks_is_refused() -> None:
    with pytest.raises(SchemaError, match="Did you mean 'score'"):
        arrow_from_records(["id", "event_timestamp", "scor"], [], GROUP)


def test_json_lines_become_typed_columns_with_faults() -> None:
    lines = [
        '{"id": 1, "score": 2, "document": {"b": 1.50, "a": [true, null]}, "words": ["x", null]}',
        "  ",
        '{"id": "1", "zz": 1, "tenant_id": "other", "score": 9007199254740993, "vector": [1, true]}',
        '{"zz": 1} x',
    ]

    rows = arrow_from_json_lines(lines, GROUP, "acme")

    assert rows["id"].to_pylist() == [1, None, None]
    assert rows["score"].to_pylist() == [2.0, None, None]
    assert rows["document"].to_pylist() == ['{"b":1.5,"a":[true,null]}', None, None]
    assert rows["words"].to_pylist() == [["x", None], None, None]
    reasons = [[(fault["column"], fault["reason"]) for fault in faults] for faults in rows[FAULTS].to_pylist()]
    assert reasons == [
        [],
        [
            (None, "not columns of the group: zz"),
            ("tenant_id", "not the tenant of this store"),
            ("id", "expected long, found str"),
            ("score", "a number that double cannot hold exactly"),
            ("vector", "expected float, found bool"),
        ],
        [(None, "the line is not one JSON object"), (None, "not columns of the group: zz")],
    ]
    assert rows[ROW].to_pylist() == [lines[0], *lines[2:]]


@pytest.mark.parametrize(
    "line",
    [
        '{"words": ["\\ud800"]}',
        '{"document": [1e400]}',
        '{"vector": ["NaN", 1]}',
        '{"tenant_id": 1e5}',
        "{'id': 1}",
        '{"score": ' + "1" * 1000 + "}",
        '{"document": ' + "[" * 500 + "]" * 500 + "}",
    ],
)
def test_lines_that_only_spark_can_read(line: str) -> None:
    with pytest.raises(UndecidedError):
        arrow_from_json_lines([line], GROUP, "acme")
