"""The as-of join against the naive reference, on random histories, the same in every run.

One join is over many keys, each with a small history of its own: moments on a coarse grid, one
microsecond to either side of it, so that ties, TTL edges and corrections are frequent; values from a small pool, so
that duplicates are.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Lookup
from featurestore.definitions.values.time_window import to_micros
from featurestore.frames.as_of.hot_keys import HotKey, hot_table
from featurestore.frames.as_of.join_keys import key_longs
from featurestore.frames.as_of.join_rules import AsOfJoin
from featurestore.frames.as_of.point_in_time import point_in_time_join
from featurestore.operations.as_of import key_ranges, shuffle_plan
from tests.conftest import Clock, OpenFeatureStore
from tests.reference.as_of import AsOfLookup, Ordered, Row, as_of_join

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
INSTANT = pa.timestamp("us", tz="UTC")

# The join is tested as it runs in production: with queries that Spark compiles, and adapts.
AS_IN_PRODUCTION = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
}

# Joined into one text, or hashed carelessly, several of these would be one key. The others are there for their number: a
# join of three times as many keys costs no more.
KEYS = list(product([1, 12, 123, 0, -1, 2**63 - 1, -(2**63), *range(500, 514)], ["", "3", "23", "123", "2\x003", "é"]))
INCOMPLETE_KEYS = [(None, "23"), (1, None), (None, None)]

STARTS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 22, tzinfo=UTC),
    datetime(2026, 3, 8, 6, tzinfo=UTC),  # the hour that New York's clocks skip
    datetime(2026, 11, 1, 5, tzinfo=UTC),  # the hour that they show twice
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(9999, 12, 31, 12, tzinfo=UTC),
]

TAGS = [["a"], [], ["a", "b"], ["b"]]
FEATURES = {"score": pa.float64(), "name": pa.string(), "tags": pa.list_(pa.string())}
VALUES_SCHEMA = pa.schema(
    {"id": pa.int64(), "code": pa.string(), "event_timestamp": INSTANT, "created_timestamp": INSTANT, **FEATURES}
)
# The spine has a column named as a feature, and one with a name that SQL would take apart.
SPINE_SCHEMA = pa.schema(
    {"user": pa.int64(), "code": pa.string(), "at": INSTANT, "score": pa.float64(), "a.b `c`": pa.string()}
)
ON = {"id": "user", "code": "code"}


@dataclass(frozen=True)
class Tables:
    """A spine and the history of one group, and how Spark is to hold them."""

    # Of half of the keys; the others have any of STARTS.
    start: datetime
    # Hundreds of rows: a failing test shows those of one key.
    spine: list[Row] = field(repr=False)
    values: list[Row] = field(repr=False)
    partitions: int


def offset(random: Random) -> timedelta:
    """On the grid of hours, or one microsecond off it."""
    return random.randint(0, 3) * HOUR + random.randint(-1, 1) * MICROSECOND


def value_row(random: Random, key: tuple[int, str], start: datetime) -> Row:
    event = start + offset(random)
    lag = random.choice([0, 0, 1, 3, -1]) * HOUR + random.randint(-1, 1) * MICROSECOND
    return {
        "id": key[0],
        "code": key[1],
        "event_timestamp": event,
        "created_timestamp": event + lag,
        "score": random.choice([1.5, None, None, 0.0, -2.0, 1e300]),
        "name": random.choice(["a", None, None, "", "b", "é"]),
        "tags": random.choice([None, None, *TAGS]),
    }


def spine_row(random: Random, key: tuple[int | None, str | None], start: datetime) -> Row:
    return {
        "user": key[0],
        "code": key[1],
        "at": random.choice([start + offset(random), start + offset(random), start + offset(random), None]),
        "score": random.choice([None, 7.0]),
        "a.b `c`": random.choice([None, "x"]),
    }


def tables_of(seed: int) -> Tables:
    """Many keys; some without a history, some that no spine row has, some rows several times."""
    random = Random(seed)
    start = random.choice(STARTS)
    start_of = {key: random.choice([start, random.choice(STARTS)]) for key in KEYS + INCOMPLETE_KEYS}
    spine: list[Row] = []
    values: list[Row] = []
    for key in KEYS[:-3]:
        history = [value_row(random, key, start_of[key]) for _ in range(random.randint(1, 8))]
        tied = value_row(random, key, start_of[key]) | {
            name: history[0][name] for name in ("event_timestamp", "created_timestamp")
        }
        values += [*history, tied, *history[: random.randint(0, 1)]]
    for key in KEYS[3:] + INCOMPLETE_KEYS:
        spine_rows = [spine_row(random, key, start_of[key]) for _ in range(random.randint(1, 6))]
        spine += spine_rows + spine_rows[: random.randint(0, 1)]
    random.shuffle(values)
    random.shuffle(spine)
    return Tables(start, spine, values, random.randint(1, 4))


@pytest.fixture(autouse=True, scope="module")
def as_in_production(spark: SparkSession) -> Iterator[None]:
    before = {name: spark.conf.get(name) for name in AS_IN_PRODUCTION}
    for name, value in AS_IN_PRODUCTION.items():
        spark.conf.set(name, value)
    yield
    for name, setting in before.items():
        spark.conf.set(name, str(setting))


@pytest.fixture(scope="session")
def ordered(spark: SparkSession) -> Ordered:
    """Arrays as the product compares them: by Spark's xxhash64."""
    tags = spark.createDataFrame(pa.table({"tags": TAGS})).select("tags", F.xxhash64("tags").alias("hash")).collect()
    hashes = {tuple(row["tags"]): row["hash"] for row in tags}
    return lambda value: hashes[tuple(value)] if isinstance(value, list) else value


