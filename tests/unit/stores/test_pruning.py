"""Files that a read of some times and keys may skip, by the bounds of the log."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from featurestore.stores.delta.delta_log import LogFile
from featurestore.stores.delta.pruning import chosen_files

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def file_of(low: datetime, high: datetime) -> LogFile:
    partition = {"tenant_id": "acme", "event_date": date(2026, 11, 1)}
    return LogFile("a.parquet", 1, 1, partition, {"event_timestamp": (low, high), "at": (low, high)})


@pytest.mark.parametrize("bounds", [(FIRST, FIRST), (LAST, LAST), (FIRST, LAST)])
def test_the_ends_of_the_calendar_have_bounds_too(bounds: tuple[datetime, datetime]) -> None:
    file = file_of(*bounds)
    keys = pa.table({"at": pa.array([bounds[0]], pa.timestamp("us", "UTC"))})
    assert chosen_files([file], "acme", (None, None), bounds, keys) == [file]
    assert chosen_files([file], "other", (None, None), bounds, keys) == []


def test_a_file_that_ends_within_a_millisecond_is_read() -> None:
    file = file_of(NOON, NOON)
    near, far = NOON + timedelta(microseconds=999), NOON + timedelta(microseconds=1_001)
    assert chosen_files([file], "acme", (None, None), (near, None), None) == [file]
    assert chosen_files([file], "acme", (None, None), (far, None), None) == []
