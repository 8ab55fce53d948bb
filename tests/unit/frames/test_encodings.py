"""Columns in memory: Arrow to pandas to float64 and back, the same values and types, whatever is missing."""

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal

from featurestore.errors import InvalidArgumentError
from featurestore.frames.training_sets.encodings import Encoding, fit
from featurestore.frames.training_sets.pandas_columns import pandas_column, spread_out, vector_columns

INSTANT = pa.timestamp("us", tz="America/New_York")
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
NAIVE = st.datetimes(datetime.fromisoformat("1700-01-01"), datetime.fromisoformat("2255-01-01"))
TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "double": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "float": (pa.float32(), FLOAT32),
    "bigint": (pa.int64(), st.integers(-(2**53), 2**53)),
    "int": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "smallint": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "boolean": (pa.bool_(), st.booleans()),
    "string": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=5)),
    "timestamp": (INSTANT, NAIVE.map(lambda moment: moment.replace(tzinfo=UTC))),
    "timestamp_ntz": (pa.timestamp("us"), NAIVE),
    "date": (pa.date32(), st.dates()),
    "decimal(12,3)": (pa.decimal128(12, 3), st.decimals(-(10**8), 10**8, places=3)),
    "array<float>": (pa.list_(pa.float32()), st.lists(FLOAT32, min_size=3, max_size=3)),
    "array<double>": (pa.list_(pa.float64()), st.lists(st.floats(-9, 9), max_size=4)),
    "array<string>": (pa.list_(pa.string()), st.lists(st.none() | st.sampled_from(["", "a", "b"]), max_size=3)),
}


def column(kind: str, values: list[Any]) -> pa.ChunkedArray:
    """In two chunks, as Spark's answers come in several."""
    half = len(values) // 2
    return pa.chunked_array([pa.array(part, TYPES[kind][0]) for part in (values[:half], values[half:])])


def width(values: list[Any]) -> int:
    return max((len(value) for value in values if isinstance(value, list)), default=0)


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_decoding_returns_the_encoded_values(kind: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | TYPES[kind][1], max_size=8))
    frame = pd.DataFrame({"x": pandas_column(column(kind, values), kind, width(values))})

    encoding = fit(frame, {"x": kind}, {"x": width(values)})
    encoded = encoding.encode(frame)

    assert encoded.X.dtype == np.float64
    assert encoded.X.shape == (len(values), len(encoding.columns))
    assert encoded.unseen == {}
    assert_frame_equal(encoding.decode(encoded.X), frame, check_exact=True)
    assert Encoding.model_validate_json(encoding.model_dump_json()) == encoding


@pytest.mark.parametrize(
    ("kind", "values", "dtype", "expected"),
    [
        ("bigint", [1, 2], "int64", [1, 2]),
        ("bigint", [1, None], "float64", [1.0, "missing"]),
        ("bigint", [2**53 + 1, None], "Int64", [2**53 + 1, "missing"]),
        ("bigint", [2**53 + 1, -(2**63)], "int64", [2**53 + 1, -(2**63)]),
        ("int", [1, None], "float64", [1.0, "missing"]),
        ("boolean", [True, False], "bool", [True, False]),
        ("boolean", [True, None], "boolean", [True, "missing"]),
        ("float", [0.5, None], "float32", [0.5, "missing"]),
        ("string", ["a", None], "object", ["a", "missing"]),
        ("date", [date(1, 1, 1), None], "object", [date(1, 1, 1), "missing"]),
        ("timestamp", [datetime(2026, 3, 8, 7, tzinfo=UTC)], "datetime64[us, UTC]", [pd.Timestamp("2026-03-08T07Z")]),
        ("array<string>", [["b", "a"], None, []], "object", [("b", "a"), "missing", ()]),
    ],
)
def test_pandas_shows_values_as_people_write_them(
    kind: str, values: list[Any], dtype: str, expected: list[Any]
) -> None:
    series = pandas_column(column(kind, values), kind)

    assert str(series.dtype) == dtype
    assert ["missing" if value is None or value is pd.NA or value != value else value for value in series] == expected


def test_vectors_are_as_long_as_each_other() -> None:
    series = pandas_column(column("array<double>", [[1.0], None, [], [2.0, 3.0]]), "array<double>", 3)

    nan = math.nan
    np.testing.assert_array_equal(series[0], [1.0, nan, nan])
    assert series[1] is None
    np.testing.assert_array_equal(series[2], [nan, nan, nan])
    np.testing.assert_array_equal(series[3], [2.0, 3.0, nan])


def test_vectors_become_columns_on_request() -> None:
    embeddings = pandas_column(column("array<float>", [[0.5, 1.0], None, [2.0, 3.0]]), "array<float>", 2)
    recent = pandas_column(column("array<double>", [[7.0], [], None]), "array<double>", 2)

    columns = vector_columns({"emb": "array<float>", "recent": "array<double>", "n": "bigint"}, {"emb": 2, "recent": 2})
    spread = pd.DataFrame(
        spread_out(embeddings, "array<float>", columns["emb"]) | spread_out(recent, "array<double>", columns["recent"])
    )

    nan = math.nan
    expected = pd.DataFrame(
        {
            "emb_0": np.array([0.5, nan, 2.0], dtype=np.float32),
            "emb_1": np.array([1.0, nan, 3.0], dtype=np.float32),
            "recent_0": [7.0, nan, nan],
            "recent_1": [nan, nan, nan],
            "recent__length": [1.0, 0.0, nan],
        }
    )
    assert_frame_equal(spread, expected)


