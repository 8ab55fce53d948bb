"""The one grammar of ISO 8601 text, read by Python."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from featurestore.definitions.values.iso_times import parse_date
from featurestore.definitions.values.time_window import OutsideYearsError, to_instant

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-01T12:00:00Z", NOON),
        ("2026-11-01t12:00:00z", NOON),
        ("20261101T120000Z", NOON),
        ("2026-11-01 12:00Z", NOON),
        ("2026-11-01T12Z", NOON),
        (" 2026-11-01T12:00:00Z\n", NOON),
        ("2026-11-01T12:00:00,5Z", NOON + timedelta(microseconds=500_000)),
        ("2026-11-01T12:00:00.000000000Z", NOON),
        ("2026-11-01T12:00:00.000000001Z", NOON + timedelta(microseconds=1)),
        ("2026-11-01 14:00:00 +02", NOON),
        ("2026-11-01T17:30:00+0530", NOON),
        ("2026-11-01T12:19:32+00:19:32", NOON),
        ("2026-11-02T06:00:00+18:00", NOON),
    ],
)
def test_text_of_the_grammar_is_an_instant(text: str, meant: datetime) -> None:
    assert to_instant(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "2026-W45-1T12:00Z",
        "2026-305T12:00Z",
        "2026-11-01T24:00Z",
        "2026-11-01T23:59:60Z",
        "2026-11-01T12:00+18:01",
        "2026-11-01T12:00+24:00",
        "0000-01-01T00:00Z",
        "12026-01-01T00:00Z",
        "+2026-01-01T00:00Z",
        "2026-1-1T00:00Z",
        "2026-1101T12:00Z",
        "2026-11-01T12:0000Z",
        "2026-11-01T12:00:00.Z",
        "2026-11-01Z",
        "2026-11-01T12:00 UTC",
        "\u0662026-11-01T12:00Z",
        "2026-02-30T00:00Z",
    ],
)
def test_other_text_is_not_a_timestamp(text: str) -> None:
    with pytest.raises(ValueError, match="is not an ISO 8601 timestamp"):
        to_instant(text)


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-01T12:00:00.0000009Z",
        pd.Timestamp("2026-11-01T12:00:00.000000900Z"),
        np.datetime64("2026-11-01T12:00:00.000000900"),
        np.datetime64("2026-11-01T12:00:00.000000").astype("datetime64[ns]") + np.timedelta64(1, "ns"),
    ],
)
def test_finer_than_a_microsecond_goes_up_or_down(moment: object) -> None:
    assert to_instant(moment, "UTC", "up") == NOON + timedelta(microseconds=1)
    assert to_instant(moment, "UTC", "down") == NOON


@pytest.mark.parametrize(
    "moment",
    [
        "9999-12-31T23:59:59.9999999Z",
        "0001-01-01T00:00+01:00",
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        np.datetime64("20000-01-01"),
        np.datetime64(2**62, "D"),
    ],
)
def test_moments_outside_the_years_have_an_error_of_their_own(moment: object) -> None:
    with pytest.raises(OutsideYearsError):
        to_instant(moment, "UTC")


def test_dates_have_the_same_grammar() -> None:
    assert parse_date("2026-11-01") == parse_date("20261101") == parse_date(" 2026-11-01 ") == date(2026, 11, 1)
    for text in ("2026-W45-1", "2026-305", "2026-02-30", "2026-11-01T00:00", "0000-01-01", "2026-1-1"):
        with pytest.raises(ValueError, match=r"2026|0000|day"):
            parse_date(text)
