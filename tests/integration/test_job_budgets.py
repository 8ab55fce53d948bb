"""How many Spark jobs an operation runs, by Spark's own count: small things run none, large ones few."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from featurestore import (
    Entity,
    EntitySplit,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    OfflineStore,
    RandomSplit,
    TimeSplit,
)
from featurestore.columnar.rows import file_layout
from featurestore.operations.training_sets import examples
from featurestore.operations.writing import fetched_rows
from featurestore.stores.delta.delta_log import DeltaLog
from tests.conftest import Clock, OpenFeatureStore, spark_setting
from tests.processes.spark_jobs import Jobs

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 9, tzinfo=UTC)
USER = Entity("user", join_keys={"user_id": "string"})
VISITS = FeatureGroup(
    "visits", USER, features=[Feature("pages", "long", min=0), Feature("seconds", "double")], retention="400d"
)
PLANS = FeatureGroup("plans", USER, features=[Feature("plan", "string")], retention="2d", keep_latest=True)
TOTALS = FeatureGroup(
    "totals",
    USER,
    features=[Feature("pages", "long")],
    sources={"visits": {"group": "visits"}},
    transformation={"sql": "SELECT user_id, SUM(pages) AS pages FROM visits GROUP BY user_id"},
    expect={"min_rows": 1},
)
LANDED = FeatureGroup(
    "landed",
    USER,
    features=[Feature("pages", "long")],
    sources={"visits": {"path": "{landing}/{tenant_id}", "format": "parquet"}},
    transformation={
        "sql": "SELECT user_id, SUM(pages) AS pages FROM visits WHERE at >= :start_time AND at < :end_time "
        "GROUP BY user_id"
    },
)
NOTES = FeatureGroup(
    "notes", USER, features=[Feature("topic", "string"), Feature("text", "embedding(2)", index={"filters": ["topic"]})]
)
PERIOD = ("2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z")


@contextmanager
def as_in_production(spark: SparkSession) -> Iterator[None]:
    """With adaptive execution, which makes a job of each shuffle."""
    with spark_setting(spark, "spark.sql.adaptive.enabled", "true"):
        yield


@pytest.fixture(scope="module")
def fs(open_feature_store: OpenFeatureStore) -> FeatureStore:
    fs = open_feature_store(Clock(LATER))
    fs.apply([VISITS, PLANS, TOTALS])
    fs.tenant("acme").write_batch("visits", rows(range(20)))
    fs.tenant("acme").write_batch("plans", [plan(n) for n in range(4)])
    return fs


@pytest.fixture(scope="module")
def store(fs: FeatureStore) -> OfflineStore:
    return fs.tenant("acme")


@pytest.fixture
def jobs(spark: SparkSession) -> Jobs:
    return Jobs(spark)


def rows(numbers: range) -> list[dict[str, Any]]:
    return [
        {"user_id": f"u{n % 5}", "event_timestamp": NOON.replace(minute=n), "pages": n, "seconds": n / 2}
        for n in numbers
    ]


def plan(minute: int) -> dict[str, Any]:
    return {"user_id": f"u{minute % 2}", "event_timestamp": NOON.replace(minute=minute), "plan": f"plan {minute}"}


def frame(spark: SparkSession, worst: int = 0) -> DataFrame:
    at = "timestamp'2026-11-02 10:00:00' + make_dt_interval(0, 0, 0, id)"
    return spark.range(30).selectExpr(
        "concat('u', id % 5) AS user_id", f"{at} AS event_timestamp", f"id - {worst} AS pages", "id / 2 AS seconds"
    )


def cleaned(store: OfflineStore) -> None:
    [result] = store.cleanup(groups=["plans"])
    assert (result.deleted_rows, result.kept_latest) == (2, 2)


def vacuumed(fs: FeatureStore) -> None:
    """It removes the file that the cleanup replaced, and the one that told the change feed of it."""
    removed = {Path(result.table).parent.name: result.files for result in fs.vacuum(older_than="1us", force=True)}
    assert removed["plans_v1"] == 2


SMALL: dict[str, Callable[[FeatureStore, OfflineStore], Any]] = {
    "apply": lambda fs, store: fs.apply([VISITS, TOTALS, FeatureGroup("more", USER, features=[Feature("x", "int")])]),
    "a local batch": lambda fs, store: store.write_batch("visits", rows(range(30, 40))),
    "a local batch with rejected rows": lambda fs, store: store.write_batch(
        "visits", [*rows(range(40, 42)), {"user_id": "u1", "event_timestamp": NOON, "pages": -1}]
    ),
    "a value written": lambda fs, store: store.write_feature_value("visits:pages", {"user_id": "u1"}, 3, NOON),
    "a value read": lambda fs, store: store.get_feature_at_time("visits:pages", {"user_id": "u1"}, LATER),
    "a history": lambda fs, store: store.get_feature_history("visits:pages", {"user_id": "u1"}, to="pandas"),
    "batch features": lambda fs, store: store.get_batch_features("visits:pages", *PERIOD, to="arrow"),
    "rejected rows": lambda fs, store: store.rejected("visits", to="arrow"),
    "rejected rows once more": lambda fs, store: store.retry_rejected("visits"),
    "totals": lambda fs, store: store.get_stats(),
    "what a cleanup would delete": lambda fs, store: store.cleanup(dry_run=True),
    "a cleanup with nothing to delete": lambda fs, store: store.cleanup(groups=["visits"]),
    "a cleanup of all but the latest rows": lambda fs, store: cleaned(store),
    "what a vacuum would remove": lambda fs, store: fs.vacuum(older_than="7d", dry_run=True),
    "a vacuum": lambda fs, store: vacuumed(fs),
    "runs": lambda fs, store: store.runs(to="arrow"),
    "the latest runs": lambda fs, store: store.latest_runs(),
    "groups": lambda fs, store: fs.feature_groups(),
    "training sets": lambda fs, store: FeatureDataLoader(store).list(),
    "definitions": lambda fs, store: fs.registry_history(to="arrow"),
}


@pytest.mark.parametrize("what", SMALL)
def test_small_things_run_no_job(fs: FeatureStore, store: OfflineStore, jobs: Jobs, what: str) -> None:
    assert jobs.of(lambda: SMALL[what](fs, store)) == 0


def test_a_small_frame_is_written_with_three_jobs(spark: SparkSession, store: OfflineStore, jobs: Jobs) -> None:
    """One computes the rows, one measures them, and one fetches them; they are checked and written without Spark."""
    with as_in_production(spark):
        assert jobs.of(lambda: store.write_batch("visits", frame(spark))) <= 3
        assert jobs.of(lambda: store.write_batch("visits", frame(spark, worst=3))) <= 3


def test_any_other_frame_is_written_with_six_jobs(
    spark: SparkSession, store: OfflineStore, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched_rows, "MOST_FETCHED", 0)
    with as_in_production(spark):
        assert 4 <= jobs.of(lambda: store.write_batch("visits", frame(spark))) <= 6
        assert 4 <= jobs.of(lambda: store.write_batch("visits", frame(spark, worst=3))) <= 6


def test_a_frame_larger_than_a_file_costs_two_jobs_more(
    spark: SparkSession, store: OfflineStore, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched_rows, "MOST_FETCHED", 0)
    monkeypatch.setattr(file_layout, "LIMITS", file_layout.FileLimits(file_bytes=1000))
    with as_in_production(spark):
        assert jobs.of(lambda: store.write_batch("visits", frame(spark))) <= 8


def test_a_window_costs_two_jobs_more_than_its_sql(spark: SparkSession, store: OfflineStore, jobs: Jobs) -> None:
    with as_in_production(spark):
        own = jobs.of(lambda: _the_sql_alone(spark, store))
        assert jobs.of(lambda: store.materialize_feature("totals", *PERIOD)) <= own + 2


def test_windows_of_a_backfill_share_their_sources(
    spark: SparkSession,
    open_feature_store: OpenFeatureStore,
    jobs: Jobs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The files are described by one job. A window costs its SQL's two jobs, and two more."""
    (tmp_path / "acme").mkdir()
    landed = pa.Table.from_pylist(rows(range(40))).rename_columns({"event_timestamp": "at"})
    pq.write_table(landed, tmp_path / "acme" / "visits.parquet")
    fs = open_feature_store(Clock(LATER), landing=str(tmp_path))
    fs.apply([LANDED])
    openings: list[str] = []
    open_log = DeltaLog.open
    monkeypatch.setattr(DeltaLog, "open", lambda log, *version: openings.append(log.path) or open_log(log, *version))

    with as_in_production(spark):
        ran = jobs.of(
            lambda: fs.tenant("acme").backfill("landed", "2026-11-01T00:00:00Z", "2026-11-04T00:00:00Z", every="6h")
        )

    assert ran <= 1 + 12 * (2 + 2)
    assert len(openings) <= 12 * 20


