"""What a request may hold beyond the rules, found alike by every host; and tables that only some hosts can read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Lookup, OfflineStore
from featurestore.errors import InvalidArgumentError, StorageError
from featurestore.operations.as_of import key_ranges
from featurestore.operations.as_of.hosts import HOSTS, Host
from featurestore.operations.as_of.join import get_point_in_time
from featurestore.operations.reading.request import AsOfRequest, resolve
from tests.conftest import Clock, OpenFeatureStore, spark_setting
from tests.reference.every_host import WAYS, EveryHost, assert_found
from tests.reference.written_tables import TablesOf, instant

INSTANT = pa.timestamp("us", "UTC")
NOON = instant("12:00")
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
USER = Entity("user", join_keys={"user_id": "string"})
SCORES = FeatureGroup("scores", USER, features=[Feature("score", "double"), Feature("level", "long")])
DOCS = FeatureGroup(
    "docs",
    USER,
    features=[Feature("vector", "embedding(2)"), Feature("tags", "array<string>"), Feature("body", "json"),
              Feature("sizes", "array<double>")],
)  # fmt: skip
COUNTER = Entity("counter", join_keys={"number": "int"})
COUNTS = FeatureGroup("counts", COUNTER, features=[Feature("visits", "int")])
MARKED = FeatureGroup("marked", USER, features=[Feature("score", "double")])
WIDENED = FeatureGroup("widened", USER, features=[Feature("visits", "int")])
# Types of join keys -> some keys, in the order by which files are sorted, and what else a spine may have.
KEYS: dict[tuple[str, ...], list[tuple[Any, ...]]] = {
    ("string",): [("",), ("a",), ("a\0",), ("é",), ("\uffff",), ("😀",)],
    ("long",): [(-(2**63),), (-1,), (0,), (2**53 + 1,), (2**63 - 1,)],
    ("date",): [(date(1, 1, 1),), (date(1969, 12, 31),), (date(2026, 3, 2),), (date(9999, 12, 31),)],
    ("timestamp",): [(datetime(1, 1, 1, tzinfo=UTC),), (NOON - MICROSECOND,), (NOON,)],
    ("boolean", "int"): [(False, 5), (True, -(2**31)), (True, 0), (True, 7)],
    ("int", "string"): [(1, "b"), (1, "c"), (2, ""), (2, "b"), (3, "a")],
}
SPREAD = [
    FeatureGroup(
        f"by_{'_'.join(kinds)}",
        Entity(f"of_{'_'.join(kinds)}", join_keys={f"key{place}": kind for place, kind in enumerate(kinds)}),
        features=[Feature("n", "long")],
    )
    for kinds in KEYS
]
ALL = [SCORES, DOCS, COUNTS, MARKED, *SPREAD, WIDENED]
scores, counts = TablesOf(SCORES), TablesOf(COUNTS)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    opened = open_feature_store(Clock(instant("20:00")))
    opened.apply(ALL)
    return opened


@pytest.fixture
def acme(feature_store: FeatureStore, request: pytest.FixtureRequest) -> OfflineStore:
    return feature_store.tenant(request.node.originalname.replace("test_", "", 1)[:60])


@pytest.fixture
def every_host(spark: SparkSession) -> EveryHost:
    return EveryHost(spark)


def table_path(store: FeatureStore, group: FeatureGroup) -> Path:
    return Path(store.settings.warehouse, "groups", f"{group.name}_v1", "values")


def test_a_label_is_looked_up_later_than_the_features_and_versions_can_be_pinned(
    acme: OfflineStore, spark: SparkSession
) -> None:
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp | score | level
        u1      | 12:00           | 1.0   | 10
        u1      | 13:00           | 2.0   | 20
        u1      | 13:00:00.000001 | 3.0   | 30
    """).rows)  # fmt: skip
    rows = scores.examples("""
        user_id | event_timestamp || score | label_level long
        u1      | 11:00           || -     | 10
        u1      | 12:00           || 1.0   | 20
        u1      | 12:00:00.000001 || 1.0   | 30
    """)
    context = acme._scope.context
    [features], [label] = (
        resolve(context, "scores:score"),
        resolve(context, Lookup("scores", ["level"], prefix="label_")),
    )
    request = AsOfRequest((features,), label=replace(label, offset=HOUR))
    version = acme._scope.table(SCORES).values.version()
    acme.write_batch("scores", [{"user_id": "u1", "event_timestamp": instant("11:00"), "score": 9.0, "level": 90}])
    pinned = replace(request, table_versions={("scores", 1): version})

    for way in WAYS:
        found = get_point_in_time(acme._scope, way.spine(rows.spine, spark), pinned, to=None, host=way.host)

        assert_found(found, rows.expected, way)
    newest = get_point_in_time(acme._scope, rows.spine, request, to=None, host=None)
    assert newest["score"].to_pylist() == [9.0, 1.0, 1.0]


