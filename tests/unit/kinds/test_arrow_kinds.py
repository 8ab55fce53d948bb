"""Each kind of value, read from Arrow columns without Spark: what is read, and how a fault is worded."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.kinds.arrow_columns.numbers import floats_of_decimals
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.kinds.arrow_columns.times import date_texts, days_from_civil, in_zone, moment_texts
from featurestore.kinds.json_text.arrow_json import json_of
from featurestore.kinds.json_text.json_validity import is_json_text
from featurestore.kinds.kind import Moments
from featurestore.kinds.registry import kind_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
INSTANT, CLOCK = pa.timestamp("us", "UTC"), pa.timestamp("us")
NUMBER, INEXACT = pa.decimal128(38, 10), "a number that double cannot hold exactly"
OUTSIDE = "timestamp outside the years 1 to 9999"


@pytest.mark.parametrize(
    ("word", "values", "kind", "expected"),
    [
        ("double", [2**53, 2**53 + 1, None], pa.int64(), [2.0**53, INEXACT, None]),
        ("double", [0.5, float("inf")], pa.float32(), [0.5, float("inf")]),
        ("double", [Decimal("0.1"), Decimal("12345678901234567.8")], NUMBER, [0.1, INEXACT]),
        ("float", [0.5, 1e39, float("inf")], pa.float64(), [0.5, "beyond the range of float", float("inf")]),
        ("float", [2**24 + 1], pa.int32(), ["a number that float cannot hold exactly"]),
        (
            "long",
            [3.0, 2.5, float("nan"), 2.0**63, -(2.0**63)],
            pa.float64(),
            [3, "not a whole number, for long", "not a whole number, for long", "beyond the range of long", -(2**63)],
        ),
        ("long", [Decimal(2**63 - 1), Decimal(2**63)], pa.decimal128(20, 0), [2**63 - 1, "beyond the range of long"]),
        ("int", [Decimal("3.00"), Decimal("3.01")], NUMBER, [3, "not a whole number, for int"]),
        ("int", [2**31 - 1, 2**31], pa.int64(), [2**31 - 1, "beyond the range of int"]),
        ("boolean", [True, None], pa.bool_(), [True, None]),
        ("string", ["é\0", None], pa.string(), ["é\0", None]),
        ("string", [None], pa.null(), [None]),
        (
            "timestamp",
            ["2026-11-01T13:00:00+01:00", "20261101 12", "2026-11-01", "2026-02-30", "noon", "0001-01-01T00Z", None],
            pa.string(),
            [
                NOON,
                "timestamp without a time zone",
                "a date without a time",
                "not readable as timestamp",
                "not readable as timestamp",
                datetime(1, 1, 1, tzinfo=UTC),
                None,
            ],
        ),
        ("timestamp", ["9999-12-31T23:59:59-18", "0001-01-01T00:00+0001"], pa.string(), [OUTSIDE, OUTSIDE]),
        ("date", ["2026-11-01", "20261101 ", "2026-1101", "0000-01-01"], pa.string(), [
            date(2026, 11, 1), date(2026, 11, 1), "not readable as date", "not readable as date",
        ]),
        ("array<double>", [[1, None], None, [2**53 + 1, 0]], pa.list_(pa.int64()), [[1.0, None], None, INEXACT]),
        ("array<string>", [["a", None], []], pa.list_(pa.string()), [["a", None], []]),
        ("embedding(2)", [[0.5, 1.0], [1e39]], pa.list_(pa.float64()), [[0.5, 1.0], "beyond the range of float"]),
        ("json", ['{"a": 1}', "{", None], pa.string(), ['{"a": 1}', "not readable as json", None]),
        ("json", [1.5, float("nan")], pa.float64(), ["1.5", "holds NaN or infinity, which JSON does not have"]),
        ("json", [{"a": [1, None]}, None], pa.struct([("a", pa.list_(pa.int8()))]), ['{"a":[1,null]}', None]),
        ("json", [[("a", 1), ("b", None)], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8()), [
            '{"a":1,"b":null}', "not readable as json",
        ]),
    ],
)  # fmt: skip
def test_a_column_is_read_losslessly_or_with_a_reason(
    word: str, values: list[Any], kind: pa.DataType, expected: list[Any]
) -> None:
    reading = kind_of(word).read_arrow(pa.chunked_array([pa.array(values, kind)]))

    assert reading is not None
    assert reading.good_value.type == kind_of(word).arrow_type
    read = zip(reading.good_value.to_pylist(), reading.fault.to_pylist(), strict=True)
    assert [value if fault is None else fault for value, fault in read] == expected


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("double", pa.string()),
        ("long", pa.bool_()),
        ("boolean", pa.int8()),
        ("string", pa.int64()),
        ("timestamp", CLOCK),
        ("timestamp", pa.date32()),
        ("timestamp", pa.int64()),
        ("date", INSTANT),
        ("array<double>", pa.list_(pa.string())),
        ("array<string>", pa.list_(pa.int64())),
        ("embedding(2)", pa.float32()),
        ("json", pa.binary()),
        ("json", pa.map_(pa.int64(), pa.string())),
        ("json", pa.struct([("a", pa.int8()), ("A", pa.int8())])),
    ],
)
def test_a_type_that_can_never_be_read(word: str, kind: pa.DataType) -> None:
    assert kind_of(word).read_arrow(pa.nulls(1, kind)) is None


def test_clocks_that_skip_and_repeat_an_hour() -> None:
    clocks = ["2026-03-29T02:30", "2026-10-25T02:30", "2026-07-01T00:00", "1890-01-01T00:00", "0001-01-01T00:00"]
    instants = ["2026-03-29T01:30", "2026-10-25T00:30", "2026-06-30T22:00", "1889-12-31T23:06:32"]
    berlin = Moments("Europe/Berlin")

    of_clocks = kind_of("timestamp").read_arrow(
        pa.array([datetime.fromisoformat(text) for text in clocks], CLOCK), berlin
    )
    of_texts = kind_of("timestamp").read_arrow(pa.array(clocks), berlin)

    assert of_clocks is not None
    assert of_texts is not None
    assert of_clocks.good_value == of_texts.good_value
    assert of_clocks.good_value.to_pylist() == [datetime.fromisoformat(f"{text}Z") for text in instants] + [None]
    assert of_clocks.fault.to_pylist() == of_texts.fault.to_pylist() == [None] * 4 + [OUTSIDE]


def test_each_time_in_a_zone_is_what_python_says() -> None:
    random = np.random.default_rng(0)
    local = random.integers(-5_000_000_000_000_000, 5_000_000_000_000_000, 3000)
    for zone in ("America/New_York", "Australia/Lord_Howe", "Africa/Monrovia"):
        reading = kind_of("timestamp").read_arrow(pa.array(local, CLOCK), Moments(zone))
        assert reading is not None
        one_by_one = [
            kind_of("timestamp").read_python(value, Moments(zone)) for value in pa.array(local, CLOCK).to_pylist()
        ]
        assert reading.value.to_pylist() == one_by_one


def test_texts_finer_than_a_microsecond_are_rounded_up_or_down() -> None:
    texts = pa.array(["2026-11-01T12:00:00.0000001Z", "2026-11-01T12:00:00,0000000Z", "9999-12-31T23:59:59.9999999Z"])

    up = kind_of("timestamp").read_arrow(texts, Moments(finer="up"))
    down = kind_of("timestamp").read_arrow(texts, Moments(finer="down"))

    assert up is not None
    assert down is not None
    last = datetime.max.replace(tzinfo=UTC)
    assert up.good_value.to_pylist() == [NOON.replace(microsecond=1), NOON, None]
    assert down.good_value.to_pylist() == [NOON, NOON, last]


def test_days_of_the_calendar() -> None:
    days = np.arange(-719_162, 2_932_897, 97)
    dates = [date.fromordinal(int(day) + 719_163) for day in days]

    year, month, day = (np.array([getattr(of, part) for of in dates]) for part in ("year", "month", "day"))
    assert (days_from_civil(year, month, day) == days).all()


def test_decimals_become_the_nearest_float_or_are_inexact() -> None:
    random = np.random.default_rng(0)
    for scale in (0, 3, 18, 36):
        digits = [
            int(text[: random.integers(1, 39)]) for text in map(str, random.integers(10**18, 2 * 10**18, 200) ** 1)
        ]
        values = [Decimal(number).scaleb(-scale) for number in digits]
        read, inexact = floats_of_decimals(pa.array(values, pa.decimal128(38, scale)), pa.float64())
        assert read.to_pylist() == [float(value) for value in values]
        kept = [Decimal(repr(float(v))) == v if v % 1 else int(float(v)) == v for v in values]
        assert (~inexact).tolist() == kept


@pytest.mark.parametrize(
    ("word", "values", "broken"),
    [
        ("double", [0.5, float("nan"), float("-inf"), None], {"not a finite number": [1, 2]}),
        (
            "array<double>",
            [[], [None], [float("inf"), 1.0], None],
            {"holds a number that is missing or not finite": [1, 2]},
        ),
        (
            "embedding(2)",
            [[1.0, 2.0], [1.0], None],
            {"holds a number that is missing or not finite": [], "not of 2 dims": [1]},
        ),
        ("string", ["a", None], {}),
    ],
)
def test_rules_of_all_values(word: str, values: list[Any], broken: dict[str, list[int]]) -> None:
    rules = kind_of(word).broken_arrow_rules(pa.array(values, kind_of(word).arrow_type))

    assert {name: np.flatnonzero(mask).tolist() for name, mask in rules} == broken


@pytest.mark.parametrize(
    "text",
    ["1", "-0", "1e5", "1E+400", '"\\/\\u00e9"', " [1, 2]\n", '{"": {"a": null}}', '"\x7f\u2028"', '"\\ud83d\\ude00"'],
)
def test_valid_json(text: str) -> None:
    assert is_json_text(text)


@pytest.mark.parametrize(
    "text",
    ["", "01", "1.", ".5", "+1", "NaN", "-Infinity", "1,2", "1],[2", "[1,]", '{"a":1,"\\u0061":2}', "'a'", '"\t"', "\ufeff1",
     "\xa01", "//x\n1", '{"a":{"b":1,"b":2}}', '"\\x"', "1_0", "٣"],
)  # fmt: skip
def test_invalid_json(text: str) -> None:
    assert not is_json_text(text)


@pytest.mark.parametrize(
    "text", ["1" * 1001, '"\\ud800"', "[" * 990 + "]" * 990, '{"' + "x" * 60_000 + '":1}', '"' + "x" * 1_000_000 + '"']
)
def test_json_that_only_spark_decides(text: str) -> None:
    with pytest.raises(UndecidedError):
        is_json_text(text)


def test_json_text_of_every_type() -> None:
    columns = {
        "whole": pa.array([1], pa.int8()),
        "double": pa.array([1e7]),
        "tiny": pa.array([5e-324]),
        "nan": pa.array([float("nan")]),
        "float": pa.array([0.1], pa.float32()),
        "decimal": pa.array([Decimal("1E-10")], NUMBER),
        "text": pa.array(['a"\\\n\x1f\x7f/é😀']),
        "truth": pa.array([True]),
        "day": pa.array([date(26, 1, 2)]),
        "instant": pa.array([NOON], INSTANT),
        "clock": pa.array([NOON.replace(tzinfo=None)], CLOCK),
        "list": pa.array([[[1.5], None, []]]),
        "nothing": pa.nulls(1),
        "map": pa.array([[("k", [True])]], pa.map_(pa.string(), pa.list_(pa.bool_()))),
    }

    text = json_of(pa.StructArray.from_arrays(list(columns.values()), names=list(columns)))

    assert text.to_pylist() == [
        '{"whole":1,"double":1.0E7,"tiny":4.9E-324,"nan":"NaN","float":0.1,"decimal":1E-10,'
        '"text":"a\\"\\\\\\n\\u001F\x7f/é😀","truth":true,"day":"0026-01-02","instant":"2026-11-01T12:00:00.000000Z",'
        '"clock":"2026-11-01T12:00:00.000000","list":[[1.5],null,[]],"nothing":null,"map":{"k":[true]}}'
    ]


def test_times_outside_the_years_of_python_as_text() -> None:
    days = pa.array([-719_529, 40_000_000, None], pa.int32()).cast(pa.date32())
    micros = pa.array([-62_167_219_200_000_001, 253_402_300_800_000_000, None], pa.int64())

    assert date_texts(days).to_pylist() == ["-0001-12-31", "+111486-04-13", None]
    assert moment_texts(micros.cast(INSTANT)).to_pylist() == [
        "-0001-12-31T23:59:59.999999Z",
        "+10000-01-01T00:00:00.000000Z",
        None,
    ]


def test_timestamps_near_the_ends_of_64_bits_are_for_spark() -> None:
    with pytest.raises(UndecidedError):
        kind_of("timestamp").read_arrow(pa.array([2**63 - 1], pa.int64()).cast(INSTANT))


def test_no_rows() -> None:
    assert in_zone(np.zeros(0, np.int64), "Europe/Berlin").size == 0
    for word in ("double", "long", "timestamp", "date", "json", "array<double>"):
        reading = kind_of(word).read_arrow(pa.array([], kind_of(word).arrow_type))
        assert reading is not None
        assert len(reading.good_value) == 0
