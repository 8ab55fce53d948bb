"""Retention deletes old rows and nothing else, and vacuum deletes no file that a reader needs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, OfflineStore, Settings
from featurestore.errors import InvalidArgumentError, NotFoundError, RebuildError
from featurestore.operations.context import Scope
from featurestore.operations.upkeep.retain import _clean, _old
from featurestore.operations.upkeep.vacuum import first_removal
from featurestore.stores.vacuuming.history import Commit
from tests.conftest import Clock, OpenFeatureStore

USER = Entity("user", join_keys={"user_id": "string"})
PLAIN = FeatureGroup("plain", USER, features=[Feature("score", "double")], retention="10d")
PLAIN_2 = FeatureGroup("plain", USER, features=[Feature("score", "long")], retention="5d", version=2)
KEPT = FeatureGroup(
    "kept", USER, features=[Feature("a", "long"), Feature("b", "long")], retention="10d", keep_latest=True, ttl="20d"
)
WHOLE = FeatureGroup(
    "whole",
    USER,
    features=[Feature("a", "long"), Feature("b", "long")],
    retention="10d",
    keep_latest=True,
    nulls="keep",
)
FOREVER = FeatureGroup("forever", USER, features=[Feature("score", "double")], partition_by="month")


def january(day: float) -> datetime:
    """Midnight UTC of a day of January, or of one after it; a fraction is of the day."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day - 1)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(january(31.5))


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore, clock: Clock) -> FeatureStore:
    """On 31 January at noon: rows of a retention of 10 days are old before 21 January."""
    fs = open_feature_store(clock)
    fs.apply([PLAIN, KEPT, WHOLE, FOREVER])
    return fs


@pytest.fixture(scope="module")
def store(feature_store: FeatureStore) -> OfflineStore:
    return feature_store.tenant("acme")


def row(user: str, day: float, created: float | None = None, **values: Any) -> dict[str, Any]:
    known = january(day if created is None else created)
    return {"user_id": user, "event_timestamp": january(day), "created_timestamp": known, **values}


def days(fs: FeatureStore, group: FeatureGroup, tenant: str) -> list[tuple[str, float]]:
    """User and day of January of each row that is stored."""
    rows = fs.tenant(tenant)._scope.table(group).read_local(tenant, ["user_id", "event_timestamp"])
    assert rows is not None
    times = [(row["event_timestamp"] - january(1)) / timedelta(days=1) + 1 for row in rows.to_pylist()]
    return sorted(zip(rows.column("user_id").to_pylist(), [round(time, 3) for time in times], strict=True))


def test_whole_days_that_are_older_are_deleted_without_a_look_into_their_files(
    feature_store: FeatureStore, store: OfflineStore
) -> None:
    rows = [row("ann", day, score=1.0) for day in (1, 19.5, 20.999, 21, 21.6, 31)]
    store.write_batch("plain", rows)
    feature_store.tenant("other").write_batch("plain", rows)
    store.write_batch("forever", [row("ann", 1, score=1.0)])
    feature_store.apply([PLAIN_2])
    store.write_batch("plain", [row("ann", day, score=1) for day in (25, 26)])

    [tried, tried_2] = store.cleanup(dry_run=True, groups=["plain"])
    done = store.cleanup(groups=["plain", "forever"])
    again = store.cleanup(groups=["plain"])

    assert (tried.group, tried.version, tried.before, tried.deleted_rows) == ("plain", 1, "2026-01-21", 3)
    assert (tried_2.version, tried_2.before, tried_2.deleted_rows) == (2, "2026-01-26", 1)
    assert tried.deleted_bytes > 0
    assert [(result.deleted_rows, result.deleted_bytes) for result in done] == [
        (3, tried.deleted_bytes), (1, tried_2.deleted_bytes),
    ]  # fmt: skip
    assert [result.deleted_rows for result in again] == [0, 0]
    assert days(feature_store, PLAIN, "acme") == [("ann", 21.0), ("ann", 21.6), ("ann", 31.0)]
    assert days(feature_store, PLAIN, "other") == [("ann", day) for day in (1.0, 19.5, 20.999, 21.0, 21.6, 31.0)]
    [commit] = store._scope.context.table(PLAIN).values.history(limit=1)
    assert (commit.metric("numRemovedFiles"), commit.metric("numFiles")) == (3, 0)
    assert done[0].table_version == commit.version
    runs = [run for run in store.runs(to="arrow").to_pylist() if run["job"] == "cleanup"]
    assert [run["state"] for run in runs] == ["succeeded"] * 2
    with_groups = sorted(json.loads(run["details"])["groups"] != [] for run in runs)
    assert with_groups == [False, True]


