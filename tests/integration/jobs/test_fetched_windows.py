"""A window whose rows are fetched, and one that Spark's tasks write, end the same; windows share only what is unchanged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, Settings, Source
from featurestore.errors import JobFailedError
from featurestore.operations.writing import ingest
from tests.conftest import Clock, OpenFeatureStore

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
SUMS = FeatureGroup(
    "sums",
    Entity("user", join_keys={"user_id": "string"}),
    features=[
        Feature("amount", "double", max=60),
        Feature("orders", "long", not_null=True),
        Feature("notes", "array<string>"),
        Feature("last", "timestamp"),
    ],
    sources={"orders": Source(path="{landing}/{tenant_id}/orders", format="parquet")},
    transformation="""
        SELECT
            user_id,
            CASE WHEN user_id = 'u4' THEN :end_time + INTERVAL 1 HOUR END AS event_timestamp,
            sum(amount) AS amount,
            nullif(count(*), 3) AS orders,
            array_sort(collect_list(note)) AS notes,
            max(at) AS last
        FROM orders WHERE at >= :start_time AND at < :end_time GROUP BY user_id
    """,
)
HELD = FeatureGroup(
    "held",
    SUMS.entity,
    features=SUMS.features,
    sources=SUMS.sources,
    transformation=SUMS.transformation,
    expect={"min_rows": 5, "max_age": "1h", "max_null_share": {"amount": 0.1}, "on_breach": "reject"},
)


def day(number: int) -> datetime:
    return FIRST + timedelta(days=number)


def land(folder: Path, file: str, *orders: tuple[str, datetime, float | None]) -> None:
    place = folder / "acme" / "orders"
    place.mkdir(parents=True, exist_ok=True)
    users, times, amounts = zip(*orders, strict=True)
    at = pa.array(times, pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table(
            {"user_id": users, "at": at, "amount": pa.array(amounts, pa.float64()), "note": [f"ö{u}" for u in users]}
        ),
        place / file,
    )


def some_orders(folder: Path) -> None:
    land(
        folder,
        "a.parquet",
        *(("u1", day(0), 1.5), ("u1", day(0), 2.5), ("u2", day(0), 99.0), ("u3", day(0), None), ("u4", day(0), 7.0)),
        *(("u5", day(1), float(number)) for number in range(3)),
        ("u6", day(1), 8.0),
    )


def outcome(store: OfflineStore, group: str) -> dict[str, Any]:
    values = store.get_batch_features([f"{group}:{name}" for name in SUMS.feature_names], day(0), day(9), to="arrow")
    rejected = store.rejected(group, to="arrow").select(["batch_id", "reasons", "row"])
    return {
        "values": sorted(map(repr, values.rows.to_pylist())),
        "rejected": sorted(map(repr, rejected.to_pylist())),
        "records": [commit.user_metadata and _record(commit.user_metadata) for commit in commits(store, group)],
    }


def commits(store: OfflineStore, group: str) -> Any:
    return store._scope.table(store._scope.group(group)).values.history()


def _record(metadata: str) -> tuple[str, ...]:
    return tuple(part for part in metadata.split(", ") if '"token"' not in part and '"created_at"' not in part)


def test_both_ways_end_the_same(
    open_feature_store: OpenFeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_orders(tmp_path)
    fetched: list[int] = []
    fetch: Callable[[DataFrame, int], pa.Table | None] = ingest.fetched_rows

    def counted(rows: DataFrame, most_rows: int) -> pa.Table | None:
        result = fetch(rows, most_rows)
        fetched.append(-1 if result is None else result.num_rows)
        return result

    monkeypatch.setattr(ingest, "fetched_rows", counted)
    outcomes, results = [], []
    for local_batch_rows in (1_000_000, 2, 0):
        fs = open_feature_store(Clock(day(20)), landing=str(tmp_path), local_batch_rows=local_batch_rows)
        fs.apply([SUMS, HELD])
        store = fs.tenant("acme")
        done = store.backfill("sums", day(0), day(2))
        again = store.materialize_feature("sums", day(0), day(1), rerun=True)
        held = store.materialize_feature("held", day(0), day(1))
        outcomes.append((outcome(store, "sums"), outcome(store, "held")))
        results.append([(r.written, r.failed, r.errors, r.broken, r.state) for r in (*done.results, again, held)])

    # Four and two rows; the rows that differ from the stored ones; four rows. Of more than two, Spark keeps them.
    assert fetched == [4, 2, 2, 4, -1, 2, 2, -1]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert results[0] == results[1] == results[2]
    assert [(written, failed) for written, failed, *_ in results[0]] == [(2, 2), (1, 1), (0, 2), (0, 4)]
    assert [len(of_group["rejected"]) for of_group in outcomes[0]] == [5, 4]


def opened(spark: SparkSession, folder: Path, after_window: Callable[[int], None]) -> OfflineStore:
    """A store of these groups that calls ``after_window`` with the number of runs that have ended."""
    ended = count(1)

    def on_step(name: str) -> None:
        if name == "materialize.recorded":
            after_window(next(ended))

    settings = Settings(warehouse=str(folder / "warehouse"), landing=str(folder))
    fs = FeatureStore.open(settings, spark=spark, clock=Clock(day(20)), on_step=on_step)
    fs.apply([SUMS])
    return fs.tenant("acme")


def test_a_window_reads_what_landed_or_changed_before_it(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path, "a.parquet", *(("u1", day(number), 1.0) for number in range(4)))

    def land_more(windows: int) -> None:
        if windows == 2:
            land(tmp_path, "b.parquet", ("u2", day(2), 2.0))
        if windows == 3:
            land(tmp_path, "a.parquet", *(("u1", day(3), 4.0) for _ in range(2)))

    store = opened(spark, tmp_path, land_more)

    done = store.backfill("sums", day(0), day(4))

    assert [result.written for result in done.results] == [1, 1, 2, 1]
    rows = store.get_batch_features("sums:amount", day(0), day(9), to="arrow").rows.to_pylist()
    found = sorted((row["user_id"], row["amount"]) for row in rows)
    assert found == [("u1", 1.0), ("u1", 1.0), ("u1", 1.0), ("u1", 8.0), ("u2", 2.0)]


def test_a_file_that_is_spoilt_fails_its_window_alone(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path, "a.parquet", *(("u1", day(number), 1.0) for number in range(3)))
    file = tmp_path / "acme" / "orders" / "a.parquet"
    whole = file.read_bytes()
    spoilt: list[int] = []

    def spoil(windows: int) -> None:
        if windows == 1 and not spoilt:
            spoilt.append(file.write_bytes(whole[: len(whole) // 2]))

    store = opened(spark, tmp_path, spoil)

    with pytest.raises(JobFailedError, match="2 of 3 windows failed"):
        store.backfill("sums", day(0), day(3))
    file.write_bytes(whole)

    assert [result.window.start for result in store.backfill("sums", day(0), day(3)).results] == [day(1), day(2)]
