"""What Feast writes through the plug-in: rows of sources, saved datasets and logs; and what it pulls of a source."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import deltalake
import feast
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource
from feast.data_format import DeltaFormat, ParquetFormat
from feast.dqm.errors import ValidationFailed
from feast.dqm.profilers.profiler import Profile, Profiler, ValidationReport
from feast.errors import FeastJoinKeysDuringMaterialization, SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.types import Float64, Int64

from featurestore.errors import InvalidArgumentError, SchemaError
from featurestore.feast.pulled import PulledColumns, pulled
from featurestore.feast.sources import source_table
from featurestore.feast.writes import append, write_logs
from tests.integration.feast.conftest import HOUR, START, feast_store

INSTANT = pa.timestamp("us", "UTC")
DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=feast.ValueType.INT64)


def stats(*rows: tuple[int, int, float | None, int | None]) -> pa.Table:
    """Rows of driver, hour, rating, and the hour in which it was created."""
    return pa.table(
        {
            "driver_id": [driver for driver, _, _, _ in rows],
            "at": pa.array([START + hour * HOUR for _, hour, _, _ in rows], INSTANT),
            "rating": pa.array([rating for _, _, rating, _ in rows], pa.float64()),
            "created": pa.array([None if hour is None else START + hour * HOUR for _, _, _, hour in rows], INSTANT),
        }
    )


STORED = stats((1, 0, 0.5, 1), (2, 1, 0.25, 1))


def no_spark() -> Any:
    raise AssertionError("Spark was started")


@pytest.fixture(params=["file", "folder", "delta"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> FileSource:
    place = tmp_path / "stats"
    file_format: Any = DeltaFormat() if request.param == "delta" else ParquetFormat()
    if request.param == "file":
        place = tmp_path / "stats.parquet"
        pq.write_table(STORED, place)
    elif request.param == "folder":
        place.mkdir()
        pq.write_table(STORED, place / "first.parquet")
    else:
        deltalake.write_deltalake(place, STORED)
    return FileSource(
        name="stats",
        path=str(place),
        timestamp_field="at",
        created_timestamp_column="created",
        file_format=file_format,
    )


def rows_of(source: FileSource, folder: Path) -> list[dict[str, Any]]:
    columns = PulledColumns(["driver_id"], ["rating"], "at", "created")
    table = source_table(source, str(folder), no_spark)
    found = pulled(source, table, columns, None, None, latest=False)
    return sorted(found.to_pylist(), key=lambda row: (row["driver_id"], row["at"]))


def test_appended_rows_come_beside_those_that_are_there(source: FileSource, tmp_path: Path) -> None:
    more = stats((3, 2, 0.75, 2))

    append(source, more, str(tmp_path), no_spark)

    assert [row["driver_id"] for row in rows_of(source, tmp_path)] == [1, 2, 3]


def test_writers_at_once_lose_no_row(source: FileSource, tmp_path: Path) -> None:
    def write(driver: int) -> None:
        append(source, stats((driver, 2, 0.75, 2)), str(tmp_path), no_spark)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(10, 22)))

    assert [row["driver_id"] for row in rows_of(source, tmp_path)] == [1, 2, *range(10, 22)]


def test_rows_in_another_order_of_columns_are_refused(source: FileSource, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the rows have the columns"):
        append(source, STORED.select(["at", "driver_id", "rating", "created"]), str(tmp_path), no_spark)

    assert len(rows_of(source, tmp_path)) == 2


def test_rows_are_written_in_the_types_of_the_source(source: FileSource, tmp_path: Path) -> None:
    """As pandas has them: times without a zone, in nanoseconds, and whole numbers beside missing ones as doubles."""
    more = pa.table(
        {
            "driver_id": [3.0],
            "at": pa.array([START.replace(tzinfo=None)], pa.timestamp("ns")),
            "rating": pa.array([1.0], pa.float32()),
            "created": pa.array([None], pa.null()),
        }
    )

    append(source, more, str(tmp_path), no_spark)

    assert rows_of(source, tmp_path)[-1] == {"driver_id": 3, "rating": 1.0, "at": START, "created": None}


def test_rows_have_the_names_of_the_source_or_of_feast(source: FileSource, tmp_path: Path) -> None:
    """Feast renames the columns before it passes them on."""
    source.field_mapping = {"driver_id": "driver", "at": "event_timestamp"}

    for names in (STORED.column_names, ["driver", "event_timestamp", "rating", "created"]):
        append(source, STORED.slice(0, 1).rename_columns(names), str(tmp_path), no_spark)

    assert [row["driver_id"] for row in rows_of(source, tmp_path)] == [1, 1, 1, 2]


def test_values_that_the_types_do_not_hold_are_refused(source: FileSource, tmp_path: Path) -> None:
    wrong = STORED.set_column(2, "rating", pa.array(["a", "b"]))

    with pytest.raises(SchemaError, match="source 'stats': the rows have values that its types do not hold"):
        append(source, wrong, str(tmp_path), no_spark)

    assert len(rows_of(source, tmp_path)) == 2
    assert list(tmp_path.rglob("*.tmp")) == []


def test_rows_go_to_the_folders_that_name_their_values(tmp_path: Path) -> None:
    for day, rows in (("2026-03-01", STORED), ("2026-03-02", STORED.slice(0, 1))):
        (tmp_path / "stats" / f"day={day}").mkdir(parents=True)
        pq.write_table(rows, tmp_path / "stats" / f"day={day}" / "first.parquet")
    source = FileSource(name="stats", path="stats", timestamp_field="at", created_timestamp_column="created")
    more = stats((3, 2, 0.75, 2), (4, 2, 0.5, 2), (5, 2, 0.25, 2))
    days = pa.array([date(2026, 3, 2), None, date(2026, 3, 3)])

    append(source, more.append_column("day", days), str(tmp_path), no_spark)

    table = source_table(source, str(tmp_path), no_spark)
    found = pulled(source, table, PulledColumns(["driver_id"], ["day"], "at", None), None, None, latest=False)
    assert sorted((row["driver_id"], row["day"] or "") for row in found.to_pylist()) == [
        (1, "2026-03-01"),
        (1, "2026-03-02"),
        (2, "2026-03-01"),
        (3, "2026-03-02"),
        (4, ""),
        (5, "2026-03-03"),
    ]


def test_the_latest_row_of_each_entity_is_pulled(tmp_path: Path) -> None:
    """By event time, created time and content, as it is joined; both bounds of the range are included.

    A row without a created time counts as created at its event time.
    """
    stored = stats(
        (1, 0, 0.1, 5),
        (1, 2, 0.9, None),
        (1, 2, 0.3, 3),
        (1, 2, 0.25, 3),
        (1, 2, 0.4, 1),
        (2, 4, 0.5, 4),
        (2, 5, 0.6, 5),
        (3, 9, 0.7, 9),
    )
    pq.write_table(stored, tmp_path / "stats.parquet")
    source = FileSource(name="stats", path="stats.parquet", timestamp_field="at")
    table = source_table(source, str(tmp_path), no_spark)
    columns = PulledColumns(["driver_id"], ["rating"], "at", "created")

    latest = pulled(source, table, columns, START + 2 * HOUR, START + 4 * HOUR, latest=True)

    assert latest.column_names == ["driver_id", "rating", "at", "created"]
    assert latest.select(["driver_id", "rating"]).to_pylist() == [
        {"driver_id": 1, "rating": 0.3},
        {"driver_id": 2, "rating": 0.5},
    ]
    with pytest.raises(FeastJoinKeysDuringMaterialization, match="rider_id"):
        pulled(source, table, PulledColumns(["rider_id"], [], "at", None), None, None, latest=True)


@pytest.fixture
def store(tmp_path: Path) -> feast.FeatureStore:
    pq.write_table(STORED, tmp_path / "stats.parquet")
    found = feast_store(tmp_path)
    source = FileSource(name="stats", path="stats.parquet", timestamp_field="at", created_timestamp_column="created")
    schema = [Field(name="driver_id", dtype=Int64), Field(name="rating", dtype=Float64)]
    found.apply([DRIVER, FeatureView(name="stats", entities=[DRIVER], schema=schema, source=source)])
    return found


def job(store: feast.FeatureStore, drivers: list[int]) -> Any:
    entity_df = pd.DataFrame({"driver_id": drivers, "event_timestamp": [START + 2 * HOUR] * len(drivers)})
    return store.get_historical_features(entity_df=entity_df, features=["stats:rating"])


@pytest.mark.parametrize(
    ("path", "file_format"), [("set.parquet", ParquetFormat()), ("set", ParquetFormat()), ("delta", DeltaFormat())]
)
def test_a_saved_dataset_holds_the_rows_of_the_last_job(
    store: feast.FeatureStore, tmp_path: Path, path: str, file_format: Any
) -> None:
    storage = SavedDatasetFileStorage(path=str(tmp_path / path), file_format=file_format)
    first = store.create_saved_dataset(from_=job(store, [1, 2]), name="first", storage=storage)
    assert sorted(first.to_df()["rating"]) == [0.25, 0.5]
    if path == "set":
        # What another store of Feast's left there.
        pq.write_table(STORED, tmp_path / "set" / "part-0.parquet")

    with pytest.raises(SavedDatasetLocationAlreadyExists):
        store.create_saved_dataset(from_=job(store, [1]), name="second", storage=storage)
    second = store.create_saved_dataset(from_=job(store, [1]), name="second", storage=storage, allow_overwrite=True)

    assert second.to_df()["rating"].tolist() == [0.5]


def test_what_delta_has_no_type_for_is_said(store: feast.FeatureStore, tmp_path: Path) -> None:
    entity_df = pd.DataFrame({"driver_id": [1], "event_timestamp": [START], "waited": [timedelta(seconds=1)]})
    storage = SavedDatasetFileStorage(path=str(tmp_path / "delta"), file_format=DeltaFormat())

    with pytest.raises(SchemaError, match=r"Delta has no type for waited \(duration"):
        store.get_historical_features(entity_df, ["stats:rating"]).persist(storage)

    assert not (tmp_path / "delta").exists()


def test_a_job_is_validated_against_a_saved_dataset(store: feast.FeatureStore, tmp_path: Path) -> None:
    class NoGreater(Profiler, Profile, ValidationReport):
        """No rating is above the greatest of the reference."""

        def analyze_dataset(self, dataset: pd.DataFrame) -> Profile:
            self.greatest = dataset["rating"].max()
            return self

        def validate(self, dataset: pd.DataFrame) -> ValidationReport:
            self.is_above = bool((dataset["rating"] > self.greatest).any())
            return self

        @property
        def is_success(self) -> bool:
            return not self.is_above

    storage = SavedDatasetFileStorage(path=str(tmp_path / "set.parquet"), file_format=ParquetFormat())
    saved = store.create_saved_dataset(from_=job(store, [2]), name="reference", storage=storage)
    reference = saved.as_reference(name="no greater", profiler=NoGreater())

    assert job(store, [2]).to_df(validation_reference=reference)["rating"].tolist() == [0.25]
    with pytest.raises(ValidationFailed):
        job(store, [1, 2]).to_arrow(validation_reference=reference)


def test_the_newest_values_are_materialized(store: feast.FeatureStore) -> None:
    store.write_to_offline_store("stats", stats((1, 3, 0.75, 3)).to_pandas())
    store.materialize(START - HOUR, START + 5 * HOUR)

    online = store.get_online_features(features=["stats:rating"], entity_rows=[{"driver_id": 1}, {"driver_id": 2}])

    assert online.to_dict()["rating"] == [0.75, 0.25]


def test_logs_are_added_in_folders_of_their_days(tmp_path: Path) -> None:
    destination = FileLoggingDestination(path="logs", partition_by=["day"])
    logs = pa.table(
        {"day": ["a", "b"], "at": pa.array([START, START + timedelta(days=1)], INSTANT), "rating": [1.0, 2.0]}
    )

    for _ in range(2):
        write_logs(logs, destination, str(tmp_path))

    source = FileSource(name="logs", path="logs", timestamp_field="at")
    table = source_table(source, str(tmp_path), no_spark)
    rows = pulled(source, table, PulledColumns([], ["rating", "day"], "at", None), None, None, latest=False)
    assert sorted(rows.column("day").to_pylist()) == ["a", "a", "b", "b"]


def test_a_source_of_another_system_is_refused(tmp_path: Path) -> None:
    from feast import BigQuerySource

    source = BigQuerySource(name="far", table="p.d.t", timestamp_field="at")
    with pytest.raises(InvalidArgumentError, match="source 'far' is a BigQuerySource; this offline store reads"):
        source_table(source, str(tmp_path), no_spark)
