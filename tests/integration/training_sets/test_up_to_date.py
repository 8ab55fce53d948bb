"""A build that would only make the newest version again gives that version back, and says so."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from featurestore import (
    Entity,
    EntitySplit,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    RandomSplit,
    Settings,
    TrainingSet,
    TrainingSetDefinition,
)
from featurestore.definitions.finding import Finding
from featurestore.errors import LeakageError
from featurestore.operations.context import Scope
from featurestore.operations.repeats.training_sets import up_to_date
from featurestore.operations.training_sets.parts import group_snapshots, made_from
from featurestore.operations.training_sets.request import TrainingSetRequest, plan_training_set
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.small_tables.rows import UnreadableRowWarning
from featurestore.stores.training_sets.manifests import ErasureNote

USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup("stats", USER, features=[Feature("score", "double"), Feature("plan", "string")])
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPINE = pd.DataFrame(
    {
        "user_id": ["u0", "u1", "u2", "u0"],
        "event_timestamp": [NOON, NOON, NOON, NOON + timedelta(hours=3)],
        "late": [True, False, True, False],
    }
)
REQUEST: dict[str, Any] = {"features": ["stats:score"], "label": "late", "name": "late"}


def values(*scores: float, at: datetime = NOON - timedelta(hours=1)) -> list[dict[str, Any]]:
    return [{"user_id": f"u{i}", "event_timestamp": at, "score": score} for i, score in enumerate(scores)]


@pytest.fixture
def fs(spark: SparkSession, tmp_path: Path) -> FeatureStore:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")), spark=spark)
    fs.apply([STATS])
    fs.tenant("acme").write_batch("stats", values(0.5, 1.5, 2.5))
    return fs


@pytest.fixture
def loader(fs: FeatureStore) -> FeatureDataLoader:
    return FeatureDataLoader(fs.tenant("acme"))


def outcome(training_set: TrainingSet) -> tuple[int, bool]:
    """The version, and whether it was up to date."""
    return training_set.version, training_set.is_up_to_date


def built(loader: FeatureDataLoader, spine: Any = SPINE, **changes: Any) -> tuple[int, bool]:
    return outcome(loader.load_training_data(spine, **(REQUEST | changes)))


def would_give_back(fs: FeatureStore, *, strict: bool = False) -> int | None:
    """The version that a build of the newest version's request and spine would give back now; builds nothing."""
    scope = fs.tenant("acme")._scope
    manifest = scope.training_sets.get("acme", "late")
    plan = plan_training_set(fs._context, TrainingSetRequest.of_manifest(manifest), new_version=False)
    groups = group_snapshots(Scope(fs._context, "acme"), plan, {})
    assert manifest.made_from is not None
    current = up_to_date(scope, "late", manifest.made_from, groups, strict=strict)
    return None if current is None else current.version


def test_the_same_build_gives_the_version_back_and_says_so(spark: SparkSession, loader: FeatureDataLoader) -> None:
    first = loader.load_training_data(SPINE, **REQUEST)
    again = loader.load_training_data(SPINE.sample(frac=1, random_state=1), **REQUEST)
    rows = [(user, at.to_pydatetime(), late) for user, at, late in SPINE.itertuples(index=False)]
    of_spark = spark.createDataFrame(rows, "user_id string, event_timestamp timestamp, late boolean")

    assert [outcome(first), outcome(again), built(loader, of_spark)] == [(1, False), (1, True), (1, True)]
    assert again.manifest == first.manifest
    assert "Version 1 is up to date; nothing was built." in str(again.display())
    assert "up to date" not in str(first.display())
    assert [manifest.version for manifest in loader.list("late")] == [1]
    assert built(loader, new_version=True) == (2, False)
    assert built(loader) == (2, True)


DEFAULTS: dict[str, Any] = {
    "label_offset": None, "timestamp_column": "event_timestamp", "known_at": None, "full_feature_names": False,
    "sample_size": None, "stratify_by": None, "seed": 0, "split": None, "missing": "keep", "expand_vectors": False,
    "strict": False, "description": "",
}  # fmt: skip
ROWS = {"columns": [("user_id", "string"), ("late", "boolean")], "fingerprint": "a", "sampled_from": None}