def test_a_cleanup_takes_the_days_and_explains_wrong_ones(feature_store: FeatureStore, store: OfflineStore) -> None:
    assert [result.deleted_rows for result in store.cleanup(retention_days=31, groups=["forever"])] == [0]
    [cleaned] = store.cleanup(retention_days=1, groups=["forever"], dry_run=True)
    # A month is deleted when all of it is older.
    assert (cleaned.before, cleaned.deleted_rows) == ("2026-01-01", 0)
    assert store.cleanup(retention_days=10**9, groups=["forever"]) == []
    with pytest.raises(InvalidArgumentError, match="retention_days is 0"):
        store.cleanup(retention_days=0)
    with pytest.raises(NotFoundError, match="Did you mean 'plain'"):
        store.cleanup(groups=["plane"])


def test_rows_that_reads_after_the_cut_need_are_kept_and_all_answers_with_them(
    feature_store: FeatureStore, store: OfflineStore
) -> None:
    rows = [
        row("ann", 5, a=1, b=1),  # b: its last
        row("ann", 10, a=2),  # of a, the last that was known before the cut: the next came to be known after it
        row("ann", 12, created=25, a=3),
        row("ann", 12, created=24, a=4),  # corrected later
        row("bob", 0.9, a=1, b=1),  # TTL ended before the cut
        row("bob", 8, a=2, b=2),
        row("bob", 22, a=3, b=3),
        row("cid", 19, a=1),
        row("cid", 19, a=2),  # their content decides which of the two counts: both stay
    ]
    spine = pd.DataFrame(
        [(user, january(day)) for user in ("ann", "bob", "cid") for day in (21, 22.5, 24.5, 25.5, 29, 33, 42)],
        columns=["user_id", "event_timestamp"],
    )

    def answers() -> list[list[tuple[Any, ...]]]:
        frames = [
            store.get_point_in_time(spine, features, known_at=known_at, to="arrow")
            for features in (["kept:a", "kept:b"], ["whole:a", "whole:b"])
            for known_at in (None, "event")
        ]
        return [[tuple(row.values()) for row in frame.to_pylist()] for frame in frames]

    for group in ("kept", "whole"):
        store.write_batch(group, rows)
    before = answers()
    tried = store.cleanup(dry_run=True, groups=["kept", "whole"])

    done = store.cleanup(groups=["kept", "whole"])

    assert [(result.deleted_rows, result.kept_latest) for result in done] == [(1, 7), (2, 6)]
    assert [(result.deleted_rows, result.kept_latest) for result in tried] == [(1, 7), (2, 6)]
    assert answers() == before
    assert days(feature_store, KEPT, "acme").count(("bob", 0.9)) == 0
    assert [result.deleted_rows for result in store.cleanup(groups=["kept", "whole"])] == [0, 0]


def test_without_spark_the_same_rows_go_as_by_it(
    spark: SparkSession, open_feature_store: OpenFeatureStore, clock: Clock, tmp_path: Path
) -> None:
    fs = open_feature_store(clock)
    fs.apply([KEPT, WHOLE])
    for group in ("kept", "whole"):
        fs.tenant("acme").write_batch(
            group,
            [
                row("ann", 5, a=1, b=1),
                row("ann", 5.5, a=2, b=2),
                row("ann", 6, a=3),
                row("bob", 5, a=1),
                row("bob", 5, a=2),
                row("bob", 7, a=3),
                row("bob", 22, a=4),
                row("cid", 8, a=9, b=9),
                row("cid", 9, a=9, b=9),
            ],
        )
        fs.tenant("other").write_batch(group, [row("ann", 5, a=1, b=1), row("ann", 5.5, a=2, b=2)])
    copy = shutil.copytree(fs.settings.warehouse, tmp_path / "copy")
    by_spark = FeatureStore.open(Settings(warehouse=str(copy), small_tables="spark"), spark=spark, clock=clock)

    def cleaned(fs: FeatureStore) -> tuple[Any, ...]:
        """The results, what the change feeds have of it, and the rows of all tenants that are left; as Spark reads them."""
        results = fs.tenant("acme").cleanup()
        feeds, left = [], []
        for group, result in zip((KEPT, WHOLE), results, strict=True):
            values = fs._context.table(group).values
            assert result.table_version is not None
            feed = values.changes(result.table_version, result.table_version)
            feeds.append(Counter(map(tuple, feed.drop("_commit_version", "_commit_timestamp").collect())))
            left.append(Counter(map(tuple, values.read().collect())))
        return list(results), feeds, left

    results, feeds, left = cleaned(fs)
    assert (results, feeds, left) == cleaned(by_spark)

    assert [(result.deleted_rows, result.kept_latest) for result in results] == [(4, 4), (5, 3)]
    assert [(feed.total(), {change[-1] for change in feed}) for feed in feeds] == [(4, {"delete"}), (5, {"delete"})]
    assert [rows.total() for rows in left] == [7, 6]


