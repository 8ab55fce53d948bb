"""Expressions over Arrow columns: the values of DuckDB itself, the type, and the row that fails."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from featurestore.columnar.expressions import connections
from featurestore.columnar.expressions.evaluation import RowFaultError, evaluate, result_type
from featurestore.definitions.sql.scalar_expression import scalar_expression
from featurestore.errors import DefinitionError

T1, T2 = datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
COLUMNS = {
    "a": pa.array([7, -7, None, 0]),
    "b": pa.array([2, 2, 2, None]),
    "x": pa.array([1.5, -0.0, None, 1e308]),
    "s": pa.array(["Straße", " 12 ", None, "éé"]),
    "ts": pa.array([T1, T2, None, T1], pa.timestamp("us", "UTC")),
    "d": pa.array([date(2026, 2, 28), None, date(1, 1, 1), date(9999, 12, 31)]),
    "l": pa.array([[1.0, 2.0], [], None, [None, 3.0]], pa.list_(pa.float64())),
    "f": pa.array([True, False, None, True]),
}


def values(sql: str, columns: dict[str, Any] = COLUMNS) -> list[Any]:
    return evaluate(scalar_expression(sql, columns), columns, 4).to_pylist()  # type: ignore[no-any-return]


EXPECTED = {
    "a + b": [9, -5, None, None],
    "a / b": [3.5, -3.5, None, None],
    "a // b": [3, -3, None, None],
    "a % b": [1, -1, None, None],
    "x / 0 > 1": [True, True, None, True],
    "try(b // a)": [0, 0, None, None],
    "coalesce(a, -1)": [7, -7, -1, 0],
    "a is distinct from b": [True, True, True, True],
    "f and null": [None, False, None, None],
    "upper(s)": ["STRAẞE", " 12 ", None, "ÉÉ"],
    "length(s)": [6, 4, None, 2],
    "try_cast(trim(s) as int)": [None, 12, None, None],
    "regexp_extract(s, '[0-9]+')": ["", "12", None, ""],
    "concat(s, '|', a)": ["Straße|7", " 12 |-7", "|", "éé|0"],
    # Clocks in Berlin go forward an hour after T1 and went back half an hour before T2.
    "hour(ts at time zone 'Europe/Berlin')": [1, 2, None, 1],
    "date_diff('minute', ts, ts + interval '1 day')": [1440, 1440, None, 1440],
    "strftime(ts, '%H:%M')": ["00:30", "01:30", None, "00:30"],
    "last_day(d)": [date(2026, 2, 28), None, date(1, 1, 31), date(9999, 12, 31)],
    "list_sum(l)": [3.0, None, None, 3.0],
    "42": [42, 42, 42, 42],
}


@pytest.mark.parametrize("sql", EXPECTED)
def test_values_are_those_of_duckdb(sql: str) -> None:
    rows = pa.table(COLUMNS)
    session = duckdb.connect()
    session.execute("SET TimeZone='UTC'")
    session.register("rows", rows)
    direct = [row[0] for row in session.sql(f"SELECT {sql} FROM rows").fetchall()]

    found = values(sql)

    assert [repr(value) for value in found] == [repr(value) for value in direct]
    assert found == EXPECTED[sql]


def test_division_by_zero_and_overflow_of_doubles_give_no_error_here() -> None:
    # What becomes of numbers that are not finite, the caller decides.
    assert values("x / 0")[0] == float("inf")
    assert values("x * 10")[3] == float("inf")


FAULTS = {
    "a * 9223372036854775807": (0, "Overflow in multiplication of INT64"),
    "a % (b - 2)": (0, "Division by zero"),
    "100 // a": (3, "Division by zero"),
    "cast(s as int)": (0, "Could not convert string 'Straße' to INT32"),
    "(a * 100)::tinyint": (0, "out of range|can't be cast"),
    "case when f then 1 else cast(s as int) // 0 end": (1, "Division by zero"),
}


@pytest.mark.parametrize("sql", FAULTS)
def test_a_fault_names_the_first_row_that_has_it(sql: str) -> None:
    row, reason = FAULTS[sql]

    with pytest.raises(RowFaultError, match=reason) as fault:
        values(sql)

    assert fault.value.row == row


def test_the_first_of_many_rows_is_found() -> None:
    texts = ["5"] * 5000
    texts[3210] = texts[4000] = "five"

    with pytest.raises(RowFaultError, match="'five'") as fault:
        evaluate(scalar_expression("s::int", ["s"]), {"s": pa.array(texts)})

    assert fault.value.row == 3210


def test_types_are_known_without_a_row() -> None:
    types = {name: column.type for name, column in COLUMNS.items()}

    def of(sql: str) -> tuple[pa.DataType, str]:
        return result_type(scalar_expression(sql, types), types)

    assert of("a + b") == (pa.int64(), "BIGINT")
    assert of("a * 1.5") == (pa.decimal128(21, 1), "DECIMAL(21,1)")
    assert of("ts") == (pa.timestamp("us", "UTC"), "TIMESTAMP WITH TIME ZONE")
    assert of("ts at time zone 'UTC'") == (pa.timestamp("us"), "TIMESTAMP")
    assert of("s || 'x'") == (pa.string(), "VARCHAR")
    with pytest.raises(DefinitionError, match=r"'\*\(VARCHAR, BIGINT\)'.*its inputs: s string, a int64"):
        of("s * a")


def test_large_and_dictionary_texts_are_texts() -> None:
    columns = {"s": pa.array(["a", None, "a"]).dictionary_encode(), "t": pa.array(["x", "y", None], pa.large_string())}

    assert values("s || t", columns) == ["ax", None, None]


def test_a_chunked_column_keeps_its_order() -> None:
    column = pa.chunked_array([list(range(3000)), [], list(range(3000, 100_000))])

    assert values("a + 1", {"a": column}) == list(range(1, 100_001))


def test_no_connection_reaches_a_file_or_can_be_set_otherwise() -> None:
    session = connections.connection()

    with pytest.raises(duckdb.PermissionException):
        session.sql("SELECT * FROM read_text('/etc/hostname')").fetchall()
    with pytest.raises(duckdb.InvalidInputException, match="locked"):
        session.execute("SET TimeZone='Asia/Tokyo'")
    with pytest.raises(duckdb.InvalidInputException, match="locked"):
        session.execute("SET enable_external_access=true")


def test_each_thread_has_its_own_connection() -> None:
    columns = {"a": pa.array(range(100_000))}
    expression = scalar_expression("a * 2", ["a"])

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: evaluate(expression, columns), range(8)))

    assert all(result.equals(results[0]) for result in results)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(connections.connection).result() is not connections.connection()


def test_what_holds_the_connections_goes_to_another_process_without_them() -> None:
    connections.connection()

    copy = pickle.loads(pickle.dumps(connections._CONNECTIONS))

    assert copy.connection().sql("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
