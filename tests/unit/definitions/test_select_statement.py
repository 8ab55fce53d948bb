"""A transformation's SQL is one SELECT over its declared sources; everything else is refused with its reason."""

import pytest

from featurestore.definitions.sql.select_statement import check_expression, check_select
from featurestore.errors import TransformationError

SOURCES = ["flights", "airports"]

ALLOWED = [
    "SELECT carrier, avg(arr_delay) AS delay FROM flights WHERE tenant = :tenant_id GROUP BY carrier",
    "WITH landed AS (SELECT * FROM flights WHERE arrival < :end_time) SELECT * FROM landed JOIN airports USING (faa)",
    "SELECT f.* FROM flights f WHERE f.x > (SELECT max(y) FROM airports)",
    "SELECT a FROM flights UNION ALL SELECT a FROM airports",
    "SELECT ':tenant_id ; DROP TABLE flights' AS text FROM flights -- ; DELETE FROM flights",
    "SELECT x, sum(y) OVER (PARTITION BY k ORDER BY t RANGE BETWEEN INTERVAL 23 HOURS PRECEDING AND CURRENT ROW) z FROM flights",
    "SELECT k, word FROM flights LATERAL VIEW explode(words) exploded AS word",
    "SELECT * FROM FLIGHTS",
    "WITH a AS (SELECT * FROM flights), b AS (SELECT * FROM a) SELECT * FROM b WHERE x IN (SELECT x FROM a)",
    "WITH a AS (WITH b AS (SELECT * FROM flights) SELECT * FROM b) SELECT * FROM a",
    "SELECT transform(words, word -> upper(word)) AS words, `table` FROM flights",
    "SELECT * FROM flights WHERE text LIKE 'a;b' AND other = '${env:HOME}'",
]

