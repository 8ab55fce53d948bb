"""Windowed features by Spark: a Spark spine and events meet in tasks, and the values are those of this process."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import (
    Entity,
    Events,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Lookup,
    OfflineStore,
    Settings,
    Source,
)
from featurestore import WindowAggregate as Window
from featurestore.errors import RebuildError, SpineError

NOW, START = datetime(2026, 11, 10, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
USER = Entity("user", join_keys={"shop": "int", "user_id": "string"})
INSTANT = pa.timestamp("us", "UTC")
AGGREGATES = [
    Window("spend", "sum", of="amount", window="6h", where="kind <> 'gift'"),
    Window("payments", "count"),
    Window("kinds", "count_distinct", of="kind", window="1d"),
    Window("last", "last_n(2)", of="amount", window="2d"),
]


def moments(dice: random.Random, count: int) -> pa.Array:
    return pa.array([START + timedelta(hours=dice.randrange(96)) for _ in range(count)], INSTANT)


def payments(dice: random.Random, count: int) -> pa.Table:
    paid = moments(dice, count)
    return pa.table(
        {
            "shop": pa.array([dice.choice([1, 2, None]) for _ in range(count)], pa.int32()),
            "payer": pa.array([dice.choice(["ann", "bob", "cy"]) for _ in range(count)]),
            "paid_at": paid,
            "loaded_at": pa.array([at.as_py() + timedelta(hours=dice.choice([0, 0, 5])) for at in paid], INSTANT),
            "number": pa.array([dice.choice([None] * 40 + list(range(80))) for _ in range(count)], pa.int64()),
            "amount": pa.array([dice.choice([None, 0.1, 1e16, -3.5]) for _ in range(count)]),
            "kind": pa.array([dice.choice(["card", "gift", None]) for _ in range(count)]),
        }
    )


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the payments of a tenant."""
    folder = tmp_path_factory.mktemp("windows") / "landing" / "acme" / "payments"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def store(spark: SparkSession, landed: Path) -> OfflineStore:
    folder, dice = landed.parents[2], random.Random(7)
    for part in range(3):
        pq.write_table(payments(dice, 40), landed / f"{part}.parquet")
    events = Events(
        Source(path="{landing}/{tenant_id}/payments", format="parquet"),
        event_timestamp="paid_at",
        created_timestamp="loaded_at",
        event_id="number",
        columns={"user_id": "payer"},
    )
    visits = FeatureGroup("visits", USER, features=[Feature("pages", "int")])
    groups = [
        FeatureGroup("spending", USER, features=AGGREGATES, events=events),
        visits,
        FeatureGroup(
            "browsing",
            USER,
            features=[Window("pages", "sum", of="pages", type="long", window="1d")],
            events=Events(Source(group="visits")),
        ),
    ]
    settings = Settings(warehouse=str(folder / "warehouse"), landing=str(folder / "landing"))
    fs = FeatureStore.open(settings, spark=spark, clock=lambda: NOW)
    fs.apply(groups)
    rows = [
        {"shop": 1, "user_id": "ann", "event_timestamp": START + timedelta(hours=at), "pages": pages}
        for at, pages in ((1, 3), (20, 4), (20, 5), (50, None))
    ]
    fs.tenant("acme").write_batch("visits", rows)
    return fs.tenant("acme")


@pytest.fixture(scope="module")
def spine() -> pa.Table:
    dice = random.Random(8)
    return pa.table(
        {
            "row": pa.array(range(60)),
            "a shop": pa.array([dice.choice([1, 2, None, 2**40]) for _ in range(60)], pa.int64()),
            "user_id": pa.array([dice.choice(["ann", "bob", "nobody"]) for _ in range(60)]),
            "event_timestamp": moments(dice, 60),
        }
    )


