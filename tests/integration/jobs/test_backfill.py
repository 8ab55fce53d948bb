"""Backfill, late rows, dependencies and expectations: what is due is done, once, and in order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, Source
from featurestore.errors import (
    DefinitionError,
    ExpectationError,
    InvalidArgumentError,
    JobFailedError,
    NotFoundError,
    TransformationError,
)
from featurestore.operations.jobs.materialize import MATERIALIZE
from featurestore.stores.runner import this_runner
from featurestore.stores.small_tables.runs import Run
from tests.conftest import Clock, OpenFeatureStore

USER = Entity("user", join_keys={"user_id": "string"})
ORDERS = {"orders": Source(path="{landing}/{tenant_id}/orders", format="parquet")}
COUNT = """
    SELECT user_id, count(*) AS orders FROM orders
    WHERE at >= :start_time AND at < :end_time GROUP BY user_id
"""


def group(name: str, sql: str = COUNT, **more: Any) -> FeatureGroup:
    features = more.pop("features", [Feature("orders", "long")])
    return FeatureGroup(name, USER, features=features, sources=more.pop("sources", ORDERS), transformation=sql, **more)


DAILY = group("daily")
LATE = group("late")
BROKEN = group(
    "broken", "SELECT user_id, raise_error('no') AS orders FROM orders WHERE at >= :start_time AND at < :end_time"
)
TOTAL = group(
    "total",
    "SELECT user_id, sum(orders) AS total FROM counts GROUP BY user_id",
    features=[Feature("total", "long")],
    sources={"counts": Source(group="daily")},
)
AFTER_BROKEN = group(
    "after_broken",
    "SELECT user_id, orders FROM upstream",
    sources={"upstream": Source(group="broken")},
)
WARNED = group("warned", expect={"min_rows": 3, "max_failed_share": 0.1})
HELD = group("held", expect={"min_rows": 3, "max_age": "1h", "max_null_share": 0.5, "on_breach": "reject"})


def november(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def land(folder: Path, file: str, rows: list[tuple[str, datetime]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {"user_id": [user for user, _ in rows], "at": pa.array([at for _, at in rows], pa.timestamp("us", "UTC"))}
    )
    pq.write_table(table, folder / file)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landing")
    land(
        folder / "acme" / "orders",
        "a.parquet",
        [("u1", november(day, 8)) for day in (1, 2, 2, 3)] + [("u2", november(2, 9))],
    )
    return folder


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore, landing: Path) -> FeatureStore:
    fs = open_feature_store(Clock(november(20)), landing=str(landing))
    fs.apply([DAILY, LATE, TOTAL, WARNED, HELD])
    return fs


@pytest.fixture(scope="module")
def store(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


def values(store: OfflineStore, name: str, feature: str = "orders") -> list[tuple[str, int, int]]:
    rows = store.get_batch_features(f"{name}:{feature}", november(1), november(30)).rows.collect()
    return sorted((row.user_id, row.event_timestamp.astimezone(UTC).day, row[feature]) for row in rows)


def test_a_backfill_computes_missing_windows_and_nothing_twice(store: OfflineStore) -> None:
    store.materialize_feature("daily", november(2), november(3))

    planned = store.plan_backfill("daily", november(1), november(4))
    progress: list[Any] = []
    done = store.backfill(
        "daily", november(1), november(4), every="1d", parallel=2, order="newest", on_window_done=progress.append
    )
    again = store.backfill("daily", november(1), november(4), every=timedelta(days=1))

    assert [window.state for window in planned] == ["missing", "done", "missing"]
    assert ([result.window.start.day for result in done.results], done.done_before, done.written) == ([1, 3], 1, 2)
    assert len(progress) == 2
    assert (again.results, again.done_before) == ((), 3)
    assert values(store, "daily") == [("u1", 2, 1), ("u1", 3, 2), ("u1", 4, 1), ("u2", 3, 1)]


def test_a_group_reads_another_up_to_the_windows_end(store: OfflineStore) -> None:
    store.materialize_feature("total", november(1), november(3))
    store.materialize_feature("total", november(3), november(4))

    assert values(store, "total", "total") == [("u1", 3, 3), ("u1", 4, 4), ("u2", 3, 1), ("u2", 4, 1)]


def test_late_rows_are_picked_up_by_looking_back(store: OfflineStore, landing: Path) -> None:
    store.backfill("late", november(1), november(3))
    land(landing / "acme" / "orders", "late.parquet", [("u3", november(2, 23)), ("u3", november(1, 23))])

    result = store.materialize_feature("late", november(3), november(4), lookback="1d")

    assert [(correction.window.start.day, correction.written) for correction in result.corrected] == [(2, 1)]
    assert values(store, "late") == [("u1", 2, 1), ("u1", 3, 2), ("u1", 4, 1), ("u2", 3, 1), ("u3", 3, 1)]
    again = store.materialize_feature("late", november(3), november(4), lookback="2d")
    assert again.state == "skipped"
    assert [(correction.window.start.day, correction.written) for correction in again.corrected] == [(1, 1), (2, 0)]


def test_a_run_that_breaks_expectations_warns(store: OfflineStore) -> None:
    result = store.materialize_feature("warned", november(2), november(3))

    assert (result.state, result.written) == ("succeeded", 3)
    short = store.materialize_feature("warned", november(3), november(4))
    assert (short.state, short.written, short.broken) == ("succeeded", 1, ("min_rows: 1 row, expected at least 3",))
    result.require_expectations()
    with pytest.raises(ExpectationError, match="Its rows were written"):
        short.require_expectations()


def test_or_leaves_its_rows_among_the_rejected_ones_until_they_are_right(store: OfflineStore, landing: Path) -> None:
    first = store.materialize_feature("held", november(3), november(4))
    again = store.materialize_feature("held", november(3), november(4))

    assert (first.state, first.written, first.failed) == ("unpublished", 0, 1)
    assert again.state == "unpublished"
    [row] = store.rejected("held").collect()
    assert row.reasons == ["the run breaks min_rows: 1 row, expected at least 3"]
    assert values(store, "held") == []
    land(landing / "acme" / "orders", "more.parquet", [(user, november(3, 12)) for user in ("u7", "u8")])
    mended = store.materialize_feature("held", november(3), november(4))
    assert (mended.state, mended.written, mended.broken) == ("succeeded", 3, ())
    assert values(store, "held") == [("u1", 4, 1), ("u7", 4, 1), ("u8", 4, 1)]


def test_the_next_run_marks_a_run_without_a_process(feature_store: FeatureStore, store: OfflineStore) -> None:
    context = feature_store._context
    window = store.plan_backfill("daily", november(5), november(6))[0].window
    *place, _, _ = this_runner().split("/")
    dead = Run("acme", "dead", MATERIALIZE, "daily", 1, window, 1, "test", runner="/".join((*place, "999999", "1")))
    context.runs.record(dead, november(19))
    [planned] = store.plan_backfill("daily", november(5), november(6))

    done = store.backfill("daily", november(5), november(6))

    assert planned.state == "interrupted"
    assert len(done.results) == 1
    assert store.run("dead").state == "abandoned"
    assert "its process is gone" in (store.run("dead").error or "")
    with pytest.raises(InvalidArgumentError, match="is abandoned; only a running run can be abandoned"):
        store.abandon_run("dead")
    with pytest.raises(NotFoundError, match="is not in the ledger"):
        store.run("nothing")


@pytest.mark.parametrize("parallel", [1, 3])
def test_all_groups_are_materialized_in_order_and_a_failure_stops_those_that_read_it(
    open_feature_store: OpenFeatureStore, landing: Path, parallel: int
) -> None:
    fs = open_feature_store(Clock(november(20)), landing=str(landing))
    fs.apply([AFTER_BROKEN, BROKEN, TOTAL, DAILY])
    store = fs.tenant("acme")

    with pytest.raises(JobFailedError) as raised:
        store.materialize_all(november(2), november(3), parallel=parallel)

    message = str(raised.value)
    assert "2 of 4 groups were not materialized" in message
    assert "after_broken: not run, since it reads broken" in message
    assert values(store, "total", "total") == values(store, "daily")
    assert len(values(store, "total", "total")) >= 2
    with pytest.raises(JobFailedError, match="1 of 1 windows failed"):
        store.backfill("broken", november(2), november(3))


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda s: s.backfill("daily", november(2), november(1)), InvalidArgumentError, "not before its end"),
        (lambda s: s.backfill("daily", november(1), november(2), every="1x"), InvalidArgumentError, "every: "),
        (
            lambda s: s.backfill("daily", november(1), november(2), every="1us"),
            InvalidArgumentError,
            "more than 100000",
        ),
        (lambda s: s.backfill("daily", november(1), november(2), parallel=0), InvalidArgumentError, "parallel is 0"),
        (lambda s: s.materialize_all(november(1), november(2), parallel=0), InvalidArgumentError, "parallel is 0"),
        (lambda s: s.backfill("daily", november(1), november(2), order="any"), InvalidArgumentError, "'newest'"),
        (
            lambda s: s.materialize_feature("daily", november(1), november(2), lookback="x"),
            InvalidArgumentError,
            "lookback",
        ),
    ],
)
def test_an_error_explains_a_wrong_request(
    store: OfflineStore, ask: Callable[[OfflineStore], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ask(store)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: [
                group("a", "SELECT user_id, orders FROM b", sources={"b": Source(group="b")}),
                group("b", "SELECT user_id, orders FROM a", sources={"a": Source(group="a")}),
            ],
            "in a circle",
        ),
        (lambda: [group("a", "SELECT 1", sources={"b": Source(group="dayly")})], "Did you mean 'daily'"),
        (lambda: [Source(group="a", path="x", shared=True)], "exactly one of"),
        (lambda: [Source(group="a", shared=True)], "a group always belongs to the tenant"),
        (lambda: [group("a", expect={"max_null_share": {"order": 0.1}})], "not features of the group"),
        (lambda: [group("a", expect={"max_null_share": 2})], "less than 1"),
    ],
)
def test_definitions_that_cannot_be_are_refused(
    feature_store: FeatureStore, make: Callable[[], list[Any]], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        feature_store.plan(make())


def test_text_that_spark_would_substitute_is_unchanged(store: OfflineStore, feature_store: FeatureStore) -> None:
    feature_store.apply(
        [group("text", "SELECT user_id, '${env:PATH}' AS text FROM orders", features=[Feature("text", "string")])]
    )

    store.materialize_feature("text", november(2), november(3))

    result = store.get_feature_at_time("text:text", {"user_id": "u1"}, november(4))
    assert result is not None
    assert result.value == "${env:PATH}"
    feature_store.apply([FeatureGroup("plain", USER, features=[Feature("x", "long")])])
    with pytest.raises(TransformationError, match="no transformation"):
        store.backfill("plain", november(1), november(2))
