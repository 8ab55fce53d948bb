"""What PostgreSQL has of a feature's vectors after a sync is, row by row, what the Delta table says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import deltalake
import numpy as np
import psycopg
import pytest
from psycopg import sql
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, SyncResult
from featurestore.cli import run
from featurestore.columnar.values.newest_vectors import VectorColumns
from featurestore.errors import InvalidArgumentError, JobFailedError, NotFoundError, SyncError
from featurestore.frames.vectors.similarity import SIMILARITY, latest_similarities
from featurestore.operations.vectors.sync_by_spark import RowsBySpark
from featurestore.operations.vectors.sync_plan import SyncPlan, make_sync_plan
from featurestore.operations.vectors.sync_rows import SyncedFeature
from featurestore.stores.postgres.server import SUPERUSER
from featurestore.stores.postgres.sync import SyncTarget, locked, read_watermark
from featurestore.stores.postgres.tables import VectorTable, in_schema, names, registered
from featurestore.stores.small_tables.suppression import SECRET
from tests.conftest import Clock, OpenFeatureStore
from tests.inputs.vector_histories import Row, as_table

DIMS = 5
DOC = Entity("doc", join_keys={"source": "string", "number": "long"})
FILTERS = ("country", "pages", "seen")


def features(storage: str | None, **index: Any) -> list[Feature]:
    return [
        Feature("country", "string"),
        Feature(
            "text",
            f"embedding({DIMS})",
            model_version="small",
            index={"filters": list(FILTERS), "storage": storage, **index},
        ),
        Feature("pages", "long"),
        Feature("seen", "timestamp"),
    ]


def skip_group(**index: Any) -> FeatureGroup:
    return FeatureGroup(
        "docs", DOC, features=features(None, **index), ttl=timedelta(days=5), retention="30d", partition_by="month"
    )


KEEP = FeatureGroup("notes", DOC, features=features("halfvec"), nulls="keep", partition_by="month")
PLAIN = FeatureGroup("words", Entity("word", join_keys={"day": "date"}), features=[Feature("text", "embedding(2)")])
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def written_rows(seed: int, start: datetime, entities: int = 16) -> list[Row]:
    """Two dozen entities over twelve days: corrections, missing values, two models, zeros, and moments that tie."""
    random = Random(seed)
    rows: list[Row] = []
    for source in "ab":
        for number in range(entities):
            for _ in range(random.randrange(1, 5)):
                at = start + timedelta(hours=random.randrange(12 * 24))
                vector = random.choice(
                    [None, [0.0] * DIMS, *([random.uniform(-1, 1) for _ in range(DIMS)] for _ in "1234")]
                )
                rows.append(
                    {
                        "source": source,
                        "number": number,
                        "event_timestamp": random.choice([at, start + 10 * DAY]),
                        "created_timestamp": at
                        + timedelta(days=1, microseconds=random.randrange(10**9) * 64 + len(rows)),
                        "text": None if vector is None else np.float32(vector).tolist(),
                        "text__model_version": random.choice(["small", "small", "a/large one"]),
                        "country": random.choice([None, "US", "NL"]),
                        "pages": random.choice([None, 1, 5]),
                        "seen": random.choice([None, at]),
                    }
                )
    return rows


def order(row: Row) -> tuple[Any, ...]:
    return row["event_timestamp"], row["created_timestamp"]


def newest(rows: Sequence[Row], name: str) -> Row | None:
    return max((row for row in rows if row[name] is not None), key=order, default=None)


def expected(rows: Sequence[Row], nulls: str, now: datetime = NOW) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """By key and model version: both timestamps, vector, filters, and (with ``skip``) the filters' event timestamps."""
    valid = [row for row in rows if row["event_timestamp"] <= now]
    by_key = {}
    for key in {(row["source"], row["number"]) for row in valid}:
        mine = [row for row in valid if (row["source"], row["number"]) == key]
        for model in {row["text__model_version"] for row in mine if row["text"] is not None}:
            of_model = [row for row in mine if row["text__model_version"] == model]
            vector = max(mine, key=order) if nulls == "keep" else newest(of_model, "text")
            if vector is None or vector["text__model_version"] != model or not any(vector["text"] or [0]):
                continue
            taken = [vector if nulls == "keep" else newest(mine, name) for name in FILTERS]
            by_key[*key, model] = (
                *order(vector),
                vector["text"] if nulls == "skip" else np.float16(vector["text"]).tolist(),
                *(None if row is None else row[name] for name, row in zip(FILTERS, taken, strict=True)),
                *([None if row is None else row["event_timestamp"] for row in taken] if nulls == "skip" else []),
            )
    return by_key