@pytest.mark.parametrize("host", HOSTS)
def test_embeddings_arrays_and_json_come_as_they_were_written(acme: OfflineStore, host: Host) -> None:
    acme.write_batch("docs", [
        {"user_id": "a", "event_timestamp": NOON, "vector": [0.5, -0.0], "tags": ["x", ""], "body": {"a": [1]}, "sizes": [1.5]},
        {"user_id": "b", "event_timestamp": NOON, "vector": None, "tags": [], "body": None, "sizes": []},
        {"user_id": "a", "event_timestamp": NOON + HOUR, "vector": [1.0, 2.0], "tags": None, "body": None, "sizes": None},
    ])  # fmt: skip
    spine = pa.table(
        {"user_id": ["b", "a", "a", "c"], "event_timestamp": pa.array([NOON, NOON, NOON + HOUR, NOON], INSTANT)}
    )

    found = acme.get_point_in_time(spine, Lookup("docs"), host=host, with_timestamps=True)

    assert found.schema.names[2:] == ["vector", "tags", "body", "sizes", "docs__event_timestamp"]
    assert found.select(["vector", "tags", "body", "sizes"]).to_pydict() == {
        "vector": [None, [0.5, -0.0], [1.0, 2.0], None],
        "tags": [[], ["x", ""], ["x", ""], None],
        "body": [None, '{"a":[1]}', '{"a":[1]}', None],
        "sizes": [[], [1.5], [1.5], None],
    }
    assert np.signbit(found["vector"][1].as_py()[1])


