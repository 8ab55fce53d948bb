"""What Spark itself reads in a user's SQL: the same as was meant, over declared views alone, refused before anything runs."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Settings,
    Source,
    SpineQuery,
    TrainingSetDefinition,
)
from featurestore.definitions.sql.functions import ALLOWED, CALLED_BY_SPARK
from featurestore.definitions.sql.select_statement import check_select
from featurestore.errors import TransformationError
from featurestore.spark_internals.spark_plans import check_analyzed_plan, check_parsed_plan
from featurestore.stores.sessions import separate_session
from tests.inputs.sql_fragments import BAD, STATEMENTS, hostile

SECRET = "of another tenant"
START, END = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)
WINDOW = {"tenant_id": "acme", "start_time": START, "end_time": END}


@pytest.fixture(scope="module")
def session(spark: SparkSession) -> SparkSession:
    """A session with the view ``o`` alone, and settings as transformations have them."""
    session = separate_session(spark)
    session.conf.set("spark.sql.legacy.parameterSubstitution.constantsOnly", "true")
    session.conf.set("spark.sql.session.timeZone", "UTC")
    session.conf.set("spark.sql.ansi.enabled", "true")
    rows = session.sql(
        "SELECT 'x' AS a, 1 AS b, 2 AS c, 1.5D AS f, true AS flag, array('u', 'v') AS words, array(1, 2) AS n, map('k', 1) AS m, "
        "struct(struct(1 AS y) AS x) AS s, timestamp'2026-11-01 10:00:00' AS t, date'2026-11-02' AS d"
    )
    rows.createOrReplaceTempView("o")
    rows.createOrReplaceTempView("p")
    return session


@pytest.fixture(scope="module")
def canary(session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a table and a file, a table of the catalog and a global view, all of another tenant."""
    folder = tmp_path_factory.mktemp("canary")
    rows = session.createDataFrame([(SECRET,)], "secret string")
    rows.write.format("delta").save(f"{folder}/table")
    (folder / "file.txt").write_text(SECRET)
    session.sql(f"CREATE TABLE canary USING delta LOCATION '{folder}/table'")
    rows.createOrReplaceGlobalTempView("canary_view")
    yield folder
    session.sql("DROP TABLE canary")
    session.catalog.dropGlobalTempView("canary_view")


def run_checked(session: SparkSession, text: str) -> DataFrame:
    """As a transformation's text is run: what Spark parses is checked before, what it analyses before anything is executed."""
    check_parsed_plan(session, text, ["o", "p"], CALLED_BY_SPARK)
    rows = session.sql(text)
    check_analyzed_plan(rows, ["o", "p"])
    return rows


def touched(canary: Path) -> list[str]:
    return sorted(path.name for path in canary.iterdir() if path.name not in ("table", "file.txt"))


def leaks(
    session: SparkSession, texts: list[str], run: Callable[[SparkSession, str], DataFrame]
) -> tuple[int, list[str]]:
    """How many of the texts ran, and those that read what they must not."""
    ran, leaking = 0, []
    for text in texts:
        try:
            rows = run(session, text)
            content = str(rows.collect())
        except (TransformationError, PySparkException):
            continue
        ran += 1
        if SECRET in content or rows.inputFiles():
            leaking.append(text)
    return ran, leaking


def test_the_canary_sings_where_nothing_is_checked(session: SparkSession, canary: Path) -> None:
    attacks = [
        f"SELECT a, b FROM o /* /*+ */ UNION ALL SELECT secret, 1 FROM delta.`{canary}/table` -- */",
        "SELECT a, b FROM (canary) z, o",
        "SELECT a, (SELECT max(secret) FROM canary) FROM o",
        "SELECT secret FROM global_temp.canary_view",
        f"SELECT value FROM text.`{canary}/file.txt`",
    ]
    secrets = [
        SECRET in str(session.sql(attack.replace("a, b FROM (", "secret FROM (")).collect()) for attack in attacks
    ]

    assert secrets == [True] * len(attacks)
    for attack in attacks:
        with pytest.raises(TransformationError):
            check_select(attack, ["o"])
        with pytest.raises(TransformationError):
            run_checked(session, attack)