def stored(store: OfflineStore, group: FeatureGroup, tenant_id: str = "acme") -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The same of what PostgreSQL has."""
    by_key = {}
    with store._scope.context.postgres.owner(tenant_id) as connection:
        for table in registered(connection, group.name, group.version):
            columns = names(["tenant_id", *(column.name for column in table.columns)])
            rows = connection.execute(sql.SQL("SELECT {} FROM {}").format(columns, in_schema(table.name)))
            for row in rows.fetchall():
                assert row[0] == tenant_id
                by_key[row[1], row[2], table.model] = (row[3], row[4], json.loads(row[5]), *row[6:])
    return {key: (*row[:2], np.float32(row[2]).tolist(), *row[3:]) for key, row in by_key.items()}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore, clock: Clock) -> Any:
    fs = open_feature_store(clock)
    fs.apply([skip_group(), KEEP, PLAIN])
    yield fs
    fs._context.postgres.close()


@pytest.fixture(scope="module")
def store(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


def summary(result: SyncResult) -> tuple[str, int | None]:
    return result.mode, result.entities


class Written:
    """The rows of docs that were written, as the tests go on one after another."""

    rows: list[Row] = written_rows(seed=4, start=NOW - 12 * DAY)


@pytest.mark.parametrize("group", [skip_group(), KEEP], ids=lambda group: group.nulls)
def test_one_row_per_entity_and_model_becomes_the_partition(feature_store: FeatureStore, group: FeatureGroup) -> None:
    single = feature_store.tenant("single")
    of_entity = {(row["source"], row["number"]): row for row in written_rows(seed=5, start=NOW - 8 * DAY, entities=30)}
    first = [{**row, "text__model_version": "small"} for row in of_entity.values()]
    more = [{**row, "event_timestamp": NOW, "created_timestamp": NOW} for row in written_rows(6, NOW - DAY, entities=9)]
    more = list({(row["source"], row["number"]): row for row in more}.values())
    single.write_batch(group.name, as_table(first))

    result = single.sync_embeddings(f"{group.name}:text", verify=True)

    wanted = expected(first, group.nulls)
    assert 0 < len(wanted) < len(first)
    assert stored(single, group, "single") == wanted
    assert (result.rows_upserted, result.rows, result.repaired) == (len(wanted), len(wanted), 0)
    single.write_batch(group.name, as_table(more))
    assert single.sync_embeddings(f"{group.name}:text", verify=True).repaired == 0
    assert stored(single, group, "single") == expected([*first, *more], group.nulls)


def test_the_first_sync_brings_all(feature_store: FeatureStore, store: OfflineStore) -> None:
    store.write_batch("docs", as_table(Written.rows))
    feature_store.tenant("other").write_batch(
        "docs", as_table([{**Written.rows[0], "source": "z", "text": [1.0] * DIMS}])
    )

    result = store.sync_embeddings("docs:text")

    wanted = expected(Written.rows, "skip")
    assert stored(store, skip_group()) == wanted
    assert summary(result) == ("full", None)
    assert (result.reason, result.rows_upserted, result.rows) == ("it was never synced", len(wanted), len(wanted))
    assert result.model_versions == ("a/large one", "small")
    assert result.graphs_built == 2
    assert summary(store.sync_embeddings("docs:text")) == ("none", 0)


def test_a_sync_reads_changes_from_the_feed_only(feature_store: FeatureStore, store: OfflineStore) -> None:
    first, other = ({"source": "a", "number": number, "created_timestamp": NOW} for number in (1, 2))
    base = dict.fromkeys(("text", "text__model_version", *FILTERS))
    vector = np.float32([0.1, 0.2, 0.3, 0.4, 0.5]).tolist()
    added = [
        # A correction, a value that comes late, a filter alone, a zero that ends an entity, a new one, one yet to come.
        base | first | {"event_timestamp": NOW - DAY, "text": vector, "text__model_version": "small", "country": "FI"},
        base | first | {"event_timestamp": NOW - 60 * DAY, "text": vector, "text__model_version": "old"},
        base | other | {"event_timestamp": NOW - DAY, "pages": 77},
        base | other | {"event_timestamp": NOW, "text": [0.0] * DIMS, "text__model_version": "small", "number": 3},
        base | other | {"event_timestamp": NOW, "text": vector, "text__model_version": "small", "number": 999},
        base | other | {"event_timestamp": NOW + DAY, "text": vector, "text__model_version": "small", "number": 1000},
    ]
    store.write_batch("docs", as_table(added))
    Written.rows = Written.rows + added
    feature_store.tenant("other").sync_embeddings("docs:text")

    result = store.sync_embeddings("docs:text")

    assert stored(store, skip_group()) == expected(Written.rows, "skip")
    assert summary(result) == ("incremental", 5)
    assert result.lag_versions == 1
    assert result.rows_upserted < 12
    assert [key[:2] for key in stored(store, skip_group(), "other")] == [("z", Written.rows[0]["number"])]


def test_a_row_dated_in_the_future_appears_at_its_time(store: OfflineStore, clock: Clock) -> None:
    clock.now = NOW + DAY
    result = store.sync_embeddings("docs:text")
    clock.now = NOW

    assert summary(result) == ("incremental", 1)
    assert stored(store, skip_group()) == expected(Written.rows, "skip", NOW + DAY)
    # A clock that went back is no reason to be wrong.
    assert "the clock is behind the last sync" in store.sync_embeddings("docs:text").reason
    assert stored(store, skip_group()) == expected(Written.rows, "skip")


def test_retention_is_followed_by_the_feed(store: OfflineStore) -> None:
    [cleaned] = store.cleanup(groups=["docs"])
    # The one vector of January goes with its partition, without a look into its file.
    assert cleaned.deleted_rows == 1

    result = store.sync_embeddings("docs:text")

    Written.rows = [row for row in Written.rows if row["event_timestamp"] > NOW - 50 * DAY]
    assert stored(store, skip_group()) == expected(Written.rows, "skip")
    assert (*summary(result), result.rows_deleted) == ("incremental", 1, 1)


def test_rewriting_files_changes_nothing(store: OfflineStore) -> None:
    [optimized] = store.optimize(["docs"])
    assert optimized.rewritten

    result = store.sync_embeddings("docs:text")

    assert (*summary(result), result.rows_upserted, result.rows_deleted) == ("incremental", 0, 0, 0)
    assert result.rows == len(expected(Written.rows, "skip"))


def test_verification_finds_and_repairs_differences(store: OfflineStore) -> None:
    table = VectorTable.of(skip_group(), skip_group().feature("text"), "small")
    assert store.sync_embeddings("docs:text", verify=True).repaired == 0
    with store._scope.context.postgres.owner("acme") as connection:
        place = in_schema(table.name)
        connection.execute(sql.SQL("UPDATE {} SET pages = 12345 WHERE number = 4").format(place))
        connection.execute(sql.SQL("DELETE FROM {} WHERE source = 'b' AND number = 5").format(place))
        changed = connection.execute(
            sql.SQL(
                "INSERT INTO {0} SELECT tenant_id, source, -1, event_timestamp, created_timestamp, _embedding FROM {0} LIMIT 1"
            ).format(place)
        )
        assert changed.rowcount == 1

    result = store.sync_embeddings("docs:text", verify=True)

    assert (result.mode, bool(result.repaired)) == ("none", True)
    assert stored(store, skip_group()) == expected(Written.rows, "skip")
    assert store.sync_embeddings("docs:text", verify=True).repaired == 0


def test_a_table_that_was_restored_is_followed(spark: SparkSession, store: OfflineStore) -> None:
    values = store._scope.context.table(skip_group()).values
    version = values.version()
    late = [{**row, "created_timestamp": NOW, "text": [9.0] * DIMS, "pages": 3} for row in Written.rows[:9]]
    store.write_batch("docs", as_table(late))
    store.sync_embeddings("docs:text")
    assert stored(store, skip_group()) == expected(Written.rows + late, "skip")

    spark.sql(f"RESTORE TABLE {values.sql} TO VERSION AS OF {version}")

    assert store.sync_embeddings("docs:text").mode == "incremental"
    assert stored(store, skip_group()) == expected(Written.rows, "skip")


def test_a_folder_that_was_put_back_is_followed(store: OfflineStore, tmp_path: Path) -> None:
    path = Path(str(store._scope.context.table(skip_group()).values))
    shutil.copytree(path, tmp_path / "backup")
    late = [{**row, "created_timestamp": NOW, "text": [8.0] * DIMS} for row in Written.rows[:9]]
    store.write_batch("docs", as_table(late))
    store.sync_embeddings("docs:text")

    shutil.rmtree(path)
    shutil.copytree(tmp_path / "backup", path)
    store._scope.context.spark.catalog.refreshByPath(str(path))
    put_back = store.sync_embeddings("docs:text")

    assert put_back.mode == "full"
    assert "it was restored" in put_back.reason
    assert stored(store, skip_group()) == expected(Written.rows, "skip")


def test_a_feed_that_does_not_reach_back_is_noticed(feature_store: FeatureStore, store: OfflineStore) -> None:
    values = store._scope.context.table(skip_group()).values
    gone = Written.rows[0]
    deltalake.DeltaTable(str(values)).delete(f"source = '{gone['source']}' AND number = {gone['number']}")
    Written.rows = [row for row in Written.rows if (row["source"], row["number"]) != (gone["source"], gone["number"])]
    feature_store.vacuum(older_than="1us", force=True)
    for file in Path(str(values)).rglob("cdc-*.parquet"):
        file.unlink()
    for file in Path(str(values)).rglob("_change_data/**/*.parquet"):
        file.unlink()

    by_spark = RowsBySpark(synced_feature(store)).touched(feed_of(store))
    result = store.sync_embeddings("docs:text")

    assert result.mode == "full"
    assert result.reason.endswith("cannot be read any more (FileNotFoundError)")
    # By Spark the reason is the same, but for the name of the fault.
    assert str(by_spark).partition(" (")[0] == result.reason.partition(" (")[0]
    assert stored(store, skip_group()) == expected(Written.rows, "skip")


def synced_feature(store: OfflineStore) -> SyncedFeature:
    text = skip_group().feature("text")
    return SyncedFeature(store._scope, skip_group(), text, VectorTable.of(skip_group(), text, "small"), NOW)


def feed_of(store: OfflineStore) -> SyncPlan:
    """The plan of a sync of what was written since the last one."""
    synced = synced_feature(store)
    with store._scope.context.postgres.owner("acme") as connection:
        watermark = read_watermark(SyncTarget(connection, "acme", synced.table))
    return make_sync_plan(watermark, synced.delta_state(watermark), NOW, full=False, changed=None)


def test_a_definition_that_changes_is_followed(feature_store: FeatureStore, store: OfflineStore) -> None:
    fewer = [feature for feature in features(None) if feature.name != "text"]
    text = Feature("text", f"embedding({DIMS})", model_version="small", index={"filters": ["pages"], "m": 8})
    feature_store.apply([FeatureGroup("docs", DOC, features=[*fewer, text], ttl="5d", partition_by="month")])

    result = store.sync_embeddings("docs:text")

    assert result.mode == "full"
    assert result.reason.startswith("the definition changed: filters were {'country': 'string', 'pages': 'long'")
    wanted = {key: (*row[:3], row[4], row[7]) for key, row in expected(Written.rows, "skip").items()}
    assert stored(store, skip_group()) == wanted
    # By their new parameters, also for a model version that lost its last row.
    assert result.graphs_built >= len(result.model_versions)
    feature_store.apply([skip_group()])


def test_the_latest_row_as_a_whole_where_nulls_are_kept(store: OfflineStore) -> None:
    rows = written_rows(seed=9, start=NOW - 12 * DAY)
    store.write_batch("notes", as_table(rows))
    store.sync_embeddings("notes:text")
    assert stored(store, KEEP) == expected(rows, "keep")

    more = [{**row, "created_timestamp": NOW, "text": None} for row in written_rows(7, NOW - 12 * DAY)[:40]]
    store.write_batch("notes", as_table(more))

    assert store.sync_embeddings("notes:text").mode == "incremental"
    assert stored(store, KEEP) == expected(rows + more, "keep")


@pytest.mark.parametrize("group", [skip_group(), KEEP], ids=lambda group: group.nulls)
def test_the_rows_are_those_that_a_search_of_the_table_considers(store: OfflineStore, group: FeatureGroup) -> None:
    """Also where rows tie in both timestamps, so that their content decides."""
    rows = written_rows(seed=21, start=NOW - 12 * DAY, entities=12)
    tied = [{**row, "source": "tied", "created_timestamp": NOW - DAY, "event_timestamp": NOW - DAY} for row in rows]
    store.write_batch(group.name, as_table(tied))
    store.sync_embeddings(f"{group.name}:text")
    columns = VectorColumns(
        ("source", "number"), "text", "text__model_version", FILTERS, ("country", "text", "pages", "seen"), group.nulls
    )
    values = store._scope.context.table(group).read_values(
        "acme",
        ["source", "number", "event_timestamp", "created_timestamp", "text__model_version", *columns.features],
    )
    content = stored(store, group)
    for model in ("small", "a/large one"):
        similarities = latest_similarities(
            values.where("source = 'tied'"), columns, model, lambda vector: F.to_json(vector)
        )
        by_key = {
            (row["source"], row["number"], model): (json.loads(row[SIMILARITY]), *(row[name] for name in FILTERS[:2]))
            for row in similarities.toArrow().to_pylist()
        }
        storage = np.float16 if group.nulls == "keep" else np.float32
        wanted = {
            key: (storage(row[0]).astype(np.float32).tolist(), *row[1:]) for key, row in by_key.items() if any(row[0])
        }
        mine = {key: (row[2], *row[3:5]) for key, row in content.items() if key[0] == "tied" and key[2] == model}
        assert mine == wanted
        assert mine


def test_a_feature_without_vectors_is_synced_too(store: OfflineStore) -> None:
    result = store.sync_embeddings("words:text")

    assert (result.mode, result.rows, result.model_versions) == ("full", 0, ())
    assert summary(store.sync_embeddings("words:text", verify=True)) == ("none", 0)


def test_the_ledger_records_a_sync(store: OfflineStore) -> None:
    [*_, last] = [
        row for row in store.runs().collect() if row["job"] == "sync_embeddings" and row["feature_group"] == "words"
    ]

    details = json.loads(last["details"])
    assert last["state"] == "succeeded"
    assert {"mode", "reason", "from_version", "to_version", "rows_upserted", "lag_seconds"} <= details.keys()


def test_what_cannot_be_synced_is_told(store: OfflineStore) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'docs:pages' is long; only an embedding\(dims\) can be synced"):
        store.sync_embeddings("docs:pages")
    with pytest.raises(NotFoundError, match="Did you mean 'docs'"):
        store.sync_embeddings("doks:text")


def test_a_sync_during_another_says_so_and_changes_nothing(store: OfflineStore) -> None:
    table = VectorTable.of(skip_group(), skip_group().feature("text"), "small")
    before = stored(store, skip_group())
    with store._scope.context.postgres.connect_owner() as other, locked(SyncTarget(other, "acme", table)):
        with pytest.raises(SyncError, match="'acme' is being synced already, by process"):
            store.sync_embeddings("docs:text")
        with pytest.raises(JobFailedError, match="sync of 1 of 2 embeddings failed, the others are done:\n- docs:text"):
            store.sync_all_embeddings()

    assert stored(store, skip_group()) == before
    assert [result.feature for result in store.sync_all_embeddings()] == ["docs:text", "notes:text"]


def test_the_command_line_syncs(
    store: OfflineStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATURESTORE_WAREHOUSE", store._scope.context.settings.warehouse)
    monkeypatch.chdir(Path(store._scope.context.settings.warehouse).parent)

    assert run(["sync-embeddings", "words:text", "--tenant", "acme", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["tenant"], output["feature"]) == ("acme", "words:text")
    assert run(["sync-embeddings", "--tenant", "acme"]) == 2
    assert run(["sync-embeddings", "words:text", "--all", "--tenant", "acme"]) == 2
    capsys.readouterr()
    assert run(["sync-embeddings", "words:text", "--tenant", "acme", "--verify"]) == 0
    assert "words:text: " in capsys.readouterr().out


def files_with(store: OfflineStore, marker: bytes) -> list[str]:
    """Files of PostgreSQL that hold the bytes, but for its write-ahead log."""
    server = store._scope.context.postgres.server
    with psycopg.connect(server.dsn(SUPERUSER), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    files = [file for file in server.data.rglob("*") if file.is_file() and "pg_wal" not in file.parts]
    return [str(file.relative_to(server.data)) for file in files if marker in file.read_bytes()]


def test_an_erasure_takes_vectors_out_to_the_last_byte(spark: SparkSession, store: OfflineStore) -> None:
    person = {"source": "erika", "number": 1}
    vector = np.float32([0.123, 0.456, 0.789, 0.321, 0.654])
    row = dict.fromkeys(written_rows(1, NOW)[0]) | person | {"event_timestamp": NOW - DAY, "created_timestamp": NOW}
    store.write_batch("docs", as_table([row | {"text": vector.tolist(), "text__model_version": "small"}]))
    store.sync_embeddings("docs:text")
    before = stored(store, skip_group())
    marker = vector.astype("<f4").tobytes()
    assert files_with(store, marker)

    environ = {SECRET: "a secret that nobody guesses"}
    settings = store._scope.context.settings
    erasing = FeatureStore.open(settings, spark=spark, clock=Clock(NOW), environ=environ).tenant("acme")
    certificate = erasing.erase("doc", person)
    erasing._scope.context.postgres.close()

    assert [
        table.rows for table in certificate.tables if table.kind == "vectors" and table.table.endswith(":small")
    ] == [
        1,
        0,
    ]
    assert files_with(store, marker) == []
    assert stored(store, skip_group()) == {key: row for key, row in before.items() if key[0] != "erika"}
    assert len(stored(store, skip_group())) == len(before) - 1
    # The next sync finds nothing of them, and mends nothing.
    assert erasing.sync_embeddings("docs:text", verify=True).repaired == 0
    assert stored(store, skip_group()) == {key: row for key, row in before.items() if key[0] != "erika"}
    erasing._scope.context.postgres.close()
