"""Expressions over one row: what may be written, what runs in its place, and what is refused, with its place."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from featurestore.columnar.expressions.same_reading import check_same_reading
from featurestore.definitions.sql import scalar_functions as functions
from featurestore.definitions.sql.scalar_expression import scalar_expression
from featurestore.errors import DefinitionError

NAMES = ["a", "b", "c", "s", "ts", "l", "Arrival Delay"]
# The user's text, and the text that runs.
WRITTEN = {
    "a + b * 2": '("a" + ("b" * 2))',
    "A - (b - C)": '("a" - ("b" - "c"))',
    "-a ** 2": '((-"a") ** 2)',
    "a ^ 2": '("a" ** 2)',
    "a // b % c": '(("a" // "b") % "c")',
    "a & b + 1": '("a" & ("b" + 1))',
    "a << 2 | (~b >> 1)": '(("a" << 2) | ((~"b") >> 1))',
    "a || b + c": '("a" || ("b" + "c"))',
    "not a = b and c": '((NOT ("a" = "b")) AND "c")',
    "a == b or a != c or b <> c": '((("a" = "b") OR ("a" <> "c")) OR ("b" <> "c"))',
    "a is not null": '(NOT ("a" IS NULL))',
    "a notnull": '(NOT ("a" IS NULL))',
    "a is not true": '(NOT ("a" IS TRUE))',
    "a is distinct from b": '("a" IS DISTINCT FROM "b")',
    "a not in (1, -2)": '(NOT ("a" IN (1, (-2))))',
    "a + b not between 1 and 2": '(NOT (("a" + "b") BETWEEN 1 AND 2))',
    "s like 'x!%' escape '!'": "(\"s\" LIKE 'x!%' ESCAPE '!')",
    "s not ilike 'X%'": "(\"s\" NOT ILIKE 'X%')",
    "case a when 1 then s else 'it''s' end": "(CASE \"a\" WHEN 1 THEN \"s\" ELSE 'it''s' END)",
    "case when a then b end": '(CASE WHEN "a" THEN "b" END)',
    "a::int + try_cast(s as numeric(10, 2))": '(CAST("a" AS INTEGER) + TRY_CAST("s" AS DECIMAL(10, 2)))',
    "-1::bigint": "(-CAST(1 AS BIGINT))",
    "l::double[]": 'CAST("l" AS DOUBLE[])',
    "cast(s as timestamp with time zone)": 'CAST("s" AS TIMESTAMPTZ)',
    "ts + interval '1 day 2 hours'": "(\"ts\" + (INTERVAL '1 day 2 hours'))",
    "ts - interval 3 months": '("ts" - (INTERVAL 3 MONTHS))',
    "ts + interval (a + 1) hour": '("ts" + (INTERVAL (("a" + 1)) HOUR))',
    "extract(hour from ts at time zone 'Europe/Berlin')": "EXTRACT(HOUR FROM (\"ts\" AT TIME ZONE 'Europe/Berlin'))",
    "date '2026-01-01'": "CAST('2026-01-01' AS DATE)",
    "Round(coalesce(a, .5), 1) -- to tenths": 'round(coalesce("a", 0.5), 1)',
    'upper(/* the name */ "arrival delay")': 'upper("Arrival Delay")',
    "if(try(1 // a) > 1_000, true, null)": 'if((try((1 // "a")) > 1000), TRUE, NULL)',
    "'a -- b; /* c'": "'a -- b; /* c'",
}


@pytest.mark.parametrize("sql", WRITTEN)
def test_the_text_that_runs_is_written_anew_and_duckdb_reads_it_as_the_users_own(sql: str) -> None:
    expression = scalar_expression(sql, NAMES)

    assert expression.text == WRITTEN[sql]
    check_same_reading(expression)


def test_the_columns_that_it_reads() -> None:
    assert scalar_expression("c + case when a > 1 then C end", NAMES).names == ("c", "a")


REFUSED = {
    "(select max(a))": "a subquery is not allowed: an expression reads one row",
    "a in (select 1)": "IN is followed by values in parentheses",
    "exists(select 1)": "a subquery is not allowed",
    "sum(a)": r"function sum is not allowed: it reads many rows.* \(line 1, column 1\)",
    "a + row_number() over ()": "a window is not allowed: it reads many rows",
    "count(distinct a)": "function count is not allowed",
    "unnest(l)": "function unnest is not allowed: it reads many rows",
    "*": r"\* is not allowed; name each input",
    "columns('a')": "function columns is not allowed",
    "a +\n random()": r"function random is not allowed: it depends on chance \(line 2, column 2\)",
    "now()": "function now is not allowed: it depends on the clock",
    "current_date": "current_date is not allowed: it depends on the clock",
    "age(ts)": "function age needs 2 arguments; with fewer it depends on the clock",
    "getenv('HOME')": "function getenv is not allowed: it reaches outside the row",
    "read_csv('/etc/passwd')": "function read_csv is not allowed: it reaches outside the row",
    "current_setting('threads')": "it depends on the session",
    "list_aggregate(l, 'sum')": "it names another function in a text; call that one, such as list_sum",
    "roundd(a)": "function roundd is not allowed: Did you mean 'round'",
    "hash(a)": "use md5 or sha256",
    "d": r"'d' is not among the inputs. .*Known: Arrival Delay, a, b, c, l, s, ts. \(line 1, column 1\)",
    "t.a": "t.a is not the name of an input",
    "a as total": "an alias is not allowed",
    "a; drop table x": "it must be one expression",
    "a from range(3)": "it must be one expression",
    "a, b": "it must be one expression",
    "": "it cannot be read as DuckDB's SQL|it must be one expression",
    "a +": "it cannot be read as DuckDB's SQL",
    "$1": "a parameter is not allowed",
    "l[1]": "a subscript is not allowed; use list_extract or substr",
    "[1, 2]": "use list_value",
    "s -> '$.x'": "use json_extract",
    "list_transform(l, lambda x: x + 1)": "function list_transform is not allowed",
    "s collate nocase": "COLLATE is not allowed",
    "a::uuid": "type UUID is not allowed; possible: BIGINT, BOOLEAN",
    "interval (a) fortnights": "FORTNIGHTS is not a unit of time|cannot be read",
    f"{'(' * 3000}a{')' * 3000}": "nested too deeply|cannot be read",
    "1 + " * 9000 + "1": "it has 36001 characters; possible: up to 20000",
}


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:40])
def test_what_is_refused_and_why(sql: str) -> None:
    with pytest.raises(DefinitionError, match=f"^the expression is refused: .*({REFUSED[sql]})"):
        scalar_expression(sql, NAMES)


@pytest.mark.parametrize("sql", ["a <=> b", "!a", "a::varchar(3)"])
def test_operators_that_duckdb_reads_otherwise_are_refused(sql: str) -> None:
    with pytest.raises(DefinitionError, match="it can be read in more than one way, also as"):
        check_same_reading(scalar_expression(sql, NAMES))


def test_chained_comparisons_are_refused_as_duckdb_refuses_them() -> None:
    with pytest.raises(DefinitionError, match="DuckDB cannot read it: Chained comparisons"):
        check_same_reading(scalar_expression("a < b = c", NAMES))


def test_every_allowed_function_is_duckdbs_own_of_one_row_and_of_its_arguments_alone() -> None:
    rows = duckdb.sql(
        "SELECT function_name, function_type, stability, has_side_effects FROM duckdb_functions()"
    ).fetchall()
    kinds = {name: {row[1] for row in rows if row[0] == name} for name in functions.ALLOWED}
    # These are syntax, and have no row.
    syntax = {"coalesce", "ifnull", "try"}

    # ``repeat`` of a text is a function of a row, of rows one of a table.
    assert {name for name in functions.ALLOWED - syntax - {"repeat"} if not kinds[name] <= {"scalar", "macro"}} == set()
    assert {name for name in functions.ALLOWED - syntax if not kinds[name]} == set()
    assert {row[0] for row in rows if row[2] not in ("CONSISTENT", None) or row[3]} & functions.ALLOWED == set()
    assert not functions.ALLOWED & functions.WHY_REFUSED.keys()


def test_the_page_lists_every_allowed_function() -> None:
    page = (Path(__file__).parents[3] / "docs" / "derived_features.md").read_text(encoding="utf-8")
    table = page.partition("## Functions")[2].partition("\n## ")[0]

    assert set(re.findall(r"`(\w+)`", table)) == functions.ALLOWED


@pytest.mark.parametrize("name", sorted(functions.ALLOWED - {"try"}))
def test_every_allowed_function_is_read_alike_by_duckdb(name: str) -> None:
    check_same_reading(scalar_expression(f"{name}(a, b)", NAMES))
