"""A local batch is checked the same with Spark and without: the same values, reasons in the same order, texts of rows.

Each example is one batch of values that are likely to break something, drawn from pools by a seed: big, since Spark plans
the check of a batch for seconds, and then checks a row in no time; and several only where each has other types. Where a route
words numbers differently (Java 17 writes some doubles with a digit more), they must still be the same numbers.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.errors import ArithmeticException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.batch_columns import targets
from featurestore.columnar.rows.batch_summary import has_faults
from featurestore.columnar.rows.checked_rows import check_local_rows, rejected_whole
from featurestore.columnar.rows.expectations import run_totals
from featurestore.columnar.rows.local_rows import arrow_from_dicts, arrow_from_pandas, arrow_from_table
from featurestore.columnar.rows.names import FAULTS, ROW
from featurestore.errors import SchemaError
from featurestore.frames.rows import expectations, validation
from featurestore.frames.rows.validation import check_rows
from featurestore.kinds.registry import kind_of
from featurestore.stores.arrow import to_spark

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
INSTANT, CLOCK = pa.timestamp("us", "UTC"), pa.timestamp("us")
KEYS = {"name": "string", "id": "long", "part": "int", "open": "boolean", "day": "date", "at": "timestamp"}
WORDS = {
    "real": "double",
    "single": "float",
    "whole": "long",
    "short": "int",
    "truth": "boolean",
    "text": "string",
    "moment": "timestamp",
    "birthday": "date",
    "document": "json",
    "numbers": "array<double>",
    "texts": "array<string>",
    "vector": "embedding(2)",
}
PLAIN = FeatureGroup(
    "plain", Entity("row", join_keys=KEYS), features=[Feature(name, word) for name, word in WORDS.items()]
)
RULED = FeatureGroup(
    "ruled",
    Entity("row", join_keys={"id": "long", "name": "string"}),
    features=[
        Feature("real", "double", not_null=True, min=-1.5, max=2**53),
        Feature("single", "float", min=0.1, max=2**24),
        Feature("whole", "long", min=-(2**53) - 1, max=2**53, allowed_values=[0, 1, 2**53 - 1, 2**53 + 1, 2**62]),
        Feature("short", "int", not_null=True, min=-0.5, allowed_values=[1, 2**24, 2**31]),
        Feature("truth", "boolean", allowed_values=[True]),
        Feature("text", "string", pattern=r"^[a-zé.\s]{1,3}\W?|\d+(?:x|😀.)*?$", min_length=2, max_length=3),
        Feature("moment", "timestamp", not_null=True),
        Feature("birthday", "date", not_null=True),
        Feature("document", "json", not_null=True),
        Feature("numbers", "array<double>", min_length=1, max_length=2),
        Feature("texts", "array<string>", not_null=True, min_length=1, max_length=1),
        Feature("vector", "embedding(2)", not_null=True),
    ],
)
ZONES = (None, "Europe/Berlin", "Australia/Lord_Howe")
# A feature of each type, and the Arrow types that can be read as it.
EDGES = [edge + step for edge in (0, 1, 2**24, 2**31, 2**53, 2**62, 2**63, 2**64) for step in (-2, -1, 0, 1, 2)]
WHOLES = EDGES + [-edge for edge in EDGES] + [10**20, -(10**38) + 1, 10**37]
REALS = [float(n) for n in WHOLES] + [
    0.1, 0.5, 2.5, -1.5, 1e-3, 9.99e-4, 1e7, 123456.789, 1e22, 5e-324, 2.2e-310, 1.7976931348623157e308, 3.4028235e38,
    3.4028235677973366e38, 1e39, -0.0, float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
DECIMALS = [Decimal(text) for text in (
    "0", "0.1", "1.50", "-2.5", "1E-10", "0.3000000119", "16777217", "9007199254740993", "12345678901234567.8",
    "1234567.1234567891", "0.12345678901234567", "99999999999999999.9", "1E+20", "3.0000000000", "-0.0",
)]  # fmt: skip
TEXTS = [
    "", "a", "ab", "é.", "a\n", "a\r", "a b", "12", "12x", "12😀a", "12😀\u2028", "٣", "x" * 4, "\0", 'q"\\\t', "\x0b", "\x7f",
    "a\x0bb\x85", "null", "2026-11-01",
]  # fmt: skip
HALF = ["\ud800", "a\udfff"]
MOMENTS = [
    "2026-11-01T12:00:00Z", "2026-11-01T13:00+01:00", " 20261101T120000,5Z\n", "2026-11-01 12-0530", "2026-11-01T12:00",
    "2026-11-01", "20261101", "2026-1101", "2026-02-30", "2024-02-29T00Z", "2026-03-29T02:30", "2026-10-25T02:30:00.5",
    "2026-04-05T01:45", "0001-01-01", "0000-01-01", "9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-18:00",
    "0001-01-01T00:00+00:00:01", "2026-11-01T24:00Z", "2026-11-01T12:00:60Z", "2026-11-01T12:00:00.0000001Z", "noon", "",
    "2026-11-01T12:00:00.123456000+18:01", "2026-11-01T12:00:00 +02", "٢026-01-01", "2026-11-01\0", "1850-01-01T00:00:00",
    "2026-11-01t12:0030z", "2026-11-01t12:00z", "2026-11-01T1200:30z", "2026-11-01T12:00:00.Z",
]  # fmt: skip
DOCUMENTS = [
    "{}", "{", '{"a": [1, null]}', "NaN", "1e400", "-0", "01", '"é😀"', '"\\ud83d\\ude00"', '{"a":1,"a":2}', '{"a":{"b":1,"\\u0062":2}}',
    "[1,]", " null ", '"\t"', "1 2", "1,2", "]", "'a'", "[" * 300 + "]" * 300, "1" * 800, "\ufeff1", '"\x7f"', "truefalse",
]  # fmt: skip
DATES = [date(2026, 11, 1), date(1, 1, 1), date(9999, 12, 31), date(1969, 12, 31)]
CLOCKS = [datetime.fromisoformat(text) for text in (
    "2026-11-01T12:00", "2026-03-29T02:30", "2026-10-25T02:30:00.000001", "2026-04-05T01:45", "2026-10-04T02:10",
    "0001-01-01T00:00", "9999-12-31T23:59:59.999999", "1850-01-01T00:00",
)]  # fmt: skip
INSTANTS = [clock.replace(tzinfo=UTC) for clock in CLOCKS] + [
    NOON.astimezone(timezone(timedelta(hours=5, minutes=45))), datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))
]  # fmt: skip
MICROS = [
    0,
    -1,
    -62135596800000001,
    -62135596800000000,
    253402300799999999,
    253402300800000000,
    -(2**62),
    10**18,
    1793534400000001,
]
ODD = [
    None, pd.NA, pd.NaT, np.datetime64("NaT"), object(), b"x", complex(1), timedelta(1), np.timedelta64(1, "s"), {1: 2}, [[1]],
    np.datetime64("2026-11-01T12:00:00.000000001"), np.datetime64("2026-11-01"), pd.Timestamp("2026-11-01 12:00:00.000000001Z"),
    np.float32(0.1), np.float16(0.5), np.int8(3), np.uint64(2**64 - 1), np.bool_(True), np.str_("ab"), np.longdouble("0.1"),
    np.array([1, 2]), np.array([1.5, np.nan]), np.zeros((2, 2)), np.array(["a", None], object), np.array(3), Decimal("NaN"),
    Decimal("Infinity"), Decimal("1e999999"), 10**400, (1, 2), [None], ["a", None], [1.5, "a"], [float("inf"), 1], [1e39, 1],
    {"a": {"b": [1, 2.5, None, NOON, date(26, 1, 2), Decimal("1.10")]}}, {"a": float("nan")}, {"q\"": "\ud800"}, [],
    [2**53 + 1, 1], [True], ["\ud800"],
]  # fmt: skip
EVERYTHING: list[Any] = [
    *WHOLES,
    *REALS,
    *DECIMALS,
    *TEXTS,
    *HALF,
    *MOMENTS,
    *DOCUMENTS,
    *DATES,
    *CLOCKS,
    *INSTANTS,
    *ODD,
    True,
    False,
]
FITTING: dict[str, list[Any]] = {
    "double": [*REALS, *WHOLES, *DECIMALS],
    "float": [*REALS, *WHOLES, *DECIMALS],
    "long": [*REALS, *WHOLES, *DECIMALS],
    "int": [*REALS, *WHOLES, *DECIMALS],
    "boolean": [True, False],
    "string": [*TEXTS, *HALF],
    "timestamp": [*MOMENTS, *INSTANTS, *CLOCKS, *DATES],
    "date": [*MOMENTS, *DATES],
    "json": [*DOCUMENTS, {"a": 1}, [1, 2.5], 3, None, {"n": None, "é": "x"}],
    "array<double>": [[], [1, 2.5], [None], [float("nan")], [2**53 + 1], (1,), np.array([1.5]), [1e400], [1, 2, 3]],
    "array<string>": [[], ["a"], ["a", None], ["\0", "é😀"], ("x",)],
    "embedding(2)": [[1, 2], [0.5, 0.1], [1e39, 0], [1], [None, 1], np.array([1.5, 2], np.float32), [float("inf"), 0]],
}


def checked_by_spark(
    spark: SparkSession, rows: pa.Table, group: FeatureGroup, zone: str | None
) -> pa.Table | SchemaError | None:
    try:
        return check_rows(to_spark(spark, rows), group, "acme", zone).toArrow()
    except SchemaError as error:
        return error
    except ArithmeticException:
        # A timestamp near the ends of 64 bits.
        return None


def checked_here(rows: pa.Table, group: FeatureGroup, zone: str | None) -> pa.Table | SchemaError | None:
    try:
        return check_local_rows(rows, group, "acme", zone)
    except SchemaError as error:
        return error


def assert_equal(spark: SparkSession, rows: pa.Table, group: FeatureGroup, zone: str | None) -> None:
    expected, result = checked_by_spark(spark, rows, group, zone), checked_here(rows, group, zone)
    if isinstance(expected, SchemaError) or isinstance(result, SchemaError):
        assert str(result) == str(expected)
        return
    if expected is None or result is None:
        assert result is expected
        return
    assert result.column_names == expected.column_names
    for name, word in targets(group).items():
        assert result.schema.field(name).type == kind_of(word).arrow_type, name
    assert result.schema.field(FAULTS).type == pa.list_(pa.string())
    for name in result.column_names:
        pairs = zip(plain(result.column(name)), plain(expected.column(name)), strict=True)
        given = rows.column(name) if name in rows.column_names else None
        differences = [
            (row, str(None if given is None else given.slice(row, 1)), here, there)
            for row, (here, there) in enumerate(pairs)
            if not is_same(here, there)
        ]
        assert not differences, (name, zone, differences[:3])


def plain(column: pa.ChunkedArray) -> list[Any]:
    """Values in which times are whole numbers, and numbers are spelled out."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    if pa.types.is_floating(kind) or (pa.types.is_list(kind) and pa.types.is_floating(kind.value_type)):
        return [None if value is None else repr(value) for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


NUMBER = re.compile(r"-?[0-9]+\.[0-9]+(?:E-?[0-9]+)?")


def is_same(here: Any, there: Any) -> bool:
    """Whether both are equal; a text may have another spelling of the same doubles or floats."""
    if here == there or not isinstance(here, str) or not isinstance(there, str):
        return bool(here == there)
    ours, theirs = NUMBER.findall(here), NUMBER.findall(there)
    return NUMBER.sub("0", here) == NUMBER.sub("0", there) and all(map(is_same_number, ours, theirs))


def is_same_number(here: str, there: str) -> bool:
    are_floats = max(len(here), len(there)) <= 15
    # Zeros are equal, whatever their signs.
    same_sign = here.startswith("-") == there.startswith("-")
    return same_sign and bool(float(here) == float(there) or (are_floats and np.float32(here) == np.float32(there)))


def arrow_or_none(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The values that the type holds, and null for the others."""
    held = []
    for value in values:
        try:
            pa.array([value], kind)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            value = None
        held.append(value)
    return pa.array(held, kind)


def some(random: Random, pool: Sequence[Any], rows: int, nulls: float = 0.1) -> list[Any]:
    return [None if random.random() < nulls else random.choice(pool) for _ in range(rows)]


def dicts(random: Random, group: FeatureGroup, rows: int) -> list[Any]:
    """Rows that mostly have one or two faults each."""
    words = targets(group)

    def value(word: str) -> Any:
        return random.choice(EVERYTHING if random.random() < 0.15 else FITTING[word])

    made: list[Any] = []
    for number in range(rows):
        row = {name: value(word) for name, word in words.items() if random.random() < 0.8}
        row |= {name: value(words[name]) for name in group.join_keys} | {"event_timestamp": NOON}
        if random.random() < 0.5:
            row |= {"id": number, "event_timestamp": value("timestamp")}
        made.append(row)
    made += [
        {},
        "no row",
        {"x": 1, 2: 3, "id": 4},
        {"tenant_id": "other", "id": 1},
        {"tenant_id": "acme"},
        {"\ud800": 1},
    ]
    return made


@pytest.mark.parametrize(("group", "zone"), [(PLAIN, ZONES[2]), (RULED, None)], ids=["plain", "ruled"])
def test_dicts(spark: SparkSession, group: FeatureGroup, zone: str | None) -> None:
    assert_equal(spark, arrow_from_dicts(dicts(Random(1), group, 500), group, zone), group, zone)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("group", [PLAIN, RULED], ids=lambda group: group.name)
def test_a_run_is_measured_and_rejected_alike(spark: SparkSession, group: FeatureGroup, seed: int) -> None:
    checked = check_local_rows(arrow_from_dicts(dicts(Random(seed), group, 60), group, "UTC"), group, "acme", "UTC")
    assert checked is not None
    frame, reasons = to_spark(spark, checked), ["the run breaks a", "and b"]

    here, there = rejected_whole(checked, reasons), validation.rejected_whole(frame, reasons).toArrow()

    assert plain(here.column(FAULTS)) == plain(there.column(FAULTS))
    assert all(map(is_same, plain(here.column(ROW)), plain(there.column(ROW))))
    good = F.size(FAULTS) == 0
    totals = expectations.run_totals(frame.agg(*expectations.total_columns(group, good)).collect()[0], group)
    assert run_totals(checked.filter(pa.array(~has_faults(checked))), group) == totals


Maker = Callable[[Random, int], pa.Array]
# Rules are about values whatever they were read from: with them, fewer types do.
EXAMPLES = [(PLAIN, seed) for seed in range(6)] + [(RULED, seed) for seed in range(11, 13)]


def of(pool: Sequence[Any], *kinds: pa.DataType) -> list[Maker]:
    return [lambda random, rows, kind=kind: arrow_or_none(some(random, pool, rows), kind) for kind in kinds]


def whole_numbers_as(*kinds: pa.DataType) -> list[Maker]:
    """Timestamps, dates and durations from their numbers, beyond what Python's own can hold."""

    def maker(kind: pa.DataType) -> Maker:
        bits = pa.int32() if kind == pa.date32() else pa.int64()
        pool = [n for n in MICROS if abs(n) < 2**31] + [-719163, 2932897, 2**31 - 1] if kind == pa.date32() else MICROS
        return lambda random, rows: pa.array(some(random, pool, rows), bits).cast(kind)

    return [maker(kind) for kind in kinds]


def encoded(makers: Sequence[Maker]) -> list[Maker]:
    return [lambda random, rows, make=make: make(random, rows).dictionary_encode() for make in makers]


def lists_of(
    makers: Sequence[Maker], make_list: Callable[[pa.Array, pa.Array], pa.Array] = pa.ListArray.from_arrays
) -> list[Maker]:
    def maker(make: Maker) -> Maker:
        def lists(random: Random, rows: int) -> pa.Array:
            lengths = [random.randint(0, 3) for _ in range(rows)]
            starts = [0, *np.cumsum(lengths).tolist()]
            offsets = [None if random.random() < 0.1 else start for start in starts[:-1]] + starts[-1:]
            return make_list(pa.array(offsets, pa.int32()), make(random, sum(lengths)))

        return lists

    return [maker(make) for make in makers]


def structs(random: Random, rows: int, parts: Sequence[Sequence[Maker]] | None = None) -> pa.Array:
    makers = (
        [random.choice(part) for part in (*PARTS, NOTHING)]
        if parts is None
        else [random.choice(part) for part in parts]
    )
    arrays = [make(random, rows) for make in makers]
    mask = pa.array([random.random() < 0.1 for _ in range(rows)])
    return pa.StructArray.from_arrays(arrays, names=[f"{'é' * number}f" for number in range(len(arrays))], mask=mask)


def maps(random: Random, rows: int) -> pa.Array:
    pairs = [
        [
            (random.choice(["a", "b", 'q"', "é"]), random.choice([None, 1.5, float("nan")]))
            for _ in range(random.randint(0, 2))
        ]
        for _ in range(rows)
    ]
    return pa.array([None if random.random() < 0.1 else row for row in pairs], pa.map_(pa.string(), pa.float64()))


INTEGERS = of(WHOLES, *(getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)))
FLOATS = of(REALS, pa.float32(), pa.float64(), pa.float16())
FIXED = of([*DECIMALS, *map(Decimal, WHOLES)], pa.decimal128(38, 10), pa.decimal128(20, 0), pa.decimal128(38, 0), pa.decimal128(38, 20), pa.decimal128(10, 2), pa.decimal128(38, 38), pa.decimal32(5, 2)) + of(DECIMALS, pa.decimal256(50, 10))  # fmt: skip
NUMBERS = [*INTEGERS, *FLOATS, *FIXED]
STRINGS = of(TEXTS, pa.string(), pa.large_string(), pa.string_view())
TRUTHS = of([True, False], pa.bool_())
INSTANTS_OF = [*of(INSTANTS, *(pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us", "ns")), pa.timestamp("us", "Asia/Tokyo")), *whole_numbers_as(INSTANT, *(pa.timestamp(unit, "America/New_York") for unit in ("s", "ms", "ns")))]  # fmt: skip
CLOCKS_OF = [*of(CLOCKS, *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns"))), *whole_numbers_as(CLOCK)]
DATES_OF = [*of(DATES, pa.date32(), pa.date64()), *whole_numbers_as(pa.date32())]
NOTHING: list[Maker] = [lambda random, rows: pa.nulls(rows)]
# Spark's client fails to cast more elements without a type than there are rows, also within structs.
NO_ELEMENTS = of([[], [None]], pa.list_(pa.null()))
PARTS = [NUMBERS, STRINGS, [*INSTANTS_OF, *CLOCKS_OF, *DATES_OF], TRUTHS, [*lists_of(NUMBERS), *lists_of(STRINGS), *lists_of(lists_of(DATES_OF))], [maps]]  # fmt: skip
BY_WORD: dict[str, list[Maker]] = {
    **{word: [*NUMBERS, *encoded(INTEGERS), *NOTHING] for word in ("double", "float", "long", "int")},
    "boolean": [*TRUTHS, *NOTHING],
    "string": [*STRINGS, *encoded(STRINGS[:2]), *NOTHING],
    "timestamp": [*INSTANTS_OF, *INSTANTS_OF, *of(MOMENTS, pa.string()), *CLOCKS_OF, *DATES_OF, *NOTHING],
    "date": [*DATES_OF, *of(MOMENTS, pa.string()), *NOTHING],
    "json": [
        *of(DOCUMENTS, pa.string()),
        *NUMBERS,
        structs,
        structs,
        structs,
        *lists_of([partial(structs, parts=PARTS)]),
        maps,
        *lists_of(NUMBERS),
        *TRUTHS,
    ],
    "array<double>": [*lists_of(NUMBERS), *NO_ELEMENTS, *NOTHING],
    "array<string>": [*lists_of(STRINGS), *NO_ELEMENTS, *NOTHING],
    "embedding(2)": [
        *lists_of(NUMBERS),
        *of([[1.0, 2.0], [None, 1.0], [1.5, 1e39]], pa.list_(pa.float64(), 2)),
        *NOTHING,
    ],
}
NEVER = [
    *of([b"x"], pa.binary()),
    *of([timedelta(1)], pa.duration("us")),
    *STRINGS,
    *TRUTHS,
    *lists_of(TRUTHS),
    structs,
    *of([1], pa.int64()),
]


def arrow_table(random: Random, group: FeatureGroup, zone: str | None, rows: int) -> pa.Table:
    """Columns of all types that can be read as the group's, and at times of one that cannot."""
    words = targets(group)
    columns: dict[str, pa.Array] = {}
    for name, word in words.items():
        if name in group.feature_names and random.random() < 0.1:
            continue
        makers = BY_WORD[word]
        if word == "timestamp" and zone is None and random.random() < 0.95:
            makers = [*INSTANTS_OF, *of(MOMENTS, pa.string())]
        columns[name] = random.choice(NEVER if random.random() < 0.005 else makers)(random, rows)
    if random.random() < 0.5:
        columns["tenant_id"] = pa.array(some(random, ["acme", "other"], rows))
    names = list(columns)
    random.shuffle(names)
    return pa.table({name: columns[name] for name in names})


@pytest.mark.parametrize(("group", "seed"), EXAMPLES, ids=str)
def test_arrow_tables(spark: SparkSession, group: FeatureGroup, seed: int) -> None:
    random = Random(seed)
    zone = random.choice(ZONES)
    table = arrow_table(random, group, zone, 60)
    try:
        rows = arrow_from_table(table, group)
    except SchemaError:
        return

    assert_equal(spark, rows, group, zone)


def pandas_column(random: Random, word: str, rows: int) -> Any:
    """A column of any dtype that can be read as the type."""
    if random.random() < 0.3:
        return pd.Series(some(random, EVERYTHING if random.random() < 0.1 else FITTING[word], rows), dtype=object)
    array = random.choice(BY_WORD[word])(random, rows)
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    if random.random() < 0.5:
        return array.to_pandas(types_mapper=pd.ArrowDtype)
    try:
        series = array.to_pandas()
    except (pa.ArrowException, ValueError, OverflowError):
        return array.to_pandas(types_mapper=pd.ArrowDtype)
    if random.random() < 0.3 and array.type in (pa.int64(), pa.int8(), pa.uint64(), pa.bool_(), pa.string()):
        return series.convert_dtypes()
    return series.astype("category") if random.random() < 0.1 and array.type in (pa.int64(), pa.string()) else series


@pytest.mark.parametrize(("group", "seed"), EXAMPLES, ids=str)
def test_pandas(spark: SparkSession, group: FeatureGroup, seed: int) -> None:
    random = Random(seed)
    zone = random.choice(ZONES[1:])
    frame = pd.DataFrame({name: pandas_column(random, word, 60) for name, word in targets(group).items()})
    try:
        rows = arrow_from_pandas(frame, group, zone)
    except SchemaError:
        return

    assert_equal(spark, rows, group, zone)


LETTERS = ["a", "b", "é", "😀", " ", "1", "-", "_", "\n", "\r", "\x0b", "\x85", "\u2028", ".", "٣", "A"]
ATOMS = ["a", "b", "é", "😀", " ", ".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\.", "[ab]", "[^a]", r"[\w-]", r"[^\s\d]",
         r"[a-é]", r"\x61", r"\u00e9", r"\n", "[.+é😀]", "[-a]", r"[\]\\^]"]  # fmt: skip
REPEATS = ["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{0,1}", "{1,}", "{1,2}?"]


def pattern_of(random: Random, depth: int = 0) -> str:
    def piece() -> str:
        if depth < 2 and random.random() < 0.3:
            return random.choice(["(", "(?:"]) + pattern_of(random, depth + 1) + ")" + random.choice(REPEATS)
        return random.choice(ATOMS) + random.choice(REPEATS)

    def alternative() -> str:
        pieces = "".join(piece() for _ in range(random.randint(0, 3)))
        anchors = (random.choice(["", "", "^", r"\A"]), random.choice(["", "", "$"])) if depth == 0 else ("", "")
        return pieces.join(anchors)

    return "|".join(alternative() for _ in range(random.choice([1, 1, 2])))


def test_patterns(spark: SparkSession) -> None:
    random = Random(1)
    patterns = [pattern_of(random) for _ in range(60)]
    features = [Feature(f"f{number}", "string", pattern=pattern) for number, pattern in enumerate(patterns)]
    group = FeatureGroup("patterns", Entity("row", join_keys={"id": "long"}), features=features)
    texts = ["".join(random.choices(LETTERS, k=random.randint(0, 4))) for _ in range(300)]
    columns = {feature.name: pa.array(texts) for feature in features}
    times = pa.array([NOON] * len(texts), INSTANT)

    assert_equal(spark, pa.table({"id": list(range(len(texts))), "event_timestamp": times} | columns), group, None)