def frame(spark: SparkSession, rows: Sequence[Row], schema: pa.Schema, partitions: int) -> DataFrame:
    return spark.createDataFrame(pa.Table.from_pylist(list(rows), schema)).repartition(partitions)


def assert_same_rows(expected: Sequence[Row], result: DataFrame, question: str, values: Sequence[Row]) -> None:
    """Equal as multisets; else fails with the question, and all that concerns one key."""
    actual = result.toArrow().to_pylist()
    wanted, got = Counter(map(_frozen, expected)), Counter(map(_frozen, actual))
    if wanted == got:
        return
    key = next(iter((wanted - got) + (got - wanted)))[:2]
    lines = [question, f"key {key}"]
    for title, rows in (("history", values), ("expected", expected), ("found", actual)):
        lines += [title, *sorted(f"    {_frozen(row)}" for row in rows if _frozen(row)[:2] == key)]
    pytest.fail("\n".join(lines))


def _frozen(row: Row) -> tuple[Any, ...]:
    return tuple(_plain(value) for value in row.values())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return tuple(value) if isinstance(value, list) else value


def hot_keys(random: Random, longs: dict[tuple[int, str], tuple[int, ...]], start: datetime) -> pa.Table:
    """Half of the keys, each cut at moments on and off the grid of its history."""
    hot = []
    for key in KEYS[1::2]:
        cuts = {start + offset(random) for _ in range(random.randint(1, 5))}
        hot.append(HotKey(longs[key], tuple(sorted(2 * to_micros(cut) for cut in cuts))))
    return hot_table(hot, ["__key_1", "__key_2"])


@pytest.fixture(scope="session")
def longs(spark: SparkSession) -> dict[tuple[int, str], tuple[int, ...]]:
    """Every key as the join compares it."""
    keys = spark.createDataFrame(KEYS, "id long, code string")
    types = [field.dataType for field in keys.schema]
    rows = keys.select("id", "code", *key_longs([F.col("id"), F.col("code")], types)).collect()
    return {tuple(row)[:2]: tuple(row)[2:] for row in rows}


@pytest.mark.parametrize(
    ("seed", "nulls", "known", "ttl", "names"),
    [
        (1, "skip", "whenever", 2 * HOUR, ("name", "tags")),
        (2, "skip", "at an instant", HOUR, tuple(FEATURES)),
        (3, "skip", "at the event", MICROSECOND, ("name", "tags")),
        (4, "keep", "whenever", HOUR, ("score",)),
        (5, "keep", "at an instant", 2 * HOUR, ("name", "tags")),
        (6, "keep", "at the event", None, tuple(FEATURES)),
    ],
)
def test_join_agrees_with_the_reference(
    spark: SparkSession,
    ordered: Ordered,
    longs: dict[tuple[int, str], tuple[int, ...]],
    seed: int,
    nulls: Any,
    known: str,
    ttl: timedelta | None,
    names: tuple[str, ...],
) -> None:
    """Plainly; and with some keys cut in time, and the arrays kept out of the sort."""
    data, random = tables_of(seed), Random(seed)
    spine = frame(spark, data.spine, SPINE_SCHEMA, data.partitions)
    numbered = [row | {"row": index} for index, row in enumerate(data.values)]
    values = frame(spark, numbered, VALUES_SCHEMA.append(pa.field("row", pa.int64())), data.partitions)
    hot = spark.createDataFrame(hot_keys(random, longs, data.start))
    timeless = AsOfLookup(
        keys=ON,
        features=tuple(FEATURES),
        outputs={name: f"found_{name}" for name in FEATURES},
        timestamp_column="at",
        nulls=nulls,
        known_at={"whenever": None, "at an instant": data.start + offset(random), "at the event": "event"}[known],
    )

    narrower = replace(timeless, features=names, ttl=ttl, event_timestamp_output="found_at")
    for lookup, identity, cut in ((timeless, None, hot), (narrower, "row", hot), (narrower, None, None)):
        result = point_in_time_join(spine, values, AsOfJoin(**vars(lookup), row_identity=identity), cut)

        expected = as_of_join(data.spine, data.values, lookup, ordered)
        assert result.columns == list(expected[0])
        types = [*spine.schema, *(values.schema[name] for name in lookup.features), values.schema["event_timestamp"]]
        assert [field.dataType for field in result.schema] == [field.dataType for field in types][: len(result.columns)]
        assert_same_rows(expected, result, str(lookup), data.values)