def test_several_lookups_of_one_group_with_names_in_full_and_times(acme: OfflineStore, every_host: EveryHost) -> None:
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp | score | level
        ann     | 11:00           | 1.0   | -
        ann     | 12:00           | -     | 10
        bob     | 12:00           | 2.0   | 20
    """).rows)  # fmt: skip
    rows = scores.examples("""
        user_id | other string | event_timestamp || scores__level | scores__score double | scores__event_timestamp timestamp | o_score double | o_scores__event_timestamp timestamp
        ann     | bob          | 12:00           || 10            | 1.0                  | 12:00                             | 2.0            | 12:00
        -       | ann          | 11:30           || -             | -                    | -                                 | 1.0            | 11:00
        ann     | ann          | 11:30           || -             | 1.0                  | 11:00                             | 1.0            | 11:00
    """.replace("scores__level ", "scores__level long "))  # fmt: skip
    lookups = ["scores:level", "scores:score", Lookup("scores", ["score"], on={"user_id": "other"}, prefix="o_")]

    every_host.assert_finds(acme, rows, lookups, full_feature_names=True, with_timestamps=True)


def test_whole_numbers_of_any_width_are_keys_of_any_other(acme: OfflineStore, every_host: EveryHost) -> None:
    """A number beyond the key's own range is no entity's key."""
    acme.write_batch("counts", counts.table("""
        number      | event_timestamp | visits
        1           | 12:00           | 10
        -2147483648 | 12:00           | 20
    """).rows)  # fmt: skip
    rows = counts.examples("""
        number long | event_timestamp || visits
        1           | 12:00           || 10
        -2147483648 | 12:00           || 20
        2147483648  | 12:00           || -
        4294967297  | 12:00           || -
        -           | 12:00           || -
    """)
    narrow = rows.spine.slice(0, 1).cast(pa.schema([("number", pa.int8()), ("event_timestamp", INSTANT)]))

    every_host.assert_finds(acme, rows, "counts:visits")
    for host in HOSTS:
        assert acme.get_point_in_time(narrow, "counts:visits", host=host)["visits"].to_pylist() == [10]


def test_old_files_may_lack_a_column_or_have_it_narrower(
    feature_store: FeatureStore, acme: OfflineStore, every_host: EveryHost
) -> None:
    acme.write_batch("widened", [{"user_id": "u1", "event_timestamp": NOON, "visits": 7}])
    wider = FeatureGroup("widened", USER, features=[Feature("visits", "long"), Feature("seen", "boolean")])
    feature_store.apply([*ALL[:-1], wider])
    later = {"user_id": "u1", "event_timestamp": NOON + HOUR, "visits": 2**40, "seen": True}
    acme.write_batch("widened", [later])
    rows = TablesOf(wider).examples("""
        user_id | event_timestamp || visits        | seen
        u1      | 12:30           || 7             | -
        u1      | 13:00           || 1099511627776 | true
    """)

    every_host.assert_finds(acme, rows, Lookup("widened"))


def test_a_local_spine_keeps_its_order_and_its_own_columns_whichever_host_joins(acme: OfflineStore) -> None:
    acme.write_batch("scores", [{"user_id": f"u{n}", "event_timestamp": NOON, "score": float(n)} for n in range(100)])
    order = np.random.default_rng(7).permutation(120)
    spine = pd.DataFrame(
        {
            "code": pd.Categorical([f"u{n}" for n in order]),
            "at": pd.to_datetime([NOON] * 120).as_unit("s"),
            "row": order,
        },
        index=pd.MultiIndex.from_arrays([order, order % 7]),
    )
    table = pa.table({"code": pa.array(spine["code"]), "at": pa.array(spine["at"]), "row": pa.array(order, pa.uint8())})
    lookup = Lookup("scores", ["score"], on={"user_id": "code"})
    expected = [float(n) if n < 100 else None for n in order]

    for host in HOSTS:
        in_pandas = acme.get_point_in_time(spine, lookup, timestamp_column="at", host=host)
        in_arrow = acme.get_point_in_time(table, lookup, timestamp_column="at", host=host)

        pd.testing.assert_frame_equal(in_pandas.drop(columns="score"), spine)
        assert in_pandas["score"].replace({np.nan: None}).tolist() == expected
        assert in_arrow.drop_columns("score") == table
        assert in_arrow["score"].to_pylist() == expected


def test_empty_chunks_of_an_arrow_spine_lose_no_rows(acme: OfflineStore) -> None:
    acme.write_batch("scores", [{"user_id": "u1", "event_timestamp": NOON, "score": 1.0}])
    texts = pa.chunked_array([[], ["u1"], [], ["u2", None], []], pa.string())
    spine = pa.table({"user_id": texts, "event_timestamp": pa.chunked_array([pa.array([NOON] * 3, INSTANT)])})

    for host in HOSTS:
        assert acme.get_point_in_time(spine, "scores:score", host=host)["score"].to_pylist() == [1.0, None, None]
        assert acme.get_point_in_time(spine, "scores:score", host=host, to="spark").count() == 3


# A spine -> the scores that are found.
SPINES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "large text": ({"user_id": pa.array(["u1", "x"], pa.large_string())}, [1.0, None]),
    "text view": ({"user_id": pa.array(["u1", "x"], pa.string_view())}, [1.0, None]),
    "dictionary": ({"user_id": pa.array(["u1", "x"]).dictionary_encode()}, [1.0, None]),
    "only null keys": ({"user_id": pa.array([None, None], pa.string())}, [None, None]),
    "keys without a type": ({"user_id": pa.nulls(2)}, [None, None]),
    "times without a type": ({"event_timestamp": pa.nulls(2)}, [None, None]),
    "seconds": ({"event_timestamp": pa.array([NOON, NOON], pa.timestamp("s", "UTC"))}, [1.0, None]),
    "nanoseconds in Tokyo": ({"event_timestamp": pa.array([NOON, NOON], pa.timestamp("ns", "Asia/Tokyo"))}, [1.0, None]),
}  # fmt: skip


@pytest.mark.parametrize("host", ["in_process", "in_tasks"])
@pytest.mark.parametrize("kind", SPINES)
def test_a_spine_may_be_of_any_of_arrows_types(acme: OfflineStore, kind: str, host: Host) -> None:
    acme.write_batch("scores", [{"user_id": "u1", "event_timestamp": NOON, "score": 1.0}])
    own, expected = SPINES[kind]
    plain = {"user_id": pa.array(["u1", "x"]), "event_timestamp": pa.array([NOON, NOON], INSTANT)}

    spine = pa.table(plain | own)
    found = acme.get_point_in_time(spine, "scores:score", host=host)

    assert found["score"].to_pylist() == expected
    assert found.drop_columns("score") == spine


@pytest.mark.parametrize("host", HOSTS)
def test_a_table_that_nothing_was_written_to_gives_nulls(feature_store: FeatureStore, host: Host) -> None:
    spine = pa.table({"user_id": ["u1"], "event_timestamp": pa.array([NOON], INSTANT)})

    found = feature_store.tenant("new").get_point_in_time(
        spine, Lookup("docs", ["tags", "body"]), host=host, with_timestamps=True
    )

    assert found.select(["tags", "body", "docs__event_timestamp"]).to_pylist() == [
        {"tags": None, "body": None, "docs__event_timestamp": None}
    ]


@pytest.mark.parametrize("host", ["in_tasks", "by_shuffle"])
def test_spark_spines_outside_the_years_of_python_take_no_value(
    acme: OfflineStore, spark: SparkSession, host: Host
) -> None:
    acme.write_batch("scores", [{"user_id": "u1", "event_timestamp": NOON, "score": 1.0}])
    spine = spark.sql("""
        SELECT 'u1' AS user_id, id, timestamp_micros(micros) AS event_timestamp
        FROM VALUES (1, -63000000000000000), (2, 253402300800000000), (3, 253402300799999999), (4, 9000000000000000000)
            AS t(id, micros)
    """)

    found = acme.get_point_in_time(spine, "scores:score", host=host).select("id", "score").toArrow().sort_by("id")

    assert found["score"].to_pylist() == [None, None, 1.0, None]


@pytest.mark.parametrize("host", ["in_tasks", "by_shuffle"])
def test_a_session_may_carry_texts_of_more_than_two_gigabytes(
    acme: OfflineStore, spark: SparkSession, host: Host
) -> None:
    acme.write_batch("docs", [{"user_id": "u1", "event_timestamp": NOON, "tags": ["x"], "body": {"a": 1}}])
    spine = spark.createDataFrame(pa.table({"user_id": ["u1"], "event_timestamp": pa.array([NOON], INSTANT)}))

    with spark_setting(spark, "spark.sql.execution.arrow.useLargeVarTypes", "true"):
        found = (
            acme.get_point_in_time(spine, Lookup("docs", ["tags", "body"]), host=host).select("tags", "body").collect()
        )

    assert [tuple(row) for row in found] == [(["x"], '{"a":1}')]


@pytest.mark.parametrize("group", SPREAD, ids=lambda group: group.name)
def test_a_spine_that_is_spread_by_its_keys_finds_the_same(
    acme: OfflineStore, spark: SparkSession, group: FeatureGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file a key and day, so that the spine is cut at keys; the first key has values of many tasks, and is cut in time."""
    monkeypatch.setattr(key_ranges, "FEW_ROWS", 0)
    monkeypatch.setattr(key_ranges, "ROWS_OF_A_TASK", 2)
    kinds = tuple(group.entity.join_keys.values())
    names, keys = group.join_keys, KEYS[kinds]
    days = [(keys[0], 0), (keys[0], 1), (keys[0], 2), *((key, 1) for key in keys)]
    for number, (key, day) in enumerate(days):
        row = dict(zip(names, key, strict=True)) | {"event_timestamp": NOON + day * 24 * HOUR, "n": number}
        acme.write_batch(group.name, [row])
    times = [NOON - MICROSECOND, NOON, NOON + 24 * HOUR, NOON + 72 * HOUR, None]
    rows = [
        dict(zip(names, key, strict=True)) | {"event_timestamp": at}
        for key in [*keys, (None,) * len(names)]
        for at in times
    ]
    types = {name: TablesOf(group).table(name).schema.field(0).type for name in names}
    spine = pa.Table.from_pylist(rows, pa.schema({**types, "event_timestamp": INSTANT}))
    nothing = pa.table({name: pa.nulls(2) for name in names} | {"event_timestamp": pa.array([NOON] * 2, INSTANT)})

    expected = acme.get_point_in_time(spine, f"{group.name}:n", host="in_process")
    found = acme.get_point_in_time(spark.createDataFrame(spine), f"{group.name}:n", host="in_tasks")
    of_nothing = acme.get_point_in_time(nothing, f"{group.name}:n", host="in_tasks")

    assert found.select(F.spark_partition_id()).distinct().count() > 2
    assert sorted(map(str, found.toArrow().to_pylist())) == sorted(map(str, expected.to_pylist()))
    assert expected["n"].null_count < 3 * len(rows) / 4
    assert of_nothing["n"].to_pylist() == [None, None]