def _the_sql_alone(spark: SparkSession, store: OfflineStore) -> None:
    visits = store.get_batch_features("visits:pages", *PERIOD).rows
    visits.groupBy("user_id").sum("pages").write.format("noop").mode("overwrite").save()


def test_a_profile_costs_three_jobs_more_than_a_pass_over_the_rows(
    spark: SparkSession, store: OfflineStore, jobs: Jobs
) -> None:
    with as_in_production(spark):
        one_pass = jobs.of(lambda: store.get_batch_features("visits:pages", *PERIOD).rows.toArrow())
        assert jobs.of(lambda: store.profile("visits")) <= one_pass + 3
        assert jobs.of(lambda: store.profile("visits")) == 0


def test_optimize_runs_no_job_for_small_partitions_nor_for_good_ones(store: OfflineStore, jobs: Jobs) -> None:
    store.write_batch("visits", rows(range(50, 52)))
    assert jobs.of(lambda: store.optimize(["visits"])) == 0
    assert [result.rewritten for result in store.optimize(["visits"])] == [0]
    assert jobs.of(lambda: store.optimize()) == 0


def test_a_build_that_is_up_to_date_costs_a_pass_over_the_spine(
    spark: SparkSession, store: OfflineStore, jobs: Jobs
) -> None:
    loader, spine = FeatureDataLoader(store), frame(spark).select("user_id", "event_timestamp")

    def build() -> bool:
        return loader.load_training_data(spine, "visits:pages", name="repeated").is_up_to_date

    assert not build()
    with as_in_production(spark):
        # Three count and hash the frame, and one fetches it. The saved rows are checked without Spark.
        assert jobs.of(lambda: build() or pytest.fail("it was built again")) <= 4


SPLITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "by time": {"label": "late", "split": TimeSplit(test=0.2, validation=0.1)},
    "by chance": {"label": "late", "split": RandomSplit(test=0.2, validation=0.1)},
    "by entity": {"split": EntitySplit(test=0.2, validation=0.2), "missing": "drop"},
}


@pytest.mark.parametrize("what", [*SPLITS, "a sample"])
def test_a_set_of_a_small_frame_costs_few_jobs(spark: SparkSession, store: OfflineStore, jobs: Jobs, what: str) -> None:
    """Three count the frame and one fetches it; a sample costs three more. All else is done without Spark."""
    options = SPLITS.get(what, {"sample_size": 50, "label": "late"})
    with as_in_production(spark):
        built = jobs.of(lambda: FeatureDataLoader(store).load_training_data(spine(spark), ["visits:pages"], **options))

    assert built <= (4 if what in SPLITS else 7)


@pytest.mark.parametrize("what", SPLITS)
def test_a_set_of_any_other_frame_costs_eight_jobs(
    spark: SparkSession, store: OfflineStore, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Three count the frame, one joins and writes, and up to four find the cuts of the parts."""
    monkeypatch.setattr(examples, "MOST_FETCHED", 0)
    with as_in_production(spark):
        built = jobs.of(
            lambda: FeatureDataLoader(store).load_training_data(spine(spark), ["visits:pages"], **SPLITS[what])
        )

    assert 4 <= built <= 8


def notes(numbers: range) -> list[dict[str, Any]]:
    return [{"user_id": f"u{n}", "event_timestamp": NOON, "topic": "a", "text": [1.0, float(n)]} for n in numbers]


def synced(store: OfflineStore, numbers: range) -> str:
    store.write_batch("notes", notes(numbers))
    return store.sync_embeddings("notes:text", verify=True).mode


def test_a_sync_of_few_vectors_runs_no_job(fs: FeatureStore, jobs: Jobs) -> None:
    fs.apply([NOTES])
    here = fs.tenant("here")
    modes: list[str] = []

    for numbers in (range(9), range(4, 12)):
        assert jobs.of(lambda numbers=numbers: modes.append(synced(here, numbers))) == 0
    assert jobs.of(lambda: modes.append(here.sync_embeddings("notes:text").mode)) == 0
    assert modes == ["full", "incremental", "none"]


def test_a_sync_by_spark_costs_few_jobs(spark: SparkSession, fs: FeatureStore, jobs: Jobs) -> None:
    """What reads, counts and copies rows; and what Spark itself needs to read the table's log, anew for each version."""
    fs.apply([NOTES])
    fs.tenant("tasks").write_batch("notes", notes(range(9)))
    settings = fs.settings.model_copy(update={"local_batch_rows": 0})
    by_tasks = FeatureStore.open(settings, spark=spark, clock=Clock(LATER)).tenant("tasks")
    with as_in_production(spark):
        first = jobs.of(lambda: by_tasks.sync_embeddings("notes:text"))
        fs.tenant("tasks").write_batch("notes", notes(range(4, 12)))
        later = jobs.of(lambda: by_tasks.sync_embeddings("notes:text"))
    by_tasks._scope.context.postgres.close()

    assert 0 < first <= 10
    assert 0 < later <= 13


@pytest.mark.parametrize("format", ["parquet", "arrow", "csv", "jsonl"])
def test_an_export_of_a_set_runs_no_job(
    spark: SparkSession, store: OfflineStore, jobs: Jobs, tmp_path: Path, format: Any
) -> None:
    saved = FeatureDataLoader(store).load_training_data(spine(spark), "visits:pages", name="exported")

    assert jobs.of(lambda: saved.export(str(tmp_path / "out"), format)) == 0
    assert jobs.of(lambda: saved.export(str(tmp_path / "out"), format)) == 0


def test_a_fine_tuning_set_of_rows_of_this_process_runs_no_job(
    spark: SparkSession, store: OfflineStore, jobs: Jobs, tmp_path: Path
) -> None:
    rows = spine(spark).toArrow()

    assert jobs.of(lambda: tuned(store, rows, tmp_path / "out")) == 0
    assert jobs.of(lambda: tuned(store, rows, tmp_path / "out")) == 0


def test_a_fine_tuning_set_of_a_small_frame_costs_four_jobs(
    spark: SparkSession, store: OfflineStore, jobs: Jobs, tmp_path: Path
) -> None:
    """Three count the frame and one fetches it."""
    with as_in_production(spark):
        assert jobs.of(lambda: tuned(store, spine(spark), tmp_path / "out")) <= 4


def tuned(store: OfflineStore, rows: Any, folder: Path) -> None:
    FeatureDataLoader(store).load_for_fine_tuning(
        rows, ["visits:pages"], "late", path=str(folder), split=TimeSplit(test=0.2), template="{{ pages }} pages?"
    )


def spine(spark: SparkSession) -> DataFrame:
    at = "timestamp'2026-11-02 10:00:00' + make_dt_interval(0, 0, 0, id)"
    return spark.range(500).selectExpr(
        "concat('u', id % 5) AS user_id", f"{at} AS event_timestamp", "id % 3 = 0 AS late"
    )
