"""How a user's pandas and Arrow columns are read: every value as it was, or an error that names it. Without Spark."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.columnar.names import without_case
from featurestore.columnar.user_frames import MomentColumn, exact_table
from featurestore.errors import SpineError

BERLIN = ZoneInfo("Europe/Berlin")
INSTANT, CLOCK, DURATION = pa.timestamp("us", "UTC"), pa.timestamp("us"), pa.duration("us")
NAIVE, AWARE = datetime(2026, 11, 1, 5), datetime(2026, 11, 1, 5, tzinfo=UTC)  # noqa: DTZ001
FIRST_PASS = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
FINE = pd.Timestamp("2026-11-01T05:00:00.000000001")


class Colour(enum.Enum):
    RED = 1


class Letter(enum.StrEnum):
    A = "a"


def objects(*values: Any) -> pd.Series[Any]:
    return pd.Series(list(values), dtype=object)


def read(values: Any, moments: MomentColumn | None = None) -> pa.ChunkedArray:
    """One column ``z``, as a spine's."""
    frame = pa.table({"z": values}) if isinstance(values, pa.Array | pa.ChunkedArray) else pd.DataFrame({"z": values})
    return exact_table(frame, "spine", moments)["z"]


# Python's objects -> the type, and the values where they differ from the objects.
HELD: dict[str, tuple[Any, pa.DataType, list[Any] | None]] = {
    "texts": (objects("a", "", None, np.str_("b"), Letter.A), pa.string(), None),
    "booleans": (objects(True, np.bool_(False), None), pa.bool_(), None),
    "integers": (objects(1, np.uint8(2), None, -(2**63)), pa.int64(), None),
    "an integer beyond a long": (objects(2**64 - 1, np.uint64(7), -1), pa.decimal128(20, 0), [2**64 - 1, 7, -1]),
    "integers of 70 bits": (objects(2**70, 1), pa.decimal128(38, 0), None),
    "floats": (objects(1.5, np.float32(0.5), float("inf")), pa.float64(), None),
    "missing of every kind": (objects(1, None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT")), pa.int64(), [1, *[None] * 5]),
    "nothing but missing": (objects(None, float("nan"), pd.NaT), pa.string(), [None] * 3),
    "integers beside floats": (objects(1, 2.5, 2**53), pa.float64(), None),
    "decimals of several scales": (objects(Decimal("1.5"), Decimal("2.25"), 3), pa.decimal128(3, 2), None),
    "a small decimal": (objects(Decimal("0.001"), Decimal("0E+50")), pa.decimal128(3, 3), None),
    "bytes": (objects(b"x", bytearray(b"y")), pa.binary(), None),
    "dates": (objects(date(1, 1, 1), np.datetime64("2026-11-01")), pa.date32(), [date(1, 1, 1), date(2026, 11, 1)]),
    "moments of several zones": (
        objects(AWARE, datetime(2026, 11, 1, 6, tzinfo=BERLIN), pd.Timestamp("2026-11-01T14:00", tz="Asia/Tokyo")),
        INSTANT,
        [AWARE] * 3,
    ),
    "both passes of an hour": (
        objects(FIRST_PASS, FIRST_PASS.replace(fold=1)),
        INSTANT,
        [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)],
    ),
    "naive moments": (objects(NAIVE, pd.Timestamp(NAIVE), np.datetime64(NAIVE)), CLOCK, [NAIVE] * 3),
    "durations": (
        objects(timedelta(days=1), pd.Timedelta("1us"), np.timedelta64(1, "h")),
        DURATION,
        [timedelta(days=1), timedelta(microseconds=1), timedelta(hours=1)],
    ),
    "lists, tuples, arrays": (objects([1], (2,), np.array([3]), None, []), pa.list_(pa.int64()), [[1], [2], [3], None, []]),
    "a NaN in a list is a number": (objects([1.0, float("inf")], [None]), pa.list_(pa.float64()), None),
    "arrays of small integers": (objects(np.array([1], np.uint8), None), pa.list_(pa.int16()), [[1], None]),
    "arrays of half floats": (objects(np.array([1.5], np.float16)), pa.list_(pa.float32()), [[1.5]]),
    "arrays of long unsigned integers": (
        objects(np.array([2**63], np.uint64), np.array([1], np.uint64)),
        pa.list_(pa.decimal128(20, 0)),
        [[2**63], [1]],
    ),
    "arrays of two dimensions": (objects(np.array([[1, 2], [3, 4]])), pa.list_(pa.list_(pa.int64())), [[[1, 2], [3, 4]]]),
    "lists without items": (objects([], None), pa.list_(pa.string()), None),
    "dicts": (
        objects({"a": 1, "b": {"c": [AWARE]}}, OrderedDict(b=None, a=2), None),
        pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.list_(INSTANT))]))]),
        None,
    ),
}  # fmt: skip
# pandas' own types.
HELD |= {
    "uint64 within a long": (pd.Series([5, 7], dtype="uint64"), pa.int64(), None),
    "uint64 beyond a long": (pd.Series([2**63 + 5, 7], dtype="uint64"), pa.decimal128(20, 0), None),
    "nullable UInt64": (pd.Series([2**63, None], dtype="UInt64"), pa.decimal128(20, 0), [2**63, None]),
    "uint8": (pd.Series([255], dtype="uint8"), pa.int16(), None),
    "half floats": (pd.Series([1.5], dtype="float16"), pa.float32(), None),
    "NaN is missing": (pd.Series([1.5, np.nan]), pa.float64(), [1.5, None]),
    "big-endian": (pd.Series(np.array([1, 2], ">i4")), pa.int32(), None),
    "categories": (pd.Series(["a", None, "b"], dtype="category"), pa.string(), ["a", None, "b"]),
    "categories of moments": (objects(AWARE, None).astype("category"), INSTANT, [AWARE, None]),
    "sparse": (pd.Series(pd.arrays.SparseArray([1.0, np.nan])), pa.float64(), [1.0, None]),
    "nullable text": (pd.Series(["a", None], dtype="string"), pa.string(), ["a", None]),
    "nullable booleans": (pd.Series([True, None], dtype="boolean"), pa.bool_(), [True, None]),
    "Arrow's in pandas": (pd.Series([1, None], dtype=pd.ArrowDtype(pa.uint32())), pa.int64(), [1, None]),
    "a zone that only Python knows": (pd.Series([AWARE]).dt.tz_convert("dateutil/Europe/Berlin"), INSTANT, [AWARE]),
    "datetime64[s]": (pd.Series(np.array([NAIVE], "M8[s]")), CLOCK, [NAIVE]),
    "timedelta64": (pd.Series([timedelta(seconds=1)]), DURATION, None),
}
# Arrow's.
HELD |= {
    "string view": (pa.array(["x", None], pa.string_view()), pa.large_string(), None),
    "binary view": (pa.array([b"x"], pa.binary_view()), pa.large_binary(), None),
    "large text": (pa.array(["x"], pa.large_string()), pa.large_string(), None),
    "bytes of a fixed size": (pa.array([b"ab"], pa.binary(2)), pa.binary(), None),
    "date64": (pa.array([date(2026, 11, 1)], pa.date64()), pa.date32(), None),
    "the first day and the last": (pa.array([date.min, date.max, None]), pa.date32(), None),
    "the first moment and the last": (pa.array([datetime.min, datetime.max]), CLOCK, None),  # noqa: DTZ901
    "no moment": (pa.array([None], pa.timestamp("s")), CLOCK, None),
    "seconds in Tokyo": (pa.array([AWARE], pa.timestamp("s", "Asia/Tokyo")), INSTANT, [AWARE]),
    "a dictionary": (pa.array(["a", None]).dictionary_encode(), pa.string(), ["a", None]),
    "a dictionary in a list": (
        pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), pa.array(["a", "b"]).dictionary_encode()),
        pa.list_(pa.string()),
        [["a"], ["b"]],
    ),
    "run ends": (
        pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", None])),
        pa.string(),
        ["a", "a", None],
    ),
    "a view of lists": (pa.array([[1], None, [2, 3]], pa.list_view(pa.uint8())), pa.list_(pa.int16()), None),
    "large lists": (pa.array([[1], None], pa.large_list(pa.int8())), pa.list_(pa.int8()), None),
    "lists of a fixed size": (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), pa.list_(pa.int8()), None),
    "a part of a map": (
        pa.array([[("a", 1)], None, [("b", 2)], []], pa.map_(pa.string(), pa.uint8())).slice(1),
        pa.map_(pa.string(), pa.int16()),
        [None, [("b", 2)], []],
    ),
    "a part of a struct": (
        pa.array([{"a": 1}, {"a": 2}, None], pa.struct([("a", pa.uint8())])).slice(1),
        pa.struct([("a", pa.int16())]),
        [{"a": 2}, None],
    ),
    "chunks that need more room than others": (
        pa.chunked_array([pa.array([[1]], pa.list_(pa.uint64())), pa.array([[2**64 - 1]], pa.list_(pa.uint64()))]),
        pa.list_(pa.decimal128(20, 0)),
        [[1], [2**64 - 1]],
    ),
    "no chunks": (pa.chunked_array([], pa.uint64()), pa.int64(), []),
    "decimals of 32 bits": (pa.array([Decimal("1.5")], pa.decimal32(5, 2)), pa.decimal128(5, 2), None),
    "decimals of 256 bits": (pa.array([Decimal("1.5")], pa.decimal256(60, 2)), pa.decimal128(38, 2), None),
    "decimals by the hundred": (pa.array([Decimal("1500")], pa.decimal128(5, -2)), pa.decimal128(7, 0), None),
    "nulls": (pa.nulls(2), pa.string(), [None, None]),
    "nulls in lists": (pa.array([[None], []], pa.list_(pa.null())), pa.list_(pa.string()), None),
    "Arrow's JSON": (pa.array(['{"a": 1}'], pa.json_()), pa.string(), None),
    "bytes that are booleans": (
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8())),
        pa.bool_(),
        [True, False],
    ),
}


