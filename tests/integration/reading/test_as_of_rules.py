"""The nine rules of the as-of join, each by example: what was written, one call, what must be found.

A docstring that begins with ``Rule N:`` states a rule, or a part of it; docs/point_in_time.md lists these statements
(``python docs/generators/as_of_rules.py``). In the examples, the columns left of ``||`` are the spine and those right of
it what must be found for it. Every host of the join must find it (``tests/reference/every_host.py``).
"""

import datetime as dt
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Lookup, OfflineStore
from featurestore.errors import DefinitionError, FeatureStoreError, InvalidNameError, NotFoundError, SpineError
from featurestore.operations.as_of import key_ranges
from featurestore.operations.as_of.hosts import HOSTS, Host
from tests.conftest import Clock, OpenFeatureStore
from tests.reference.every_host import EveryHost
from tests.reference.written_tables import TablesOf, assert_table, instant

USER = Entity("user", join_keys={"user_id": "string"})
FEATURES = [Feature("score", "double"), Feature("level", "long")]
SCORES = FeatureGroup("scores", USER, features=FEATURES)
FRESH = FeatureGroup("fresh", USER, features=FEATURES, ttl=timedelta(hours=1))
KEPT = FeatureGroup("kept", USER, features=FEATURES, ttl=timedelta(hours=1), nulls="keep")

PART = Entity("part", join_keys={"number": "long", "code": "string", "small": "int"})
LABELS = FeatureGroup("labels", PART, features=[Feature("label", "string")], ttl="40d", partition_by="month")
SLOT = Entity("slot", join_keys={"day": "date", "moment": "timestamp", "flag": "boolean"})
SLOTS = FeatureGroup("slots", SLOT, features=[Feature("taken", "boolean")])

# FRESH and KEPT have the columns of SCORES.
scores, labels, slots = TablesOf(SCORES), TablesOf(LABELS), TablesOf(SLOTS)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(instant("20:00"))


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore, clock: Clock) -> FeatureStore:
    opened = open_feature_store(clock)
    opened.apply([SCORES, FRESH, KEPT, LABELS, SLOTS])
    return opened


@pytest.fixture
def acme(feature_store: FeatureStore, request: pytest.FixtureRequest) -> OfflineStore:
    """A tenant of the test's own, so that tests share tables and never rows."""
    return feature_store.tenant(request.node.originalname.replace("test_", "", 1)[:60])