@pytest.mark.parametrize("known_at", [START + timedelta(days=2), "event"])
def test_spark_finds_what_this_process_finds(store: OfflineStore, spine: pa.Table, known_at: Any, spark: Any) -> None:
    asked = [Lookup(name, on={"shop": "a shop"}, prefix=f"{name}_") for name in ("spending", "visits", "browsing")]
    options: dict[str, Any] = {"known_at": known_at, "with_timestamps": True}
    here = store.get_point_in_time(spine, asked, **options)

    by_spark = store.get_point_in_time(spark.createDataFrame(spine), asked, **options, host="by_shuffle").toArrow()

    assert by_spark.column_names == here.column_names
    assert by_spark.sort_by("row").to_pylist() == here.to_pylist()
    # The case is one only if something is found.
    assert sum(count > 0 for count in here.column("spending_payments").to_pylist()) > 5


def test_a_column_that_the_tasks_lack_is_refused_by_name(
    store: OfflineStore, spine: pa.Table, spark: SparkSession
) -> None:
    rows = spark.createDataFrame(spine).selectExpr("*", "parse_json('1') AS extra")
    message = "column 'extra' is variant, which Python's tasks lack, and windowed features are computed there; cast it"
    with pytest.raises(SpineError, match=message):
        store.get_point_in_time(rows, [Lookup("spending", on={"shop": "a shop"})])


def test_a_training_set_is_built_again_from_the_same_files_or_not_at_all(
    store: OfflineStore, spine: pa.Table, landed: Path
) -> None:
    loader = FeatureDataLoader(store)
    rows = spine.rename_columns(["row", "shop", "user_id", "event_timestamp"])
    features = ["spending:spend", "spending:last", "browsing:pages"]
    built = loader.load_training_data(rows, features, label="row", name="shops")
    # A file that came since is not among those of the pin.
    more, changed = landed / "more.parquet", landed / "0.parquet"
    pq.write_table(payments(random.Random(10), 5), more)
    before = changed.read_bytes()
    try:
        rebuilt = loader.rebuild("shops")
        pq.write_table(payments(random.Random(11), 5), changed)
        with pytest.raises(RebuildError, match=r"group 'spending' reads .*payments.*changed: 0\.parquet"):
            loader.rebuild("shops")
    finally:
        more.unlink()
        changed.write_bytes(before)

    assert rebuilt.manifest.content_hash == built.manifest.content_hash


def test_a_schedule_by_spark_writes_what_it_writes_here(spark: SparkSession, tmp_path: Path) -> None:
    landed = tmp_path / "landing" / "acme" / "payments"
    landed.mkdir(parents=True)
    pq.write_table(payments(random.Random(9), 60), landed / "a.parquet")
    group = FeatureGroup(
        "hourly",
        USER,
        features=[Window("spend", "sum", of="amount", window="6h"), Window("payments", "count")],
        events=Events(
            Source(path="{landing}/{tenant_id}/payments", format="parquet"),
            event_timestamp="paid_at",
            columns={"user_id": "payer"},
        ),
        every="1h",
    )
    window = (START, START + timedelta(days=5))

    def stored(name: str, options: dict[str, str], again: bool) -> list[dict[str, Any]]:
        # Files with options of Spark's are read by Spark alone.
        source = Source(path="{landing}/{tenant_id}/payments", format="parquet", options=options)
        events = Events(source, event_timestamp="paid_at", columns={"user_id": "payer"})
        settings = Settings(warehouse=str(tmp_path / name), landing=str(tmp_path / "landing"))
        fs = FeatureStore.open(settings, spark=spark, clock=lambda: NOW)
        fs.apply([group.model_copy(update={"events": events})])
        store = fs.tenant("acme")
        store.materialize_feature("hourly", *window)
        if again:
            assert store.materialize_feature("hourly", *window, rerun=True).written == 0
        batch = store.get_batch_features(["hourly:spend", "hourly:payments"], *window, to="arrow")
        return batch.rows.sort_by([(name, "ascending") for name in ("shop", "user_id", "event_timestamp")]).to_pylist()

    here = stored("here", {}, again=False)

    assert len(here) > 50
    assert stored("by_spark", {"mergeSchema": "false"}, again=True) == here
