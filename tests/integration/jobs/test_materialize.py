"""Materialize: a window is computed once, corrected on request, and its run is in the ledger."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings, Source, TimeWindow
from featurestore.errors import NotFoundError, TransformationError

USER = Entity("user", join_keys={"user_id": "string"})
ORDERS = Source(path="{landing}/orders", format="parquet", tenant_column="owner")
SQL = """
SELECT user_id, max(paid_at) AS event_timestamp, sum(amount) AS spent, :tenant_id AS told
FROM orders WHERE paid_at >= :start_time AND paid_at < :end_time GROUP BY user_id
"""
SPENDING = FeatureGroup(
    "spending",
    USER,
    features=[Feature("spent", "double", max=1000), Feature("told", "string")],
    sources={"orders": ORDERS},
    transformation=SQL,
)
DAY = datetime(2026, 11, 1, tzinfo=UTC)
NEXT = DAY + timedelta(days=1)


def python_transformation(sources: dict[str, DataFrame], window: TimeWindow) -> DataFrame:
    return sources["orders"].groupBy("user_id").agg({"amount": "sum"}).withColumnRenamed("sum(amount)", "spent")


@pytest.fixture
def fs(spark: SparkSession, tmp_path: Path) -> FeatureStore:
    settings = Settings(warehouse=str(tmp_path / "warehouse"), landing=str(tmp_path / "landing"))
    land(
        spark,
        settings,
        "('acme', 'u1', '09', 1.0), ('acme', 'u1', '10', 2.0), ('acme', 'u2', '11', 5000.0), ('evil', 'u1', '09', 99.0)",
    )
    return FeatureStore.open(settings, spark=spark)


def land(spark: SparkSession, settings: Settings, rows: str) -> None:
    frame = spark.sql(
        f"SELECT owner, user_id, to_timestamp(concat('2026-11-01T', hour, ':00:00Z')) AS paid_at, cast(amount AS double) AS amount "
        f"FROM VALUES {rows} AS t(owner, user_id, hour, amount)"
    )
    frame.write.mode("overwrite").parquet(f"{settings.landing}/orders")


def values(fs: FeatureStore, group: str = "spending") -> list[tuple]:
    rows = fs.spark.read.format("delta").load(f"{fs.settings.warehouse}/groups/{group}_v1/values")
    return sorted(tuple(row) for row in rows.select("tenant_id", "user_id", "spent").collect())


def ledger(fs: FeatureStore) -> list[tuple]:
    rows = fs.tenant("acme").runs().select("feature_group", "state", "rows_written", "rows_failed", "error").collect()
    return sorted((tuple(row) for row in rows), key=repr)


def test_history_is_known_when_the_transformation_says_and_its_correction_when_it_is_written(fs: FeatureStore) -> None:
    known = SQL.replace(
        "max(paid_at) AS event_timestamp,", "max(paid_at) AS event_timestamp, :end_time AS created_timestamp,"
    )
    fs.apply(
        [SPENDING.model_copy(update={"transformation": SPENDING.transformation.model_copy(update={"sql": known})})]
    )
    store = fs.tenant("acme")
    store.materialize_feature("spending", DAY, NEXT)
    land(fs.spark, fs.settings, "('acme', 'u1', '09', 1.5), ('acme', 'u1', '10', 2.0)")
    store.materialize_feature("spending", DAY, NEXT, rerun=True)

    history = store.get_feature_history("spending:spent", {"user_id": "u1"}, all_versions=True, to="arrow").to_pylist()
    corrected, original = history

    assert (original["spent"], original["created_timestamp"]) == (3.0, NEXT)
    assert corrected["spent"] == 3.5
    assert corrected["created_timestamp"] > datetime.now(UTC) - timedelta(days=1)
    then = store.get_feature_at_time("spending:spent", {"user_id": "u1"}, NEXT, known_at="event")
    assert then is not None
    assert then.value == 3.0


def test_a_window_is_computed_once_and_corrected_on_rerun(fs: FeatureStore) -> None:
    fs.apply([SPENDING])
    store = fs.tenant("acme")

    first = store.materialize_feature("spending", DAY, NEXT)
    assert (first.state, first.written, first.failed) == ("succeeded", 1, 1)
    assert values(fs) == [("acme", "u1", 3.0)]
    assert store.rejected("spending").collect()[0]["reasons"] == ["spent: greater than max 1000"]

    assert store.materialize_feature("spending", DAY, NEXT).state == "skipped"
    assert store.materialize_feature("spending", DAY, NEXT, rerun=True).written == 0

    land(fs.spark, fs.settings, "('acme', 'u1', '09', 1.5), ('acme', 'u1', '10', 2.0), ('acme', 'u3', '10', 7.0)")
    again = store.materialize_feature("spending", DAY, NEXT, rerun=True)
    assert again.written == 2
    assert values(fs) == [("acme", "u1", 3.0), ("acme", "u1", 3.5), ("acme", "u3", 7.0)]
    assert ledger(fs) == [
        ("spending", "succeeded", 0, 1, None),
        ("spending", "succeeded", 1, 1, None),
        ("spending", "succeeded", 2, 0, None),
    ]


def test_a_run_that_died_after_its_write_is_not_written_twice(
    fs: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.apply([SPENDING])
    from featurestore.stores.small_tables.runs import Run, RunLedger

    record = RunLedger.record
    died: list[str] = []

    def die_at_the_end(self: RunLedger, run: Run, now: datetime) -> None:
        if run.state != "running":
            died.append(run.state)
            raise KeyboardInterrupt
        record(self, run, now)

    monkeypatch.setattr(RunLedger, "record", die_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        fs.tenant("acme").materialize_feature("spending", DAY, NEXT)
    monkeypatch.undo()
    assert died

    result = fs.tenant("acme").materialize_feature("spending", DAY, NEXT)
    assert (result.state, result.written) == ("succeeded", 1)
    assert values(fs) == [("acme", "u1", 3.0)]
    assert fs.tenant("acme").rejected("spending").count() == 1


def test_a_python_function_gets_only_its_sources_and_the_window_s_end_is_the_time(fs: FeatureStore) -> None:
    group = FeatureGroup(
        "spending",
        USER,
        features=[Feature("spent", "double")],
        sources={"orders": ORDERS},
        transformation=python_transformation,
    )
    fs.apply([group])
    fs.tenant("acme").materialize_feature("spending", DAY, NEXT)
    assert values(fs) == [("acme", "u1", 3.0), ("acme", "u2", 5000.0)]
    table = fs.spark.read.format("delta").load(f"{fs.settings.warehouse}/groups/spending_v1/values")
    assert {row[0] for row in table.selectExpr("unix_seconds(event_timestamp)").collect()} == {int(NEXT.timestamp())}


def test_a_failure_is_raised_and_recorded_in_the_ledger(fs: FeatureStore) -> None:
    broken = {
        "outside": SQL.replace("orders WHERE", "users WHERE"),
        "missing": "SELECT user_id, 1.0D AS spent FROM gone",
    }
    groups = [
        FeatureGroup(
            name,
            USER,
            features=[Feature("spent", "double"), Feature("told", "string")],
            sources={
                "orders" if name == "outside" else "gone": ORDERS
                if name == "outside"
                else Source(path="{landing}/gone", shared=True)
            },
            transformation=sql,
        )
        for name, sql in broken.items()
    ]
    fs.apply([*groups, FeatureGroup("plain", USER, features=[Feature("spent", "double")])])
    store = fs.tenant("acme")
    with pytest.raises(TransformationError, match="users, which is not among its sources"):
        store.materialize_feature("outside", DAY, NEXT)
    with pytest.raises(NotFoundError, match="there is nothing at"):
        store.materialize_feature("missing", DAY, NEXT)
    with pytest.raises(TransformationError, match="has no transformation"):
        store.materialize_feature("plain", DAY, NEXT)
    with pytest.raises(ValueError, match="is not before its end"):
        store.materialize_feature("plain", NEXT, DAY)
    states = [(row[0], row[1], row[4].split(":")[0]) for row in ledger(fs)]
    assert states == [("missing", "failed", "NotFoundError"), ("outside", "failed", "TransformationError")]


def test_rows_outside_the_window_are_rejected(fs: FeatureStore) -> None:
    group = FeatureGroup(
        "spending",
        USER,
        features=[Feature("spent", "double")],
        sources={"orders": ORDERS},
        transformation="SELECT user_id, paid_at AS event_timestamp, amount AS spent FROM orders",
    )
    fs.apply([group])
    result = fs.tenant("acme").materialize_feature("spending", DAY + timedelta(hours=10), NEXT)
    assert (result.written, result.errors) == (2, {"event_timestamp: outside the window that was materialized": 1})