def test_a_spine_of_many_partitions_is_joined_by_few_tasks_where_each_reads_all_values(
    acme: OfflineStore, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ranges, "FEW_ROWS", 1)
    acme.write_batch("docs", [{"user_id": f"u{n}", "event_timestamp": NOON, "tags": [str(n)]} for n in range(5)])
    rows = pa.table({"user_id": [f"u{n}" for n in range(9)], "event_timestamp": pa.array([NOON] * 9, INSTANT)})
    spine = spark.createDataFrame(rows).repartition(7)

    with spark_setting(spark, "spark.sql.shuffle.partitions", "3"):
        found = acme.get_point_in_time(spine, "docs:tags", host="in_tasks")

    assert found.rdd.getNumPartitions() == 3
    assert dict(found.select("user_id", "tags").collect()) == {f"u{n}": [str(n)] if n < 5 else None for n in range(9)}


def test_deletion_vectors_leave_the_join_to_spark(
    feature_store: FeatureStore, acme: OfflineStore, spark: SparkSession
) -> None:
    acme.write_batch("marked", [{"user_id": f"u{n}", "event_timestamp": NOON, "score": float(n)} for n in range(5)])
    path = table_path(feature_store, MARKED)
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    spark.sql(f"DELETE FROM delta.`{path}` WHERE user_id = 'u1'")
    spine = pa.table({"user_id": ["u2", "u1", "u0"], "event_timestamp": pa.array([NOON] * 3, INSTANT)})

    assert acme.get_point_in_time(spine, "marked:score")["score"].to_pylist() == [2.0, None, 0.0]
    explained = acme.explain_point_in_time(spine, "marked:score")
    assert explained.host == "by_shuffle"
    assert "has features that only Spark reads, such as deletion vectors" in explained.why
    for host in ("in_process", "in_tasks"):
        for given in (spine, spark.createDataFrame(spine)):
            with pytest.raises(InvalidArgumentError, match=f"{host}.*deletion vectors; possible: by_shuffle"):
                acme.get_point_in_time(given, "marked:score", host=host)


def test_a_file_that_was_lost_is_named(feature_store: FeatureStore, acme: OfflineStore) -> None:
    acme.write_batch("scores", [{"user_id": "u1", "event_timestamp": NOON, "score": 1.0}])
    [file] = table_path(feature_store, SCORES).glob(f"tenant_id={acme.tenant_id}/*/*.parquet")
    file.unlink()
    spine = pa.table({"user_id": ["u1"], "event_timestamp": pa.array([NOON], INSTANT)})

    with pytest.raises(StorageError, match=f"table .*scores_v1/values: .*{file.name}: .*is not there"):
        acme.get_point_in_time(spine, "scores:score")
