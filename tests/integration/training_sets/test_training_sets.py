"""Training sets: what is saved can be trusted, loaded, and built again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

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
from featurestore.errors import ExportError, NotFoundError, RebuildError, SpineError
from featurestore.frames.training_sets.sampling import sample_rows
from featurestore.stores.training_sets.manifests import Manifest

USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup("stats", USER, features=[Feature("score", "double"), Feature("plan", "string")])
START = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = ["stats:score", "stats:plan"]


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


SPLIT = TimeSplit(validation_from=hours(4), test_from=hours(7))


@pytest.fixture(scope="module")
def feature_store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    warehouse = str(tmp_path_factory.mktemp("training_sets") / "warehouse")
    fs = FeatureStore.open(Settings(warehouse=warehouse), spark=spark)
    fs.apply([STATS])
    rows = [
        {"user_id": f"u{i % 3}", "event_timestamp": hours(i), "score": float(i), "plan": "paid" if i > 5 else None}
        for i in range(10)
    ]
    fs.tenant("acme").write_batch("stats", rows)
    return fs


@pytest.fixture(scope="module")
def loader(feature_store: FeatureStore) -> FeatureDataLoader:
    return FeatureDataLoader(feature_store.tenant("acme"))


@pytest.fixture(scope="module")
def spine() -> pd.DataFrame:
    """Ten examples, an hour apart, each half an hour after a value; two of them the same."""
    return pd.DataFrame(
        {
            "user_id": [f"u{i % 3}" for i in range(9)] + ["u0"],
            "event_timestamp": [hours(i + 0.5) for i in range(9)] + [hours(0.5)],
            "late": [i % 2 == 0 for i in range(9)] + [True],
        }
    )


@pytest.fixture(scope="module")
def lateness(loader: FeatureDataLoader, spine: pd.DataFrame) -> TrainingSet:
    """The first version, saved before any more data came."""
    return loader.load_training_data(spine, FEATURES, label="late", name="lateness", split=SPLIT)


def test_the_manifest_says_what_was_built(lateness: TrainingSet) -> None:
    manifest = lateness.manifest

    assert (manifest.row_count, manifest.label, manifest.feature_columns) == (10, "late", ("score", "plan"))
    assert manifest.columns == (
        "user_id", "event_timestamp", "late", "score", "plan", "stats__event_timestamp", "split",
    )  # fmt: skip
    assert [(group.name, group.table_version) for group in manifest.groups] == [("stats", 1)]
    assert manifest.groups[0].group == STATS


def test_features_label_and_keys_are_loaded_apart(lateness: TrainingSet) -> None:
    frame = lateness.to_pandas()

    assert frame.y is not None
    assert frame.X.columns.tolist() == ["score", "plan"]
    loaded = zip(frame.entity_ids["user_id"], frame.X["score"], frame.y, strict=True)
    assert list(loaded) == [
        ("u0", 0.0, True),
        ("u0", 0.0, True),
        ("u1", 1.0, False),
        ("u2", 2.0, True),
        ("u0", 3.0, False),
        ("u1", 4.0, True),
        ("u2", 5.0, False),
        ("u0", 6.0, True),
        ("u1", 7.0, False),
        ("u2", 8.0, True),
    ]
    assert frame.timestamps.tolist()[0] == pd.Timestamp(hours(0.5))


def test_the_metadata_describes_the_loaded_rows(lateness: TrainingSet) -> None:
    assert lateness.to_pandas().metadata == {
        "total_samples": 10,
        "feature_count": 2,
        "time_range": (hours(0.5), hours(8.5)),
        "missing_values": {"score": 0, "plan": 7},
    }


@pytest.mark.parametrize(
    ("part", "hours_of_day"), [("train", [0, 0, 1, 2, 3]), ("validation", [4, 5, 6]), ("test", [7, 8])]
)
def test_each_part_of_a_split_can_be_loaded_separately(
    lateness: TrainingSet, part: str, hours_of_day: list[int]
) -> None:
    assert lateness.to_pandas(part).timestamps.dt.hour.tolist() == hours_of_day


def test_a_set_is_rebuilt_with_the_same_rows_after_more_data_came(
    feature_store: FeatureStore, loader: FeatureDataLoader, spine: pd.DataFrame, lateness: TrainingSet
) -> None:
    late_rows = [{"user_id": "u0", "event_timestamp": hours(hour), "score": -1.0} for hour in (0, 0.2)]
    feature_store.tenant("acme").write_batch("stats", late_rows)

    rebuilt = loader.rebuild("lateness")
    fresh = loader.load_training_data(spine, FEATURES, label="late", name="lateness", split=SPLIT)

    assert rebuilt.manifest.content_hash == lateness.manifest.content_hash
    assert (rebuilt.version, rebuilt.manifest.rebuilt_from) == (2, 1)
    assert fresh.manifest.content_hash != lateness.manifest.content_hash
    assert [manifest.version for manifest in loader.list("lateness")] == [1, 2, 3]
    assert loader.get("lateness", 1).manifest == lateness.manifest


def test_a_set_is_rebuilt_only_from_its_own_spine(
    loader: FeatureDataLoader, spine: pd.DataFrame, lateness: TrainingSet
) -> None:
    with pytest.raises(RebuildError, match="the spine is not the one"):
        loader.rebuild("lateness", 1, spine=spine.assign(late=True))

    rebuilt = loader.rebuild("lateness", 1, spine=spine)

    assert rebuilt.manifest.content_hash == lateness.manifest.content_hash


def test_a_set_is_exported_once_with_its_manifest(lateness: TrainingSet, tmp_path: Path) -> None:
    folder = lateness.export(str(tmp_path / "export"))

    exported = pq.read_table(folder)
    assert exported.num_rows == 10
    assert exported.column_names == list(lateness.manifest.columns)
    assert Manifest.model_validate_json((Path(folder) / "_manifest.json").read_text()) == lateness.manifest
    assert lateness.export(str(tmp_path / "export")).is_up_to_date
    with pytest.raises(ExportError, match="is there already"):
        lateness.export(str(tmp_path / "export"), "csv")


@pytest.fixture(scope="module")
def first_version(loader: FeatureDataLoader, spine: pd.DataFrame) -> TrainingSet:
    split = TimeSplit(test_from=hours(7))
    return loader.load_training_data(spine[:4], FEATURES, label="late", name="grown", split=split)


@pytest.fixture(scope="module")
def grown(
    feature_store: FeatureStore, loader: FeatureDataLoader, spine: pd.DataFrame, first_version: TrainingSet
) -> TrainingSet:
    """The second version, with more rows; values that came in between are seen by its new rows alone."""
    feature_store.tenant("acme").write_batch(
        "stats", [{"user_id": f"u{i}", "event_timestamp": hours(0.3), "score": -9.0} for i in range(3)]
    )
    return loader.extend("grown", pd.concat([spine[4:], spine[:1]]))


def test_an_extended_set_keeps_its_rows_and_computes_the_new_ones(
    first_version: TrainingSet, grown: TrainingSet
) -> None:
    assert (grown.manifest.version, grown.manifest.extends, grown.manifest.row_count) == (2, 1, 11)
    assert [part.row_count for part in grown.manifest.parts] == [4, 7]
    assert grown.rows.columns == list(first_version.manifest.columns)
    assert first_version.rows.exceptAll(grown.rows).count() == 0
    assert grown.to_pandas("test").timestamps.dt.hour.tolist() == [7, 8]


def test_only_new_rows_of_an_extended_set_see_values_that_came_since(
    first_version: TrainingSet, grown: TrainingSet
) -> None:
    saved_score = first_version.to_pandas().X["score"][0]
    loaded = grown.to_pandas()

    scores = loaded.X["score"][(loaded.entity_ids["user_id"] == "u0") & (loaded.timestamps == hours(0.5))]

    assert saved_score > -9.0
    assert sorted(scores) == sorted([saved_score, -9.0, -9.0])


def test_an_extended_set_is_rebuilt_and_extended_part_by_part(
    loader: FeatureDataLoader, spine: pd.DataFrame, grown: TrainingSet
) -> None:
    rebuilt = loader.rebuild("grown", 2)

    assert rebuilt.manifest.content_hash == grown.manifest.content_hash
    assert [part.spine_fingerprint for part in rebuilt.manifest.parts] == [
        part.spine_fingerprint for part in grown.manifest.parts
    ]
    with pytest.raises(RebuildError, match="rebuild it from its saved rows"):
        loader.rebuild("grown", 2, spine=spine)
    grown_twice = loader.extend("grown", spine[:1], version=2)
    assert [part.row_count for part in grown_twice.manifest.parts] == [4, 7, 1]


@pytest.mark.usefixtures("grown")
def test_a_spine_with_other_columns_is_refused(loader: FeatureDataLoader, spine: pd.DataFrame) -> None:
    with pytest.raises(SpineError, match="'late' is missing; 'other' is not among them"):
        loader.extend("grown", spine.rename(columns={"late": "other"}))
    with pytest.raises(SpineError, match=r"\['late', 'Late'\] differ only in case"):
        loader.extend("grown", spine.assign(Late=1))
    with pytest.raises(SpineError, match=r"'late' holds bool .* and str"):
        loader.rebuild("grown", 1, spine=spine.assign(late=pd.Series([True, "no"] * 5, dtype=object)))
    with pytest.raises(SpineError, match="'late' is missing"):
        loader.rebuild("grown", 1, spine=spine.drop(columns="late"))


def test_the_same_sample_whatever_the_partitioning(spark: SparkSession) -> None:
    frame = spark.range(1000).select(F.col("id"), (F.col("id") % 7).alias("group"), F.lit(None).alias("nothing"))
    samples = [
        {row["id"] for row in sample_rows(shuffled, 100, seed).collect()}
        for shuffled in (frame, frame.repartition(7), frame.orderBy(F.desc("id")))
        for seed in (0, 1)
    ]
    assert all(len(sample) == 100 for sample in samples)
    assert samples[0] == samples[2] == samples[4]
    assert samples[1] == samples[3] == samples[5]
    assert samples[0] != samples[1]


def test_a_sampled_set_counts_its_own_rows_and_shares_become_instants(
    loader: FeatureDataLoader, spine: pd.DataFrame
) -> None:
    split = TimeSplit(validation=0.25, test=0.25)
    built = loader.load_training_data(spine, FEATURES, label="late", name="sampled", sample_size=8, seed=3, split=split)

    assert (built.manifest.row_count, built.manifest.spine_rows_before_sampling) == (8, 10)
    assert built.metadata()["total_samples"] == 8
    assert sum(built.rows.groupBy("split").count().toPandas()["count"]) == 8
    assert built.manifest.split is not None
    for part, low, high in (
        ("train", START, built.manifest.split.validation_from),
        ("validation", built.manifest.split.validation_from, built.manifest.split.test_from),
        ("test", built.manifest.split.test_from, hours(24)),
    ):
        times = built.to_pandas(part).timestamps
        assert len(times) > 0
        assert times.between(pd.Timestamp(low), pd.Timestamp(high), inclusive="left").all()
    assert loader.rebuild("sampled").manifest.content_hash == built.manifest.content_hash


def test_a_label_is_never_a_feature_and_wrong_requests_are_explained(
    loader: FeatureDataLoader, spine: pd.DataFrame
) -> None:
    with pytest.raises(SpineError, match="Did you mean 'late'"):
        loader.load_training_data(spine, FEATURES, label="lat")
    with pytest.raises(SpineError, match="is a key or the timestamp"):
        loader.load_training_data(spine, FEATURES, label="user_id")
    with pytest.raises(SpineError, match="would stand twice"):
        loader.load_training_data(spine.assign(score=1), FEATURES, label="score")
    with pytest.raises(SpineError, match="hold a space"):
        loader.load_training_data(spine.rename(columns={"late": "is late"}), FEATURES, label="is late")
    with pytest.raises(SpineError, match="sample_size is 0"):
        loader.load_training_data(spine, FEATURES, label="late", sample_size=0)
    with pytest.raises(NotFoundError, match="never built"):
        loader.get("nothing")
    assert loader.list("adhoc") == []


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "map('a', 1) AS late",
            r"'late' is map<string,int>, which a saved set cannot hold; .*map_entries\(\).*to_json\(\)",
        ),
        (
            "named_struct('m', map('a', 1)) AS late",
            "'late' is struct<m:map<string,int>>, which a saved set cannot hold",
        ),
        ("parse_json('1') AS late", "'late' is variant, .*JSON text"),
        ("interval '1' day AS late", "'late' is interval day, which a saved set cannot hold; cast it"),
        ("array() AS late", "'late' is array<void>, .*a type"),
        ("named_struct('a', 1, 'A', 2) AS late", r"\['a', 'A'\], which are the same to Spark"),
        ("'x' COLLATE UTF8_LCASE AS late", "'late' is string collate UTF8_LCASE, .*without a collation"),
        ("1 AS late, 2 AS Late", r"\['late', 'Late'\] differ only in case"),
        ("1 AS late, 2 AS __Part", "'__Part' has a name that saved sets use themselves"),
        ("1 AS late, 2 AS split, true AS Score", "'score' would stand twice in the output .beside 'Score'"),
    ],
)
def test_columns_that_a_saved_set_cannot_hold_are_named_before_any_job(
    loader: FeatureDataLoader, spark: SparkSession, tmp_path: Path, column: str, message: str
) -> None:
    spine = spark.sql(f"SELECT 'u0' AS user_id, timestamp'2026-11-01T12:00:00Z' AS event_timestamp, {column}")

    with pytest.raises(SpineError, match=message):
        loader.load_training_data(spine, FEATURES, label="late")
    with pytest.raises(SpineError, match=message):
        loader.load_for_fine_tuning(spine, FEATURES, "late", path=str(tmp_path / "lines"))


def test_another_tenant_sees_neither_the_values_nor_the_sets(feature_store: FeatureStore, spine: pd.DataFrame) -> None:
    other = FeatureDataLoader(feature_store.tenant("other"))
    built = other.load_training_data(spine, FEATURES, label="late", name="lateness")
    assert built.version == 1
    assert built.metadata()["missing_values"] == {"score": 10, "plan": 10}
    assert [m.tenant_id for m in other.list()] == ["other"]


def test_an_empty_spine_gives_an_empty_set(loader: FeatureDataLoader, spine: pd.DataFrame) -> None:
    built = loader.load_training_data(spine.iloc[:0], FEATURES, label="late", name="empty")
    assert built.manifest.row_count == 0
    assert built.metadata()["time_range"] is None
    assert len(built.to_pandas().X) == 0


def test_a_spine_that_changes_between_reads_is_caught(feature_store: FeatureStore) -> None:
    changing = feature_store.spark.sql("SELECT 'u0' AS user_id, current_timestamp() AS event_timestamp")
    joined = feature_store.tenant("acme").get_point_in_time(changing, FEATURES, host="by_shuffle")
    with pytest.raises(Exception, match="the spine changed between two reads"):
        joined.collect()