def test_rows_whose_files_are_rewritten_meanwhile_are_judged_anew(feature_store: FeatureStore, clock: Clock) -> None:
    busy = feature_store.tenant("busy")
    for day in (3, 4, 3.5):
        busy.write_batch("kept", [row("ann", day, a=1)])
    judged = _old(busy._scope, KEPT, january(21).date())
    assert judged.rows_to_delete == 2
    assert [result.rewritten for result in busy.optimize(["kept"])] == [1]
    busy.write_batch("kept", [row("ann", 4.5, a=2)])

    done = _clean(busy._scope, judged)

    assert (done.deleted_rows, done.kept_latest) == (3, 1)
    assert days(feature_store, KEPT, "busy") == [("ann", 4.5)]


def test_a_late_row_written_during_a_cleanup_stays(
    feature_store: FeatureStore, store: OfflineStore, clock: Clock
) -> None:
    context = feature_store.tenant("late")._scope.context
    late = feature_store.tenant("late")
    late.write_batch("kept", [row("ann", 3, a=1), row("ann", 4, a=2)])
    months = _old(Scope(context, "late"), KEPT, january(21).date())
    late.write_batch("kept", [row("ann", 4, created=31, a=3), row("zoe", 2, a=9)])

    done = _clean(Scope(context, "late"), months)

    assert done.deleted_rows == 1
    assert days(feature_store, KEPT, "late") == [("ann", 4.0), ("ann", 4.0), ("zoe", 2.0)]


def test_vacuum_deletes_files_that_no_reader_needs(open_feature_store: OpenFeatureStore, clock: Clock) -> None:
    fs = open_feature_store(clock)
    fs.apply([PLAIN])
    store = fs.tenant("acme")
    loader = FeatureDataLoader(store)
    store.write_batch("plain", [row("ann", day, score=float(day)) for day in (1, 2, 30)])
    spine = pd.DataFrame({"user_id": ["ann"], "event_timestamp": [january(2.5)], "label": [True]})
    built = loader.load_training_data(spine, ["plain:score"], label="label", name="pinned")
    store.cleanup()

    with pytest.raises(
        InvalidArgumentError, match=r"older_than is 1h; the shortest possible is 1d, because a reader that is still"
    ):
        fs.vacuum(older_than="1h")
    with pytest.raises(InvalidArgumentError, match="older_than: duration 'soon' cannot be read"):
        fs.vacuum(older_than="soon")
    assert loader.rebuild("pinned").manifest.content_hash == built.manifest.content_hash
    [would] = [
        table
        for table in fs.vacuum(older_than="1us", force=True, dry_run=True)
        if table.table.endswith("plain_v1/values")
    ]
    [did] = [table for table in fs.vacuum(older_than="1us", force=True) if table.table.endswith("plain_v1/values")]

    assert (did.files, did.bytes) == (would.files, would.bytes)
    assert did.files == 2
    assert did.bytes > 0
    with pytest.raises(
        RebuildError, match=r"'pinned' v1 cannot be built again: 2 of 3 files of version 1 of .*plain_v1"
    ):
        loader.rebuild("pinned", 1)
    assert loader.get("pinned", 1).to_pandas().X["score"].tolist() == [2.0]


def test_a_version_is_needed_until_a_later_commit_takes_files_away_and_a_vacuum_them() -> None:
    def commit(version: int, removes: bool = False, vacuumed_before: float | None = None) -> Commit:
        before = None if vacuumed_before is None else january(vacuumed_before)
        return Commit(version, january(version), removes, before)

    appends = [commit(version) for version in range(1, 6)]
    assert first_removal(appends, 2) is None
    assert first_removal([*appends, commit(6, removes=True), commit(7, removes=True)], 2) == january(6)
    assert first_removal([*appends, commit(6, removes=True)], 6) is None
    kept_long_enough = commit(8, vacuumed_before=5)
    assert first_removal([*appends, commit(6, removes=True), kept_long_enough], 2) == january(6)
    already_gone = commit(8, vacuumed_before=7)
    assert first_removal([*appends, commit(6, removes=True), already_gone], 2) is None
    beyond_the_log = [commit(4), commit(6, removes=True)]
    assert first_removal(beyond_the_log, 2) is None
