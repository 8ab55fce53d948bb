"""What killed builds and exports left is removed by a vacuum; what a process still writes is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings
from featurestore.operations.repeats.leftovers import is_abandoned, leftovers
from featurestore.stores.files.leftovers import RUNNER
from featurestore.stores.runner import this_runner

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def fs(spark: SparkSession, tmp_path: Path) -> FeatureStore:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")), spark=spark)
    fs.apply([FeatureGroup("stats", Entity("user", join_keys={"user_id": "string"}), features=[Feature("x", "int")])])
    spine = pd.DataFrame({"user_id": ["u"], "event_timestamp": [NOON]})
    built = FeatureDataLoader(fs.tenant("acme")).load_training_data(spine, "stats:x", name="set")
    built.export(str(tmp_path / "exports" / "out"))
    return fs


def temporary(folder: Path, runner: str | None) -> Path:
    """A folder as an export has it before its end, with a file of 5 bytes beside the one that names its process."""
    (folder / "whole").mkdir(parents=True)
    (folder / "whole" / "part-0").write_text("rows!")
    if runner is not None:
        (folder / RUNNER).write_text(runner)
    return folder


def unpublished(fs: FeatureStore, tenant: str, version: int, runner: str | None) -> Path:
    """Rows of a training set that no manifest names, as a build commits them."""
    folder = Path(fs.settings.warehouse) / "training_sets" / tenant / "set" / f"v{version}"
    metadata = None if runner is None else CommitProperties(custom_metadata={"userMetadata": runner})
    write_deltalake(str(folder), pa.table({"user_id": ["u"]}), commit_properties=metadata)
    return folder


def test_a_vacuum_removes_what_nobody_will_complete(fs: FeatureStore, tmp_path: Path, gone_runner: str) -> None:
    gone = [
        temporary(tmp_path / "exports" / f".out.{uuid4().hex}", gone_runner),
        unpublished(fs, "acme", 2, gone_runner),
        unpublished(fs, "other", 1, gone_runner),
    ]
    empty = Path(fs.settings.warehouse) / "training_sets" / "acme" / "set" / "v4"
    empty.mkdir()
    kept = [
        temporary(tmp_path / "exports" / f".out.{uuid4().hex}", this_runner()),
        temporary(tmp_path / "exports" / f".out.{uuid4().hex}", None),
        temporary(tmp_path / "exports" / f".another.{uuid4().hex}", gone_runner),
        unpublished(fs, "acme", 3, this_runner()),
        # A build on another machine, which may still run.
        unpublished(fs, "acme", 5, "elsewhere/boot/1/1"),
        empty,
        tmp_path / "exports" / "out",
        Path(fs.settings.warehouse) / "training_sets" / "acme" / "set" / "v1",
    ]

    planned = {result.table: result.files for result in fs.vacuum(older_than=timedelta(days=2), dry_run=True)}
    assert all(folder.exists() for folder in [*gone, *kept])
    results = {result.table: (result.files, result.bytes) for result in fs.vacuum(older_than=timedelta(days=2))}

    assert [folder.exists() for folder in gone] == [False] * 3
    assert [folder.exists() for folder in kept] == [True] * 8
    assert results[str(gone[0])] == (2, 5 + len(gone_runner))
    assert {str(folder) for folder in gone} == {table for table, (files, _) in results.items() if files}
    assert planned == {table: files for table, (files, _) in results.items()}
    [run] = [run for run in fs.runs(to="arrow").to_pylist() if run["job"] == "vacuum"]
    assert str(gone[0]) in run["details"]


def test_a_set_that_was_published_meanwhile_is_not_abandoned(fs: FeatureStore, gone_runner: str) -> None:
    context = fs._context
    table = context.training_sets.rows_table("acme", "set", 1)
    unpublished_table = context.training_sets.rows_table("acme", "set", 2)
    unpublished(fs, "acme", 2, gone_runner)

    assert is_abandoned(context, "acme", "set", 2, unpublished_table)
    assert not is_abandoned(context, "acme", "set", 1, table)
    manifest = context.training_sets.get("acme", "set", 1)
    context.training_sets.publish(manifest.model_copy(update={"version": 2}))
    assert not is_abandoned(context, "acme", "set", 2, unpublished_table)


def test_an_export_that_cannot_be_reached_stops_no_vacuum(fs: FeatureStore) -> None:
    context = fs._context
    [record] = context.exports.of_tenant("acme")
    context.exports.record(type(record)("acme", "nosuch://bucket/folder", "rows"), NOON)

    with pytest.warns(UserWarning, match="what killed exports to nosuch://bucket/folder left was not looked for"):
        assert list(leftovers(context)) == []