@pytest.mark.parametrize("case", HELD)
def test_values_are_held_as_they_were(case: str) -> None:
    values, kind, expected = HELD[case]

    column = read(values)

    wanted = expected if expected is not None else values.to_pylist() if isinstance(values, pa.Array) else list(values)
    assert column.type == kind
    assert column.to_pylist() == wanted


REFUSED: dict[str, tuple[Any, str]] = {
    "aware beside naive": (objects(AWARE, NAIVE), r"datetime with a time zone \(row 0\) and datetime without .* \(row 1\)"),
    "a date beside a moment": (objects(None, date(2026, 11, 1), NAIVE), r"date \(row 1\) and datetime .* \(row 2\)"),
    "a number beside text": (objects(1, 2, "a"), r"int \(row 0\) and str \(row 2\), and no column .* \.astype\(str\)"),
    "bytes beside text": (objects(b"a", "a"), r"bytes \(row 0\) and str \(row 1\)"),
    "a boolean beside a number": (objects(True, 1), r"bool \(row 0\) and int \(row 1\)"),
    "a float beside a decimal": (objects(1.5, Decimal(1)), r"float \(row 0\) and Decimal \(row 1\)"),
    "a float beside an integer that is none": (objects(1.5, 2**53 + 1), r"an int \(row 1\) that a double cannot hold"),
    "a dict beside a list": (objects({"a": 1}, [1]), r"dict \(row 0\) and list \(row 1\)"),
    "kinds mixed within lists": (objects([1], [2, "a"]), r"int \(row 0\) and str \(row 1\)"),
    "kinds mixed within categories": (objects("a", 1).astype("category"), r"and"),
    "integers of 39 digits": (objects(10**38), "integers of more than 38 digits"),
    "an integer that Python does not print": (objects(10**5000), "integers of more than 38 digits"),
    "decimals that are too wide together": (objects(Decimal("1e30"), Decimal("1e-30")), "31 digits before .* 30 after"),
    "a decimal that is no number": (objects(Decimal(1), Decimal("sNaN")), r"sNaN \(row 1\)"),
    "half a surrogate pair": (objects("a", "\ud83d"), r"'\\ud83d' \(row 1\), which is not valid Unicode"),
    "half a pair in nullable text": (pd.Series(["\ud83d"], dtype="string"), "not valid Unicode"),
    "nanoseconds": (objects(FINE), r"\(row 0\), finer than a microsecond"),
    "nanoseconds in a column of them": (pd.Series([FINE]), r"finer than a microsecond.*\.dt\.floor\('us'\)"),
    "nanoseconds of duration": (objects(pd.Timedelta("1ns")), r"\(row 0\)"),
    "nanoseconds in a list": (pa.array([[1]], pa.list_(pa.timestamp("ns"))), "finer than a microsecond"),
    "a month of duration": (objects(np.timedelta64(1, "M")), "no number of microseconds"),
    "the longest duration": (objects(timedelta.max), "64 bits of microseconds"),
    "before the year 1 in UTC": (
        objects(datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
        "outside the years 1 to 9999",
    ),
    "a date after the year 9999": (objects(np.datetime64("20000-01-01")), "outside the years 1 to 9999"),
    "dicts of other keys": (objects({"a": 1}, None, {"b": 2}), r"\['a'\] \(row 0\) and \['b'\] \(row 2\); .*json\.dumps"),
    "keys that differ in case": (objects({"a": 1, "A": 2}), r"\['a', 'A'\] are the same to Spark"),
    "keys that are no text": (objects({1: 2}), r"keys \[1\] \(row 0\)"),
    "a dict without keys": (objects({}), r"keys \[\] \(row 0\)"),
    "an array without dimensions": (objects(np.array(5)), "without dimensions"),
    "time of day": (objects(dt.time(1)), r"holds time \(row 0\), which Spark has no type for; .* seconds"),
    "UUID": (objects(None, uuid.UUID(int=1)), r"holds UUID \(row 1\), which Spark has no type for"),
    "complex": (pd.Series([1 + 2j]), r"holds complex .*\.real"),
    "a wider float": (pd.Series(np.array([1], np.longdouble)), "holds longdouble"),
    "period": (pd.Series(pd.period_range("2026-11", periods=1, freq="M")), r"holds Period .*\.dt\.to_timestamp"),
    "pd.cut": (pd.cut(pd.Series([1.0]), [0, 1, 2]), r"holds Interval .*\.left and \.right"),
    "set": (objects({1}), r"holds set \(row 0\)"),
    "enum": (objects(Colour.RED), r"holds Colour \(row 0\)"),
    "Arrow's time of day": (pa.array([5], pa.time32("s")), r"is time32\[s\], which Spark has no type for"),
    "Arrow's UUID": (pa.array([b"0" * 16], pa.uuid()), "is arrow.uuid, a type of its own"),
    "a union": (
        pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
        "is dense_union",
    ),
    "months, days and nanoseconds": (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "month_day_nano_interval"),
    "decimals of 50 digits": (pa.array([Decimal("1" * 50)], pa.decimal256(60, 2)), "more than 38 digits"),
    "seconds beyond 64 bits of microseconds": (pa.array([10**15], pa.timestamp("s")), "beyond 64 bits"),
    "a timestamp of the year 30489": (pa.array([9 * 10**17], pa.timestamp("us", "UTC")), "outside the years 1 to 9999"),
    "a date of the year 0": (pa.array([-719163], pa.int32()).cast(pa.date32()), "outside the years 1 to 9999"),
    "bytes that are no text": (pa.array([b"\xff"]).view(pa.string()), "not valid"),
    "a struct without fields": (pa.array([{}], pa.struct([])), "without fields"),
    "a struct whose fields differ in case": (
        pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "A"]),
        r"\['a', 'A'\] are the same to Spark",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_no_column_holds_are_named(case: str) -> None:
    values, message = REFUSED[case]

    with pytest.raises(SpineError, match=rf"^spine: column 'z' .*{message}"):
        read(values)


def november(hour: int, micros: int = 0, day: int = 1) -> datetime:
    return datetime(2026, 11, day, hour, microsecond=micros, tzinfo=UTC)


def test_timestamps_of_one_kind_keep_it_and_are_rounded_down_to_the_microsecond() -> None:
    last = pd.Timestamp("2026-11-01T05:00:00.000000999Z")
    before_1970 = pd.Timestamp("1969-12-31T23:59:59.999999001Z")
    cases: list[tuple[Any, pa.DataType, list[Any]]] = [
        (objects(last, AWARE, None), INSTANT, [november(5), november(5), None]),
        (objects(before_1970), INSTANT, [datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]),
        (pd.Series([last, before_1970]), INSTANT, [november(5), before_1970.to_pydatetime(warn=False)]),
        (
            pa.array([1999, -1], pa.timestamp("ns", "UTC")),
            INSTANT,
            [pd.Timestamp(n, unit="us", tz="UTC") for n in (1, -1)],
        ),
        (objects(NAIVE), CLOCK, [NAIVE]),
        (objects(date(2026, 11, 1)), pa.date32(), [date(2026, 11, 1)]),
        (objects("2026-11-01T05:00Z"), pa.string(), ["2026-11-01T05:00Z"]),
        (objects(5, 6), pa.int64(), [5, 6]),
        (objects(None, pd.NaT), pa.null(), [None, None]),
    ]
    for zone in (None, "Europe/Berlin"):
        for values, kind, expected in cases:
            column = read(values, MomentColumn("z", zone))
            assert (column.type, column.to_pylist()) == (kind, expected)


def test_timestamps_of_several_kinds_are_read_one_by_one() -> None:
    """In Berlin, where 5:00 is 4:00 UTC, and on 2026-10-25 the hour from 2:00 on comes twice."""
    twice = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001
    cases: list[tuple[list[Any], list[datetime | None]]] = [
        ([AWARE, NAIVE], [november(5), november(4)]),
        ([NAIVE, AWARE], [november(4), november(5)]),
        ([date(2026, 11, 2), AWARE], [november(23), november(5)]),
        ([date(2026, 11, 2), NAIVE], [november(23), november(4)]),
        ([np.datetime64(NAIVE), pd.Timestamp(AWARE), None], [november(4), november(5), None]),
        ([FINE, AWARE, float("nan"), pd.NaT], [november(4), november(5), None, None]),
        ([twice, twice.replace(fold=1)], [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]),
    ]
    for values, expected in cases:
        column = read(objects(*values), MomentColumn("z", "Europe/Berlin"))
        assert (column.type, column.to_pylist()) == (INSTANT, expected)
    for values, _ in cases[:-1]:
        with pytest.raises(SpineError, match=r"column 'z' holds .*\(row 0\) and .*; .*timestamp_zone in the settings"):
            read(objects(*values), MomentColumn("z"))


@pytest.mark.parametrize("other", ["2026-11-01T05:00:00Z", 5, b"x"])
def test_a_timestamp_among_other_values_is_refused_also_with_a_zone(other: Any) -> None:
    with pytest.raises(SpineError, match=r"datetime with a time zone \(row 0\) and .* \(row 1\); give a datetime"):
        read(objects(AWARE, other), MomentColumn("z", "Europe/Berlin"))


MOMENTS = st.one_of(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()),  # noqa: DTZ001
    st.dates(date(1900, 1, 1), date(2200, 1, 1)),
)


