"""A transformation's SQL is one SELECT over its declared sources; everything else is refused with its reason."""

import pytest

from featurestore.definitions.select_statement import check_select
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
]


@pytest.mark.parametrize("sql", ALLOWED)
def test_a_select_over_declared_sources_is_allowed(sql: str) -> None:
    check_select(sql, SOURCES)


@pytest.mark.parametrize(("sql", "reason"), REFUSED)
def test_everything_else_is_refused_with_its_reason(sql: str, reason: str) -> None:
    with pytest.raises(TransformationError, match=reason):
        check_select(sql, SOURCES, user_functions=["leak"])