def test_the_numbers_of_each_type() -> None:
    frame = pd.DataFrame(
        {
            "late": pandas_column(column("boolean", [True, None, False]), "boolean"),
            "plan": pandas_column(column("string", ["paid", "free", None]), "string"),
            "at": pandas_column(column("timestamp", [datetime(1970, 1, 2, tzinfo=UTC), None, None]), "timestamp"),
            "day": pandas_column(column("date", [date(1969, 12, 31), None, date(1970, 1, 2)]), "date"),
            "recent": pandas_column(column("array<double>", [[5.0], None, [1.0, 2.0]]), "array<double>", 2),
        }
    )
    types = {"late": "boolean", "plan": "string", "at": "timestamp", "day": "date", "recent": "array<double>"}

    encoding = fit(frame, types, {"recent": 2})

    nan = math.nan
    assert encoding.columns == ["late", "plan", "at", "day", "recent_0", "recent_1", "recent__length"]
    np.testing.assert_array_equal(
        encoding.encode(frame).X,
        [
            [1.0, 1.0, 86_400_000_000.0, -1.0, 5.0, nan, 1.0],
            [nan, 0.0, nan, nan, nan, nan, nan],
            [0.0, nan, nan, 1.0, 1.0, 2.0, 2.0],
        ],
    )


def test_values_that_the_encoding_does_not_know_are_counted() -> None:
    train = pd.DataFrame({"plan": ["free", "paid"], "recent": [np.array([1.0, 2.0]), np.array([3.0, np.nan])]})
    test = pd.DataFrame({"plan": ["trial", None, "paid"], "recent": [np.array([1.0, 2.0, 3.0]), None, np.full(3, 4.0)]})
    encoding = fit(train, {"plan": "string", "recent": "array<double>"}, {"recent": 2})

    encoded = encoding.encode(test)

    assert encoded.unseen == {"plan": 1, "recent": 2}
    nan = math.nan
    np.testing.assert_array_equal(encoded.X[:, 0], [nan, nan, 1.0])
    np.testing.assert_array_equal(encoded.X[:, 1:], [[1.0, 2.0, 3.0], [nan, nan, nan], [4.0, 4.0, 3.0]])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", 2**53 + 1),
        ("bigint", -(2**63) + 1),
        ("bigint", 2**63 - 1),
        ("timestamp", datetime(2256, 1, 1, microsecond=1, tzinfo=UTC)),
        ("timestamp", datetime(1, 1, 1, microsecond=1, tzinfo=UTC)),
        ("decimal(20,3)", Decimal("12345678901234567.891")),
    ],
)
def test_what_a_float_cannot_hold_is_refused(kind: str, value: Any) -> None:
    arrow = pa.decimal128(20, 3) if kind.startswith("decimal") else TYPES[kind][0]
    frame = pd.DataFrame({"x": pandas_column(pa.chunked_array([pa.array([value], arrow)]), kind)})

    with pytest.raises(InvalidArgumentError, match=r"column 'x' \(.*\) holds .* which a float64 cannot hold exactly"):
        fit(frame, {"x": kind}, {}).encode(frame)


def test_whole_seconds_are_exact_long_after_microseconds_are_not() -> None:
    moment = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    frame = pd.DataFrame({"x": pandas_column(pa.chunked_array([pa.array([moment], INSTANT)]), "timestamp")})
    encoding = fit(frame, {"x": "timestamp"}, {})

    assert encoding.decode(encoding.encode(frame).X)["x"][0] == pd.Timestamp(moment)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=encoding.encode(frame).X[0, 0]) == moment


def test_a_label_is_encoded_and_decoded() -> None:
    y = pd.Series(["no", "yes", None, "no"], name="bought", dtype=object)
    encoding = fit(pd.DataFrame(index=range(4)), {"bought": "string"}, {}, y)

    codes = encoding.encode_label(y)

    np.testing.assert_array_equal(codes, [0.0, 1.0, math.nan, 0.0])
    assert_series_equal(encoding.decode_label(codes), y)


def test_an_error_explains_a_wrong_request() -> None:
    frame = pd.DataFrame({"emb": [np.array([1.0, 2.0])], "emb_1": [3.0]})
    with pytest.raises(InvalidArgumentError, match="features 'emb_1' and 'emb' would both have a column 'emb_1'"):
        fit(frame, {"emb": "array<float>", "emb_1": "double"}, {"emb": 2})
    with pytest.raises(InvalidArgumentError, match=r"column 'emb' is map<string,int>, for which there is no encoding"):
        fit(frame[["emb"]], {"emb": "map<string,int>"}, {})

    encoding = fit(frame[["emb"]], {"emb": "array<float>"}, {"emb": 2})
    with pytest.raises(InvalidArgumentError, match=r"features \['emb'\] are not among the columns"):
        encoding.encode(frame[["emb_1"]])
    with pytest.raises(InvalidArgumentError, match="feature 'emb' has 3 numbers and its encoding 2"):
        encoding.encode(pd.DataFrame({"emb": [np.ones(3)]}))
    with pytest.raises(InvalidArgumentError, match=r"it has 2 columns and the matrix is \(1, 3\)"):
        encoding.decode(np.ones((1, 3)))
    with pytest.raises(InvalidArgumentError, match="fitted without a label"):
        encoding.encode_label(frame["emb_1"])