def test_everything_that_decides_on_the_result_is_in_the_hash(fs: FeatureStore) -> None:
    def hash_of(rows: dict[str, Any] = ROWS, **changes: Any) -> str:
        request = TrainingSetRequest(**(DEFAULTS | REQUEST | changes))
        plan = plan_training_set(fs._context, request, new_version=False)
        return made_from(fs._context, plan, rows, group_snapshots(Scope(fs._context, "acme"), plan, {}))

    hashes = [
        hash_of(),
        hash_of(features=["stats:score", "stats:plan"]),
        hash_of(features=["stats:plan"]),
        hash_of(full_feature_names=True),
        hash_of(known_at="event"),
        hash_of(known_at=NOON),
        hash_of(label=None),
        hash_of(label="stats:plan"),
        hash_of(label="stats:plan", label_offset="1d"),
        hash_of(timestamp_column="at"),
        hash_of(split=RandomSplit(test=0.25)),
        hash_of(split=RandomSplit(test=0.5)),
        hash_of(split=EntitySplit(test=0.5)),
        hash_of(seed=1),
        hash_of(sample_size=4),
        hash_of(sample_size=4, stratify_by="late"),
        hash_of(missing="drop"),
        hash_of(missing={"score": 0}),
        hash_of(missing={"score": 0.5}),
        hash_of(expand_vectors=True),
        hash_of(description="for the board"),
        hash_of(ROWS | {"fingerprint": "b"}),
        hash_of(ROWS | {"columns": [("user_id", "string"), ("late", "int")]}),
        hash_of(ROWS | {"columns": [("late", "boolean"), ("user_id", "string")]}),
        hash_of(ROWS | {"sampled_from": 5}),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_of(strict=True) == hash_of(features="stats:score") == hashes[0]

    fs.tenant("acme").write_batch("stats", values(9.5))
    assert hash_of() == hashes[0]
    fs._context.code_version = "another"
    assert hash_of() != hashes[0]
    fs._context.code_version = FeatureStore.open(fs.settings, spark=fs.spark)._context.code_version
    fs._context.settings = fs.settings.model_copy(update={"timestamp_zone": "Europe/Berlin"})
    assert hash_of() not in hashes
    fs._context.settings = fs.settings.model_copy(update={"timestamp_zone": None})
    assert hash_of() == hashes[0]
    fs.apply([FeatureGroup("stats", USER, features=[*STATS.features], ttl="2d")])
    assert hash_of() not in hashes


def test_a_build_hashes_its_spine_with_types_and_sample(loader: FeatureDataLoader) -> None:
    assert built(loader, SPINE.astype({"late": "int16"})) == (1, False)
    # Spark hashes these whole numbers alike.
    assert built(loader, SPINE.astype({"late": "int32"})) == (2, False)
    assert built(loader, SPINE[:2], sample_size=2) == (3, False)
    assert built(loader, SPINE[:2], sample_size=2) == (3, True)


def test_commits_that_change_no_row_of_the_tenant_do_not_count(fs: FeatureStore, loader: FeatureDataLoader) -> None:
    fs.tenant("acme").write_batch("stats", values(0.25, 0.75))
    assert built(loader) == (1, False)
    [group] = loader.get("late").manifest.groups

    def table_version() -> int:
        return fs._context.table(fs._context.group("stats")).values.version()

    fs.tenant("acme").optimize()
    fs.tenant("other").write_batch("stats", values(9.5))
    assert table_version() == group.table_version + 2
    assert would_give_back(fs) == 1
    assert outcome(loader.load_training_data(SPINE, **REQUEST)) == (1, True)
    # A value of another time counts: which rows it could change is not looked into.
    fs.tenant("acme").write_batch("stats", values(9.5, at=NOON + timedelta(days=99)))
    assert would_give_back(fs) is None


def test_a_cleanup_counts(fs: FeatureStore, loader: FeatureDataLoader) -> None:
    assert built(loader) == (1, False)
    fs.tenant("acme").cleanup(retention_days=1)
    assert would_give_back(fs) is None


def replace_manifest(fs: FeatureStore, **changes: Any) -> None:
    store = fs._context.training_sets
    store.replace_manifest(store.get("acme", "late").model_copy(update=changes))


def test_a_set_with_erased_rows_or_faults_of_a_strict_build_is_not_given_back(
    fs: FeatureStore, loader: FeatureDataLoader
) -> None:
    assert built(loader) == (1, False)
    given_back = {}
    for severity in SEVERITIES:
        finding = Finding(check="known_later", severity=severity, subject="s", message="m", advice="a")
        replace_manifest(fs, audit=(finding,))
        given_back[severity] = (would_give_back(fs), would_give_back(fs, strict=True))

    assert given_back == {"info": (1, 1), "warning": (1, None), "error": (1, None)}
    with pytest.raises(LeakageError):
        built(loader, strict=True)
    replace_manifest(fs, erasures=(ErasureNote(erasure_id="e", erased_at=NOON, rows=1),))
    assert would_give_back(fs) is None


SEVERITIES: tuple[Any, ...] = ("info", "warning", "error")


def removed(folder: Path) -> None:
    next(folder.glob("*.parquet")).unlink()


def truncated(folder: Path) -> None:
    file = next(folder.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-20])