def test_hostile_texts_that_pass_the_first_check_touch_nothing(session: SparkSession, canary: Path) -> None:
    ran, leaking = leaks(session, passing(session, canary, 4_000, sample=60), run_checked)

    assert (leaking, touched(canary)) == ([], [])
    assert ran > 30


@pytest.mark.slow
def test_many_hostile_texts_that_pass_the_first_check_touch_nothing(session: SparkSession, canary: Path) -> None:
    ran, leaking = leaks(session, passing(session, canary, 100_000, sample=1_500), run_checked)

    assert (leaking, touched(canary)) == ([], [])
    assert ran > 300


def test_sparks_plans_reject_every_hostile_text_without_other_checks(session: SparkSession, canary: Path) -> None:
    plain = [f"SELECT a, b FROM o {bad}" for bad in BAD] + STATEMENTS
    texts = [text.replace("{canary}", str(canary)) for text in plain] + list(hostile(150, str(canary), seed=7))

    ran, leaking = leaks(session, texts, run_checked)

    assert (leaking, touched(canary)) == ([], [])
    assert ran > 5


def passing(session: SparkSession, canary: Path, count: int, sample: int) -> list[str]:
    """A sample of the texts that are written for hostile ones which the first check lets through, each once."""
    texts = set()
    for sql in hostile(count, str(canary)):
        try:
            texts.add(check_select(sql, ["o", "p"]))
        except TransformationError:
            continue
    return Random(1).sample(sorted(texts), min(sample, len(texts)))


