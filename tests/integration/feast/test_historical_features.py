"""Feast's historical features through the plug-in: against the reference, over files and Delta tables, without Spark."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import deltalake
import feast
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource, RequestSource
from feast.data_format import DeltaFormat, ParquetFormat
from feast.errors import (
    EntityTimestampInferenceException,
    FeastEntityDFMissingColumnsError,
    FeatureNameCollisionError,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float64, Int64, String

from featurestore.errors import InvalidArgumentError, NotFoundError, SchemaError, SpineError
from tests.integration.feast.conftest import HOUR, START, feast_store
from tests.reference.as_of import AsOfLookup, as_of_join

INSTANT = pa.timestamp("us", "UTC")
FEATURES = ["trips", "rating", "tags"]
DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=feast.ValueType.INT64)
DTYPES = {"trips": Int64, "rating": Float64, "tags": Array(String)}


def values(dice: random.Random, count: int) -> pa.Table:
    """Rows of few drivers and hours, so that many tie; a row may lack its created time, its key or its time."""
    event = [START + dice.randrange(48) * HOUR for _ in range(count)]
    return pa.table(
        {
            "driver_id": pa.array([dice.choice([1, 2, 3, None]) for _ in range(count)], pa.int64()),
            "at": pa.array([dice.choice([moment] * 9 + [None]) for moment in event], INSTANT),
            # No two rows of a driver tie in both times: Feast does not say which of them counts.
            "created": pa.array([at + number * timedelta(minutes=1) for number, at in enumerate(event)], INSTANT),
            "trips": pa.array([dice.choice([None, *range(9)]) for _ in range(count)], pa.int64()),
            "rating": pa.array([dice.choice([None, dice.random()]) for _ in range(count)]),
            "tags": pa.array([dice.choice([None, [], ["a", None]]) for _ in range(count)], pa.list_(pa.string())),
        }
    )


def in_one_file(rows: pa.Table, place: Path) -> None:
    pq.write_table(rows, place)


def in_a_folder(rows: pa.Table, place: Path) -> None:
    place.mkdir()
    for number in range(3):
        pq.write_table(rows.slice(number * 50, 50), place / f"{number}.parquet", row_group_size=20)


def in_a_delta_table(rows: pa.Table, place: Path) -> None:
    for number in range(3):
        deltalake.write_deltalake(place, rows.slice(number * 50, 50), mode="append")


KINDS: list[tuple[Callable[[pa.Table, Path], None], Any]] = [
    (in_one_file, ParquetFormat()),
    (in_a_folder, None),
    (in_a_delta_table, DeltaFormat()),
]


@pytest.mark.parametrize(("write", "file_format"), KINDS)
@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(hours=5)])
@pytest.mark.parametrize("by_created", [False, True])
def test_each_entity_row_has_the_features_of_the_reference(
    tmp_path: Path, write: Callable[[pa.Table, Path], None], file_format: Any, ttl: timedelta, by_created: bool
) -> None:
    dice = random.Random(5)
    stored = values(dice, 150)
    write(stored, tmp_path / "stats.parquet")
    store = feast_store(tmp_path)
    source = FileSource(
        name="stats",
        path="stats.parquet",
        timestamp_field="at",
        created_timestamp_column="created",
        file_format=file_format,
    )
    schema = [Field(name=name, dtype=dtype) for name, dtype in DTYPES.items()]
    store.apply([DRIVER, FeatureView(name="stats", entities=[DRIVER], ttl=ttl, schema=schema, source=source)])
    entity_df = pd.DataFrame(
        {
            "driver_id": [dice.choice([1, 2, 3, 4]) for _ in range(80)],
            "event_timestamp": [START + dice.randrange(-4, 60) * HOUR for _ in range(80)],
            "label": range(80),
        }
    )

    found = store.get_historical_features(
        entity_df=entity_df, features=[f"stats:{name}" for name in FEATURES], filter_by_created_timestamp=by_created
    ).to_arrow()

    lookup = AsOfLookup(
        keys={"driver_id": "driver_id"},
        features=FEATURES,
        outputs={name: name for name in FEATURES},
        ttl=ttl or None,
        nulls="keep",
        known_at="event" if by_created else None,
    )
    rows = [
        row | {"event_timestamp": row["at"], "created_timestamp": row["created"]}
        for row in stored.to_pylist()
        if row["at"] is not None and row["driver_id"] is not None
    ]
    spine = pa.Table.from_pandas(entity_df).to_pylist()
    expected = as_of_join(spine, rows, lookup)
    assert found.column_names == ["driver_id", "event_timestamp", "label", *FEATURES]
    assert found.to_pylist() == expected
    # The case is one only if some rows found values, and some none.
    assert 10 < sum(row["rating"] is not None for row in expected) < 75


def test_names_of_folders_hold_whole_numbers_if_all_of_them_are(tmp_path: Path) -> None:
    """As a key and as a feature, with entity rows and in a range of time; a name may be null."""
    for driver, day, trips in ((7, "1", 70), (8, "__HIVE_DEFAULT_PARTITION__", 80), (8, "2nd", 81)):
        place = tmp_path / "stats" / f"driver_id={driver}" / f"day={day}" / f"code={trips + 1}"
        place.mkdir(parents=True)
        at = pa.array([START + timedelta(minutes=trips)], INSTANT)
        pq.write_table(pa.table({"at": at, "trips": [trips]}), place / "1.parquet")
    store = feast_store(tmp_path)
    schema = [Field(name="trips", dtype=Int64), Field(name="code", dtype=Int64), Field(name="day", dtype=String)]
    source = FileSource(name="stats", path="stats", timestamp_field="at")
    store.apply([DRIVER, FeatureView(name="stats", entities=[DRIVER], schema=schema, source=source)])
    asked = [f"stats:{field.name}" for field in schema]

    entity_df = pd.DataFrame({"driver_id": [8, 7, 9], "event_timestamp": [START + 2 * HOUR] * 3})
    found = store.get_historical_features(entity_df=entity_df, features=asked).to_arrow()
    between = store.get_historical_features(features=asked, start_date=START, end_date=START + 2 * HOUR).to_arrow()

    assert found.select(["driver_id", "trips", "code", "day"]).to_pylist() == [
        {"driver_id": 8, "trips": 81, "code": 82, "day": "2nd"},
        {"driver_id": 7, "trips": 70, "code": 71, "day": "1"},
        {"driver_id": 9, "trips": None, "code": None, "day": None},
    ]
    drivers, trips, codes = (between.column(name).to_pylist() for name in ("driver_id", "trips", "code"))
    assert sorted(zip(drivers, trips, codes, strict=True)) == [(7, 70, 71), (8, 81, 82)]


@pytest.fixture
def rides(tmp_path: Path) -> feast.FeatureStore:
    """Drivers' and the town's statistics; the drivers' source has columns of other names."""
    pq.write_table(
        pa.table(
            {
                "id": [1, 1, 2],
                "at": pa.array([START, START + 2 * HOUR, START + HOUR], INSTANT),
                "n": [10, 20, 30],
                "rating": [1.0, 2.0, 3.0],
            }
        ),
        tmp_path / "drivers.parquet",
    )
    pq.write_table(
        pa.table({"at": pa.array([START, START + HOUR], INSTANT), "calls": [5, 7]}), tmp_path / "town.parquet"
    )
    store = feast_store(tmp_path)
    drivers = FileSource(
        name="drivers", path="drivers.parquet", timestamp_field="at", field_mapping={"id": "driver_id", "n": "trips"}
    )
    town = FileSource(name="town", path="town.parquet", timestamp_field="at")
    schema = [
        Field(name="driver_id", dtype=Int64),
        Field(name="trips", dtype=Int64),
        Field(name="rating", dtype=Float64),
    ]
    view = FeatureView(name="drivers", entities=[DRIVER], schema=schema, source=drivers)
    town_view = FeatureView(name="town", entities=[], schema=[Field(name="calls", dtype=Int64)], source=town)
    asked = RequestSource(name="asked", schema=[Field(name="bonus", dtype=Int64)])

    @on_demand_feature_view(sources=[view, asked], schema=[Field(name="paid", dtype=Int64)])
    def pay(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"paid": (rows["trips"] + rows["bonus"]).astype("Int64")})

    store.apply([DRIVER, drivers, town, view, town_view, pay])
    return store


