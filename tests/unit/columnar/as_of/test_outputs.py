"""Texts, arrays and structs of a result in pieces that Arrow can hold, however long single values are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.columnar.as_of import gathered, outputs
from featurestore.columnar.as_of.outputs import output_column, put_in_order
from featurestore.columnar.as_of.segments import ReadColumn

INSTANT = pa.timestamp("us", "UTC")
TEXTS, LISTS, VECTORS = pa.string(), pa.list_(pa.string()), pa.list_(pa.float32())
NAMED = pa.struct([("x", pa.int32()), ("name", pa.string())])
SHORT_AND_LONG: dict[pa.DataType, tuple[Any, Any]] = {
    TEXTS: ("é", "x" * 60),
    LISTS: (["a", None], ["x" * 30, "y" * 30]),
    VECTORS: ([0.5], [1.0] * 15),
    NAMED: ({"x": None, "name": "é"}, {"x": 1, "name": "x" * 56}),
    pa.map_(pa.string(), pa.string()): ([("a", None)], [("a" * 10, "x" * 50)]),
    pa.list_(NAMED): ([None, {"x": 1, "name": None}], [{"x": 1, "name": "x" * 26}] * 2),
    pa.list_(LISTS): ([["a"], None], [["x" * 30], ["y" * 30]]),
    pa.list_(TEXTS, 2): (["a", None], ["x" * 30, "y" * 30]),
}


def filled(values: list[Any], kind: pa.DataType, rows: np.ndarray[Any, Any]) -> pa.ChunkedArray:
    """A column into whose rows these values were put, out of an array with other values around them."""
    around = pa.chunked_array([pa.array([values[0], *values, None], kind).slice(1)])
    column = ReadColumn.read(np.ones(1, bool), around)
    count = int(rows.max(initial=0)) + 2
    output = output_column(count, kind)
    output.put(rows, column, np.arange(len(values)))
    return output.arrow(none_of(count))


def none_of(rows: int) -> np.ndarray[Any, Any]:
    return np.zeros(rows, bool)


@pytest.mark.parametrize("kind", SHORT_AND_LONG, ids=str)
def test_pieces_are_cut_by_the_bytes_of_their_values(kind: pa.DataType, monkeypatch: pytest.MonkeyPatch) -> None:
    """All long values come first: cut by the number of rows, their piece would be too large."""
    monkeypatch.setattr(outputs, "_PIECE", 128)
    short, long = SHORT_AND_LONG[kind]
    values = [long] * 6 + [short, None] * 300

    found = filled(values, kind, np.arange(len(values)))

    assert found.to_pylist() == [*values, None]
    assert [len(chunk) for chunk in found.chunks[:2]] == [2, 2]


@pytest.mark.parametrize("kind", SHORT_AND_LONG, ids=str)
def test_one_long_value_does_not_cut_short_ones_apart(kind: pa.DataType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_PIECE", 1 << 14)
    short, long = SHORT_AND_LONG[kind]
    values = [short] * 999 + [long]

    found = filled(values, kind, np.arange(len(values))[::-1])

    assert found.to_pylist() == [*values[::-1], None]
    assert found.num_chunks == 1


def test_no_value_at_all_gives_nulls() -> None:
    output = output_column(3, TEXTS)

    assert output.arrow(none_of(3)).to_pylist() == [None, None, None]
    assert output_column(0, LISTS).arrow(none_of(0)).to_pylist() == []


@pytest.mark.parametrize("limit", [1, 1 << 30])
@pytest.mark.parametrize(
    "kind",
    [
        *SHORT_AND_LONG,
        pa.large_string(),
        pa.large_binary(),
        pa.large_list(pa.float32()),
        pa.int64(),
        pa.decimal128(5, 1),
        INSTANT,
    ],
    ids=str,
)
def test_values_are_put_in_order(kind: pa.DataType, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of a column that no single array could hold."""
    monkeypatch.setattr(gathered, "_MOST_BYTES", limit)
    pool = {
        **SHORT_AND_LONG,
        pa.large_string(): ("", "b"),
        pa.large_binary(): (b"", b"b"),
        pa.large_list(pa.float32()): ([], [2.0]),
        pa.int64(): (1, -2),
        pa.decimal128(5, 1): (Decimal("1.5"), Decimal("-2.5")),
    }
    first, second = pool.get(kind, (datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)))
    column = pa.chunked_array([pa.array(part, kind) for part in ([first, None], [], [second, first, second])])

    found = put_in_order(column, np.array([3, 0, 4, 1, 2]))

    assert found.type == kind
    assert found.to_pylist() == [None, first, second, first, second]
