"""The demo's definitions: each group's values by example, nothing before it was known, the same however time is cut."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from featurestore import Settings, TimeWindow
from featurestore.definitions.sets.collection import Definitions
from featurestore.definitions.sets.yaml_files import load_definitions
from featurestore.demo.flights import flight_tables, land_flights
from featurestore.demo.run import END, GROUPS, PROFILES, START, TENANT, TRAINING_SET, WINDOWS
from featurestore.operations.context import Context, Scope
from featurestore.operations.jobs.transform import isolated, transform

CONF = Path(__file__).parents[3] / "conf" / "features"
AIRLINES = pd.DataFrame({"carrier": ["AA", "UA"], "name": ["American", "United"]})
NOTHING = pd.DataFrame({"nothing": [1]})

Values = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return load_definitions(CONF)


@pytest.fixture(scope="module")
def year() -> dict[str, pd.DataFrame]:
    return flight_tables()


@pytest.fixture
def values(spark: SparkSession, definitions: Definitions, tmp_path: Path) -> Values:
    """Lands tables and gives the rows of a group's transformation (or of the spine), sorted by all columns."""

    def run(name: str, tables: dict[str, pd.DataFrame], start: str, end: str) -> pd.DataFrame:
        landing = tmp_path / str(len(list(tmp_path.iterdir())))
        empty = dict.fromkeys(("flights", "weather", "planes", "airlines", "airports"), NOTHING)
        land_flights(str(landing), TENANT, lambda: empty | {"airlines": AIRLINES} | tables)
        return computed(spark, definitions, str(landing), name, start, end)

    return run


def computed(
    spark: SparkSession, definitions: Definitions, landing: str, name: str, start: Any, end: Any
) -> pd.DataFrame:
    groups: dict[str, Any] = {group.name: group for group in definitions.feature_groups}
    declared = groups.get(name) or definitions.training_sets[0].spine
    settings = Settings(warehouse=landing, landing=landing)
    context = Context(lambda: spark, settings, lambda: datetime(2026, 1, 1, tzinfo=UTC), "test")
    window = TimeWindow.of(start, end)
    rows = transform(
        isolated(Scope(context, TENANT), declared.sources), declared.sources, declared.transformation, window
    )
    frame = rows.toArrow().to_pandas()
    return frame.sort_values([name for name in frame.columns if name != "profile"]).reset_index(drop=True)


def flights(*rows: tuple[Any, ...]) -> dict[str, pd.DataFrame]:
    """Flights from (carrier, origin, dest, tailnum, arrival, dep_delay, arr_delay, air_time)."""
    names = ["carrier", "origin", "dest", "tailnum", "actual_arrival", "dep_delay", "arr_delay", "air_time"]
    table = pd.DataFrame(rows, columns=names)
    arrival = pd.to_datetime(table["actual_arrival"], utc=True)
    return {
        "flights": table.assign(
            actual_arrival=arrival.astype("datetime64[us, UTC]"),
            scheduled_departure=(arrival - pd.Timedelta(hours=3)).astype("datetime64[us, UTC]"),
            flight_id=[f"F{number}" for number in range(len(rows))],
            distance=1000,
        )
    }


