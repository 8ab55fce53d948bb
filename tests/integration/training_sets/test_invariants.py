"""The product catches itself: a join that would leak, lose or double rows fails loudly and publishes nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import Window as W

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings
from featurestore.columnar.as_of.gathered import Places
from featurestore.columnar.as_of.spine_keys import Codes
from featurestore.columnar.as_of.value_rows import Micros
from featurestore.columnar.as_of.visible_rows import VisibleRows
from featurestore.errors import InvariantError
from featurestore.frames.as_of import latest_order
from featurestore.operations.training_sets import build as build_training_set

STATS = FeatureGroup("stats", Entity("user", join_keys={"user_id": "string"}), features=[Feature("score", "double")])
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = [{"user_id": "u", "event_timestamp": START + timedelta(hours=hour), "score": float(hour)} for hour in range(4)]
SPINE = pd.DataFrame({"user_id": ["u", "u"], "event_timestamp": [START, START + timedelta(hours=1)], "late": [1, 0]})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(warehouse=str(tmp_path_factory.mktemp("invariants") / "warehouse"))


@pytest.fixture(scope="module")
def loader(spark: SparkSession, settings: Settings) -> FeatureDataLoader:
    fs = FeatureStore.open(settings, spark=spark)
    fs.apply([STATS])
    fs.tenant("acme").write_batch("stats", ROWS)
    return FeatureDataLoader(fs.tenant("acme"))


def test_a_value_from_the_future_stops_the_kernel(loader: FeatureDataLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    def sees_everything(rows: VisibleRows, codes: Codes, times: Micros) -> Places:
        return np.full(len(codes), len(rows.codes) - 1)

    monkeypatch.setattr(VisibleRows, "last_visible", sees_everything)
    with pytest.raises(InvariantError, match="the as-of join saw a value newer than its spine row"):
        loader.load_training_data(SPINE, ["stats:score"], label="late", name="leaky")
    assert loader.list("leaky") == []


def test_a_value_from_the_future_stops_the_query(
    loader: FeatureDataLoader, settings: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sees_everything(by: list[str], *order: str) -> object:
        return W.partitionBy(*by).orderBy(*order).rowsBetween(W.unboundedPreceding, W.unboundedFollowing)

    monkeypatch.setattr(latest_order, "_running", sees_everything)
    by_shuffle = FeatureStore.open(settings.model_copy(update={"as_of_host": "by_shuffle"}), spark=spark)
    with pytest.raises(Exception, match="INVARIANT: the as-of join saw a value newer than its spine row"):
        FeatureDataLoader(by_shuffle.tenant("acme")).load_training_data(
            SPINE, ["stats:score"], label="late", name="leaky"
        )
    assert loader.list("leaky") == []


@pytest.mark.parametrize(
    "broken",
    [
        lambda rows: rows.limit(1),
        lambda rows: rows.union(rows.limit(1)),
        lambda rows: rows.withColumn("late", rows["late"] + 1),
        lambda rows: rows.limit(1).union(rows.limit(1)),
    ],
    ids=["a row lost", "a row doubled", "a column changed", "one lost and one doubled"],
)
def test_a_spine_row_lost_doubled_or_changed_in_tasks_is_never_published(
    settings: Settings,
    loader: FeatureDataLoader,
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[DataFrame], DataFrame],
) -> None:
    join = build_training_set.as_of_values
    monkeypatch.setattr(
        build_training_set, "as_of_values", lambda *arguments, **options: broken(join(*arguments, **options))
    )
    in_tasks = FeatureStore.open(settings.model_copy(update={"as_of_host": "in_tasks"}), spark=spark)
    with pytest.raises(InvariantError, match="is not published"):
        FeatureDataLoader(in_tasks.tenant("acme")).load_training_data(
            SPINE, ["stats:score"], label="late", name="broken"
        )
    assert loader.list("broken") == []
