"""The landed flights: instants from clock readings, complete tables or no tables."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from featurestore.demo.flights import (
    TABLES,
    destination_zones,
    first_instant_showing,
    flight_tables,
    land_flights,
)
from featurestore.errors import ConfigurationError


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return flight_tables()


@pytest.mark.parametrize(
    ("earliest", "clock", "zone", "expected"),
    [
        ("2013-01-01T14:00Z", 830, "America/Chicago", "2013-01-01T14:30Z"),
        ("2013-01-01T14:30Z", 830, "America/Chicago", "2013-01-01T14:30Z"),
        # The reading was passed by a minute: the next one is a day later.
        ("2013-01-01T14:31Z", 830, "America/Chicago", "2013-01-02T14:30Z"),
        ("2013-01-02T04:00Z", 2400, "America/New_York", "2013-01-02T05:00Z"),
        ("2013-01-02T04:00Z", 7, "America/New_York", "2013-01-02T05:07Z"),
        # New Year's Eve in Honolulu, New Year's Day in UTC.
        ("2013-01-01T08:00Z", 2330, "Pacific/Honolulu", "2013-01-01T09:30Z"),
        # Clocks went back at 06:00Z: 01:30 came at 05:30Z and again at 06:30Z.
        ("2013-11-03T05:00Z", 130, "America/New_York", "2013-11-03T05:30Z"),
        ("2013-11-03T05:45Z", 130, "America/New_York", "2013-11-03T06:30Z"),
        # Clocks went forward at 07:00Z: 02:03 never came, and was read off a clock an hour behind.
        ("2013-03-10T05:00Z", 203, "America/New_York", "2013-03-10T07:03Z"),
    ],
)
def test_a_clock_reading_becomes_the_first_instant_that_shows_it(
    earliest: str, clock: int, zone: str, expected: str
) -> None:
    result = first_instant_showing(
        pd.Series(pd.to_datetime([earliest, None], utc=True)),
        pd.Series([clock, 100], dtype="Int64"),
        pd.Series([zone, zone]),
    )

    assert result[0] == pd.Timestamp(expected)
    assert pd.isna(result[1])


def test_every_arrival_agrees_with_the_schedule_and_the_delay(tables: Mapping[str, pd.DataFrame]) -> None:
    """The arrival was found from departure, time in the air and the clock; this way does not use those."""
    flights = tables["flights"]
    zones = destination_zones(flights["dest"], tables["airports"])
    scheduled = first_instant_showing(flights["scheduled_departure"], flights["sched_arr_time"], zones)
    expected = scheduled + pd.to_timedelta(flights["arr_delay"], unit="min")
    landed = flights["actual_arrival"].notna()

    assert landed.sum() == 327_346
    assert (expected[landed] == flights["actual_arrival"][landed]).sum() == 327_346


def test_departures_agree_with_the_clock(tables: Mapping[str, pd.DataFrame]) -> None:
    flights = tables["flights"]
    local = flights["actual_departure"].dt.tz_convert("America/New_York")
    departed = local.notna()
    clock = (local.dt.hour * 100 + local.dt.minute).replace(0, 2400)

    assert departed.sum() == 328_521
    assert (clock[departed] == flights["dep_time"][departed]).all()


def test_cancelled_and_diverted_flights_have_no_arrival(tables: Mapping[str, pd.DataFrame]) -> None:
    flights = tables["flights"]
    cancelled = flights["dep_time"].isna()
    diverted = ~cancelled & flights["arr_delay"].isna()

    assert (cancelled.sum(), diverted.sum()) == (8_255, 1_175)
    assert flights["actual_departure"][cancelled].isna().all()
    assert flights["actual_arrival"][cancelled | diverted].isna().all()


def test_every_flight_has_an_id_of_its_own(tables: Mapping[str, pd.DataFrame]) -> None:
    ids = tables["flights"]["flight_id"]

    assert len(ids) == 336_776
    assert ids.is_unique
    assert ids[0] == "UA1545-EWR-20130101T1015Z"


def test_an_airport_without_a_zone_is_named() -> None:
    airports = pd.DataFrame({"faa": ["IAH", "XYZ"], "tzone": ["America/Chicago", None]})

    with pytest.raises(ConfigurationError, match=r"\['ABC', 'XYZ'\] have no time zone"):
        destination_zones(pd.Series(["IAH", "SJU", "XYZ", "ABC"]), airports)


def test_tables_are_landed_once(tables: Mapping[str, pd.DataFrame], tmp_path: Path) -> None:
    few = {name: table.head(10) for name, table in tables.items()}
    calls = []

    def read() -> Mapping[str, pd.DataFrame]:
        calls.append("read")
        return few

    first = land_flights(str(tmp_path), "nyc", read)
    second = land_flights(str(tmp_path), "nyc", read)

    assert [(table.name, table.rows, table.new) for table in first] == [(name, 10, True) for name in TABLES]
    assert [(table.name, table.rows, table.new) for table in second] == [(name, 10, False) for name in TABLES]
    assert calls == ["read"]
    assert sorted(path.name for path in (tmp_path / "nyc").iterdir()) == sorted(TABLES)


def test_a_failed_landing_leaves_only_complete_tables(tables: Mapping[str, pd.DataFrame], tmp_path: Path) -> None:
    unwritable = pd.DataFrame({"mixed": [1, "a"]})
    few = {name: table.head(3) for name, table in tables.items()}

    with pytest.raises(Exception, match="mixed"):
        land_flights(str(tmp_path), "nyc", lambda: few | {"planes": unwritable})
    left = sorted(path.name for path in (tmp_path / "nyc").iterdir())
    again = land_flights(str(tmp_path), "nyc", lambda: few)

    assert left == ["flights", "weather"]
    assert [table.new for table in again] == [False, False, True, True, True]


def test_instants_are_landed_as_utc_microseconds(tables: Mapping[str, pd.DataFrame], tmp_path: Path) -> None:
    land_flights(str(tmp_path), "nyc", lambda: {name: table.head(3) for name, table in tables.items()})
    schema = pq.read_schema(tmp_path / "nyc" / "flights" / "flights.parquet")

    instants = ["time_hour", "scheduled_departure", "actual_departure", "actual_arrival"]
    assert {str(schema.field(name).type) for name in instants} == {"timestamp[us, tz=UTC]"}
    assert str(schema.field("arr_delay").type) == "int64"


def test_only_a_local_disk_is_landed_on() -> None:
    with pytest.raises(ConfigurationError, match="s3://bucket"):
        land_flights("s3://bucket", "nyc")