OWNER = Entity("owner", join_keys={"id": "long", "code": "string"})
DECLARED = [Feature("score", "double"), Feature("name", "string"), Feature("tags", "array<string>")]
DAILY = FeatureGroup("daily", OWNER, features=DECLARED, ttl=2 * HOUR)
MONTHLY = FeatureGroup("monthly", OWNER, features=DECLARED, nulls="keep", partition_by="month")


@pytest.fixture(scope="module")
def store_clock() -> Clock:
    return Clock(STARTS[0])


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore, store_clock: Clock) -> FeatureStore:
    opened = open_feature_store(store_clock)
    opened.apply([DAILY, MONTHLY])
    return opened


@pytest.fixture
def every_way_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in a bloom filter, each example looked up once, a spine spread over tasks by its keys: the join otherwise does
    so only where it gains much.
    """
    monkeypatch.setattr(key_ranges, "FEW_ROWS", 0)
    for name, value in {"_KNOWN": 0, "_BROADCAST": 0, "_SMALL_SPINE": 0, "_SELECTIVE": 0, "_REPEATED": 0}.items():
        monkeypatch.setattr(shuffle_plan, name, value)


def test_store_agrees_with_the_reference(
    feature_store: FeatureStore,
    every_way_taken: None,
    ordered: Ordered,
    store_clock: Clock,
) -> None:
    """Beside another tenant with the same keys, whose rows would show among those of this one."""
    daily, monthly = tables_of(7), tables_of(8)
    store_clock.now = daily.start + HOUR
    others = pa.Table.from_pylist(tables_of(9).values, VALUES_SCHEMA)
    for group in ("daily", "monthly"):
        feature_store.tenant("other").write_batch(group, others)
    tenant = feature_store.tenant("acme")
    daily_rows = [
        row | {"created_timestamp": None} if index % 5 == 0 else row for index, row in enumerate(daily.values)
    ]
    batches = {
        "daily": [daily_rows[::2], pa.Table.from_pylist(daily_rows[1::2], VALUES_SCHEMA)],
        "monthly": [pa.Table.from_pylist(monthly.values, VALUES_SCHEMA)],
    }
    written = {group: sum(tenant.write_batch(group, rows).written for rows in batches[group]) for group in batches}
    assert written == {"daily": len(daily.values), "monthly": len(monthly.values)}
    stored = [row | {"created_timestamp": row["created_timestamp"] or store_clock.now} for row in daily_rows]
    spine_rows = daily.spine + monthly.spine
    lookups = [Lookup("daily", ["tags", "score"], on={"id": "user"}, prefix="d_"), Lookup("monthly", on={"id": "user"})]

    cutting = FeatureStore.open(
        feature_store.settings.model_copy(update={"hot_key_rows": 6}), spark=feature_store.spark
    )
    cut = cutting.tenant(tenant.tenant_id)
    for known_at, reader, host in (
        (None, tenant, "by_shuffle"),
        ("event", cut, "by_shuffle"),
        ("event", tenant, "in_tasks"),
        (None, tenant, "in_process"),
        ("event", tenant, "in_process"),
    ):
        spine = frame(feature_store.spark, spine_rows, SPINE_SCHEMA.remove(3), daily.partitions)
        result = reader.get_point_in_time(
            spine, lookups, timestamp_column="at", known_at=known_at, with_timestamps=True, host=host
        )

        of_daily = AsOfLookup(
            keys=ON,
            features=["score", "tags"],
            outputs={"tags": "d_tags", "score": "d_score"},
            timestamp_column="at",
            ttl=DAILY.ttl,
            known_at=known_at,
            event_timestamp_output="d_daily__event_timestamp",
        )
        of_monthly = replace(
            of_daily,
            features=list(FEATURES),
            outputs={name: name for name in FEATURES},
            ttl=None,
            nulls="keep",
            event_timestamp_output="monthly__event_timestamp",
        )
        plain_spine = [{name: row[name] for name in spine.columns} for row in spine_rows]
        of_both = as_of_join(plain_spine, stored, of_daily, ordered)
        expected = as_of_join(of_both, monthly.values, of_monthly, ordered)
        in_order = [{name: row[name] for name in result.columns} for row in expected]
        assert result.columns[4:] == [
            "d_tags",
            "d_score",
            "d_daily__event_timestamp",
            *FEATURES,
            "monthly__event_timestamp",
        ]
        assert_same_rows(in_order, result, f"known_at={known_at}, {host}", [*stored, *monthly.values])