@pytest.fixture(autouse=True, scope="module")
def spread_by_keys() -> Iterator[None]:
    """Spines are spread over tasks by their keys, as they are for large tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_ranges, "FEW_ROWS", 0)
        yield


@pytest.fixture
def every_host(spark: SparkSession) -> EveryHost:
    return EveryHost(spark)


@pytest.fixture
def session_in_kathmandu(spark: SparkSession) -> Iterator[None]:
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kathmandu")
    yield
    spark.conf.set("spark.sql.session.timeZone", before)


def test_a_value_counts_from_its_event_timestamp_to_the_end_of_its_ttl(
    acme: OfflineStore, every_host: EveryHost
) -> None:
    """Rule 1: A value counts where `T - ttl <= event_timestamp <= T`. Both ends are included, to the microsecond.
    In a group without a TTL, values of any age count.
    """
    written = scores.table("""
        user_id       | event_timestamp            | score
        u1            | 12:00                      | 1.0
        before epoch  | 1969-12-31 23:30           | 2.0
        over midnight | 2026-03-01 23:59:59.999999 | 3.0
    """)
    acme.write_batch("fresh", written.rows)
    acme.write_batch("scores", written.rows)
    rows = scores.examples("""
        user_id       | event_timestamp            || score | ever_score double
        u1            | 11:59:59.999999            || -     | -
        u1            | 12:00                      || 1.0   | 1.0
        u1            | 13:00                      || 1.0   | 1.0
        u1            | 13:00:00.000001            || -     | 1.0
        u1            | 9999-12-31 23:59:59.999999 || -     | 1.0
        before epoch  | 1969-12-31 23:29:59.999999 || -     | -
        before epoch  | 1969-12-31 23:59:59.999999 || 2.0   | 2.0
        before epoch  | 1970-01-01 00:30           || 2.0   | 2.0
        before epoch  | 1970-01-01 00:30:00.000001 || -     | 2.0
        over midnight | 2026-03-01 23:59:59.999998 || -     | -
        over midnight | 00:59:59.999999            || 3.0   | 3.0
        over midnight | 01:00                      || -     | 3.0
    """)

    # By itself, so that no other row of the spine makes the scan reach the day before.
    narrow = scores.examples("""
        user_id       | event_timestamp || score
        over midnight | 00:59:59.999999 || 3.0
    """)

    every_host.assert_finds(acme, rows, ["fresh:score", Lookup("scores", ["score"], prefix="ever_")])
    every_host.assert_finds(acme, narrow, "fresh:score")


def test_skip_takes_each_features_latest_value_and_keep_takes_the_latest_row(
    acme: OfflineStore, every_host: EveryHost
) -> None:
    """Rule 2: With `nulls: skip` (the default), each feature takes its own latest value that is not null, because a
    writer may write one feature of a group without the others. With `nulls: keep`, the latest row wins as a whole, and
    its nulls are values. Either way, the TTL applies to the value that is taken.
    """
    written = scores.table("""
        user_id | event_timestamp | score | level
        u1      | 12:00           | 1.0   | 10
        u1      | 12:30           | -     | 20
        u1      | 12:45           | -     | -
    """)
    acme.write_batch("fresh", written.rows)
    acme.write_batch("kept", written.rows)
    rows = scores.examples("""
        user_id | event_timestamp || score | level | kept_score double | kept_level long
        u1      | 12:15           || 1.0   | 10    | 1.0               | 10
        u1      | 12:30           || 1.0   | 20    | -                 | 20
        u1      | 12:45           || 1.0   | 20    | -                 | -
        u1      | 13:00           || 1.0   | 20    | -                 | -
        u1      | 13:00:00.000001 || -     | 20    | -                 | -
        u1      | 13:30           || -     | 20    | -                 | -
        u1      | 13:30:00.000001 || -     | -     | -                 | -
    """)

    every_host.assert_finds(acme, rows, ["fresh:score", "fresh:level", Lookup("kept", prefix="kept_")])


def test_the_latest_value_has_the_latest_event_then_created_timestamp_then_the_greatest_content(
    acme: OfflineStore, feature_store: FeatureStore, every_host: EveryHost
) -> None:
    """Rule 3: The latest value is the one with the latest event timestamp. Equal event timestamps are decided by the
    latest created timestamp, and equal created timestamps by the values of the requested features, in the order in which
    the group declares them (nulls lowest; an array by its xxhash64). So the same tables give the same answer, however
    they are partitioned.
    """
    written = scores.table("""
        user_id        | event_timestamp | created_timestamp | score | level
        corrected      | 12:00           | 12:01             | 1.0   | 1
        corrected      | 12:00           | 12:03             | 3.0   | 3
        corrected      | 12:00           | 12:02             | 2.0   | 2
        came late      | 12:00           | 12:01             | 1.0   | 1
        came late      | 11:59:59.999999 | 19:00             | 2.0   | 2
        tied           | 12:00           | 12:01             | 1.0   | 9
        tied           | 12:00           | 12:01             | 2.0   | 5
        tied           | 12:00           | 12:01             | 2.0   | 4
        tied in halves | 12:00           | 12:01             | -     | 9
        tied in halves | 12:00           | 12:01             | 2.0   | -
        doubled        | 12:00           | 12:01             | 1.0   | 1
        doubled        | 12:00           | 12:01             | 1.0   | 1
    """)
    reordered = feature_store.tenant("reordered")
    acme.write_batch("scores", written.rows)
    acme.write_batch("kept", written.rows)
    reordered.write_batch("scores", written.rows[1::2][::-1])
    reordered.write_batch("scores", written.rows[0::2][::-1])
    rows = scores.examples("""
        user_id        | event_timestamp || score | level
        corrected      | 12:30           || 3.0   | 3
        came late      | 12:30           || 1.0   | 1
        tied           | 12:30           || 2.0   | 5
        tied in halves | 12:30           || 2.0   | 9
        doubled        | 12:30           || 1.0   | 1
    """)
    kept = scores.examples("""
        user_id        | event_timestamp || score | level
        corrected      | 12:30           || 3.0   | 3
        tied           | 12:30           || 2.0   | 5
        tied in halves | 12:30           || 2.0   | -
    """)

    every_host.assert_finds(acme, rows, ["scores:score", "scores:level"])
    every_host.assert_finds(reordered, rows, ["scores:score", "scores:level"])
    every_host.assert_finds(acme, kept, ["kept:score", "kept:level"])


def test_known_at_chooses_which_rows_count_by_their_created_timestamps(
    acme: OfflineStore, every_host: EveryHost
) -> None:
    """Rule 4: `known_at` chooses which rows count, by when the store learned them:

    | `known_at` | rows that count |
    | --- | --- |
    | `None` (the default) | all rows, corrections included, whenever they were written |
    | an instant `K` | rows with `created_timestamp <= K`: the data as it was known then |
    | `"event"` | for each spine row, rows with `created_timestamp <= T`: what serving would have seen |
    """
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp | created_timestamp | score
        u1      | 12:00           | 13:00             | 1.0
    """).rows)  # fmt: skip
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp | created_timestamp | score
        u1      | 12:00           | 14:00             | 2.0
        u1      | 11:00           | 15:00             | 9.0
        early   | 12:00           | 11:00             | 5.0
    """).rows)  # fmt: skip
    rows = scores.examples("""
        user_id | at timestamp    || any_score double | k1_score double | k2_score double | then_score double
        u1      | 11:30           || 9.0              | -               | -               | -
        u1      | 12:59:59.999999 || 2.0              | 1.0             | 2.0             | -
        u1      | 13:00           || 2.0              | 1.0             | 2.0             | 1.0
        u1      | 13:59:59.999999 || 2.0              | 1.0             | 2.0             | 1.0
        u1      | 14:00           || 2.0              | 1.0             | 2.0             | 2.0
        u1      | 16:00           || 2.0              | 1.0             | 2.0             | 2.0
        early   | 11:30           || -                | -               | -               | -
        early   | 12:00           || 5.0              | 5.0             | 5.0             | 5.0
    """)

    known = {"any_": None, "k1_": instant("13:59:59.999999"), "k2_": "2026-03-02T14:00:00Z", "then_": "event"}

    every_host.assert_finds_step_by_step(acme, rows, [
        {"features": Lookup("scores", ["score"], prefix=prefix), "timestamp_column": "at", "known_at": known_at}
        for prefix, known_at in known.items()
    ])  # fmt: skip


def test_null_policy_and_ttl_hold_among_the_rows_known_at_the_event(acme: OfflineStore, every_host: EveryHost) -> None:
    written = scores.table("""
        user_id | event_timestamp | created_timestamp | score | level
        u1      | 12:00           | 12:00             | 1.0   | 10
        u1      | 12:30           | 12:40             | -     | 20
        u1      | 12:20           | 12:50             | 3.0   | -
    """)
    acme.write_batch("fresh", written.rows)
    acme.write_batch("kept", written.rows)
    rows = scores.examples("""
        user_id | event_timestamp || score | level | kept_score double | kept_level long
        u1      | 12:39:59.999999 || 1.0   | 10    | 1.0               | 10
        u1      | 12:40           || 1.0   | 20    | -                 | 20
        u1      | 12:50           || 3.0   | 20    | -                 | 20
        u1      | 13:20           || 3.0   | 20    | -                 | 20
        u1      | 13:20:00.000001 || -     | 20    | -                 | 20
        u1      | 13:30:00.000001 || -     | -     | -                 | -
    """)

    asked = ["fresh:score", "fresh:level", Lookup("kept", prefix="kept_")]
    every_host.assert_finds(acme, rows, asked, known_at="event")


def test_every_spine_row_comes_back_as_often_as_it_was_given(acme: OfflineStore, every_host: EveryHost) -> None:
    """Rule 5: The result has exactly the spine's rows, duplicates included: of a pandas or Arrow spine in their order, of a
    Spark DataFrame in no particular order. A spine row with a null key, a null timestamp or no value that counts gets
    nulls.
    """
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp | score
        u1      | 12:00           | 1.0
        ""      | 12:00           | 2.0
    """).rows)  # fmt: skip
    rows = scores.examples("""
        user_id | event_timestamp | row long || score
        u1      | 12:00           | 1        || 1.0
        u1      | 12:00           | 1        || 1.0
        u1      | 12:00           | 2        || 1.0
        ""      | 12:00           | 3        || 2.0
        -       | 12:00           | 4        || -
        -       | 12:00           | 4        || -
        u1      | -               | 5        || -
        -       | -               | 6        || -
        unknown | 12:00           | 7        || -
    """)

    every_host.assert_finds(acme, rows, "scores:score")