LEGITIMATE = """
SELECT a, count(*), count(DISTINCT b, c), count(*) FILTER (WHERE b > 1), sum(b) FROM o GROUP BY a HAVING count(*) > 0 ORDER BY a DESC NULLS FIRST
SELECT a, sum(b) FROM o GROUP BY ALL ORDER BY ALL LIMIT 3 OFFSET 0
SELECT a, c, sum(b), grouping_id() FROM o GROUP BY GROUPING SETS ((a), (a, c), ())
SELECT a, c, sum(b) FROM o GROUP BY ROLLUP(a, c)
SELECT a, c, sum(b) FROM o GROUP BY a, c WITH CUBE
SELECT first(a) IGNORE NULLS OVER (ORDER BY b), nth_value(a, 2) OVER w, lag(b, 1, 0) OVER w FROM o WINDOW w AS (PARTITION BY a ORDER BY b)
SELECT sum(b) OVER (PARTITION BY a ORDER BY t RANGE BETWEEN INTERVAL 23 HOURS PRECEDING AND CURRENT ROW) FROM o
SELECT sum(b) OVER (ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING) FROM o
SELECT a FROM o QUALIFY row_number() OVER (PARTITION BY a ORDER BY b) = 1
SELECT percentile(b, 0.5), percentile_cont(0.5) WITHIN GROUP (ORDER BY b DESC), mode() WITHIN GROUP (ORDER BY b), listagg(a, ',') FROM o
SELECT max(struct(b, c)) AS z, min_by(a, b), any_value(a), bool_and(flag), collect_list(a), approx_count_distinct(a) FROM o
SELECT b::int, CAST(f AS DECIMAL(12, 2)), TRY_CAST(a AS INT), CAST(n AS ARRAY<FLOAT>), CAST(a AS VARCHAR(3)), -b::int, b + c::double FROM o
SELECT CAST(m AS MAP<STRING, DOUBLE>), CAST(s AS STRUCT<x: STRUCT<y: BIGINT>>), CAST(t AS DATE), CAST(d AS TIMESTAMP_NTZ) FROM o
SELECT t - INTERVAL 2 HOURS, d + INTERVAL '1' DAY, t - INTERVAL '1-2' YEAR TO MONTH, t + INTERVAL '1 10:00:00' DAY TO SECOND FROM o
SELECT INTERVAL '3 days', INTERVAL '1 day 2 hours', INTERVAL -3 DAYS, INTERVAL 1.5 SECONDS FROM o
SELECT date_trunc('HOUR', t), extract(YEAR FROM t), date_part('hour', t), date_add(d, 3), dateadd(DAY, 3, d), datediff(HOUR, t, t), timestampdiff(MINUTE, t, t) FROM o
SELECT date_diff(d, d), weekday(d), date_format(t, 'yyyy-MM'), to_date('2026-11-01'), unix_timestamp(t), make_date(2026, 11, 1), window(t, '1 hour').start FROM o
SELECT b + 1 - c * 2 / 3 % 4, b DIV c, b & c << 1, b | c ^ b & 1, ~b, -b, - -b, b - -c, b - (c - 1), b / (c / 2), a || 'x' || 'y' FROM o
SELECT NOT b = c, ! b = c, b <=> c, b == c, b != c, b <> c, b IS DISTINCT FROM c, flag IS TRUE, flag IS NOT FALSE, b IS NOT NULL AND flag OR NOT flag FROM o
SELECT b BETWEEN 1 AND 2 AND c NOT BETWEEN 2 AND 3, b IN (1, 2), b NOT IN (3), (b, c) IN ((1, 2)), a NOT LIKE 'b', a ILIKE 'X' FROM o
SELECT a LIKE 'x!%%' ESCAPE '!', a LIKE 'a\\_b', a RLIKE '^\\d+$', a REGEXP r'\\d', a LIKE ANY ('x', 'y'), a LIKE ALL ('x%', '%x'), a = 'It''s' FROM o
SELECT CASE b WHEN 1 THEN 'one' ELSE 'more' END, CASE WHEN b IN (1) THEN 1 END, if(flag, b, c), nvl(a, 'z'), coalesce(a, 'z'), nullif(b, 1) FROM o
SELECT words[0], array(1, 2)[0], array(array(1))[0][0], map('a', 1)['a'], m['k'], s.x.y, s.*, element_at(n, -1), named_struct('q', 1).q FROM o
SELECT transform(n, v -> v + 1), filter(n, v -> v > 1), aggregate(n, 0, (x, v) -> x + v), zip_with(n, n, (x, y) -> x * y), exists(n, v -> v > 1) FROM o
SELECT map_filter(m, (k, v) -> v > 0), transform(sequence(5, 7), b -> concat('hour ', b)), array_sort(n, (x, y) -> y - x) FROM o
SELECT trim(a), trim(BOTH 'x' FROM a), trim(LEADING 'x' FROM a), substring(a FROM 1 FOR 1), substr(a, 1), position('x' IN a), overlay(a PLACING 'y' FROM 1 FOR 1) FROM o
SELECT 1, 1.5, 1e3, .5, 00012, 12345678901234567890, TRUE, NULL, X'1F', 'a' 'b', "double" FROM o
SELECT from_json('{"q":1}', 'q INT', map('mode', 'PERMISSIVE')), to_json(struct(a, b)), get_json_object('{"q":1}', '$.q'), to_json(m) FROM o
SELECT hash(a), xxhash64(a, b), sha2(a, 256), log(2, b), log(f), round(f, 1), ceil(f), floor(f), mod(b, 2), power(b, 2), greatest(b, c), try_divide(b, 0) FROM o
SELECT o.*, q.b AS q FROM o JOIN p q ON o.b = q.b LEFT JOIN p r USING (b) CROSS JOIN p z
SELECT * FROM o LEFT SEMI JOIN p ON o.b = p.b
SELECT o.a FROM o LEFT ANTI JOIN p USING (b)
SELECT o.a FROM o FULL OUTER JOIN p ON o.b = p.b
SELECT x.a FROM o x, p y JOIN o z ON x.b = z.b
SELECT o.a, z.q FROM o JOIN LATERAL (SELECT p.b AS q FROM p WHERE p.b = o.b) z
SELECT a, w, z FROM o LATERAL VIEW OUTER explode(words) e AS w LATERAL VIEW posexplode(n) g AS z, y
SELECT explode(words) FROM o
SELECT * FROM range(3) AS r(i), explode(array(1, 2)) AS e(x)
SELECT * FROM VALUES (1, 'a'), (2, 'b') AS v(x, y)
SELECT * FROM (o) z JOIN (p) ON true
SELECT a FROM o WHERE b IN (SELECT b FROM p) AND EXISTS (SELECT 1 FROM p WHERE p.b = o.b) AND b > (SELECT min(b) - 1 FROM p)
SELECT a FROM o INTERSECT SELECT a FROM p EXCEPT ALL SELECT a FROM p UNION DISTINCT SELECT a FROM o
(SELECT a FROM o ORDER BY a LIMIT 1) UNION ALL (SELECT a FROM p)
WITH x AS (SELECT * FROM o), y (i, j) AS (SELECT a, b FROM x) SELECT * FROM y WHERE j IN (SELECT b FROM x)
WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 3) SELECT * FROM r
SELECT * FROM (SELECT a, b, c FROM o) PIVOT (sum(b) AS s FOR c IN (2 AS two, 3))
SELECT * FROM (SELECT a, b, c FROM o) UNPIVOT (v FOR k IN (b, c))
SELECT * EXCEPT (a, m) FROM o
SELECT DISTINCT a, b FROM o
FROM o SELECT a
SELECT :tenant_id AS tenant, t >= :start_time AND t < :end_time - INTERVAL 1 MICROSECOND FROM o
""".strip().splitlines()


