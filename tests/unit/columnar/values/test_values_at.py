"""Values of one entity as of an instant agree with the reference of the as-of join."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.columnar.rows.fingerprint import xxhash64
from featurestore.columnar.values.values_at import ValueAt, values_at
from tests.reference.as_of import AsOfLookup, look_up

UTC_MICROS = pa.timestamp("us", tz="UTC")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SCHEMA = pa.schema(
    [
        ("event_timestamp", UTC_MICROS),
        ("created_timestamp", UTC_MICROS),
        ("score", pa.float64()),
        ("name", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("tags__model_version", pa.string()),
    ]
)
NAMES = ["score", "name", "tags"]
OFFSETS = st.builds(
    lambda hours, micros: hours * timedelta(hours=1) + micros * MICROSECOND, st.integers(-3, 1), st.integers(-1, 1)
)
MOMENTS = OFFSETS.map(lambda offset: NOON + offset)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "event_timestamp": MOMENTS,
            "created_timestamp": MOMENTS,
            "score": st.sampled_from([None, 0.0, -2.0, 1e300]),
            "name": st.sampled_from([None, "", "b", "é", "😀"]),
            "tags": st.sampled_from([None, [], ["a"], ["b", "a"]]),
        }
    ),
    max_size=12,
)


def ordered(value: Any) -> Any:
    """Lists by their hash, texts by their bytes."""
    if isinstance(value, list):
        return int(xxhash64([pa.array([value], pa.list_(pa.string()))])[0])
    return value.encode() if isinstance(value, str) else value


@settings(max_examples=400)
@given(
    rows=ROWS,
    at=MOMENTS,
    ttl=st.sampled_from([None, timedelta(hours=2), MICROSECOND, timedelta(days=999_999_999)]),
    nulls=st.sampled_from(["skip", "keep"]),
    known_at=st.one_of(st.none(), st.just("event"), MOMENTS),
    names=st.sampled_from([NAMES, ["name"], ["score", "tags"]]),
)
def test_values_are_those_of_the_reference(
    rows: list[dict[str, Any]],
    at: datetime,
    ttl: timedelta | None,
    nulls: Literal["skip", "keep"],
    known_at: Any,
    names: list[str],
) -> None:
    identified = [row | {"key": 1, "tags__model_version": str(row["tags"])} for row in rows]
    lookup = AsOfLookup({"key": "key"}, names, dict(zip(names, names, strict=True)), "at", ttl, nulls, known_at)
    expected = look_up({"key": 1, "at": at}, identified, lookup, ordered)

    table = pa.Table.from_pylist(identified, SCHEMA)
    found = values_at(table, names, at=at, ttl=ttl, nulls=nulls, known_at=known_at)

    assert {name: None if taken is None else taken.value for name, taken in found.items()} == expected
    for name, taken in found.items():
        if taken is not None:
            source = {name: taken.value, "event_timestamp": taken.event_timestamp}
            assert any(row.items() >= source.items() for row in identified)
            assert taken.model_version == (str(taken.value) if name == "tags" else None)


@pytest.mark.parametrize(
    ("nulls", "expected"),
    [
        ("skip", ValueAt(1.5, NOON - timedelta(hours=1), NOON, None)),
        ("keep", ValueAt(None, NOON, NOON + timedelta(hours=1), None)),
    ],
)
def test_null_is_a_value_if_the_group_keeps_nulls(nulls: Literal["skip", "keep"], expected: ValueAt) -> None:
    rows = pa.table(
        {
            "event_timestamp": pa.array([NOON - timedelta(hours=1), NOON], UTC_MICROS),
            "created_timestamp": pa.array([NOON, NOON + timedelta(hours=1)], UTC_MICROS),
            "score": [1.5, None],
        }
    )

    assert values_at(rows, ["score"], at=NOON, ttl=None, nulls=nulls) == {"score": expected}
    assert values_at(rows, ["score"], at=NOON - timedelta(days=1), ttl=None, nulls=nulls) == {"score": None}


def test_no_rows() -> None:
    assert values_at(SCHEMA.empty_table(), NAMES, at=NOON, ttl=None, nulls="keep") == dict.fromkeys(NAMES)