@pytest.mark.parametrize("host", ["in_tasks", "by_shuffle"])
def test_spine_columns_of_any_name_and_type_come_back_unchanged(
    acme: OfflineStore, spark: SparkSession, host: Host
) -> None:
    """Rule 5: All columns of the spine come back unchanged, and the features follow them."""
    spine = spark.sql("""
        SELECT 'u1' AS user_id, timestamp'2026-03-02 12:00:00Z' AS event_timestamp, id,
            id AS `a.b`, 'x' AS `it's "q" ``c```, array(1, NULL) AS `list`, map('k', id) AS `map`,
            named_struct('a b', id, 'deep', array(NULL)) AS `struct`,
            CAST(1.10 AS DECIMAL(38, 2)) AS `decimal`, X'00FF' AS `bytes`, CAST('NaN' AS DOUBLE) AS `nan`,
            timestamp_ntz'2026-03-08 02:30:00' AS `naive`, date'0001-01-01' AS `date`, INTERVAL '1' DAY AS `interval`,
            id AS `__spine`, id AS `__moment`, id AS `__row`, id AS `__feature_0`, id AS `__instant`, NULL AS `nothing`
        FROM range(2)
    """)

    found = acme.get_point_in_time(spine, "scores:score", host=host)

    assert [(f.name, f.dataType) for f in found.drop("score").schema] == [(f.name, f.dataType) for f in spine.schema]
    assert sorted(map(str, found.drop("score").collect())) == sorted(map(str, spine.collect()))


