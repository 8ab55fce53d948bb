"""A saved training set is read in Arrow batches: each row once, in the same order each time; without Spark."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Settings,
    TimeSplit,
    TrainingSet,
)
from featurestore.columnar.rows.file_layout import FileLimits
from featurestore.errors import InvalidArgumentError, NotFoundError, StorageError
from featurestore.operations.saved_sets.batches import training_batches
from featurestore.operations.saved_sets.saved_rows import SparkSavedRows
from featurestore.stores.training_sets import local_rows

USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup("stats", USER, features=[Feature("score", "double"), Feature("place", "embedding(2)")])
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROWS = 100
SPINE = pd.DataFrame(
    {
        "user_id": [f"u{i % 7}" for i in range(ROWS)],
        "event_timestamp": [NOON + timedelta(hours=i * 37 % ROWS) for i in range(ROWS)],
        "late": [i % 3 == 0 for i in range(ROWS)],
        "number": range(ROWS),
    }
)


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """A set of 100 rows in several files, each of several row groups."""
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path_factory.mktemp("store") / "warehouse")))
    fs.apply([STATS])
    store = fs.tenant("acme")
    values = [
        {"user_id": f"u{i}", "event_timestamp": NOON - timedelta(days=1), "score": i / 4, "place": [i, -i]}
        for i in range(6)
    ]
    store.write_batch("stats", values)
    split = TimeSplit(test_from=NOON + timedelta(hours=90), validation_from=NOON + timedelta(hours=80))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local_rows, "LIMITS", FileLimits(group_rows=8, group_bytes=1 << 20, file_bytes=2_000))
        churn = FeatureDataLoader(store).load_training_data(
            SPINE, ["stats:score", "stats:place"], label="late", name="churn", split=split
        )
    saved = churn.context.training_sets.read_locally(churn.manifest)
    assert saved is not None
    assert len(saved.files) > 2
    return churn


def numbers(batches: Any) -> list[int]:
    return [number for batch in batches for number in batch.column("number").to_pylist()]


def test_each_row_comes_once_with_the_columns_that_pandas_has(churn: TrainingSet) -> None:
    batches = list(churn.to_batches())

    rows = pa.Table.from_batches(batches).to_pandas().sort_values("number")
    assert rows.columns.tolist() == ["user_id", "event_timestamp", "late", "number", "score", "place"]
    assert rows["number"].tolist() == list(range(ROWS))
    assert rows["late"].tolist() == SPINE["late"].tolist()
    assert rows["event_timestamp"].tolist() == SPINE["event_timestamp"].tolist()
    assert rows["score"].fillna(-1).tolist() == [i % 7 / 4 if i % 7 < 6 else -1 for i in range(ROWS)]
    assert batches[0].schema.field("place").type == pa.list_(pa.float32())


@pytest.mark.parametrize("batch_rows", [1, 7, 8, 1_000])
def test_no_batch_is_empty_or_larger_than_wanted(churn: TrainingSet, batch_rows: int) -> None:
    batches = list(churn.to_batches(columns=["number"], batch_rows=batch_rows))

    assert {batch.num_rows for batch in batches} <= set(range(1, batch_rows + 1))
    assert sorted(numbers(batches)) == list(range(ROWS))


def test_the_order_is_the_same_each_time_and_does_not_depend_on_the_batches(churn: TrainingSet) -> None:
    loader = FeatureDataLoader(FeatureStore.open(churn.context.settings).tenant("acme"))
    again = loader.get("churn")

    assert numbers(again.to_batches(batch_rows=3)) == numbers(churn.to_batches(columns=["late", "number"]))


def test_other_processes_read_the_same_rows(churn: TrainingSet) -> None:
    """Forked, as data loaders' workers are on Linux, and spawned; delta-rs works in no forked process."""
    batches = churn.to_batches("train", columns=["number"], batch_rows=5)

    for method in ("fork", "spawn"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            assert pool.submit(numbers, batches).result(timeout=60) == numbers(batches)
    assert numbers(batches) == numbers(churn.to_batches("train", batch_rows=5))


def test_the_parts_together_are_the_whole(churn: TrainingSet) -> None:
    of_part = {part: numbers(churn.to_batches(part, columns=["number"])) for part in ("train", "validation", "test")}

    assert {part: len(found) for part, found in of_part.items()} == {"train": 80, "validation": 10, "test": 10}
    assert Counter(number for found in of_part.values() for number in found) == Counter(range(ROWS))
    assert sorted(of_part["test"]) == sorted(churn.to_pandas("test").spine["number"])


def test_columns_come_as_they_are_named(churn: TrainingSet) -> None:
    [*batches] = churn.to_batches("test", columns=["split", "score", "stats__event_timestamp", "score"])

    assert batches[0].schema.names == ["split", "score", "stats__event_timestamp"]
    assert {value for batch in batches for value in batch.column("split").to_pylist()} == {"test"}


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"columns": ["scoer"]}, InvalidArgumentError, r"'churn' v1 has no column 'scoer'\. Did you mean 'score'\?"),
        ({"columns": []}, InvalidArgumentError, "columns is empty"),
        ({"columns": "score"}, InvalidArgumentError, "columns is 'score'"),
        ({"batch_rows": 0}, InvalidArgumentError, "batch_rows is 0; give a whole number from 1 on"),
        ({"split": "tests"}, NotFoundError, "has no part 'tests'"),
    ],
)
def test_mistakes_are_told_at_the_call(
    churn: TrainingSet, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        churn.to_batches(**arguments)


def test_memory_holds_a_few_batches_however_many_rows_there_are(tmp_path: Path) -> None:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")))
    fs.apply([STATS])
    times = [NOON + timedelta(seconds=i) for i in range(20_000)]
    spine = pa.table(
        {"user_id": [f"u{i}" for i in range(20_000)], "event_timestamp": times, "note": ["x" * 500] * 20_000}
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local_rows, "LIMITS", FileLimits(group_rows=500, group_bytes=1 << 20, file_bytes=1 << 27))
        long = FeatureDataLoader(fs.tenant("acme")).load_training_data(spine, ["stats:score"], name="long")
    del spine
    before, most = pa.total_allocated_bytes(), 0

    for batch in long.to_batches(batch_rows=500):
        most = max(most, pa.total_allocated_bytes() - before)
        assert batch.num_rows == 500

    assert most < 20_000 * 500 / 5


def test_a_set_that_only_spark_reads_says_how_to_read_it(churn: TrainingSet) -> None:
    by_spark: Any = SparkSavedRows(churn.manifest, None, None, rows=None)  # type: ignore[arg-type]

    with pytest.raises(InvalidArgumentError, match=r"'churn' v1 cannot be read in batches: only Spark .*export\(\) it"):
        training_batches(by_spark, None, 10)


def test_a_lost_file_ends_the_reading(churn: TrainingSet) -> None:
    batches = iter(churn.to_batches(columns=["number"], batch_rows=1))
    next(batches)
    saved = churn.context.training_sets.read_locally(churn.manifest)
    assert saved is not None
    lost = Path(saved.table.path) / saved.files[-1].path
    kept = lost.rename(lost.with_suffix(".kept"))

    try:
        with pytest.raises(StorageError, match=lost.name):
            list(batches)
    finally:
        kept.rename(lost)