def entities(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [START + HOUR, START + HOUR]} | columns)


def test_views_are_joined_beside_each_other_and_derived_ones_computed(rides: feast.FeatureStore) -> None:
    job = rides.get_historical_features(
        entity_df=entities(bonus=[1, 2]), features=["drivers:rating", "town:calls", "pay:paid"], full_feature_names=True
    )

    found = job.to_df()

    assert found["drivers__rating"].tolist() == [1.0, 3.0]
    assert found["town__calls"].tolist() == [7, 7]
    assert found["pay__paid"].tolist() == [11, 32]
    assert job.full_feature_names
    assert job.metadata is not None
    assert set(job.metadata.keys) == {"driver_id", "bonus"}
    assert (job.metadata.min_event_timestamp, job.metadata.max_event_timestamp) == (START + HOUR, START + HOUR)


def test_the_inputs_of_a_derived_feature_keep_their_names(rides: feast.FeatureStore) -> None:
    """No feature and no column of the entity rows is taken for one of the same name."""
    other = FileSource(
        name="other", path="drivers.parquet", timestamp_field="at", field_mapping={"id": "driver_id", "rating": "trips"}
    )
    schema = [Field(name="driver_id", dtype=Int64), Field(name="trips", dtype=Float64)]
    rides.apply([FeatureView(name="other", entities=[DRIVER], schema=schema, source=other)])
    asked: Any = {"entity_df": entities(bonus=[1, 2]), "features": ["other:trips", "pay:paid"]}

    with pytest.raises(FeatureNameCollisionError, match="features named trips found"):
        rides.get_historical_features(**asked)
    with pytest.raises(SpineError, match="columns of the names of features that are asked for: paid; rename"):
        rides.get_historical_features(entities(bonus=[1, 2], paid=[0, 0]), ["pay:paid"])
    found = rides.get_historical_features(**asked, full_feature_names=True).to_df()

    assert found["other__trips"].tolist() == [1.0, 3.0]
    assert found["pay__paid"].tolist() == [11, 32]


