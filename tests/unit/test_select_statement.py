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
]


@pytest.mark.parametrize("sql", ALLOWED)
def test_a_select_over_declared_sources_is_allowed(sql: str) -> None:
    check_select(sql, SOURCES)


@pytest.mark.parametrize(("sql", "reason"), REFUSED)
def test_everything_else_is_refused_with_its_reason(sql: str, reason: str) -> None:
    with pytest.raises(TransformationError, match=reason):
        check_select(sql, SOURCES)