@given(st.lists(MOMENTS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_timestamp_reads_the_same_whatever_values_are_next_to_it(moments: list[Any], random: Any) -> None:
    column = MomentColumn("z", "Europe/Berlin")
    # Beside both kinds, every value is read as an instant.
    alone = [read(objects(AWARE, NAIVE, moment), column).to_pylist()[2] for moment in moments]
    order = random.sample(range(len(moments)), len(moments))

    together = read(objects(NAIVE, AWARE, *(moments[index] for index in order)), column).to_pylist()[2:]

    assert together == [alone[index] for index in order]


# Names.


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"columns \['a'\] come twice"),
        (pa.table([[1], [2]], names=["a", "a"]), r"columns \['a'\] come twice"),
        (pd.DataFrame([[1, 2, 3]], columns=["amount", "b", "Amount"]), r"\['amount', 'Amount'\] differ only in case"),
        (pa.table([[1], [2]], names=["k", "\N{KELVIN SIGN}"]), "differ only in case, and Spark ignores case"),
        (pd.DataFrame({0: [1]}), r"column names \[0\] are int, and names are text; .*\.columns\.map\(str\)"),
        (pd.DataFrame([[1]], columns=pd.Index([("a", "b")], tupleize_cols=False)), "are tuple, and names are text"),
        (pd.DataFrame({None: [1]}), "are NoneType"),
        (pd.DataFrame({("a", "b"): [1]}), "2 levels"),
        (pd.DataFrame({"\ud83d": [1]}), r"'\\ud83d' are not valid Unicode"),
        (pd.DataFrame({"a": [1]}).rename_axis("user_id"), r"index is named \['user_id'\].*reset_index\(\)"),
        (
            pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)], names=["x", None])),
            r"index is named \['x'\]",
        ),
    ],
)
def test_an_error_lists_names_that_spark_cannot_separate_or_store(frame: pd.DataFrame | pa.Table, message: str) -> None:
    with pytest.raises(SpineError, match=f"^spine: .*{message}"):
        exact_table(frame, "spine")


def test_names_and_an_index_without_a_name_are_no_hindrance() -> None:
    frame = pd.DataFrame({"": [1], "a.b": [2], "ß": [3], "ss": [4], "`": [5]}, index=[7])

    assert exact_table(frame, "spine").to_pydict() == {"": [1], "a.b": [2], "ß": [3], "ss": [4], "`": [5]}
    assert exact_table(pa.table({}), "spine").num_columns == 0


def test_names_are_compared_as_java_does_without_case() -> None:
    """``String.equalsIgnoreCase``: letter by letter, in upper case and then in lower case."""
    same = {
        "Amount": "aMOUNT",
        "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}": "i",
        "\N{LATIN SMALL LETTER LONG S}": "S",
        "\N{GREEK SMALL LETTER SIGMA}": "\N{GREEK SMALL LETTER FINAL SIGMA}",
    }

    assert [without_case(name) for name in same] == [without_case(name) for name in same.values()]
    assert without_case("ß") != without_case("ss")


def test_a_key_of_nothing_but_nulls_keeps_no_type() -> None:
    frame = pd.DataFrame({"user_id": [None], "note": [None]})

    schema = exact_table(frame, "spine", may_be_untyped=["user_id"]).schema

    assert schema.types == [pa.null(), pa.string()]
