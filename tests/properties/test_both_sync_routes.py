"""A sync in this process and one by Spark's tasks end with the same rows in PostgreSQL and the same result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import deltalake
import pytest
from psycopg import sql
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore
from featurestore.operations.vectors.sync_by_spark import RowsBySpark
from featurestore.operations.vectors.sync_here import RowsHere, fits_here
from featurestore.operations.vectors.sync_plan import SyncPlan
from featurestore.operations.vectors.sync_rows import SyncedFeature, Touched
from featurestore.stores.postgres.sync import SyncTarget, read_watermark
from featurestore.stores.postgres.tables import VectorTable, in_schema, names, registered
from tests.conftest import Clock, OpenFeatureStore
from tests.inputs.vector_histories import DIMS, Row, as_table, written_rows
from tests.processes.spark_jobs import Jobs

DOC = Entity("doc", join_keys={"source": "string", "number": "long"})
FEATURES = [Feature("country", "string"), Feature("pages", "long"), Feature("rating", "float")]
DAY = timedelta(days=1)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def embedding(**index: Any) -> Feature:
    return Feature("text", f"embedding({DIMS})", model_version="small", index={"filters": ["seen", "country"], **index})


SEEN = Feature("seen", "timestamp")
GROUPS = {
    "skip": FeatureGroup("docs", DOC, features=[*FEATURES, embedding(), SEEN], ttl=5 * DAY, retention="9d"),
    "keep": FeatureGroup(
        "notes", DOC, features=[SEEN, embedding(storage="halfvec"), *FEATURES], nulls="keep", partition_by="month"
    ),
}


@dataclass(frozen=True)
class Routes:
    """Two tenants with the same rows: one is synced in this process, the other by Spark's tasks."""

    here: OfflineStore
    tasks: OfflineStore
    jobs: Jobs
    clock: Clock

    @property
    def both(self) -> tuple[OfflineStore, OfflineStore]:
        return self.here, self.tasks

    def write(self, group: FeatureGroup, rows: list[Row]) -> None:
        # Without Spark for both: what is written is the same, and who writes it is not the question here.
        fs = FeatureStore(self.here._scope.context)
        for store in self.both:
            fs.tenant(store._scope.tenant_id).write_batch(group.name, as_table(rows))

    def sync(self, group: FeatureGroup, **options: bool) -> dict[str, Any]:
        """The result of both."""
        by_here, by_tasks = [], []
        own = self.jobs.of(lambda: by_here.append(self.here.sync_embeddings(f"{group.name}:text", **options)))
        of_tasks = self.jobs.of(lambda: by_tasks.append(self.tasks.sync_embeddings(f"{group.name}:text", **options)))

        assert own == 0 < of_tasks
        here, tasks = (asdict(result) for [result] in (by_here, by_tasks))
        for result in (here, tasks):
            assert result.pop("seconds") > 0
            result.pop("rows_per_second")
        assert here == tasks
        assert stored(self.here, group) == stored(self.tasks, group)
        assert mark(self.here, group) == mark(self.tasks, group)
        return here


@pytest.fixture(scope="module")
def routes(spark: SparkSession, open_feature_store: OpenFeatureStore) -> Iterator[Routes]:
    clock = Clock(NOW)
    fs = open_feature_store(clock)
    fs.apply(list(GROUPS.values()))
    settings = fs.settings.model_copy(update={"local_batch_rows": 0})
    by_tasks = FeatureStore.open(settings, spark=spark, clock=clock)
    yield Routes(fs.tenant("here"), by_tasks.tenant("tasks"), Jobs(spark), clock)
    fs._context.postgres.close()
    by_tasks._context.postgres.close()


def table_of(group: FeatureGroup) -> VectorTable:
    return VectorTable.of(group, group.feature("text"), "small")


def stored(store: OfflineStore, group: FeatureGroup) -> list[tuple[Any, ...]]:
    """The tenant's rows in all tables of the feature, with the model version before their columns."""
    rows: list[tuple[Any, ...]] = []
    with store._scope.context.postgres.owner(store._scope.tenant_id) as connection:
        for table in registered(connection, group.name, group.version):
            columns = names([column.name for column in table.columns])
            query = sql.SQL("SELECT {}, {} FROM {} ORDER BY source, number").format(
                sql.Literal(table.model), columns, in_schema(table.name)
            )
            rows += connection.execute(query).fetchall()
    return rows


def mark(store: OfflineStore, group: FeatureGroup) -> Any:
    with store._scope.context.postgres.owner(store._scope.tenant_id) as connection:
        return read_watermark(SyncTarget(connection, store._scope.tenant_id, table_of(group)))