REFUSED = [
    ("SELECT 1; SELECT 2", "one statement"),
    ("", "one statement"),
    ("SELECT * FROM flights; DROP TABLE flights", "one statement"),
    ("DROP TABLE flights", "one SELECT"),
    ("DELETE FROM flights", "one SELECT"),
    ("INSERT INTO flights SELECT * FROM airports", "one SELECT"),
    ("UPDATE flights SET a = 1", "one SELECT"),
    ("MERGE INTO flights USING airports ON a = b WHEN MATCHED THEN DELETE", "one SELECT"),
    ("CREATE TABLE stolen AS SELECT * FROM flights", "one SELECT"),
    ("CREATE OR REPLACE TEMP VIEW flights AS SELECT 1", "one SELECT"),
    ("TRUNCATE TABLE flights", "one SELECT"),
    ("SET spark.sql.ansi.enabled = false", "one SELECT"),
    ("SHOW TABLES", "one SELECT"),
    ("DESCRIBE HISTORY flights", "one SELECT"),
    ("CACHE TABLE flights", "one SELECT"),
    ("SELECT * FROM users", "not among its sources"),
    ("SELECT * FROM other.flights", "not among its sources"),
    ("SELECT * FROM spark_catalog.default.flights", "not among its sources"),
    ("SELECT * FROM parquet.`/data/other_tenant`", "not among its sources"),
    ("SELECT * FROM delta.`/warehouse/groups/g_v1/values`", "not among its sources"),
    ("SELECT * FROM flights WHERE a IN (SELECT b FROM secrets)", "not among its sources"),
    ("SELECT * FROM flights VERSION AS OF 3", "refused"),
    ("WITH flights AS (SELECT 1) SELECT * FROM flights", "would hide the sources"),
    ("SELECT reflect('java.lang.System', 'getenv', 'SECRET') FROM flights", "function reflect"),
    ("SELECT java_method('java.lang.Runtime', 'getRuntime') FROM flights", "function java_method"),
    ("SELECT ReFlEcT('a', 'b') FROM flights", "function reflect"),
    ("SELECT try_reflect('a', 'b') FROM flights", "function try_reflect"),
    ("SELECT input_file_name() FROM flights", "function input_file_name"),
    ("SELECT TRANSFORM(a) USING 'cat /etc/passwd' AS (b) FROM flights", "refused"),
    ("SELECT * FROM read_files('/data')", "read_files"),
    ("SELECT * FROM IDENTIFIER('users')", "refused"),
    ("SELECT * FROM flights WHERE t < :now", "parameter :now is not known"),
    ("SELECT * FROM flіghts", "not among its sources"),  # a Cyrillic letter  # noqa: RUF001
    ("SELECT * FROM `flights``users`", "not among its sources"),
    ("SELEC * FROM flights", "refused"),
    ("SELECT * FROM (WITH users AS (SELECT 1 AS a) SELECT * FROM users) x, users", "reads users"),
    (
        "SELECT * FROM flights WHERE a IN (WITH u AS (SELECT 1 AS a) SELECT a FROM u) AND b IN (SELECT b FROM u)",
        "reads u",
    ),
    ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "reads b"),
    ("WITH x AS (WITH y AS (SELECT 1) SELECT * FROM y) SELECT * FROM y", "reads y"),
    ("SELECT * FROM flights WHERE a = (TABLE users)", "the word TABLE"),
    ("SELECT * FROM flights UNION ALL TABLE users", "refused"),
    ("FROM flights |> JOIN users", "reads users"),
    ("FROM users SELECT *", "reads users"),
    ("SELECT default.steal(a) FROM flights", "named by its catalog"),
    ("SELECT spark_catalog.default.steal(a) FROM flights", "named by its catalog"),
    ("SELECT system.builtin.reflect('a', 'b') FROM flights", "function reflect"),
    ("SELECT `reflect`('a', 'b') FROM flights", "function reflect"),
    ("SELECT leak (a) FROM flights", "function leak is not Spark's own"),
    ("SELECT * FROM flights LATERAL VIEW leak(a) t AS b", "function leak is not Spark's own"),
    ("SELECT * FROM flights, LATERAL (SELECT * FROM users)", "reads users"),
    ("SELECT /*+ BROADCAST(users) */ * FROM flights JOIN users USING (a)", "reads users"),
    ("SELECT a FROM flights ORDER BY (SELECT max(b) FROM users)", "reads users"),
    ("SELECT * FROM flights -- \\\n, users", "reads users"),
    ("SELECT * FROM global_temp.users", "reads global_temp"),
    ("SELECT * FROM IDENTIFIER(:tenant_id)", "refused"),
    ("SELECT * FROM flights MINUS SELECT * FROM users", "reads users"),
    ("EXECUTE IMMEDIATE 'SELECT * FROM users'", "one SELECT"),
    ("BEGIN SELECT 1; END", "refused"),
    ("ADD JAR '/tmp/x.jar'", "one SELECT"),
    ("SELECT * FROM table_changes('users', 0)", "table_changes"),
    ("SELECT 'open FROM flights", "refused"),
    # Spark reads what is in parentheses after FROM as a table.
    ("SELECT * FROM (users) z", "reads users"),
    ("SELECT * FROM ((users AS u)) z", "reads users"),
    ("SELECT * FROM (DESCRIBE users) z", "DESCRIBE is not allowed"),
    ("SELECT * FROM flights, LATERAL users z", "users is neither a query nor a source"),
    ("WITH z AS (users) SELECT * FROM z", "users is neither a query nor a source"),
    ("SELECT a FROM (WITH u AS (SELECT 1 AS a) SELECT a FROM u) x JOIN u ON true", "reads u"),
    # Parsers end these comments, or texts, in different places.
    ("SELECT a, b FROM flights /* /*+ */ UNION ALL SELECT c, d FROM delta.`/x` -- */", "reads delta"),
    ("SELECT a FROM flights -- \\\n UNION ALL SELECT a FROM users", "reads users"),
    ("SELECT a FROM flights -- \\\n WHERE b > 1", "a line comment ends in a backslash"),
    ("SELECT a FROM flights /* /* */ */", "refused"),
    ("SELECT a FROM flights WHERE x = '${env:HOME}' OR ${env:HOME}", "refused"),
    ("SELECT a\u00a0FROM flights", "U\\+00A0"),
    ("SELECT a FROM flights |> WHERE a > 1", "the pipe"),
    # Scripts, chance, clocks, files, hints of where a row is.
    ("SELECT a FROM flights TABLESAMPLE (10 PERCENT)", r"TABLESAMPLE .* \(line 1, column 36\)"),
    ("FROM flights MAP a USING 'cat' AS (b)", "refused"),
    ("INSERT OVERWRITE DIRECTORY '/tmp/x' SELECT a FROM flights", "refused"),
    ("SELECT a INTO users FROM flights", "refused"),
    ("SELECT rand() FROM flights", r"function rand .*: its result is random.*\(line 1, column 8\)"),
    ("SELECT a FROM flights WHERE t < now()", "function now .*use :start_time"),
    ("SELECT a FROM flights WHERE t < current_timestamp", "current_timestamp .*use :start_time"),
    ("SELECT a FROM flights WHERE t < `current_date`", "current_date .*use :start_time"),
    ("SELECT unix_timestamp() FROM flights", "without an argument"),
    ("SELECT _metadata.file_path FROM flights", "_metadata"),
    ("SELECT f._metadata FROM flights f", "_metadata"),
    ("SELECT from_xml(a, 'b INT', map('rowValidationXSDPath', '/etc/passwd')) FROM flights", "function from_xml"),
    ("SELECT xpath_string(a, 'b') FROM flights", "function xpath_string"),
    ("SELECT from_json(a, 'b INT', map('path', '/etc/passwd')) FROM flights", "option 'path' of from_json"),
    ("SELECT from_json(a, 'b INT', options) FROM flights", "options of from_json must be written"),
    ("SELECT from_csv(a, 'b INT', map(c, d)) FROM flights", "options of from_csv must be written"),
    ("SELECT from_avro(a, '{}') FROM flights", "function from_avro"),
    ("SELECT summ(a) FROM flights", r"function summ is not allowed: Did you mean 'sum'"),
    (
        "SELECT a FROM flights LATERAL VIEW explode(b) `t AS c UNION ALL SELECT d FROM users` AS c, (SELECT 1)",
        "refused",
    ),
    ("SELECT a FROM flights ORDER BY a |", "refused"),
    ("SELECT ? FROM flights", "parameter"),
    ("SELECT {tenant_id} FROM flights", "refused"),
    ("SELECT a FROM flights DISTRIBUTE BY a", "DISTRIBUTE BY is not allowed"),
    ("SELECT CAST(a AS TIME) FROM flights", "type TIME is not allowed"),
    ("SELECT a AT TIME ZONE 'UTC' FROM flights", "from_utc_timestamp"),
    ("SELECT CAST(a AS my.type) FROM flights", "refused"),
]