def same_meaning(session: SparkSession, sql: str, text: str) -> bool:
    """Whether Spark plans both alike, or at least answers both alike; most texts are written as they were."""
    written = session.sql(text, args=WINDOW)
    check_analyzed_plan(written, ["o", "p"])
    if text == sql:
        return True
    original = session.sql(sql, args=WINDOW)
    return original.sameSemantics(written) or answer(original) == answer(written)


def answer(rows: DataFrame) -> object:
    """The rows as text, or the condition of the error that they end in."""
    try:
        return sorted(str(tuple(row)) for row in rows.collect())
    except PySparkException as error:
        return error.getCondition()


def test_sql_that_people_write_is_allowed_and_keeps_its_meaning(session: SparkSession) -> None:
    for sql in LEGITIMATE:
        text = check_select(sql, ["o", "p"])
        check_parsed_plan(session, text, ["o", "p"], CALLED_BY_SPARK)

        assert same_meaning(session, sql, text), (sql, text)


def test_every_allowed_function_means_the_same_as_written_anew(session: SparkSession) -> None:
    """By the examples that Spark has of each."""
    compared, different = set(), []
    # Read at once: a question to Spark about each function would cost more than the comparison. Some have two descriptions.
    described: dict[str, str] = defaultdict(str)
    for info in session._jvm.PythonSQLUtils.listBuiltinFunctionInfos():
        described[info.getName()] += info.getExamples().replace("_FUNC_", info.getName())
    for name in sorted(ALLOWED & set(described)):
        for sql in re.findall(r"> (SELECT .*?);\n", described[name], re.DOTALL):
            try:
                text = check_select(sql, [])
            except TransformationError:
                continue
            try:
                same = same_meaning(session, sql, text)
            except PySparkException as error:
                if not analysis_fails(session, sql, error):
                    different.append((sql, text))
                continue
            compared.add(name)
            if not same:
                different.append((sql, text))

    assert different == []
    # Casts like int(a) have no example, and some examples call refused functions.
    assert len(compared) > 0.9 * len(ALLOWED)


def analysis_fails(session: SparkSession, sql: str, error: PySparkException) -> bool:
    """Whether the unchanged example fails in the same way."""
    try:
        session.sql(sql)
    except PySparkException as original:
        return original.getCondition() == error.getCondition()
    return False


USER = Entity("user", join_keys={"user_id": "string"})
ORDERS = {"o": Source(path="{landing}/{tenant_id}", format="parquet")}