# Two values of a spine column -> the values that come back, where these differ.
CARRIED: dict[str, tuple[Any, list[Any] | None]] = {
    "text": (pd.Series(["a", None]), None),
    "view": (pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string_view())), ["a", None]),
    "category": (pd.Series(["a", None], dtype="category"), ["a", None]),
    "hash": (pd.Series([2**63 + 5, 7], dtype="uint64"), None),
    "count": (pd.Series([255, 0], dtype="uint8"), None),
    "of 70 bits": (pd.Series([2**70, 1], dtype=object), None),
    "price": (pd.Series([Decimal("1.5"), Decimal("2.25")]), None),
    "half": (pd.Series([1.5, 0.5], dtype="float16"), None),
    "sparse": (pd.Series(pd.arrays.SparseArray([1.0, np.nan])), [1.0, None]),
    "whole": (pd.Series([2**53 + 1, None], dtype="Int64"), [2**53 + 1, None]),
    "flag": (pd.Series([True, None], dtype=object), None),
    "bytes": (pd.Series([b"\x00", None]), None),
    "day": (pd.Series([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), None),
    "day64": (pd.Series([dt.date(2026, 3, 1), None], dtype=pd.ArrowDtype(pa.date64())), [dt.date(2026, 3, 1), None]),
    "clock": (pd.Series([datetime(2026, 3, 2, 13), None]), [datetime(2026, 3, 2, 13), None]),  # noqa: DTZ001
    "zones": (
        pd.Series(
            [instant("12:00").astimezone(ZoneInfo(zone)) for zone in ("Asia/Tokyo", "Europe/Berlin")], dtype=object
        ),
        [instant("12:00")] * 2,
    ),
    "wait": (pd.Series([timedelta(microseconds=1), timedelta(days=-1)]), None),
    "vector": (pd.Series([np.array([1, 255], np.uint8), None]), [[1, 255], None]),
    "matrix": (pd.Series([np.array([[1.5], [2.5]]), None]), [[[1.5], [2.5]], None]),
    "items": (pd.Series([[{"at": instant("12:00")}], []]), None),
    "mapped": (
        pd.Series([[("a", 1)], None], dtype=pd.ArrowDtype(pa.map_(pa.string(), pa.uint8()))),
        [[("a", 1)], None],
    ),
    "fixed": (pd.Series([[1, 2], None], dtype=pd.ArrowDtype(pa.list_(pa.int8(), 2))), [[1, 2], None]),
    "nothing": (pd.Series([None, None]), None),
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_pandas_spine_of_every_kind_of_column_comes_to_spark_unchanged(acme: OfflineStore, host: Host) -> None:
    acme.write_batch("scores", [{"user_id": "u1", "event_timestamp": instant("12:00"), "score": 1.0}])
    columns = {name: values for name, (values, _) in CARRIED.items()}
    times = [instant("12:00"), instant("11:59")]
    spine = pd.DataFrame({"user_id": ["u1"] * 2, "event_timestamp": times, "row": [0, 1]} | columns)

    by_spark = acme.get_point_in_time(spine, "scores:score", host=host, to="spark")
    found = by_spark.toArrow().sort_by("row").to_pydict()

    assert found.pop("score") == [1.0, None]
    assert found.pop("event_timestamp") == times
    assert found == {"user_id": ["u1"] * 2, "row": [0, 1]} | {
        name: list(values) if expected is None else expected for name, (values, expected) in CARRIED.items()
    }


def test_an_empty_spine_gives_no_rows(acme: OfflineStore, every_host: EveryHost) -> None:
    rows = scores.examples("user_id | event_timestamp || score | level")

    every_host.assert_finds(acme, rows, ["scores:score", "scores:level"])


NAIVE = datetime(2026, 3, 2, 13)  # noqa: DTZ001 in Berlin this is 12:00 UTC
NAIVE_SPINES = {
    "pandas": pd.DataFrame({"user_id": ["u1"], "event_timestamp": [NAIVE]}),
    "pyarrow": pa.table({"user_id": ["u1"], "event_timestamp": pa.array([NAIVE], pa.timestamp("us"))}),
    "date only": pa.table({"user_id": ["u1"], "event_timestamp": [dt.date(2026, 3, 3)]}),
}


@pytest.mark.parametrize("kind", [*NAIVE_SPINES, "text"])
def test_timestamps_without_a_time_zone_and_dates_are_refused(acme: OfflineStore, kind: str) -> None:
    """Rule 6: Timestamps without a time zone, and dates, are refused unless the setting `timestamp_zone` names the zone
    to read them in.
    """
    text = pa.table({"user_id": ["u1"], "event_timestamp": ["2026-03-02T12:00:00"]})

    with pytest.raises(SpineError, match=r"column 'event_timestamp' is .*, not an instant; .*timestamp_zone"):
        acme.get_point_in_time(NAIVE_SPINES.get(kind, text), "scores:score")


@pytest.mark.parametrize("host", HOSTS)
def test_timestamps_without_a_time_zone_are_read_in_the_zone_of_the_settings(
    acme: OfflineStore, feature_store: FeatureStore, host: Host
) -> None:
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp | score
        u1      | 12:00           | 1.0
        u1      | 12:00:00.000001 | 2.0
        u1      | 23:00           | 3.0
        u1      | 23:00:00.000001 | 4.0
    """).rows)  # fmt: skip
    in_berlin = feature_store.settings.model_copy(update={"timestamp_zone": "Europe/Berlin"})
    berlin = FeatureStore.open(in_berlin, spark=feature_store.spark).tenant(acme.tenant_id)

    found = {
        kind: berlin.get_point_in_time(spine, "scores:score", host=host, to="arrow")
        for kind, spine in NAIVE_SPINES.items()
    }

    assert {kind: rows["score"].to_pylist() for kind, rows in found.items()} == {
        "pandas": [1.0],
        "pyarrow": [1.0],
        "date only": [3.0],
    }
    assert found["pyarrow"].drop_columns("score") == NAIVE_SPINES["pyarrow"]


@pytest.mark.parametrize("host", HOSTS)
def test_each_timestamp_of_a_column_of_python_objects_is_read_on_its_own(
    acme: OfflineStore, feature_store: FeatureStore, host: Host
) -> None:
    """Rule 6: A pandas column of Python objects may hold timestamps with and without a time zone; each is read on its
    own.
    """
    # In Berlin, 13:00 is 12:00 UTC, and the day begins at 23:00 UTC of the day before.
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp  | score
        u1      | 2026-03-01 23:00 | 0.0
        u1      | 12:00            | 1.0
        u1      | 13:00            | 2.0
    """).rows)  # fmt: skip
    moments = {
        "naive": (NAIVE, 1.0),
        "aware": (NAIVE.replace(tzinfo=UTC), 2.0),
        "of NumPy": (np.datetime64(NAIVE), 1.0),
        "a nanosecond before": (pd.Timestamp("2026-03-02T12:59:59.999999999Z"), 1.0),
        "date": (dt.date(2026, 3, 2), 0.0),
        "missing": (None, None),
    }
    in_berlin = feature_store.settings.model_copy(update={"timestamp_zone": "Europe/Berlin"})
    berlin = FeatureStore.open(in_berlin, spark=feature_store.spark).tenant(acme.tenant_id)
    spine = pd.DataFrame({"user_id": "u1", "row": list(moments)})
    spine["event_timestamp"] = pd.Series([moment for moment, _ in moments.values()], dtype=object)

    found = berlin.get_point_in_time(spine, "scores:score", host=host, to="arrow")

    assert dict(zip(*found.select(["row", "score"]).to_pydict().values(), strict=True)) == {
        name: score for name, (_, score) in moments.items()
    }
    with pytest.raises(
        SpineError, match=r"'event_timestamp' holds datetime without .* \(row 0\) and datetime with .*zone"
    ):
        acme.get_point_in_time(spine, "scores:score")
    mixed = spine.assign(seen=spine["event_timestamp"], event_timestamp=instant("12:00"))
    with pytest.raises(SpineError, match=r"'seen' holds .* \(row 0\) and .*; cast it, drop it, or make it text"):
        berlin.get_point_in_time(mixed, "scores:score")


