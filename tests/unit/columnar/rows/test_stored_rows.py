"""Checked rows as a table stores them: timestamps, partitions, model versions, and their order in files."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.stored_rows import as_stored, in_file_order
from featurestore.columnar.schema import values_schema

USER = Entity("user", join_keys={"user_id": "string"})
FEATURES = [Feature("visits", "long"), Feature("text", "embedding(2)", model_version="m2")]
DAILY = FeatureGroup("stats", USER, features=FEATURES)
MONTHLY = FeatureGroup("stats", USER, features=FEATURES, partition_by="month")
NOW = datetime(2026, 3, 20, tzinfo=UTC)
# In New York it is the day before.
EARLY = datetime(2026, 2, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def good(*rows: dict[str, object]) -> pa.Table:
    schema = pa.schema([field for field in values_schema(DAILY) if field.name not in ("tenant_id", "event_date")])
    return pa.Table.from_pylist(list(rows), schema=schema)


def row(user: str = "ann", at: datetime = EARLY, **others: object) -> dict[str, object]:
    return {"user_id": user, "event_timestamp": at, **others}


def test_a_created_timestamp_that_was_given_stays_and_a_missing_one_is_that_of_the_write() -> None:
    stored = as_stored(good(row(created_timestamp=EARLY + HOUR), row()), DAILY, "acme", NOW)

    assert stored.schema == values_schema(DAILY)
    assert stored.column("created_timestamp").to_pylist() == [EARLY + HOUR, NOW]
    assert stored.column("tenant_id").to_pylist() == ["acme", "acme"]


@pytest.mark.parametrize(("group", "first"), [(DAILY, date(1969, 12, 31)), (MONTHLY, date(1969, 12, 1))])
def test_a_row_is_in_the_partition_of_its_utc_date(group: FeatureGroup, first: date) -> None:
    before_1970 = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

    stored = as_stored(good(row(at=before_1970), row()), group, "acme", NOW)

    second = date(2026, 2, 2) if group is DAILY else date(2026, 2, 1)
    assert stored.column("event_date").to_pylist() == [first, second]


def test_an_embedding_has_a_model_version_and_a_missing_one_has_none() -> None:
    vector = [0.5, 0.25]
    rows = good(
        row(text=vector), row(text=vector, text__model_version="m1"), row(text=None, text__model_version="m1"), row()
    )

    stored = as_stored(rows, DAILY, "acme", NOW)

    assert stored.column("text__model_version").to_pylist() == ["m2", "m1", None, None]


def test_rows_in_a_file_are_ordered_by_partition_then_bytes_of_keys_then_time() -> None:
    rows = [
        row("b", EARLY + 25 * HOUR),
        row("é", EARLY),
        row("b", EARLY + HOUR),
        row("B", EARLY + 2 * HOUR),
        row("b", EARLY),
    ]

    ordered = in_file_order(as_stored(good(*rows), DAILY, "acme", NOW), DAILY)

    assert list(zip(*ordered.select(["user_id", "event_timestamp"]).to_pydict().values(), strict=True)) == [
        ("B", EARLY + 2 * HOUR),
        ("b", EARLY),
        ("b", EARLY + HOUR),
        ("é", EARLY),
        ("b", EARLY + 25 * HOUR),
    ]
