"""Instants are aware and UTC, windows half open."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from featurestore import TimeWindow
from featurestore.definitions.values.time_window import from_micros, to_instant, to_micros
from featurestore.errors import InvalidArgumentError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NAIVE = datetime(2026, 3, 2, 12)  # noqa: DTZ001 what must be refused


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        NOON.astimezone(ZoneInfo("Asia/Kathmandu")),
        "2026-03-02T12:00:00Z",
        "2026-03-02 12:00+00:00",
        "2026-03-02T07:00:00-05:00",
        "20260302T120000Z",
    ],
)
def test_an_instant_is_the_same_from_any_zone(value: Any) -> None:
    instant = to_instant(value)

    assert instant == NOON
    assert instant.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (NAIVE, "has no time zone; add an offset, or name the zone"),
        ("2026-03-02T12:00:00", "has no time zone"),
        (date(2026, 3, 2), "is a date without a time"),
        ("2026-03-02", "is a date without a time"),
        ("20260302", "is a date without a time"),
        ("yesterday", "is not an ISO 8601 timestamp such as"),
        ("", "is not an ISO 8601 timestamp"),
        ("2026-02-30T00:00Z", "is not an ISO 8601 timestamp"),
        ("2026-03-02T25:00Z", "is not an ISO 8601 timestamp"),
        (1_772_452_800, r"\(int\) is not a timestamp"),
        (None, r"\(NoneType\) is not a timestamp"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "is outside the years 1 to 9999"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "is outside the years 1 to 9999"),
    ],
)
def test_what_is_not_an_instant_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_instant(value)


@pytest.mark.parametrize(
    ("value", "zone", "meant"),
    [
        (NAIVE, "Europe/Berlin", "2026-03-02T11:00:00Z"),
        ("2026-03-02T12:00:00", "Europe/Berlin", "2026-03-02T11:00:00Z"),
        (date(2026, 3, 2), "Asia/Kathmandu", "2026-03-01T18:15:00Z"),
        ("2026-07-01", "Europe/Berlin", "2026-06-30T22:00:00Z"),
        (NOON, "Europe/Berlin", "2026-03-02T12:00:00Z"),
        ("2026-03-02T12:00:00Z", "Europe/Berlin", "2026-03-02T12:00:00Z"),
    ],
)
def test_naive_and_date_only_values_are_read_in_the_zone_that_is_named(value: Any, zone: str, meant: str) -> None:
    assert to_instant(value, zone) == to_instant(meant)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2026-03-02T12:00:00.000001Z", 1_772_452_800_000_001),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ],
)
def test_microseconds_are_exact_both_ways(text: str, micros: int) -> None:
    assert to_micros(to_instant(text)) == micros
    assert from_micros(micros) == to_instant(text)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z"),
        ("2026-03-02T13:00:00+01:00", "2026-03-02T12:00:00Z"),
        ("2026-03-02T12:00:00.000001Z", "2026-03-02T12:00:00Z"),
    ],
)
def test_an_empty_window_is_refused(start: str, end: str) -> None:
    with pytest.raises(ValueError, match=r"the window's start 2026-03-02T12:00:00.* is not before its end 2026"):
        TimeWindow.of(start, end)


def test_a_window_tells_its_ends() -> None:
    window = TimeWindow.of("2026-03-02", "2026-03-03", zone="Europe/Berlin")

    assert str(window) == "[2026-03-01T23:00:00Z, 2026-03-02T23:00:00Z)"


@pytest.mark.parametrize(
    ("every", "starts"),
    [
        (timedelta(hours=6), ["00:00", "06:00"]),
        (timedelta(hours=5), ["00:00", "05:00", "10:00"]),
        (timedelta(hours=12), ["00:00"]),
        (timedelta(days=9), ["00:00"]),
    ],
)
def test_a_split_window_is_covered_once_and_in_order(every: timedelta, starts: list[str]) -> None:
    window = TimeWindow.of("2026-03-02T00:00Z", "2026-03-02T12:00Z")

    parts = window.split(every)

    assert [part.start for part in parts] == [to_instant(f"2026-03-02T{start}Z") for start in starts]
    assert [part.end for part in parts] == [*(part.start for part in parts[1:]), window.end]


def test_days_are_24_hours_also_where_clocks_change() -> None:
    window = TimeWindow.of("2026-10-24T22:00Z", "2026-10-26T23:00Z")

    assert [part.end - part.start for part in window.split(timedelta(days=1))] == [
        timedelta(days=1),
        timedelta(days=1),
        timedelta(hours=1),
    ]


@pytest.mark.parametrize(
    "value",
    [
        pd.Timestamp("2026-03-02T12:00:00Z"),
        pd.Timestamp("2026-03-02T17:45:00", tz="Asia/Kathmandu"),
        pd.Timestamp("2026-03-02T12:00:00"),
        np.datetime64("2026-03-02T12:00:00", "s"),
        np.datetime64("2026-03-02T12:00:00", "ns"),
        pd.date_range("2026-03-02T12:00:00Z", periods=1)[0],
    ],
)
def test_a_moment_of_pandas_or_numpy_is_a_plain_datetime(value: Any) -> None:
    instant = to_instant(value, "UTC")

    assert instant == NOON
    assert type(instant) is datetime


@pytest.mark.parametrize(
    "value",
    [
        pd.Timestamp("2026-03-02T12:00:00.000000001Z"),
        np.datetime64("2026-03-02T12:00:00.000000999", "ns"),
        "2026-03-02T12:00:00.0000005Z",
    ],
)
def test_what_is_finer_than_a_microsecond_goes_to_the_one_after_or_before(value: Any) -> None:
    assert to_instant(value, "UTC") == NOON + timedelta(microseconds=1)
    assert to_instant(value, "UTC", "down") == NOON


@pytest.mark.parametrize("value", [pd.NaT, np.datetime64("NaT"), np.datetime64("20000-01-01"), pd.Period("2026-03")])
def test_what_is_no_moment_of_pandas_or_numpy_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a timestamp|outside the years"):
        to_instant(value, "UTC")


def test_a_window_holds_plain_instants_in_utc_however_it_is_made() -> None:
    start, end = pd.Timestamp("2026-03-02T12:00:00Z"), pd.Timestamp("2026-03-03T12:00:00", tz="Europe/Berlin")
    window = TimeWindow(start, end)

    assert {type(window.start), type(window.end)} == {datetime}
    assert window == TimeWindow.of(start, end)
    assert str(window) == "[2026-03-02T12:00:00Z, 2026-03-03T11:00:00Z)"
    assert window.split(timedelta.max) == [window]
    with pytest.raises(InvalidArgumentError, match="start: 5"):
        TimeWindow(5, end)  # type: ignore[arg-type]