def test_one_view_is_joined_twice_by_other_columns(rides: feast.FeatureStore) -> None:
    view = rides.get_feature_view("drivers")
    first = view.with_name("first").with_join_key_map({"driver_id": "before"})
    now = view.with_name("now")
    service = feast.FeatureService(name="both", features=[first[["trips"]], now[["trips"]]])
    rides.apply([service])

    found = rides.get_historical_features(
        entity_df=entities(before=[2, 1]), features=service, full_feature_names=True
    ).to_df()

    assert found["first__trips"].tolist() == [30, 10]
    assert found["now__trips"].tolist() == [10, 30]


@pytest.mark.parametrize(
    "entity_df",
    [
        entities(),
        # Times without a zone are in UTC; whole numbers beside missing ones are doubles in pandas.
        entities(event_timestamp=pd.to_datetime(["2026-03-01T01:00:00"] * 2), driver_id=[1.0, 2.0]),
        entities(event_timestamp=["2026-03-01T01:00:00Z", "2026-03-01T02:00:00+01:00"]),
        pa.Table.from_pandas(entities()),
    ],
)
def test_entity_rows_come_in_several_forms(rides: feast.FeatureStore, entity_df: Any) -> None:
    assert rides.get_historical_features(entity_df=entity_df, features=["drivers:trips"]).to_df()["trips"].tolist() == [
        10,
        30,
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_times_of_entity_rows_keep_their_unit(rides: feast.FeatureStore, unit: str, zone: str | None) -> None:
    """A nanosecond before a value, its row does not see it."""
    before = pd.Timestamp(START + 2 * HOUR) - pd.Timedelta(1, unit)
    rows = pa.table(
        {"driver_id": [1, 1], "event_timestamp": pa.array([before, before.ceil("h")]).cast(pa.timestamp(unit, zone))}
    )

    found = rides.get_historical_features(entity_df=rows, features=["drivers:trips"]).to_arrow()

    assert found.column("trips").to_pylist() == [10, 20]
    assert found.schema.field("event_timestamp").type == pa.timestamp(unit, "UTC")


def test_an_entity_row_without_a_key_is_kept(rides: feast.FeatureStore) -> None:
    found = rides.get_historical_features(entity_df=entities(driver_id=[None, 2.0]), features=["drivers:trips"])

    assert found.to_arrow().column("trips").to_pylist() == [None, 30]


@pytest.mark.parametrize("keys", [[1.5, 2.0], pa.array([2**63, 2], pa.uint64()).to_pandas()])
def test_a_number_that_no_key_can_be_finds_nothing(rides: feast.FeatureStore, keys: Any) -> None:
    found = rides.get_historical_features(entity_df=entities(driver_id=keys), features=["drivers:trips"])

    assert found.to_arrow().column("trips").to_pylist() == [None, 30]


@pytest.mark.parametrize(
    ("stored", "asked", "found"),
    [
        (pa.array([date(2026, 3, 1)]), [pd.Timestamp("2026-03-01"), pd.Timestamp("2026-03-01 05:00")], [7, None]),
        (pa.array([START], INSTANT), [pd.Timestamp(START), pd.Timestamp(START) + pd.Timedelta(1, "ns")], [7, None]),
        (pa.array(["a"]).dictionary_encode(), pd.Categorical(["a", "b"]), [7, None]),
        (pa.array([True]), [True, None], [7, None]),
    ],
    ids=["date", "instant", "category", "truth"],
)
def test_keys_of_other_types_are_compared_exactly(tmp_path: Path, stored: Any, asked: Any, found: list[Any]) -> None:
    pq.write_table(pa.table({"key": stored, "at": pa.array([START], INSTANT), "n": [7]}), tmp_path / "keyed.parquet")
    store = feast_store(tmp_path)
    entity = Entity(name="key", join_keys=["key"], value_type=feast.ValueType.STRING)
    source = FileSource(name="keyed", path="keyed.parquet", timestamp_field="at")
    view = FeatureView(name="keyed", entities=[entity], schema=[Field(name="n", dtype=Int64)], source=source)
    store.apply([entity, view])
    entity_df = pd.DataFrame({"key": asked, "event_timestamp": [START, START]})

    assert store.get_historical_features(entity_df, ["keyed:n"]).to_arrow().column("n").to_pylist() == found


@pytest.mark.parametrize(
    ("kind", "dtype", "tied"),
    [
        (pa.struct([("x", pa.int64())]), feast.types.Struct({"x": Int64}), [{"x": 1}, {"x": 2}, None]),
        (pa.map_(pa.string(), pa.int64()), feast.types.Map, [[("a", 1)], [("a", 2)], [("a", None)]]),
        (pa.list_(pa.list_(pa.string())), Array(Array(String)), [[["a"], None], [["b"]], []]),
    ],
    ids=["struct", "map", "lists"],
)
def test_of_rows_that_tie_always_the_same_is_taken(
    tmp_path: Path, kind: pa.DataType, dtype: Any, tied: list[Any]
) -> None:
    found = []
    for number, order in enumerate(permutations(tied)):
        folder = tmp_path / str(number)
        (folder / "tied").mkdir(parents=True)
        for place, value in enumerate(order):
            rows = pa.table({"driver_id": [1], "at": pa.array([START], INSTANT), "value": pa.array([value], kind)})
            pq.write_table(rows, folder / "tied" / f"{place}.parquet")
        store = feast_store(folder)
        source = FileSource(name="tied", path="tied", timestamp_field="at")
        schema = [Field(name="driver_id", dtype=Int64), Field(name="value", dtype=dtype)]
        store.apply([DRIVER, FeatureView(name="tied", entities=[DRIVER], schema=schema, source=source)])
        entity_df = pd.DataFrame({"driver_id": [1], "event_timestamp": [START]})
        found.append(store.get_historical_features(entity_df, ["tied:value"]).to_arrow().column("value").to_pylist())

    assert len(found) == 6
    assert all(value == found[0] for value in found)
    assert found[0][0] is not None


def test_an_entity_row_without_a_time_is_kept(rides: feast.FeatureStore) -> None:
    found = rides.get_historical_features(entities(event_timestamp=[pd.NaT, START + HOUR]), ["drivers:trips"])

    assert found.to_arrow().column("trips").to_pylist() == [None, 30]


def test_no_entity_rows_give_no_rows(rides: feast.FeatureStore) -> None:
    found = rides.get_historical_features(entity_df=entities().head(0), features=["drivers:trips", "town:calls"])

    assert found.to_arrow().num_rows == 0
    assert found.to_arrow().column_names == ["driver_id", "event_timestamp", "trips", "calls"]


def test_a_range_of_time_takes_the_place_of_entity_rows(rides: feast.FeatureStore) -> None:
    asked: dict[str, Any] = {"features": ["drivers:trips"], "start_date": START + HOUR, "end_date": START + 3 * HOUR}
    snapshot = rides.get_historical_features(**asked).to_arrow()

    assert snapshot.to_pylist() == [
        {"event_timestamp": START + 3 * HOUR, "driver_id": 1, "trips": 20},
        {"event_timestamp": START + 3 * HOUR, "driver_id": 2, "trips": 30},
    ]

    by_rows = feast_store(rides.repo_path, "  time_range: rows")
    rows = by_rows.get_historical_features(**asked | {"start_date": START}).to_arrow()
    assert [(row["event_timestamp"], row["trips"]) for row in rows.to_pylist()] == [
        (START, 10),
        (START + HOUR, 30),
        (START + 2 * HOUR, 20),
    ]


def test_entities_of_several_views_in_a_range_have_keys_of_one_type(rides: feast.FeatureStore, tmp_path: Path) -> None:
    for name, keys in (("narrow", pa.array([2, 3], pa.int32())), ("texts", pa.array(["2", "3"]))):
        rows = pa.table({"driver_id": keys, "at": pa.array([START, START], INSTANT), "calls": [5, 7]})
        pq.write_table(rows, tmp_path / f"{name}.parquet")
        source = FileSource(name=name, path=f"{name}.parquet", timestamp_field="at")
        entity = Entity(name=name, join_keys=["driver_id"], value_type=feast.ValueType.UNKNOWN)
        view = FeatureView(name=name, entities=[entity], schema=[Field(name="calls", dtype=Int64)], source=source)
        rides.apply([entity, view])
    asked: dict[str, Any] = {"start_date": START, "end_date": START + 2 * HOUR}

    found = rides.get_historical_features(features=["drivers:trips", "narrow:calls"], **asked).to_arrow()

    assert found.drop_columns(["event_timestamp"]).to_pylist() == [
        {"driver_id": 1, "trips": 20, "calls": None},
        {"driver_id": 2, "trips": 30, "calls": 5},
        {"driver_id": 3, "trips": None, "calls": 7},
    ]
    message = "entity column 'driver_id' is int64 in feature view 'drivers', and string in feature view 'texts'"
    with pytest.raises(SchemaError, match=message):
        rides.get_historical_features(features=["drivers:trips", "texts:calls"], **asked)


@pytest.mark.parametrize(
    ("entity_df", "error", "message"),
    [
        (entities(driver_id=["1", "2"]), SpineError, "join key is int64 in source 'drivers', and column 'driver_id'"),
        (entities().drop(columns="driver_id"), FeastEntityDFMissingColumnsError, "driver_id"),
        (entities().drop(columns="event_timestamp"), EntityTimestampInferenceException, "event_timestamp"),
        (entities(trips=[1, 2]), SpineError, "columns of the names of features that are asked for: trips; rename"),
        (entities(event_timestamp=["now", "then"]), SpineError, "'event_timestamp' has texts that are no times"),
        (entities(event_timestamp=[1, 2]), SpineError, "'event_timestamp': int64 is not read as"),
        (7, InvalidArgumentError, "entity_df is 7"),
        (pd.concat([entities(), entities()[["driver_id"]]], axis=1), SpineError, "cannot be read as columns"),
    ],
)
def test_what_entity_rows_lack_is_said(
    rides: feast.FeatureStore, entity_df: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rides.get_historical_features(entity_df=entity_df, features=["drivers:trips"]).to_df()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda rows: rows.drop_columns(["n"]), SchemaError, "source 'drivers': there is no column 'trips'"),
        (lambda rows: rows.set_column(0, "id", pa.array([0.5, 1.0, 1.5])), SchemaError, "its join key 'id' is double"),
        (lambda rows: None, NotFoundError, "there is no file of Parquet"),
    ],
)
def test_what_a_source_lacks_is_said(
    rides: feast.FeatureStore, tmp_path: Path, change: Callable[[pa.Table], pa.Table | None], error: Any, message: str
) -> None:
    file = tmp_path / "drivers.parquet"
    changed = change(pq.read_table(file))
    file.unlink()
    if changed is not None:
        pq.write_table(changed, file)

    with pytest.raises(error, match=message):
        rides.get_historical_features(entity_df=entities(), features=["drivers:trips"]).to_df()