# What runs: the same meaning, every name quoted, no comment, no hint, functions under their written names.
WRITTEN = [
    ("SELECT a -- note\nFROM flights /* more */", "SELECT `a` FROM `flights`"),
    ("SELECT /*+ BROADCAST(f) */ f.a FROM flights f", "SELECT `f`.`a` FROM `flights` AS `f`"),
    ("SELECT 'It''s', \"x\", r'\\d', '\\\\d', 'a' 'b'", r"SELECT 'It\'s', 'x', '\\d', '\\d', 'ab'"),
    ("SELECT Count(*), array(1, 2)[0]", "SELECT Count(*), array(1, 2)[0]"),
    ("SELECT a::int, x'1f', 1L", "SELECT CAST(`a` AS INT), X'1f', CAST(1 AS BIGINT)"),
    ("SELECT t - INTERVAL 1 DAY 2 HOURS", "SELECT `t` - (INTERVAL '1' DAY + INTERVAL '2' HOURS)"),
    ("SELECT :start_time, a & b << 2", "SELECT :start_time, `a` & `b` << 2"),
    ("SELECT dateadd(day, 3, d), datediff(HOUR, a, b)", "SELECT dateadd(DAY, 3, `d`), datediff(HOUR, `a`, `b`)"),
    ("FROM flights SELECT a", "SELECT `a` FROM `flights`"),
    (
        "SELECT k FROM flights LATERAL VIEW explode(w) `a b` AS `c d`",
        "SELECT `k` FROM `flights` LATERAL VIEW explode(`w`) `a b` AS `c d`",
    ),
]

EXPRESSIONS = [
    ("a + 1 -- more", "`a` + 1"),
    ("transform(a, x -> upper(x))", "transform(`a`, `x` -> upper(`x`))"),
    ("CASE WHEN a > 1 THEN 'x' END", "CASE WHEN `a` > 1 THEN 'x' END"),
]
NO_EXPRESSIONS = [
    ("sum(a)", "function sum is not allowed in an expression over one row"),
    ("row_number() OVER (ORDER BY a)", "not allowed in an expression over one row"),
    ("explode(a)", "function explode is not allowed in an expression over one row"),
    ("(SELECT 1)", "SUBQUERY"),
    ("a IN (SELECT b FROM users)", "refused"),
    ("a, b", "one expression"),
    ("a AS b", "ALIAS"),
    ("a FROM users", "one expression"),
    ("*", "STAR"),
    (":tenant_id", "parameter"),
    ("reflect('a', 'b')", "function reflect"),
    ("", "refused"),
]


@pytest.mark.parametrize("sql", ALLOWED)
def test_a_select_over_declared_sources_is_allowed(sql: str) -> None:
    check_select(sql, SOURCES)


@pytest.mark.parametrize(("sql", "reason"), REFUSED)
def test_everything_else_is_refused_with_its_reason(sql: str, reason: str) -> None:
    with pytest.raises(TransformationError, match=reason):
        check_select(sql, SOURCES, user_functions=["leak"])


@pytest.mark.parametrize(("sql", "text"), WRITTEN)
def test_what_runs_is_written_anew(sql: str, text: str) -> None:
    assert check_select(sql, SOURCES) == text
    assert check_select(text, SOURCES) == text


def test_a_function_of_the_catalog_is_refused_though_its_name_is_one_of_sparks() -> None:
    assert check_select("SELECT upper(a) FROM flights", SOURCES) == "SELECT upper(`a`) FROM `flights`"
    with pytest.raises(TransformationError, match="function upper is not Spark's own"):
        check_select("SELECT upper(a) FROM flights", SOURCES, user_functions=["UPPER"])


@pytest.mark.parametrize(("sql", "text"), EXPRESSIONS)
def test_an_expression_of_one_row_is_written_anew(sql: str, text: str) -> None:
    assert check_expression(sql) == text


@pytest.mark.parametrize(("sql", "reason"), NO_EXPRESSIONS)
def test_what_is_not_of_one_row_is_no_expression(sql: str, reason: str) -> None:
    with pytest.raises(TransformationError, match=reason):
        check_expression(sql)