@pytest.mark.usefixtures("session_in_kathmandu")
def test_the_time_zone_of_the_spark_session_changes_nothing(
    acme: OfflineStore, spark: SparkSession, every_host: EveryHost
) -> None:
    """Rule 6: The time zone of the Spark session changes nothing."""
    # All on the evening of 2026-03-01 in UTC, which is the next day in Kathmandu.
    written = scores.table("""
        user_id | event_timestamp            | created_timestamp          | score
        u1      | 2026-03-01 18:30           | 2026-03-01 18:30           | 1.0
        u2      | 2026-03-01 22:59:59.999999 | 2026-03-01 22:59:59.999999 | 2.0
        u2      | 2026-03-01 23:00           | 2026-03-01 23:00:00.000001 | 3.0
    """)
    acme.write_batch("fresh", spark.createDataFrame(written.arrow))
    rows = scores.examples("""
        user_id | at timestamp               || then_score double | score | fresh__event_timestamp timestamp
        u1      | 2026-03-01 18:29           || -                 | -     | -
        u1      | 2026-03-01 19:30           || 1.0               | 1.0   | 2026-03-01 18:30
        u1      | 2026-03-01 19:30:00.000001 || -                 | -     | -
        u2      | 2026-03-01 23:00           || 2.0               | 3.0   | 2026-03-01 23:00
        u2      | 2026-03-01 23:59:59.999999 || 3.0               | 3.0   | 2026-03-01 23:00
    """)
    known_at = "2026-03-01T23:00:00.000001Z"

    every_host.assert_finds_step_by_step(acme, rows, [
        {"features": Lookup("fresh", ["score"], prefix="then_"), "timestamp_column": "at", "known_at": "event"},
        {"features": "fresh:score", "timestamp_column": "at", "known_at": known_at, "with_timestamps": True},
    ])  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_nanoseconds_never_let_a_row_see_a_later_value(acme: OfflineStore, host: Host) -> None:
    """Rule 6: The timestamp of a spine row is rounded down to the microsecond, so that the row never sees a later
    value.
    """
    moments = pd.to_datetime(["2026-03-02T12:00:00.000000500Z"])
    acme.write_batch("scores", pd.DataFrame({"user_id": ["u1"], "event_timestamp": moments, "score": [1.0]}))
    at = pd.to_datetime(["2026-03-02T12:00:00.000000499Z", "2026-03-02T12:00:00.000001Z"])

    spine = pd.DataFrame({"user_id": "u1", "event_timestamp": at, "row": [1, 2]})
    found = acme.get_point_in_time(spine, "scores:score", host=host, to="arrow").sort_by("row")

    assert found["score"].to_pylist() == [None, 1.0]


