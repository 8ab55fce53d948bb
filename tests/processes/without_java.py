"""A process without Java: every public method and every command that needs no Spark, on a store of its own.

Run as ``python -m tests.processes.without_java methods|commands|mistakes FOLDER``; it ends with 0 only if all of them
worked, or every mistake was told, and Spark was never loaded: without PySpark the exit codes are the same.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, OfflineStore, Settings
from featurestore.cli import run
from featurestore.operations.job_run import recorded_run
from tests.settings_folder import write_settings_folder

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup(
    "stats",
    USER,
    features=[Feature("score", "double"), Feature("plan", "string"), Feature("emb", "embedding(2)")],
    retention="10d",
    keep_latest=True,
    ttl="30d",
)
ANN = {"user_id": "ann"}


def open_store(folder: Path) -> FeatureStore:
    return FeatureStore.open(Settings(warehouse=str(folder / "warehouse")), clock=lambda: NOW)


def written(fs: FeatureStore) -> OfflineStore:
    """Definitions, values, a rejected row, a run in the ledger, and two versions of a training set."""
    assert fs.plan([USER, STATS]).has_changes
    fs.apply([USER, STATS])
    store = fs.tenant("acme")
    rows = [
        {**ANN, "event_timestamp": NOW - days * DAY, "score": float(days), "plan": "free", "emb": [0.5, days]}
        for days in (1, 12, 20)
    ]
    result = store.write_batch("stats", [*rows, {"user_id": "bob", "event_timestamp": "no time"}], batch_id="first")
    assert (result.written, result.failed) == (3, 1)
    store.write_feature_value("stats:score", {"user_id": "bob"}, 0.25, NOW - 2 * DAY)
    store.write_embedding("stats:emb", {"user_id": "bob"}, [1.0, 0.0], NOW - 3 * DAY)
    with recorded_run(store._scope, "upkeep"):
        pass
    for _ in (1, 2):
        save_training_set(store)
    return store


def save_training_set(store: OfflineStore) -> None:
    loader = FeatureDataLoader(store)
    loader.load_training_data(examples(), ["stats:score", "stats:emb"], label="bought", name="churn", new_version=True)


def examples() -> pa.Table:
    times = pa.array([NOW, NOW - 5 * DAY], pa.timestamp("us", "UTC"))
    return pa.table({"user_id": ["ann", "bob"], "event_timestamp": times, "bought": [True, False]})


def methods(folder: Path) -> None:
    fs = open_store(folder)
    store = written(fs)
    loader = FeatureDataLoader(store)
    of_store(fs)
    of_tenant(store, folder)
    of_vectors(store)
    exported(loader, folder)
    of_training_sets(loader)


def of_store(fs: FeatureStore) -> None:
    assert [entity.name for entity in fs.entities()] == ["user"]
    assert [group.name for group in fs.feature_groups()] == ["stats"]
    assert fs.feature_group("stats").feature_names == ["score", "plan", "emb"]
    assert fs.training_set_definitions() == []
    assert fs.catalog().feature_count == 3
    assert fs.registry_history(to="arrow").num_rows == 2
    assert len(fs.registry_history(to="pandas")) == 2
    assert fs.runs(to="arrow").num_rows == len(fs.latest_runs()) == 0
    assert sum(result.files for result in (*fs.vacuum(older_than="7d", dry_run=True), *fs.vacuum(older_than="7d"))) == 0


def of_tenant(store: OfflineStore, folder: Path) -> None:
    start, end = NOW - 30 * DAY, NOW
    assert store.rejected("stats", to="arrow").num_rows == len(store.rejected("stats", to="pandas")) == 1
    value = store.get_feature_at_time("stats:score", ANN, NOW)
    assert value is not None
    assert value.value == 1.0
    assert set(store.get_features_at_time(["stats:plan", "stats:emb"], ANN, NOW)) == {"stats:plan", "stats:emb"}
    assert store.get_batch_features(["stats:score"], start, end, to="arrow").rows.num_rows == 4
    assert len(store.get_feature_history("stats:score", ANN, to="pandas")) == 3
    spine = pa.table({"user_id": ["bob", "ann"], "event_timestamp": pa.array([NOW, NOW], pa.timestamp("us", "UTC"))})
    joined = store.get_point_in_time(spine, ["stats:score", "stats:emb"], known_at=NOW)
    assert joined["score"].to_pylist() == [0.25, 1.0]
    assert store.get_point_in_time(spine, "stats:score", to="pandas").score.tolist() == [0.25, 1.0]
    assert store.explain_point_in_time(spine, "stats:score").host == "in_process"
    [stats] = store.get_stats()
    assert (stats.rows, stats.entities) == (5, 2)
    assert store.get_statistics("stats") == list(store.profiled("stats").features) == []
    catalog = store.catalog()
    assert (catalog.rows, [saved.name for saved in catalog.training_sets]) == (5, ["churn"])
    [old] = store.cleanup(dry_run=True)
    assert (old.deleted_rows, old.kept_latest) == (1, 1)
    assert [(done.deleted_rows, done.kept_latest) for done in store.cleanup()] == [(1, 1)]
    assert [result.rewritten for result in (*store.optimize(dry_run=True), *store.optimize())] == [0, 0]
    assert store.erasures() == []
    [run] = [found for found in store.latest_runs() if found.job == "upkeep"]
    assert store.run(run.run_id) == run
    assert "upkeep" in store.runs(to="arrow").column("job").to_pylist()
    assert "featurestore_group_rows" in store.write_metrics(folder / "acme.prom").read_text()


def of_vectors(store: OfflineStore) -> None:
    first = store.sync_embeddings("stats:emb", verify=True)
    assert (first.mode, first.rows, first.repaired) == ("full", 2, 0)
    store.write_embedding("stats:emb", {"user_id": "cid"}, [0.0, 1.0], NOW - DAY)
    later = store.sync_embeddings("stats:emb", verify=True)
    assert (later.mode, later.entities, later.rows, later.repaired) == ("incremental", 1, 3, 0)
    assert store.sync_embeddings("stats:emb").mode == "none"
    similar = store.search_similar_embeddings("stats:emb", [0.0, 1.0], limit=2)
    assert (similar.source, [match.entity["user_id"] for match in similar]) == ("postgres", ["cid", "ann"])
    store._scope.context.postgres.close()


def of_training_sets(loader: FeatureDataLoader) -> None:
    assert [(saved.name, saved.version) for saved in loader.list()] == [("churn", 1), ("churn", 2)]
    saved = loader.get("churn")
    assert "Training set churn v2" in str(saved.display())
    assert saved.metadata()["missing_values"] == {"score": 1, "emb": 1}
    frame = saved.to_pandas()
    assert frame.entity_ids["user_id"].tolist() == ["bob", "ann"]
    assert saved.to_numpy().X.shape == (2, 3)
    assert [batch.num_rows for batch in saved.to_batches(batch_rows=1)] == [1, 1]
    assert loader.diff("churn", 1, 2).is_same
    assert loader.delete("churn", 1) == (1,)
    assert [saved.version for saved in loader.list("churn")] == [2]


def exported(loader: FeatureDataLoader, folder: Path) -> None:
    for format in ("parquet", "arrow", "csv", "jsonl"):
        place = str(folder / format)
        assert [loader.get("churn").export(place, format).is_up_to_date for _ in (1, 2)] == [False, True]
        assert (folder / format / f"part-00000.{format}").exists()
    assert loader.export(examples(), str(folder / "rows"), "jsonl") == str(folder / "rows")
    ways: dict[str, dict[str, Any]] = {
        "inputs": {},
        "template": {"template": "{{ score }}"},
        "function": {"format_fn": lambda row: str(row["emb"])},
    }
    for name, options in ways.items():
        place = folder / name
        made = loader.load_for_fine_tuning(
            examples(), ["stats:score", "stats:emb"], "bought", path=str(place), on_invalid="skip", **options
        )
        assert made.row_count + sum(made.left_out.values()) == 2
        assert (place / "part-00000.jsonl").read_text().count("\n") == made.row_count > 0


TIMES = ["--start", "2026-02-01T00:00:00Z", "--end", "2026-03-01T00:00:00Z"]
TUNING = ["--output-feature", "bought", "--path", "FOLDER/tuning"]
COMMANDS: list[tuple[list[str], int]] = [
    (["plan", "DEFINITIONS"], 0),
    (["apply", "DEFINITIONS"], 0),
    (["init", "FOLDER/project"], 0),
    (["groups", "list"], 0),
    (["backfill", "prices", *TIMES, "--every", "7d", "--dry-run"], 0),
    (["groups", "show", "stats"], 0),
    (["write", "stats:score", "0.5", "--entity", "user_id=cid", "--at", "2026-02-01T00:00:00Z"], 0),
    (["get", "stats:score", "stats:plan", "--entity", "user_id=ann", "--at", "2026-03-01T00:00:00Z"], 0),
    (["history", "stats:score", "--entity", "user_id=ann"], 0),
    (["batch", "stats:score", *TIMES], 0),
    (["join", "stats:score", "--spine", "FOLDER/spine.parquet"], 0),
    (["join", "stats:score", "--spine", "FOLDER/spine.parquet", "--output", "FOLDER/joined", "--format", "csv"], 0),
    (["stats"], 0),
    (["runs", "list"], 0),
    (["runs", "list", "--store"], 0),
    (["runs", "show", "RUN"], 0),
    (["runs", "abandon", "RUN"], 17),
    (["rejected", "list", "stats"], 0),
    (["sync-embeddings", "stats:emb", "--verify"], 0),
    (["search", "stats:emb", "--vector", "[1, 0]"], 0),
    (["metrics", "FOLDER/acme.prom"], 0),
    (["cleanup", "--dry-run"], 0),
    (["optimize", "--dry-run"], 0),
    (["vacuum", "--dry-run"], 0),
    (["vacuum", "--older-than", "1s", "--force"], 0),
    (["erasures"], 0),
    (["training-set", "list"], 0),
    (["training-set", "show", "churn"], 0),
    (["training-set", "show", "churn", "--report", "FOLDER/churn.html"], 0),
    (["training-set", "diff", "churn", "1", "2"], 0),
    (["training-set", "load", "bought", "stats:score", "--spine", "FOLDER/spine.parquet", "--label", "bought"], 0),
    (["training-set", "export", "churn", "FOLDER/exported", "--format", "jsonl"], 0),
    (["fine-tuning", "stats:score", "--spine", "FOLDER/spine.parquet", *TUNING, "--template", "{{ score }}"], 0),
    (["training-set", "delete", "churn", "--version", "1"], 0),
    (["cleanup"], 0),
    (["catalog", "build", "FOLDER/site"], 0),
    (["doctor"], 16),
]


GET = ["--entity", "user_id=ann", "--at", "2026-03-01T00:00:00Z"]
BACKWARDS = ["--start", "2026-03-01T00:00:00Z", "--end", "2026-02-01T00:00:00Z"]
SPINE = ["--spine", "FOLDER/spine.parquet"]
NO_SPINE = ["--spine", "FOLDER/nowhere.parquet"]
LARGE_SPINE = ["--spine", "FOLDER/by_spark"]
TAKEN = ["--output", "FOLDER/by_spark"]
WRONG_KEY = ["--entity", "user=ann"]
# A command that would need Spark, or a wider answer, if it had no mistake; and the exit code of the mistake.
MISTAKES: list[tuple[list[str], int]] = [
    (["get", "stats:scor", *GET], 6),
    (["history", "stat:score", "--entity", "user_id=ann"], 6),
    (["write", "stats:scor", "0.5", *GET], 6),
    (["ingest", "stat", "FOLDER/spine.parquet"], 6),
    (["ingest", "stats", "FOLDER/spine.parquet"], 8),
    (["rejected", "retry", "stat"], 6),
    (["materialize", "price", *TIMES], 6),
    (["materialize", "stats", *TIMES], 12),
    (["materialize", "prices", *TIMES, "--lookback", "soon"], 17),
    (["materialize", "prices", *TIMES], 6),
    (["backfill", "price", *TIMES], 6),
    (["backfill", "prices", *TIMES, "--every", "often"], 17),
    (["batch", "stats:scor", *TIMES, "--output", "FOLDER/out"], 6),
    (["batch", "stats:score", *TIMES, "--output", "FOLDER/out", "--format", "xls"], 2),
    (["batch", "stats:score", *TIMES, *WRONG_KEY, "--output", "FOLDER/out"], 17),
    (["batch", "stats:score", *TIMES, *TAKEN], 15),
    (["batch", "stats:score", *BACKWARDS, "--output", "FOLDER/out"], 17),
    (["join", "stats:scor", *SPINE], 6),
    (["join", "stats:scor", *LARGE_SPINE], 6),
    (["join", "stats:score", *SPINE, *TAKEN], 15),
    (["join", "stats:score", *LARGE_SPINE, *TAKEN], 15),
    (["join", "stats:score", *NO_SPINE], 6),
    (["join", "stats:score", "--spine", "FOLDER/definitions.yml"], 8),
    (["join", "stats:score", *SPINE, "--timestamp-column", "at"], 11),
    (["join", "stats:score", *LARGE_SPINE, "--timestamp-column", "at"], 11),
    (["join", "prices:price", *SPINE], 11),
    (["join", "stats:score", *SPINE, "--host", "moon"], 2),
    (["join", "stats:score", *SPINE, "--output", "FOLDER/out", "--format", "xls"], 2),
    (["aggregate", "stats:scor", "avg", *TIMES], 6),
    (["aggregate", "stats:score", "mean", *TIMES], 17),
    (["aggregate", "stats:plan", "avg", *TIMES], 17),
    (["aggregate", "stats:score", "avg", *TIMES, "--time-zone", "Mars"], 17),
    (["aggregate", "stats:score", "avg", *TIMES, *WRONG_KEY], 17),
    (["search", "stats:em", "--vector", "[1, 2]"], 6),
    (["search", "stats:score", "--vector", "[1, 2]"], 17),
    (["search", "stats:emb", "--vector", "[1]"], 17),
    (["search", "stats:emb", "--vector", "[1, 2]", "--filter", "plam=free"], 17),
    (["entity-timestamps", "offer", "item"], 6),
    (["entity-timestamps", "offers", "itm"], 6),
    (["entity-timestamps", "offers", "item"], 6),
    (["entity-timestamps", "offers", "item", *TAKEN], 15),
    (["training-set", "build", "bougt"], 6),
    (["training-set", "build", "bought"], 6),
    (["training-set", "load", "t", "stats:scor", *SPINE], 6),
    (["training-set", "load", "t", "stats:score", *NO_SPINE], 6),
    (["training-set", "load", "t", "stats:score", *SPINE, "--label", "stats:scor"], 6),
    (["training-set", "load", "t", "stats:score", *SPINE, "--label", "bougt"], 11),
    (["training-set", "load", "t", "stats:score", *SPINE, "--timestamp-column", "at"], 11),
    (["training-set", "load", "t", "stats:score", *LARGE_SPINE, "--label", "bougt"], 11),
    (["training-set", "load", "t", "stats:score", *LARGE_SPINE, "--timestamp-column", "at"], 11),
    (["training-set", "load", "t", "stats:score", *SPINE, "--missing", "fill"], 2),
    (["training-set", "load", "t", "stats:score", *SPINE, "--validation", "3"], 4),
    (["training-set", "load", "t", "stats:score", *SPINE, "--label-offset", "later"], 17),
    (["training-set", "rebuild", "chrn"], 6),
    (["training-set", "audit", "churn", "--version", "9"], 6),
    (["training-set", "extend", "chrn", *SPINE], 6),
    (["training-set", "extend", "churn", *NO_SPINE], 6),
    (["training-set", "export", "chrn", "FOLDER/out"], 6),
    (["training-set", "export", "churn", "FOLDER/out", "--format", "xls"], 2),
    (["training-set", "export", "churn", "FOLDER/by_spark"], 15),
    (["training-set", "show", "churn", "--report", "FOLDER"], 2),
    (["fine-tuning", "stats:scor", *SPINE, *TUNING], 6),
    (["fine-tuning", "stats:score", *NO_SPINE, *TUNING], 6),
    (["fine-tuning", "stats:score", *SPINE, "--output-feature", "bougt", "--path", "FOLDER/tuning"], 11),
    (["fine-tuning", "stats:score", *LARGE_SPINE, "--output-feature", "bougt", "--path", "FOLDER/tuning"], 11),
    (["fine-tuning", "stats:score", *SPINE, *TUNING, "--template", "{{ scor }}"], 12),
    (["fine-tuning", "stats:score", *SPINE, *TUNING, "--system", "{{"], 12),
    (["fine-tuning", "stats:score", *SPINE, "--output-feature", "bought", "--path", "FOLDER/by_spark"], 15),
    (["fine-tuning", "stats:score", *LARGE_SPINE, "--output-feature", "bought", "--path", "FOLDER/by_spark"], 15),
    (["profile", "stat"], 6),
    (["profile", "stats", "--report", "FOLDER"], 2),
    (["drift", "stats", "--feature", "scor"], 6),
    (["drift", "stats", "--baseline", "once"], 17),
    (["drift", "stats", "--training-set", "chrn"], 6),
    (["sync-embeddings", "stats:em"], 6),
    (["sync-embeddings", "stats:score"], 17),
    (["cleanup", "stat"], 6),
    (["optimize", "stat"], 6),
    (["vacuum", "--older-than", "1h"], 17),
    (["erase", "usr", "--key", "user_id=ann"], 6),
    (["erase", "user", "--key", "user=ann"], 17),
]


def mistakes(folder: Path) -> None:
    fs = open_store(folder)
    written(fs)
    conf = write_settings_folder(folder / "conf", warehouse=str(folder / "warehouse"))
    write_spine(folder / "spine.parquet")
    # Only Spark reads the names of folders as columns.
    (folder / "by_spark" / "day=1").mkdir(parents=True)
    write_spine(folder / "by_spark" / "day=1" / "part.parquet")
    fs.apply(defined(folder, f"{folder}/offers"))
    for words, expected in MISTAKES:
        arguments = [_placed(word, {"FOLDER": str(folder)}) for word in words]
        # A command that came as far as Spark ends with 16: there is no Java.
        code = run([*arguments, "--conf", str(conf), "--tenant", "acme"])
        assert code == expected, (words, code)


def write_spine(file: Path) -> None:
    times = pa.array([NOW], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"user_id": ["ann"], "event_timestamp": times, "bought": [True]}), file)


def defined(folder: Path, offers: str) -> Path:
    """A file of definitions: a group, and a training set, computed from offers."""
    definitions = folder / "definitions.yml"
    definitions.write_text(
        "entities: [{name: item, join_keys: {id: long}}]\n"
        "feature_groups:\n"
        "  - name: prices\n"
        "    entity: item\n"
        "    features: [{name: price, type: double}]\n"
        f"    sources: {{offers: {{path: '{offers}', format: csv, shared: true}}}}\n"
        "    transformation: {sql: 'SELECT id, price FROM offers WHERE day >= :start_time AND day < :end_time'}\n"
        "training_sets:\n"
        "  - name: bought\n"
        "    label: late\n"
        "    features: [prices:price]\n"
        "    spine:\n"
        f"      sources: {{offers: {{path: '{offers}', format: csv, shared: true}}}}\n"
        "      transformation: {sql: 'SELECT id, day AS event_timestamp, late FROM offers'}\n"
    )
    return definitions


def commands(folder: Path) -> None:
    store = written(open_store(folder))
    write_spine(folder / "spine.parquet")
    [run_id] = [found.run_id for found in store.latest_runs() if found.job == "upkeep"]
    conf = write_settings_folder(folder / "conf", warehouse=str(folder / "warehouse"))
    places = {"DEFINITIONS": str(defined(folder, "offers")), "RUN": run_id, "FOLDER": str(folder)}
    for words, expected in COMMANDS:
        arguments = [_placed(word, places) for word in words]
        code = run([*arguments, "--conf", str(conf), "--tenant", "acme", "--json"])
        assert code == expected, (words, code)


def _placed(word: str, places: dict[str, str]) -> str:
    for name, place in places.items():
        word = word.replace(name, place)
    return word


if __name__ == "__main__":
    {"methods": methods, "commands": commands, "mistakes": mistakes}[sys.argv[1]](Path(sys.argv[2]))
    assert not {"pyspark", "py4j", "delta"} & set(sys.modules), "Spark was loaded"