def texts(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows with times as `01 10:00`, missing as None; each was known at its own time."""
    assert frame["created_timestamp"].tolist() == frame["event_timestamp"].tolist()
    frame = frame.drop(columns="created_timestamp")
    readable = frame.assign(event_timestamp=frame["event_timestamp"].dt.tz_convert("UTC").dt.strftime("%d %H:%M"))
    return [tuple(None if pd.isna(value) else value for value in row) for row in readable.itertuples(index=False)]


def test_carrier_delays_sum_the_24_hours_up_to_each_hour(values: Values) -> None:
    tables = flights(
        ("UA", "EWR", "IAH", "N1", "2013-05-01T10:00Z", 4, 20, 100),
        ("UA", "EWR", "IAH", "N2", "2013-05-01T10:01Z", 0, -10, 100),
        ("UA", "EWR", "IAH", "N3", "2013-05-02T10:59Z", 8, 16, 100),
    )

    result = values("carrier_delays", tables, "2013-05-02T09:00Z", "2013-05-02T13:00Z")

    # carrier, at, flights, mean delay at departure, at arrival, share more than 15 minutes late
    assert texts(result) == [
        ("AA", "02 09:00", 0, None, None, None),
        ("AA", "02 10:00", 0, None, None, None),
        ("AA", "02 11:00", 0, None, None, None),
        ("AA", "02 12:00", 0, None, None, None),
        ("UA", "02 09:00", 2, 2.0, 5.0, 0.5),
        ("UA", "02 10:00", 1, 0.0, -10.0, 0.0),
        ("UA", "02 11:00", 1, 8.0, 16.0, 1.0),
        ("UA", "02 12:00", 1, 8.0, 16.0, 1.0),
    ]


def test_route_delays_sum_the_7_days_up_to_each_hour_with_a_landing(values: Values) -> None:
    tables = flights(
        ("UA", "EWR", "IAH", "N1", "2013-05-01T10:00Z", 4, 20, 100),
        ("AA", "EWR", "IAH", "N2", "2013-05-07T10:30Z", 0, -10, 110),
        ("UA", "EWR", "IAH", "N3", "2013-05-08T09:40Z", 8, 2, 120),
        ("UA", "EWR", "BOS", "N4", "2013-05-08T09:40Z", 1, 1, 40),
    )

    result = values("route_delays", tables, "2013-05-07T00:00Z", "2013-05-09T00:00Z")

    # origin, dest, at, flights, mean delay at departure, at arrival, share late, mean time in the air
    assert texts(result) == [
        ("EWR", "BOS", "08 10:00", 1, 1.0, 1.0, 0.0, 40.0),
        ("EWR", "IAH", "07 11:00", 2, 2.0, 5.0, 0.5, 105.0),
        ("EWR", "IAH", "08 10:00", 2, 4.0, -4.0, 0.0, 115.0),
    ]


def test_aircraft_activity_is_a_row_a_landing(values: Values) -> None:
    tables = flights(
        ("UA", "EWR", "IAH", "N1", "2013-05-01T10:00Z", 4, 20, 100),
        ("UA", "LGA", "BOS", "N1", "2013-05-02T10:00Z", 0, -10, 40),
        ("UA", "LGA", "BOS", "N1", "2013-05-02T10:01Z", 1, -9, 41),
        ("UA", "LGA", "BOS", None, "2013-05-02T10:01Z", 1, -9, 41),
    )

    result = values("aircraft_activity", tables, "2013-05-02T00:00Z", "2013-05-03T00:00Z")

    # aircraft, at, its last delays and miles, landings in 24 hours, their minutes in the air
    assert texts(result) == [
        ("N1", "02 10:00", 0, -10, 1000, 2, 140),
        ("N1", "02 10:01", 1, -9, 1000, 2, 81),
    ]


def test_weather_is_known_when_its_hour_is_over(values: Values) -> None:
    observed = pd.DataFrame(
        {
            "origin": ["EWR", "EWR", "EWR"],
            "time_hour": pd.to_datetime(["2013-05-01T09:00Z", "2013-05-01T10:00Z", "2013-05-01T11:00Z"], utc=True),
            "temp": [50.0, 51.0, 52.0],
            "wind_speed": [5.0, 6.0, 7.0],
            "wind_gust": [None, 20.0, None],
            **{name: [1.0, 1.0, 1.0] for name in ("dewp", "humid", "wind_dir", "precip", "pressure", "visib")},
        }
    )

    result = values("airport_weather", {"weather": observed}, "2013-05-01T10:00Z", "2013-05-01T12:00Z")

    columns = result[["airport", "event_timestamp", "created_timestamp", "temp", "wind_speed", "wind_gust"]]
    assert texts(columns) == [("EWR", "01 10:00", 50.0, 5.0, 5.0), ("EWR", "01 11:00", 51.0, 6.0, 20.0)]


def sliced(year: dict[str, pd.DataFrame], first: str, last: str) -> dict[str, pd.DataFrame]:
    """The flights and the weather of some days."""
    days = {"flights": "scheduled_departure", "weather": "time_hour"}
    cut = {name: year[name][year[name][time].between(first, last)] for name, time in days.items()}
    return {**year, **cut}


@pytest.fixture(scope="module")
def twelve_days(year: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A landing folder."""
    landing = str(tmp_path_factory.mktemp("twelve_days"))
    land_flights(landing, TENANT, lambda: sliced(year, "2013-03-01T00:00Z", "2013-03-13T00:00Z"))
    return landing


@pytest.mark.parametrize("group", GROUPS)
def test_values_do_not_depend_on_how_the_period_is_cut(
    group: str, spark: SparkSession, definitions: Definitions, twelve_days: str
) -> None:
    cuts = [
        "2013-03-09T03:00Z",
        "2013-03-09T21:30Z",
        "2013-03-10T07:00Z",
        "2013-03-10T07:20Z",
        "2013-03-11T12:00:00.5Z",
    ]

    whole = computed(spark, definitions, twelve_days, group, cuts[0], cuts[-1])
    parts = [computed(spark, definitions, twelve_days, group, start, end) for start, end in pairwise(cuts)]

    union = pd.concat([part for part in parts if len(part)])
    pd.testing.assert_frame_equal(union.sort_values(list(union.columns)).reset_index(drop=True), whole)
    assert len(whole) > 100
    assert (whole["event_timestamp"] >= cuts[0]).all()
    assert (whole["event_timestamp"] < cuts[-1]).all()


MOMENT = pd.Timestamp("2013-03-05T18:00Z")


@pytest.fixture(scope="module")
def landed_and_changed(year: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two landing folders: in the second, what lands after MOMENT is changed beyond recognition."""
    landing = tmp_path_factory.mktemp("changed")
    before = sliced(year, "2013-03-01T00:00Z", "2013-03-06T12:00Z")
    later = ~(before["flights"]["actual_arrival"] <= MOMENT)
    changed = before["flights"].copy()
    changed.loc[later, ["dep_delay", "arr_delay", "air_time", "distance"]] = 777
    changed.loc[later, "actual_arrival"] += pd.Timedelta(minutes=61)
    land_flights(str(landing / "before"), TENANT, lambda: before)
    land_flights(str(landing / "after"), TENANT, lambda: {**before, "flights": changed})
    return str(landing / "before"), str(landing / "after")


@pytest.mark.parametrize("group", ["carrier_delays", "route_delays", "aircraft_activity"])
def test_nothing_of_a_flight_is_known_before_it_landed(
    group: str, spark: SparkSession, definitions: Definitions, landed_and_changed: tuple[str, str]
) -> None:
    """What was known until a moment stays as it was, whatever lands later."""
    start, end = "2013-03-03T00:00Z", "2013-03-06T12:00Z"

    known, rewritten = (computed(spark, definitions, folder, group, start, end) for folder in landed_and_changed)

    until = [frame[frame["event_timestamp"] <= MOMENT].reset_index(drop=True) for frame in (known, rewritten)]
    pd.testing.assert_frame_equal(*until)
    assert len(until[0]) > 100
    assert not known.equals(rewritten)


def test_the_spine_is_every_scheduled_flight_two_hours_before_departure(
    spark: SparkSession, definitions: Definitions, year: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    land_flights(str(tmp_path), TENANT, lambda: year)

    spine = computed(spark, definitions, str(tmp_path), TRAINING_SET, START, END)

    by_id = spine.set_index("flight_id").loc[year["flights"]["flight_id"]]
    departure = year["flights"]["scheduled_departure"].to_numpy()
    assert len(spine) == 336_776
    assert ((departure - by_id["event_timestamp"].to_numpy()) == timedelta(hours=2)).all()
    assert by_id["late"].isna().sum() == 8_255 + 1_175
    assert by_id["late"].dropna().mean() == pytest.approx(77_630 / 327_346)


def test_the_spine_holds_nothing_that_is_known_only_later(
    spark: SparkSession, definitions: Definitions, year: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    """Everything that happened on the day is overwritten; all but the label stays as it was."""
    before = sliced(year, "2013-03-01T00:00Z", "2013-03-03T00:00Z")
    happened = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
    changed = before["flights"].assign(**dict.fromkeys(happened, pd.Series(77, before["flights"].index, dtype="Int64")))
    changed = changed.assign(
        actual_departure=pd.Timestamp("2013-03-02T00:00Z"), actual_arrival=pd.Timestamp("2013-03-02T01:00Z")
    )
    land_flights(str(tmp_path / "before"), TENANT, lambda: before)
    land_flights(str(tmp_path / "after"), TENANT, lambda: {**before, "flights": changed})

    spine, rewritten = (
        computed(spark, definitions, str(tmp_path / name), TRAINING_SET, START, END) for name in ("before", "after")
    )

    pd.testing.assert_frame_equal(spine.drop(columns="late"), rewritten.drop(columns="late"))
    assert rewritten["late"].all()


def test_the_split_is_by_time_and_the_label_is_no_feature(definitions: Definitions) -> None:
    declared = definitions.training_sets[0]
    assert declared.split is not None
    assert declared.split.validation_from is not None
    assert declared.split.test_from is not None

    assert declared.name == TRAINING_SET
    assert str(declared.split.validation_from) == "2013-09-01 04:00:00+00:00"
    assert str(declared.split.test_from) == "2013-11-01 04:00:00+00:00"
    stored = [group for group in definitions.feature_groups if not group.is_computed]
    assert {group.name for group in definitions.feature_groups} == {*GROUPS, PROFILES, WINDOWS}
    assert all(group.partition_by == "month" for group in stored)
    assert all(group.owner for group in definitions.feature_groups)
    assert [group.name for group in stored if group.ttl is None] == [PROFILES]
    assert all(feature.description for group in definitions.feature_groups for feature in group.features)
    assert "late" not in {feature.name for group in definitions.feature_groups for feature in group.features}


# Weather by origin and hour: of each kind of condition once with nothing else, and two hours with several.
FINE = {"visib": 5.0, "precip": 0.0, "wind_speed": 20.0, "temp": 60.0, "pressure": 1008.0, "humid": 90.0}
WEATHER: dict[tuple[str, int], dict[str, float]] = {
    ("JFK", 6): {"visib": 2.9, "precip": 0.1, "wind_speed": 20.1, "temp": 31.9, "pressure": 1007.9, "humid": 90.1},
    ("JFK", 7): {"visib": 10.0, "temp": 85.1},
    ("EWR", 6): {"visib": 10.0},
    ("EWR", 7): {"visib": 2.0},
    ("LGA", 10): {"precip": 0.1},
    ("LGA", 11): {"wind_speed": 30.0},
    ("LGA", 12): {"temp": 20.0},
    ("LGA", 13): {"temp": 90.0},
    ("LGA", 14): {"pressure": 1000.0},
    ("LGA", 15): {"humid": 95.0},
}
# Flights alike: to, from, the hour at which they left, their delay, and how many.
ALIKE = [
    ("BOS", "JFK", 6, 10, 60),
    ("BOS", "JFK", 7, 20, 40),
    ("LAX", "EWR", 6, -10, 60),
    ("LAX", "EWR", 7, 0, 40),
    # Too few to have a profile; what is usual is of them, too. Of the last one's hour there is no weather.
    *(("ABQ", "LGA", hour, 10 * (hour - 9), 10) for hour in range(10, 16)),
    ("ABQ", "LGA", 23, 5, 10),
]
# Where in a profile the kinds of weather are; before them are the hours from 5 on.
FOG, RAIN, WIND, FROST, HEAT, LOW, DAMP, CLEAR = range(19, 27)


def profile_tables() -> dict[str, pd.DataFrame]:
    def flight(
        dest: str, origin: str, hour: int, delay: float | None, arrival: str = "2013-01-05T20:00Z"
    ) -> dict[str, Any]:
        left = pd.Timestamp("2013-01-05T00:00Z") + pd.Timedelta(hours=hour)
        columns = {"dest": dest, "origin": origin, "hour": hour, "arr_delay": delay, "time_hour": left}
        return columns | {"actual_arrival": pd.Timestamp(arrival)}

    rows = [flight(*delays[:4]) for delays in ALIKE for _ in range(delays[4])]
    # Diverted, and landed before and after the window: these are not counted.
    rows += [
        flight("BOS", "JFK", 6, None),
        flight("BOS", "JFK", 6, 900, "2013-01-04T23:59Z"),
        flight("BOS", "JFK", 6, 900, "2013-01-06T00:00Z"),
    ]
    weather = [
        {"origin": origin, "time_hour": pd.Timestamp("2013-01-05T00:00Z") + pd.Timedelta(hours=hour)}
        | FINE
        | conditions
        for (origin, hour), conditions in WEATHER.items()
    ]
    return {
        name: pd.DataFrame(rows_of).astype(dict.fromkeys(times, "datetime64[us, UTC]"))
        for name, rows_of, times in (
            ("flights", rows, ["time_hour", "actual_arrival"]),
            ("weather", weather, ["time_hour"]),
        )
    }


def test_an_airport_s_profile_is_its_delay_beyond_the_usual_by_hour_and_weather(values: Values) -> None:
    result = values("airport_profiles", profile_tables(), "2013-01-05T00:00Z", "2013-01-06T00:00Z")

    # 270 delays: 60 of 10, 40 of 20, 60 of -10, 40 of 0, 10 each of 10 to 60, 10 of 5.
    spread = ((60 * 100 + 40 * 400 + 60 * 100 + 10 * 9100 + 10 * 25) - (600 + 800 - 600 + 2100 + 50) ** 2 / 270) / 269
    expected = {"BOS": [0.0] * 27, "LAX": [0.0] * 27}
    # Of 6 o'clock the usual is 0, of 7 o'clock 10: 60 flights count as 70, 40 as 50.
    expected["BOS"][1], expected["LAX"][1] = 60 * 10 / 70, -60 * 10 / 70
    expected["BOS"][2], expected["LAX"][2] = 40 * 10 / 50, -40 * 10 / 50
    # In fog: 60 flights of 10, 40 of 0. In the clear: 40 of 20, 60 of -10.
    expected["BOS"][FOG], expected["LAX"][FOG] = 60 * (10 - 6) / 70, 40 * (0 - 6) / 50
    expected["BOS"][CLEAR], expected["LAX"][CLEAR] = 40 * (20 - 2) / 50, 60 * (-10 - 2) / 70
    # Boston's flights, and ten others: 60 flights of 10, and of 40 in the heat of 20.
    for kind, delay in ((RAIN, 10), (WIND, 20), (FROST, 30), (LOW, 50), (DAMP, 60)):
        expected["BOS"][kind] = 60 * (10 - (60 * 10 + 10 * delay) / 70) / 70
    expected["BOS"][HEAT] = 40 * (20 - (40 * 20 + 10 * 40) / 50) / 50

    assert result["airport"].tolist() == ["BOS", "LAX"]
    assert result["flights"].tolist() == [100, 100]
    assert result["mean_arr_delay"].tolist() == [14.0, -6.0]
    for airport, profile in zip(result["airport"], result["profile"], strict=True):
        assert list(profile) == pytest.approx([number / spread**0.5 for number in expected[airport]], abs=1e-6), airport
