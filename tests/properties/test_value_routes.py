"""One rule a kind of value: each route that can carry a value stores the same, or gives the same reason.

A test is one Spark job over all examples, since Spark plans the reading of a frame for seconds, and then reads a value in no
time. Every route's outcomes are compared with those of a list of dicts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.local_rows import arrow_from_dicts, arrow_from_pandas, arrow_from_table
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS
from featurestore.frames.rows.text_rows import rows_from_cells, rows_from_json_lines
from featurestore.frames.rows.validation import check_rows
from featurestore.stores.arrow import to_spark

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROW = Entity("row", join_keys={"id": "long"})
NUMBERS = FeatureGroup("numbers", ROW, features=[Feature(word, word) for word in ("double", "float", "long", "int")])
VECTORS = FeatureGroup(
    "vectors", ROW, features=[Feature("doubles", "array<double>"), Feature("floats", "embedding(1)")]
)
TIMES = FeatureGroup("times", ROW, features=[Feature("moment", "timestamp"), Feature("day", "date")])
DOCUMENTS = FeatureGroup("documents", ROW, features=[Feature("document", "json")])

Rows = list[dict[str, Any]]
Outcome = tuple[Any, ...]
# The ids of one route's rows are less than this.
ROUTE = 1_000

# Where a type's numbers end, or no longer lie next to each other.
EDGES = [0, 1, 2**24, 2**31, 2**53, 2**62, 2**63]
near_edges = st.builds(
    lambda edge, step, sign: sign * (edge + step), st.sampled_from(EDGES), st.integers(-2, 2), st.sampled_from([1, -1])
)
integers = st.one_of(near_edges, st.integers(-(2**63), 2**63 - 1)).filter(lambda n: -(2**63) <= n < 2**63)
# Negative zero is zero in JSON as Spark reads it.
doubles = st.one_of(
    integers.map(float), st.floats(allow_nan=False), st.floats(-100, 100).map(lambda x: round(x, 2))
).map(lambda x: x + 0.0)
decimals = st.one_of(
    st.decimals(min_value=-(10**27), max_value=10**27, places=10, allow_nan=False),
    st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 100),
    integers.map(Decimal),
)


def examples(values: st.SearchStrategy[Any], number: int) -> list[Any]:
    """As many values as Hypothesis makes examples of."""
    found = []

    @settings(max_examples=number)
    @given(values)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def outcomes(
    session: SparkSession, group: FeatureGroup, routes: Mapping[str, pa.Table | DataFrame], zone: str | None = None
) -> dict[str, dict[int, Outcome]]:
    """Route -> row -> the values of its features (moments in microseconds) and its reasons; one job."""
    checked = [check_rows(frame, group, "acme", zone) for frame in frames(session, routes)]
    values = [*group.feature_names, "event_timestamp"]
    times = {name: F.unix_micros(name) for name in values if dict(checked[0].dtypes)[name] == "timestamp"}
    read = [
        rows.withColumns(times).select("id", F.to_json(F.struct(*values)).alias("values"), FAULTS) for rows in checked
    ]
    result: dict[str, dict[int, Outcome]] = {route: {} for route in routes}
    for row in reduce(DataFrame.union, read).collect():
        place, number = divmod(row["id"], ROUTE)
        result[list(routes)[place]][number] = (row["values"], tuple(sorted(row[FAULTS])))
    return result


def frames(session: SparkSession, routes: Mapping[str, pa.Table | DataFrame]) -> list[DataFrame]:
    """The rows of all routes, whose ids tell the routes apart; tables with the same columns are one frame."""
    tables: dict[str, list[pa.Table]] = {}
    others = []
    for place, rows in enumerate(routes.values()):
        if isinstance(rows, DataFrame):
            others.append(rows.withColumn("id", column("id") + place * ROUTE))
        else:
            ids = pc.add(rows["id"].cast(pa.int64()), place * ROUTE)
            numbered = rows.set_column(rows.column_names.index("id"), "id", ids)
            tables.setdefault(str(numbered.schema), []).append(numbered)
    return [to_spark(session, pa.concat_tables(same)) for same in tables.values()] + others


def rows_of(values: Sequence[Any], names: Sequence[str]) -> Rows:
    return [{"id": n, "event_timestamp": NOON, **dict.fromkeys(names, value)} for n, value in enumerate(values)]


def typed(rows: Rows, names: Sequence[str], kind: pa.DataType, group: FeatureGroup) -> pa.Table:
    columns = {name: pa.array([row[name] for row in rows], kind) for name in names}
    ids = pa.array([row["id"] for row in rows], pa.int64())
    times = pa.array([row["event_timestamp"] for row in rows], pa.timestamp("us", "UTC"))
    return arrow_from_table(pa.table({"id": ids, "event_timestamp": times, **columns}), group)


def objects(rows: Rows, group: FeatureGroup) -> pa.Table:
    return arrow_from_pandas(pd.DataFrame(rows, dtype=object), group, None)


def texts(session: SparkSession, rows: Rows, write: Callable[[Any], str], group: FeatureGroup) -> dict[str, DataFrame]:
    """The rows as CSV cells and as JSON lines, as Python writes them."""
    written = [{name: write(value) for name, value in row.items()} for row in rows]
    cells = session.createDataFrame(pa.Table.from_pylist(written))
    lines = [
        "{" + ",".join(f'"{k}": {json.dumps(v) if k == "event_timestamp" else v}' for k, v in row.items()) + "}"
        for row in written
    ]
    read = rows_from_json_lines(session.createDataFrame(pa.table({"value": lines})), group, "acme")
    return {"csv": rows_from_cells(cells, group), "json lines": read}


def assert_as_dicts(result: dict[str, dict[int, Outcome]], values: Sequence[Any]) -> None:
    for route, rows in result.items():
        for row, outcome in rows.items():
            assert outcome == result["dicts"][row], (route, values[row])


def moment_or_number(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@pytest.mark.parametrize("kind", ["integers", "doubles", "decimals"])
def test_numbers(spark: SparkSession, kind: str) -> None:
    strategy, arrow = {
        "integers": (integers, pa.int64()),
        "doubles": (doubles, pa.float64()),
        "decimals": (decimals, pa.decimal128(38, 10)),
    }[kind]
    values = examples(strategy, 200)
    names = NUMBERS.feature_names
    rows, vectors = rows_of(values, names), rows_of([[value] for value in values], VECTORS.feature_names)
    by_text = {} if kind == "decimals" else texts(spark, rows, moment_or_number, NUMBERS)
    if kind == "doubles":
        # JSON and CSV have no infinities but in words of their own.
        by_text = texts(spark, [row for row in rows if abs(row["double"]) != float("inf")], moment_or_number, NUMBERS)

    assert_as_dicts(
        outcomes(
            spark,
            NUMBERS,
            {
                "dicts": arrow_from_dicts(rows, NUMBERS, None),
                "pandas objects": objects(rows, NUMBERS),
                "arrow": typed(rows, names, arrow, NUMBERS),
                **by_text,
            },
        ),
        values,
    )
    assert_as_dicts(
        outcomes(
            spark,
            VECTORS,
            {
                "dicts": arrow_from_dicts(vectors, VECTORS, None),
                "pandas objects": objects(vectors, VECTORS),
                "arrow": typed(vectors, VECTORS.feature_names, pa.list_(arrow), VECTORS),
            },
        ),
        values,
    )


two_digits = st.integers(0, 66).map("{:02}".format)
clocks = st.one_of(
    st.just(""),
    st.builds(
        lambda t, h, colon, m, s, fraction, offset: f"{t}{h}{colon}{m}{colon}{s}{fraction}{offset}",
        st.sampled_from(["T", "T", "t", " ", "_"]),
        st.integers(0, 25).map("{:02}".format),
        st.sampled_from([":", ":", ""]),
        two_digits,
        two_digits,
        st.sampled_from(["", ".5", ",5", ".123456", ".1234567", ".9999999", ".123456000", ".", ".0000000000000000001"]),
        st.sampled_from(
            ["", "Z", "z", "+01:00", "-0530", " +02", "+18:00", "-18:01", "+00:19:32", "+25:00", "+1", "UTC"]
        ),
    ),
)
days = st.one_of(
    st.dates().map(date.isoformat),
    st.sampled_from(
        [
            "20261101",
            "2026-1101",
            "2026-W45-1",
            "2026-305",
            "0000-01-01",
            "0001-01-01",
            "9999-12-31",
            "12026-01-01",
            "2026-02-30",
            "2026-1-1",
            "2026-03-29",
            "2026-10-25",
            "٢026-01-01",
            "x|y",
        ]
    ),
)
moments = st.builds(lambda before, day, clock, after: before + day + clock + after, *[st.sampled_from(["", "", "", " ", "\n"]), days, clocks, st.sampled_from(["", "", "", " ", "\n"])])  # fmt: skip


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_iso_text(spark: SparkSession, zone: str | None) -> None:
    values = examples(moments, 500)
    rows = [{"id": n, "event_timestamp": text, "moment": text, "day": text} for n, text in enumerate(values)]
    table = pa.Table.from_pylist(rows)

    result = outcomes(
        spark, TIMES, {"dicts": arrow_from_dicts(rows, TIMES, zone), "arrow": arrow_from_table(table, TIMES)}, zone
    )

    assert_as_dicts(result, values)


FIELDS = {
    "b": (pa.int64(), integers),
    "a": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=5)),
    "x": (pa.float64(), st.one_of(st.floats(allow_nan=True), st.floats(-1e9, 1e9))),
    "f": (pa.float32(), st.floats(width=32, allow_nan=False).map(np.float32)),
    "at": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "local": (pa.timestamp("us"), st.datetimes()),
    "day": (pa.date32(), st.dates()),
    "price": (pa.decimal128(20, 4), st.decimals(min_value=-(10**9), max_value=10**9, places=4)),
    "several": (pa.list_(pa.float64()), st.lists(st.none() | st.floats(-10, 10), max_size=3)),
    "open": (pa.bool_(), st.booleans()),
}
documents = st.fixed_dictionaries({name: st.none() | strategy for name, (_, strategy) in FIELDS.items()})


def test_json_of_a_dict_and_of_a_struct(spark: SparkSession) -> None:
    values = examples(documents, 100)
    rows = rows_of(values, ["document"])
    struct = pa.struct({name: kind for name, (kind, _) in FIELDS.items()})

    result = outcomes(
        spark,
        DOCUMENTS,
        {"dicts": arrow_from_dicts(rows, DOCUMENTS, None), "arrow": typed(rows, ["document"], struct, DOCUMENTS)},
    )

    for row, (value, reasons) in result["arrow"].items():
        expected, expected_reasons = result["dicts"][row]
        assert reasons == expected_reasons, values[row]
        # Java writes some doubles with a digit more; they are the same numbers.
        assert documents_of(value) == documents_of(expected), values[row]


def documents_of(values: str) -> Any:
    text = json.loads(values).get("document")
    read = None if text is None else json.loads(text, parse_float=lambda digits: float(np.float32(digits)))
    return None if read is None else [(name, read[name]) for name in FIELDS]


# Feature -> its type, a value that breaks it, the value's Arrow type, its JSON, and the reason on every route.
FAULTY: dict[str, tuple[str, Any, pa.DataType, str, str]] = {
    "rest": ("long", 2.5, pa.float64(), "2.5", "not a whole number, for long"),
    "far": ("int", 2**31, pa.int64(), "2147483648", "beyond the range of int"),
    "large": ("float", 1e39, pa.float64(), "1e39", "beyond the range of float"),
    "rounded": ("double", 2**53 + 1, pa.int64(), "9007199254740993", "a number that double cannot hold exactly"),
    "day": ("date", "2026-02-30", pa.string(), '"2026-02-30"', "not readable as date"),
    "word": ("timestamp", "noon", pa.string(), '"noon"', "not readable as timestamp"),
    "local": ("timestamp", "2026-11-01T12:00", pa.string(), '"2026-11-01T12:00"', "timestamp without a time zone"),
    "clockless": ("timestamp", "2026-11-01", pa.string(), '"2026-11-01"', "a date without a time"),
    "open": ("json", "{", pa.string(), '"{"', "not readable as json"),
    "numbers": (
        "array<double>",
        [2**53 + 1],
        pa.list_(pa.int64()),
        "[9007199254740993]",
        "a number that double cannot hold exactly",
    ),
    "gap": (
        "array<double>",
        [0.5, None],
        pa.list_(pa.float64()),
        "[0.5,null]",
        "holds a number that is missing or not finite",
    ),
    "short": ("embedding(2)", [0.5], pa.list_(pa.float32()), "[0.5]", "not of 2 dims"),
}


def test_a_fault_reads_the_same_on_every_route(spark: SparkSession) -> None:
    group = FeatureGroup("faulty", ROW, features=[Feature(name, word) for name, (word, *_) in FAULTY.items()])
    row = {"id": 0, "event_timestamp": NOON} | {name: value for name, (_, value, *_) in FAULTY.items()}
    columns = {name: pa.array([value], kind) for name, (_, value, kind, *_) in FAULTY.items()}
    table = pa.table({"id": [0], "event_timestamp": pa.array([NOON], pa.timestamp("us", "UTC")), **columns})
    written = {"id": "0", "event_timestamp": json.dumps(NOON.isoformat())}
    written |= {name: text for name, (_, _, _, text, _) in FAULTY.items()}
    line = "{" + ",".join(f'"{name}": {text}' for name, text in written.items()) + "}"
    # A cell of text has no quotes around it.
    cells = {name: json.loads(text) if text.startswith('"') else text for name, text in written.items()}

    result = outcomes(
        spark,
        group,
        {
            "dicts": arrow_from_dicts([row], group, None),
            "pandas objects": objects([row], group),
            "pandas": arrow_from_pandas(table.to_pandas(types_mapper=pd.ArrowDtype), group, None),
            "arrow": arrow_from_table(table, group),
            "csv": rows_from_cells(spark.createDataFrame(pa.Table.from_pylist([cells])), group),
            "json lines": rows_from_json_lines(spark.createDataFrame(pa.table({"value": [line]})), group, "acme"),
        },
    )

    expected = tuple(sorted(f"{name}: {reason}" for name, (*_, reason) in FAULTY.items()))
    assert {route: rows[0][1] for route, rows in result.items()} == dict.fromkeys(result, expected)