# SQL, and what the error says. The first stop before a job, the second in it.
WRONG = [
    (
        "SELECT user_id, sum(amont) AS n FROM o GROUP BY user_id",
        r"`amont` cannot be resolved.*\(line 1, column 21: `amont`\)",
    ),
    ("SELECT user_id, summ(amount) AS n FROM o", r"function summ .*Did you mean 'sum'.*\(line 1, column 17\)"),
    ("SELECT user_id, amount + array(1) AS n FROM o", r"BINARY_OP_DIFF_TYPES.*\(line 1, column 17: "),
    ("SELECT user_id, upper(amount, 1) AS n FROM o", r"WRONG_NUM_ARGS.*\(line 1, column 17: "),
    ("SELECT user_id, sum(amount) AS n FROM o", "MISSING_GROUP_BY"),
    ("SELECT user_id amount n FROM o", r"cannot be read as Spark SQL.*\(line 1, column"),
    ("SELECT user_id,\n -- text\n CAST(user_id AS int) AS n FROM o", r"'ann' of the type.*\(line 3, column 2: CAST\("),
    ("SELECT user_id, sum(user_id) AS n FROM o GROUP BY user_id", r"CAST_INVALID_INPUT.*\(line 1, column 17: sum\("),
    ("SELECT user_id, amount / 0 AS n FROM o", r"DIVIDE_BY_ZERO.*\(line 1, column 17: `amount` / 0\)"),
    ("SELECT user_id, (SELECT amount FROM o) AS n FROM o", r"SCALAR_SUBQUERY_TOO_MANY_ROWS.*\(line 1, column"),
    ("SELECT user_id, CAST(split(user_id, concat('(', user_id))[0] AS double) AS n FROM o", "Unclosed group"),
    (
        "SELECT user_id, CAST(map_from_arrays(array(1, 1), array(amount, amount))[1] AS double) AS n FROM o",
        "DUPLICATED_MAP_KEY",
    ),
    (
        "SELECT user_id, CAST(date_format(DATE'2026-01-01', concat('YYYY', user_id)) AS double) AS n FROM o",
        r"DATETIME_WEEK_BASED_PATTERN\] .* Spark >= 3.0: \w+",
    ),
]


@pytest.mark.slow
def test_an_error_in_sql_names_the_place(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings(warehouse=str(tmp_path / "warehouse"), landing=str(tmp_path))
    fs = FeatureStore.open(settings, spark=spark)
    (tmp_path / "acme").mkdir()
    pd.DataFrame({"user_id": ["ann", "bob"], "amount": [1.0, 2.0]}).to_parquet(tmp_path / "acme" / "a.parquet")
    fs.apply(
        FeatureGroup(f"wrong_{number}", USER, features=[Feature("n", "double")], sources=ORDERS, transformation=sql)
        for number, (sql, _) in enumerate(WRONG)
    )

    for number, (sql, reason) in enumerate(WRONG):
        with pytest.raises(TransformationError) as raised:
            fs.tenant("acme").materialize_feature(f"wrong_{number}", START, END)

        assert re.search(reason, str(raised.value), re.DOTALL), (sql, str(raised.value))
        assert len(str(raised.value)) < 1000


def test_an_error_in_a_spines_sql_names_the_place(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings(warehouse=str(tmp_path / "warehouse"), landing=str(tmp_path))
    fs = FeatureStore.open(settings, spark=spark)
    (tmp_path / "acme").mkdir()
    pd.DataFrame({"user_id": ["ann"], "at": pd.to_datetime(["2026-11-02T12:00:00Z"]).as_unit("us")}).to_parquet(
        tmp_path / "acme" / "a.parquet"
    )
    fs.apply([FeatureGroup("plain", USER, features=[Feature("n", "double")])])
    fs.tenant("acme").write_feature_value("plain:n", {"user_id": "ann"}, 1.0, START)
    spines = {
        "misspelt": (
            "SELECT user_id, att AS event_timestamp, 1 AS label FROM o",
            r"`att` .*\(line 1, column 17: `att`\)",
        ),
        "cast": (
            "SELECT user_id, at AS event_timestamp, CAST(user_id AS int) AS label FROM o",
            r"'ann' .*\(line 1, column 40: CAST",
        ),
        "elsewhere": ("SELECT user_id, at AS event_timestamp, 1 AS label FROM (canary) z", "it reads canary"),
    }
    for name, (sql, _) in spines.items():
        spine = SpineQuery(sources=ORDERS, transformation=sql)
        fs.apply([TrainingSetDefinition(name, ["plain:n"], spine=spine, label="label")])

    for name, (_, reason) in spines.items():
        with pytest.raises(TransformationError, match=reason):
            FeatureDataLoader(fs.tenant("acme")).build(name)