def edited(folder: Path) -> None:
    file = next(folder.glob("*.parquet"))
    table = pq.read_table(file)
    place = table.column_names.index("score")
    pq.write_table(table.set_column(place, "score", pa.array([-1.0] * len(table))), file)


def without_log(folder: Path) -> None:
    (folder / "_delta_log").rename(folder / "_moved")


@pytest.mark.parametrize("small_tables", ["native", pytest.param("spark", marks=pytest.mark.slow)])
def test_a_version_whose_rows_are_damaged_is_not_given_back(
    spark: SparkSession, tmp_path: Path, small_tables: Any
) -> None:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse"), small_tables=small_tables), spark=spark)
    fs.apply([STATS])
    loader = FeatureDataLoader(fs.tenant("acme"))
    loader.load_training_data(SPINE[:1], **REQUEST)
    whole = tmp_path / "warehouse" / "training_sets" / "acme" / "late" / "v1"
    kept = whole.rename(tmp_path / "kept")

    for damage in (None, removed, truncated, edited, without_log):
        copied(kept, whole)
        if damage is None:
            assert would_give_back(fs) == 1
            continue
        damage(whole)
        with pytest.warns(UnreadableRowWarning, match="training set 'late' v1, which is up to date, cannot be read"):
            assert would_give_back(fs) is None, damage
    with pytest.warns(UnreadableRowWarning):
        assert built(loader, SPINE[:1]) == (2, False)
    assert built(loader, SPINE[:1]) == (2, True)


def copied(source: Path, target: Path) -> None:
    """Replace a table's folder by a copy of another, without Hadoop's checksums."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*.crc"))


def test_what_the_newest_version_is_decides(fs: FeatureStore, loader: FeatureDataLoader) -> None:
    assert built(loader) == (1, False)
    store, manifest = fs._context.training_sets, loader.get("late").manifest
    rebuilt = loader.rebuild("late", 1)
    extended = loader.extend("late", SPINE[:1])
    assert (rebuilt.manifest.made_from, extended.manifest.made_from) == (None, None)
    # Rebuilt and extended versions keep their own meaning, so that a build makes a version of its own.
    assert built(loader) == (4, False)

    store._table.update(equal(tenant_id="acme", name="late", version=4), {"manifest": "{}"})
    assert store.newest("acme", "late") is None
    loader.delete("late", 4)
    assert store.newest("acme", "late") == extended.manifest
    for version in (3, 2):
        loader.delete("late", version)
    assert store.newest("acme", "late") == manifest
    assert would_give_back(fs) == 1
    loader.delete("late", 1)
    assert store.newest("acme", "late") is None


def test_a_declared_set_is_built_once_for_the_same_rows_of_its_source(fs: FeatureStore, tmp_path: Path) -> None:
    def write(spine: pd.DataFrame) -> None:
        rows = pa.Table.from_pandas(spine, preserve_index=False)
        pq.write_table(rows, tmp_path / "orders.parquet", coerce_timestamps="us")

    source = {"path": str(tmp_path / "orders.parquet"), "format": "parquet", "shared": True}
    sql = "SELECT user_id, event_timestamp, late FROM orders WHERE event_timestamp < :end_time"
    spine = {"sources": {"orders": source}, "transformation": {"sql": sql}}
    fs.apply([TrainingSetDefinition("declared", ["stats:score"], spine=spine, label="late")])
    loader = FeatureDataLoader(fs.tenant("acme"))

    write(SPINE)
    assert outcome(loader.build("declared")) == (1, False)
    # ``:end_time`` is another instant now, and the rows are the same.
    assert outcome(loader.build("declared")) == (1, True)
    assert outcome(loader.build("declared", new_version=True)) == (2, False)
    write(SPINE[:2])
    assert outcome(loader.build("declared")) == (3, False)
