"""The wheel on a Spark standalone cluster returns what the source does on one machine: values, training set, vectors."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import FeatureDataLoader, FeatureStore, OfflineStore
from featurestore.frames.fingerprint import content_hash
from featurestore.stores.postgres.tables import in_schema, names, registered
from tests.inputs.landed_visits import drawn, drawn_minute
from tests.processes.package_wheel import build_wheel, python_without_the_package
from tests.processes.spark_cluster import HOST, Cluster, standalone_cluster
from tests.processes.spark_submit import spark_environment, submit_command
from tests.processes.waiting import PATIENCE
from tests.settings_folder import write_settings_folder

pytestmark = pytest.mark.slow

PAGES, VISITS, DIMS = 4_000, 3_000, 8
START, END = "2026-03-01T00:00:00Z", "2026-03-11T00:00:00Z"
JOBS = {
    "materialize": ("pages", "--start", START, "--end", END),
    "build_training_set": ("clicks",),
    "sync_embeddings": ("pages:text",),
}
DEFINITIONS = f"""
entities:
  - name: page
    join_keys: {{page_id: long}}
feature_groups:
  - name: pages
    entity: page
    features:
      - {{name: text, type: embedding({DIMS}), model_version: small, index: {{filters: [country]}}}}
      - {{name: country, type: string}}
      - {{name: score, type: double}}
    sources:
      edits: {{path: "{{landing}}/{{tenant_id}}/edits", format: parquet}}
    transformation:
      sql: >-
        SELECT page_id, at AS event_timestamp, text, country, score FROM edits WHERE at >= :start_time AND at < :end_time
training_sets:
  - name: clicks
    label: clicked
    features: [pages:score, pages:country, pages:text]
    spine:
      sources:
        visits: {{path: "{{landing}}/{{tenant_id}}/visits", format: parquet}}
      transformation: {{sql: "SELECT page_id, event_timestamp, clicked FROM visits"}}
    split: {{validation: 0.1, test: 0.1}}