def test_with_timestamps_adds_the_newest_event_timestamp_of_the_values_taken(
    acme: OfflineStore, every_host: EveryHost
) -> None:
    """Rule 7: `with_timestamps=True` adds a column `<group>__event_timestamp`, which says when the value that was taken
    became true. With `nulls: skip` it is the newest event timestamp of the features' values.
    """
    written = scores.table("""
        user_id | event_timestamp | score | level
        u1      | 12:00           | 1.0   | -
        u1      | 12:10           | -     | 20
        u1      | 12:20           | -     | -
    """)
    acme.write_batch("fresh", written.rows)
    acme.write_batch("kept", written.rows)
    fresh = scores.examples("""
        user_id | event_timestamp || score | level | fresh__event_timestamp timestamp
        u1      | 11:00           || -     | -     | -
        u1      | 12:05           || 1.0   | -     | 12:00
        u1      | 12:10           || 1.0   | 20    | 12:10
        u1      | 12:30           || 1.0   | 20    | 12:10
        u1      | 13:10           || -     | 20    | 12:10
        u1      | 13:10:00.000001 || -     | -     | -
    """)
    kept = scores.examples("""
        user_id | event_timestamp || to_score double | to_kept__event_timestamp timestamp
        u1      | 11:00           || -               | -
        u1      | 12:05           || 1.0             | 12:00
        u1      | 12:10           || -               | 12:10
        u1      | 13:20           || -               | 12:20
        u1      | 13:20:00.000001 || -               | -
    """)
    in_a_role = Lookup("kept", ["score"], prefix="to_")

    every_host.assert_finds(acme, fresh, ["fresh:score", "fresh:level"], with_timestamps=True)
    every_host.assert_finds(acme, kept, in_a_role, with_timestamps=True)


@pytest.mark.parametrize("host", HOSTS)
def test_a_column_is_named_by_its_feature_its_group_and_feature_or_a_prefix(acme: OfflineStore, host: Host) -> None:
    """Rule 8: A column is named `feature`, or `group__feature` with `full_feature_names=True`, or by the lookup's own
    `prefix`. Columns stand in the order of the request; references to one group stand together.
    """
    spine = scores.table("user_id | event_timestamp").arrow
    asked = ["fresh:level", "kept:score", Lookup("scores", prefix="own_"), "fresh:score"]

    short = list(acme.get_point_in_time(spine, ["fresh:level", "kept:score"], host=host, to="spark").columns)
    full = list(acme.get_point_in_time(spine, asked, host=host, to="spark", full_feature_names=True).columns)

    assert short == ["user_id", "event_timestamp", "level", "score"]
    assert full == [
        *("user_id", "event_timestamp"),
        *("fresh__level", "fresh__score", "kept__score", "own_score", "own_level"),
    ]


@pytest.mark.parametrize(
    ("own_column", "features", "full"),
    [
        ("label", ["fresh:score", "kept:score"], False),
        ("score", ["fresh:score"], False),
        ("SCORE", ["fresh:score"], False),
        ("label", ["fresh:score", Lookup("fresh", ["score"])], True),
        ("x_score", [Lookup("fresh", ["score"], prefix="x_")], True),
        ("label", [Lookup("fresh", ["score"], prefix="x_"), Lookup("kept", ["score"], prefix="x_")], False),
    ],
)
def test_a_name_that_would_stand_twice_is_refused_with_ways_to_resolve_it(
    acme: OfflineStore, own_column: str, features: list[Any], full: bool
) -> None:
    """Rule 8: A name that would stand twice is an error that says how to resolve it."""
    spine = scores.table(f"user_id | event_timestamp | {own_column} double").arrow

    with pytest.raises(SpineError, match=r"score' would stand twice .*full_feature_names=True.*prefix.*rename"):
        acme.get_point_in_time(spine, features, full_feature_names=full)