def later_rows(seed: int) -> list[Row]:
    """Late rows, corrections, new entities, rows dated ahead, and rows that tie with others of their entity."""
    random = Random(seed)
    rows = written_rows(seed, NOW - 14 * DAY)[::3]
    for row in list(rows):
        if random.random() < 0.3:
            text = [random.choice([-1.0, 0.0, 1.0]) for _ in range(DIMS)]
            rows.append({**row, "text": text, "country": random.choice([None, "FI"])})
        if random.random() < 0.2:
            rows.append({**row, "event_timestamp": NOW + random.choice([1, 2, 40]) * DAY})
        if random.random() < 0.1:
            rows.append({**row, "number": row["number"] + 1000})
    return rows


def test_they_end_the_same(routes: Routes) -> None:
    group = GROUPS["skip"]
    routes.write(group, written_rows(4, NOW - 12 * DAY))
    first = routes.sync(group)
    assert (first["mode"], len(first["model_versions"])) == ("full", 2)

    # Some rows of files go: the feed has them in files of changes. Rows that were dated ahead become valid.
    routes.write(group, later_rows(5))
    routes.here._scope.table(group).values.delete((F.col("number") < 3) | (F.col("number") == 1004))
    routes.clock.now = NOW + DAY
    later = routes.sync(group)
    assert later["mode"] == "incremental"
    assert 0 < later["rows_upserted"] < later["entities"]
    assert later["rows_deleted"] > 0

    # Whole partitions go, and files are rewritten.
    for store in routes.both:
        store.cleanup(groups=[group.name])
        store.optimize([group.name])
    routes.clock.now = NOW + 2 * DAY
    cleaned = routes.sync(group)
    assert "rows that were dated ahead have become valid" in cleaned["reason"]
    assert cleaned["lag_versions"] > 0


def of_tenant(routes: Routes, tenant_id: str, group: FeatureGroup) -> SyncedFeature:
    """The feature of a tenant that is never synced, to compare what is read of it."""
    store = FeatureStore(routes.here._scope.context).tenant(tenant_id)
    return SyncedFeature(store._scope, group, group.feature("text"), table_of(group), NOW)


@pytest.mark.parametrize("nulls", ["skip", "keep"])
def test_they_read_the_only_rows_of_entities_alike(routes: Routes, nulls: str) -> None:
    group = GROUPS[nulls]
    of = of_tenant(routes, "single", group)
    rows = {(row["source"], row["number"]): row for row in written_rows(8, NOW - 12 * DAY)}
    write_batch(of, list(rows.values()))

    fingerprints = RowsHere(of).newest(version_of(of)).fingerprints()

    assert fingerprints == RowsBySpark(of).newest(version_of(of)).fingerprints()
    assert 0 < sum(rows for buckets in fingerprints.values() for rows, _ in buckets.values()) < len(rows)


@pytest.mark.parametrize("nulls", ["skip", "keep"])
def test_they_read_the_same_rows(routes: Routes, nulls: str) -> None:
    """By the fingerprints that a verification compares: of all entities, of some, and of those that changed."""
    group = GROUPS[nulls]
    of = of_tenant(routes, "several", group)
    write_batch(of, written_rows(4, NOW - 12 * DAY))
    synced = version_of(of)
    write_batch(of, later_rows(7))
    deltalake.DeltaTable(str(of.values.values)).delete("number < 3 AND tenant_id = 'several'")
    version = version_of(of)
    here, by_spark = RowsHere(of), RowsBySpark(of)
    assert fits_here(of, version)

    assert here.next_event_timestamp(version) == by_spark.next_event_timestamp(version) is not None
    fingerprints = here.newest(version).fingerprints()
    assert fingerprints == by_spark.newest(version).fingerprints()
    buckets = sorted(fingerprints["small"])[::2]
    some = here.newest(version).of_buckets(buckets).fingerprints()
    assert some == by_spark.newest(version).of_buckets(buckets).fingerprints()
    assert sorted(some["small"]) == buckets
    plan = SyncPlan("incremental", "", synced, version, NOW - 2 * DAY)
    touched, expected = here.touched(plan), by_spark.touched(plan)
    assert isinstance(touched, Touched)
    assert isinstance(expected, Touched)
    assert touched.rows is not None
    assert expected.rows is not None
    assert 0 < touched.number == expected.number
    assert touched.rows.fingerprints() == expected.rows.fingerprints()
    expected.close()


def write_batch(of: SyncedFeature, rows: list[Row]) -> None:
    FeatureStore(of.scope.context).tenant(of.scope.tenant_id).write_batch(of.group.name, as_table(rows))


def version_of(of: SyncedFeature) -> int:
    return of.values.values.version()