"""


def minute() -> Column:
    return drawn_minute(1, datetime.fromisoformat(START), days=10)


def land(spark: SparkSession, landing: Path) -> None:
    """Several edits a page, some without vector or score, and visits, which ask for the page as it was."""
    vector = F.array(*((drawn(10 + place, 2001) / 1000 - 1).cast("float") for place in range(DIMS)))
    edits = spark.range(PAGES).select(
        drawn(2, PAGES // 4).alias("page_id"),
        minute().alias("at"),
        F.when(drawn(3, 5) > 0, vector).alias("text"),
        F.when(drawn(4, 3) > 0, F.concat(F.lit("c"), drawn(5, 4))).alias("country"),
        F.when(drawn(6, 4) > 0, drawn(7, 10_000) / 100).alias("score"),
    )
    visits = spark.range(PAGES, PAGES + VISITS).select(
        drawn(2, PAGES // 4).alias("page_id"), minute(), (drawn(3, 2) == 0).alias("clicked")
    )
    for name, rows in {"edits": edits, "visits": visits}.items():
        rows.repartition(4).write.parquet(str(landing / "acme" / name))


def new_store(spark: SparkSession, folder: Path, landing: Path) -> FeatureStore:
    """A store of its own with the definitions applied; its settings are in ``conf`` of the folder."""
    conf = folder / "conf"
    (conf / "features").mkdir(parents=True)
    (conf / "features" / "pages.yml").write_text(DEFINITIONS, encoding="utf-8")
    # Executors write, however few the rows are.
    write_settings_folder(conf, warehouse="warehouse", landing=str(landing), local_batch_rows=0)
    feature_store = FeatureStore.open(conf, spark=spark)
    feature_store.apply(conf / "features")
    return feature_store


@dataclass(frozen=True)
class Both:
    """The tenant's store that the source filled here, and the one that the wheel filled on the cluster."""

    here: OfflineStore
    cluster: OfflineStore
    answers: dict[str, Any]
    folder: Path

    @property
    def stores(self) -> tuple[OfflineStore, OfflineStore]:
        return self.here, self.cluster


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, and the Python for drivers and executors."""
    folder = tmp_path_factory.mktemp("package")
    return build_wheel(folder), python_without_the_package(folder / "python")


@pytest.fixture(scope="module")
def both(spark: SparkSession, package: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("wheel_on_a_cluster")
    land(spark, folder / "landing")
    here = new_store(spark, folder / "here", folder / "landing")
    there = new_store(spark, folder / "there", folder / "landing")
    store = here.tenant("acme")
    store.materialize_feature("pages", START, END)
    FeatureDataLoader(store).build("clicks")
    store.sync_embeddings("pages:text")
    (folder / "cluster").mkdir()
    with standalone_cluster(folder / "cluster", workers=2) as cluster:
        answers = {job: submit(job, cluster, package, folder / "there") for job in JOBS}
    yield Both(store, there.tenant("acme"), answers, folder)
    here._context.postgres.close()
    there._context.postgres.close()


def submit(job: str, cluster: Cluster, package: tuple[Path, Path], folder: Path) -> Any:
    """What the job answers; it knows of the source neither by PYTHONPATH nor by its working folder."""
    wheel, python = package
    properties = {
        "spark.driver.host": HOST,
        "spark.executor.memory": "1g",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m",
        "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m",
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    words = ("--conf", str(folder / "conf"), "--tenant", "acme", *JOBS[job], "--json")
    done = subprocess.run(
        submit_command(job, *words, master=cluster.master, properties=properties, wheel=wheel),
        cwd=folder,
        env=environment(python),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{cluster.logs()}"
    return json.loads(done.stdout)


def environment(python: Path) -> dict[str, str]:
    variables = {name: value for name, value in spark_environment().items() if name != "PYTHONPATH"}
    return variables | {"PYSPARK_PYTHON": str(python), "SPARK_LOCAL_IP": HOST}


def test_only_the_wheel_can_have_run(package: tuple[Path, Path], both: Both, tmp_path: Path) -> None:
    wheel, python = package
    show = [str(python), "-c", "import featurestore; print(featurestore.__file__)"]

    without = subprocess.run(show, cwd=tmp_path, env=environment(python), capture_output=True, text=True, check=False)
    with_wheel = subprocess.run(
        show,
        cwd=tmp_path,
        env=environment(python) | {"PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "No module named 'featurestore'" in without.stderr
    assert with_wheel.stdout.strip() == str(wheel / "featurestore" / "__init__.py")
    # Spark gave it to an executor of each worker, under a name by which Python looks into it.
    workers = {file.relative_to(both.folder / "cluster").parts[0] for file in both.folder.rglob(f"{wheel.stem}.zip")}
    assert workers == {"worker_0", "worker_1"}


def test_the_values_are_the_same(both: Both) -> None:
    def values(store: OfflineStore) -> DataFrame:
        return store.get_batch_features(["pages:text", "pages:country", "pages:score"], START, END).rows

    here, there = (content_hash(values(store)) for store in both.stores)

    assert both.answers["materialize"]["written"] == PAGES
    assert there == here


def test_the_training_set_is_the_same(both: Both) -> None:
    here, there = (FeatureDataLoader(store).get("clicks") for store in both.stores)

    assert both.answers["build_training_set"]["content_hash"] == here.manifest.content_hash
    assert there.manifest.content_hash == content_hash(there.rows) == here.manifest.content_hash
    missing = here.metadata()["missing_values"]
    assert all(VISITS * 0.05 < missing[name] < VISITS * 0.95 for name in ("score", "country", "text")), missing


def vectors(store: OfflineStore) -> list[tuple[Any, ...]]:
    """Every row of the vector table but for when the store learned it, by key."""
    with store._scope.context.postgres.owner("acme") as connection:
        [table] = registered(connection, "pages", 1)
        columns = [column.name for column in table.columns if column.name != "created_timestamp"]
        statement = sql.SQL("SELECT {} FROM {} ORDER BY page_id").format(names(columns), in_schema(table.name))
        return connection.execute(statement).fetchall()


def test_the_vectors_are_the_same(both: Both) -> None:
    here, there = (vectors(store) for store in both.stores)

    assert both.answers["sync_embeddings"]["rows"] == len(there)
    assert len(there) > PAGES // 8
    assert there == here


def test_a_search_finds_the_same(both: Both) -> None:
    query = [0.5, -0.25, 0.125, 1.0, -1.0, 0.75, 0.0, 0.25]

    here, there = (store.search_similar_embeddings("pages:text", query, threshold=-1.0) for store in both.stores)

    assert (there.source, len(there.matches)) == ("postgres", 10)
    assert [(neighbor.entity, neighbor.similarity) for neighbor in there] == [
        (neighbor.entity, neighbor.similarity) for neighbor in here
    ]