def test_one_group_can_be_looked_up_in_two_roles(acme: OfflineStore, every_host: EveryHost) -> None:
    """Rule 9: One group can be looked up several times, by different columns of the spine."""
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp | score | level
        ann     | 12:00           | 1.0   | 10
        bob     | 12:00           | 2.0   | 20
    """).rows)  # fmt: skip
    rows = scores.examples("""
        sender string | receiver string | sent timestamp || score | to_score double | to_level long
        ann           | bob             | 12:30          || 1.0   | 2.0             | 20
        bob           | ann             | 12:30          || 2.0   | 1.0             | 10
        ann           | ann             | 12:30          || 1.0   | 1.0             | 10
        ann           | -               | 12:30          || 1.0   | -               | -
        eve           | bob             | 12:30          || -     | 2.0             | 20
    """)

    sender = Lookup("scores", ["score"], on={"user_id": "sender"})
    receiver = Lookup("scores", on={"user_id": "receiver"}, prefix="to_")

    every_host.assert_finds(acme, rows, [sender, receiver], timestamp_column="sent")


# Beyond the nine rules: keys, kinds of spine, tenants.


def test_composite_keys_match_part_by_part(acme: OfflineStore, every_host: EveryHost) -> None:
    acme.write_batch("labels", labels.table("""
        number              | code | small | event_timestamp  | label
        1                   | 23   | 0     | 2026-01-31 12:00 | one and 23
        12                  | 3    | 0     | 2026-01-31 12:00 | twelve and 3
        1                   | ""   | 23    | 2026-01-31 12:00 | one and small 23
        9223372036854775807 | 23   | 0     | 2026-01-31 12:00 | the greatest long
    """).rows)  # fmt: skip
    rows = labels.examples("""
        number              | code | small long | event_timestamp            || label
        1                   | 23   | 0          | 12:00                      || one and 23
        12                  | 3    | 0          | 12:00                      || twelve and 3
        1                   | ""   | 23         | 12:00                      || one and small 23
        9223372036854775807 | 23   | 0          | 12:00                      || the greatest long
        123                 | ""   | 0          | 12:00                      || -
        1                   | 23   | 4294967296 | 12:00                      || -
        1                   | -    | 23         | 12:00                      || -
        -                   | 23   | 0          | 12:00                      || -
        1                   | 23   | 0          | 2026-03-12 12:00           || one and 23
        1                   | 23   | 0          | 2026-03-12 12:00:00.000001 || -
    """)

    every_host.assert_finds(acme, rows, "labels:label")


def test_keys_may_be_dates_timestamps_and_booleans(acme: OfflineStore, every_host: EveryHost) -> None:
    acme.write_batch("slots", slots.table("""
        day        | moment          | flag  | event_timestamp | taken
        2026-01-01 | 00:00           | true  | 12:00           | true
        1969-12-31 | 00:00           | true  | 12:00           | false
        2026-01-01 | 00:00:00.000001 | false | 12:00           | false
    """).rows)  # fmt: skip
    rows = slots.examples("""
        day        | moment          | flag  | event_timestamp || taken
        2026-01-01 | 00:00           | true  | 12:30           || true
        1969-12-31 | 00:00           | true  | 12:30           || false
        2026-01-01 | 00:00:00.000001 | false | 12:30           || false
        2026-01-01 | 00:00           | false | 12:30           || -
        2026-01-01 | 00:00:00.000001 | true  | 12:30           || -
        2026-01-01 | 00:00           | -     | 12:30           || -
        2026-01-02 | 00:00           | true  | 12:30           || -
    """)

    every_host.assert_finds(acme, rows, "slots:taken")


def test_a_spine_may_be_pandas_pyarrow_or_spark(acme: OfflineStore, spark: SparkSession) -> None:
    acme.write_batch("scores", scores.table("""
        user_id | event_timestamp | score
        u1      | 12:00           | 1.0
        u2      | 12:00           | 2.0
    """).rows)  # fmt: skip
    rows = scores.examples("""
        user_id | event_timestamp || score
        u1      | 12:30           || 1.0
        u2      | 11:30           || -
        -       | 12:30           || -
    """)
    in_pandas = rows.spine.to_pandas()
    in_tokyo = in_pandas.assign(
        user_id=in_pandas["user_id"].astype("category"),
        event_timestamp=in_pandas["event_timestamp"].dt.tz_convert("Asia/Tokyo"),
    ).set_index(pd.Index([7, 7, 7]))
    encoded = rows.spine.set_column(0, "user_id", rows.spine["user_id"].dictionary_encode())

    found = [acme.get_point_in_time(spine, "scores:score") for spine in (in_pandas, in_tokyo, encoded)]
    from_spark = acme.get_point_in_time(spark.createDataFrame(rows.spine), "scores:score")

    scores_found = pd.Series([1.0, None, None], name="score")
    pd.testing.assert_frame_equal(found[0], in_pandas.assign(score=scores_found))
    pd.testing.assert_frame_equal(found[1], in_tokyo.assign(score=scores_found.to_numpy()))
    assert found[2] == encoded.append_column("score", pa.array([1.0, None, None]))
    assert_table(from_spark, rows.expected)


def test_tenants_with_the_same_keys_never_mix(
    acme: OfflineStore, feature_store: FeatureStore, every_host: EveryHost
) -> None:
    written = scores.table("""
        user_id | event_timestamp | score
        u1      | 12:00           | 1.0
    """)
    other = feature_store.tenant(f"{acme.tenant_id}-2")
    acme.write_batch("scores", written.rows)
    other.write_batch("scores", [row | {"event_timestamp": instant("12:10"), "score": 2.0} for row in written.rows])
    rows = scores.examples("""
        user_id | event_timestamp | tenant_id string || score
        u1      | 12:05           | someone          || 1.0
        u1      | 12:30           | someone          || 1.0
    """)

    others = scores.examples("""
        user_id | event_timestamp | tenant_id string || score
        u1      | 12:05           | someone          || -
        u1      | 12:30           | someone          || 2.0
    """)
    strangers = scores.examples("""
        user_id | event_timestamp | tenant_id string || score
        u1      | 12:30           | someone          || -
    """)

    every_host.assert_finds(acme, rows, "scores:score")
    every_host.assert_finds(other, others, "scores:score")
    every_host.assert_finds(feature_store.tenant("wrote-nothing"), strangers, "scores:score")


# Requests that are refused.


SPINE = scores.table("user_id | event_timestamp | number long").arrow


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        ({"features": []}, DefinitionError, "no features were requested; name at least one as 'group:feature'"),
        ({"features": "score:score"}, NotFoundError, "'score'.*Did you mean 'scores'"),
        ({"features": "scores:scor"}, NotFoundError, "'scor' is not in group 'scores'. Did you mean 'score'"),
        ({"features": "scores"}, InvalidNameError, "write it 'group:feature'"),
        ({"features": "../x:score"}, InvalidNameError, "name '../x' is refused"),
        ({"features": Lookup("scores", on={"user": "user_id"})}, DefinitionError, r"\['user'\]; its join keys are"),
        ({"features": Lookup("scores", on={"user_id": "number"})}, SpineError, "'number' is bigint .* cast the column"),
        (
            {"features": "labels:label"},
            SpineError,
            "no column 'code', by which 'labels' is looked up; add it, or .*on=",
        ),
        ({"timestamp_column": "at"}, SpineError, "no timestamp column 'at'; name it with timestamp_column="),
        ({"timestamp_column": "number"}, SpineError, "column 'number' is bigint, not an instant"),
        ({"known_at": "yesterday"}, DefinitionError, "known_at: .*possible: None, 'event', or an instant"),
        ({"known_at": NAIVE}, DefinitionError, "known_at: .* has no time zone"),
        ({"known_at": dt.date(2026, 3, 2)}, DefinitionError, "known_at: .* is a date without a time"),
        ({"spine": [{"user_id": "u1"}]}, SpineError, "spine is list; give a Spark or pandas DataFrame or a pyarrow"),
        ({"spine": SPINE.append_column("number", SPINE["number"])}, FeatureStoreError, r"\['number'\] come twice"),
        (
            {"spine": SPINE.append_column("USER_ID", SPINE["number"])},
            SpineError,
            r"\['user_id', 'USER_ID'\] differ only",
        ),
        ({"spine": SPINE.to_pandas().set_index("user_id")}, SpineError, r"index is named \['user_id'\]"),
        (
            {"spine": SPINE.append_column("Score", SPINE["number"])},
            SpineError,
            r"'score' would stand twice in the output \(beside 'Score', which is the same to Spark",
        ),
        (
            {
                "features": Lookup("labels", ["label"]),
                "spine": pd.DataFrame({"number": np.array([2**63], "uint64"), "code": "x", "small": 1}).assign(
                    event_timestamp=instant("12:00")
                ),
            },
            SpineError,
            r"'number' is decimal\(20,0\) and join key 'number' of 'labels' is bigint; .*make them null",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(
    acme: OfflineStore, question: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        acme.get_point_in_time(**{"spine": SPINE, "features": "scores:score"} | question)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("'a' AS user_id, 'b' AS User_Id", r"\['user_id', 'User_Id'\] differ only in case, and Spark ignores case"),
        ("'a' AS user_id, time'10:00:00' AS z", r"'z' is time\(6\), which cannot be carried along; cast it"),
        ("'a' AS user_id, array(make_interval(1)) AS z", "'z' is array<interval>, which cannot be carried along"),
        ("parse_json('1') AS user_id", "'user_id' is variant and join key 'user_id' of 'scores' is string"),
    ],
)
def test_a_spark_column_that_cannot_be_carried_along_is_refused_by_name(
    acme: OfflineStore, spark: SparkSession, columns: str, message: str
) -> None:
    spine = spark.sql(f"SELECT timestamp'2026-03-02T12:00:00Z' AS event_timestamp, {columns}")

    with pytest.raises(SpineError, match=f"^spine: column.*{message}"):
        acme.get_point_in_time(spine, "scores:score")
