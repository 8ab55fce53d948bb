"""Windowed features on tables that can be checked by eye; times are minutes of one day."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.columnar.windows.event_rows import EventRows, superseded_at
from featurestore.columnar.windows.join import windowed
from featurestore.columnar.windows.rules import Function, KnownAt, WindowRules
from featurestore.errors import SchemaError, TransformationError

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NEVER = 2**63 - 1


def micros(clock: str) -> int:
    """``14:27``, or ``14:27+1`` for one microsecond after it."""
    clock, _, more = clock.partition("+")
    hours, minutes = clock.split(":")
    return (int(hours) * 60 + int(minutes)) * MINUTE + int(more or 0)


def rules(function: Function, of: str | None = "amount", window: int | None = HOUR, **others: Any) -> WindowRules:
    kind = pa.int64() if function in ("count", "count_distinct") else others.pop("kind", pa.float64())
    return WindowRules(name="feature", function=function, of=of, window=window, type=kind, **others)


def values(
    asked: list[str],
    events: list[tuple[Any, ...]],
    feature: WindowRules,
    known_at: KnownAt = None,
    kind: pa.DataType | None = None,
) -> list[Any]:
    """The feature of one key at these times. An event is (time, value), or (time, value, created, id)."""
    spine = SpineRows.of(
        [pa.array(["a"] * len(asked))], pa.array([micros(at) for at in asked], pa.timestamp("us", "UTC"))
    )
    times = np.array([micros(event[0]) for event in events], np.int64)
    columns = {"amount": pa.array([event[1] for event in events], kind)}
    created = until = None
    if events and len(events[0]) > 2:
        created = np.array([micros(event[2]) for event in events], np.int64)
        until = superseded_at(pa.array([event[3] for event in events]), created, times, [columns["amount"]])
    rows = EventRows(np.zeros(len(events), np.int64), times, created, until, columns)
    return windowed(spine, rows, [feature], known_at=known_at)["feature"].to_pylist()


def test_a_window_begins_after_its_lower_end_and_ends_at_t() -> None:
    """Chronon's example of a sliding window: at 2:27 pm an hour spans from 1:27 to 2:27."""
    events = [("13:20", 1.0), ("13:27", 2.0), ("13:27+1", 4.0), ("14:20", 8.0), ("14:27", 16.0), ("14:27+1", 32.0)]

    assert values(["14:27"], events, rules("sum")) == [4.0 + 8.0 + 16.0]


def test_no_event_gives_zero_for_counts_and_null_otherwise() -> None:
    features: list[Function] = ["count", "count_distinct", "sum", "avg", "min", "max", "first", "last", "stddev"]

    found = {name: values(["12:00", "18:00"], [("14:00", 1.0)], rules(name)) for name in features}

    assert found == {"count": [0, 0], "count_distinct": [0, 0], **{name: [None, None] for name in features[2:]}}
    assert values(["12:00"], [("14:00", 1.0)], rules("last_n", kind=pa.list_(pa.float64()), n=2)) == [None]


EVENTS = [("10:00", 4.0), ("10:10", None), ("10:20", 1.0), ("10:30", float("nan")), ("10:40", 4.0), ("10:50", 9.0)]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (rules("count", of=None), 6),
        (rules("count"), 4),
        (rules("sum"), 18.0),
        (rules("avg"), 4.5),
        (rules("min"), 1.0),
        (rules("max"), 9.0),
        (rules("first"), 4.0),
        (rules("last"), 9.0),
        (rules("last_n", kind=pa.list_(pa.float64()), n=3), [9.0, 4.0, 1.0]),
        (rules("count_distinct"), 3),
        (rules("approx_percentile", p=0.5), 4.0),
        (rules("approx_percentile", p=0.25), 1.0),
        (rules("approx_percentile", p=0.76), 9.0),
        (rules("stddev"), (33.0 / 3) ** 0.5),
    ],
    ids=lambda each: each.function if isinstance(each, WindowRules) else None,
)
def test_each_function_ignores_nulls_and_nan(feature: WindowRules, expected: Any) -> None:
    assert values(["10:50"], EVENTS, feature) == [expected]


def test_an_unbounded_window_has_all_events_before() -> None:
    assert values(["00:00", "23:59"], EVENTS, rules("count", window=None)) == [0, 4]


def test_a_late_event_counts_from_when_it_is_known_until_its_window_ends() -> None:
    """Payment 1 of 10:00 is known at 10:30; payment 2 would be known only after an hour."""
    events = [("10:00", 5.0, "10:30", 1), ("10:00", 7.0, "11:00", 2)]
    asked = ["10:00", "10:29", "10:30", "10:59", "11:00"]

    assert values(asked, events, rules("sum"), "event") == [None, None, 5.0, 5.0, None]
    assert values(asked, events, rules("sum"), None) == [12.0, 12.0, 12.0, 12.0, None]
    assert values(asked, events, rules("sum"), micros("10:30")) == [5.0, 5.0, 5.0, 5.0, None]


def test_a_later_version_of_an_event_replaces_it_even_if_it_moved() -> None:
    """Payment 1 of 10:00 is corrected at 10:20: it happened at 9:10."""
    events = [("10:00", 5.0, "10:00", 1), ("09:10", 7.0, "10:20", 1)]
    asked = ["09:15", "10:05", "10:20"]

    assert values(asked, events, rules("sum"), None) == [7.0, 7.0, None]
    assert values(asked, events, rules("sum"), "event") == [None, 5.0, None]
    assert values(asked, events, rules("sum"), micros("10:19")) == [None, 5.0, 5.0]


def test_a_condition_applies_to_the_version_that_counts() -> None:
    """The condition holds for the first version only, so the event does not count."""
    spine = SpineRows.of([pa.array(["a"])], pa.array([micros("12:00")], pa.timestamp("us", "UTC")))
    times, created = np.array([micros("11:30")] * 2), np.array([micros("11:30"), micros("11:40")])
    columns = {"is_paid": pa.array([True, False])}
    until = superseded_at(pa.array(["p1", "p1"]), created, times, list(columns.values()))
    events = EventRows(np.zeros(2, np.int64), times, created, until, columns)

    feature = rules("count", of=None, where="is_paid")

    assert windowed(spine, events, [feature], known_at=None)["feature"].to_pylist() == [0]
    assert windowed(spine, events, [feature], known_at=micros("11:35"))["feature"].to_pylist() == [1]


def test_versions_are_ordered_by_created_then_event_timestamp_then_content() -> None:
    rows = [
        # id, created, event timestamp, content -> created timestamp of the row that superseded it
        ("a", 10, 1, 1.0, 20),
        ("a", 20, 2, 1.0, NEVER),
        ("a", 20, 1, 9.0, 20),
        ("b", 10, 1, -0.0, 10),
        ("b", 10, 1, 0.0, NEVER),
        ("c", 10, 1, None, 10),
        ("c", 10, 1, -1.0, NEVER),
        (None, 10, 1, 1.0, NEVER),
        (None, 20, 1, 1.0, NEVER),
    ]
    for order in (list(range(9)), [8, 4, 3, 1, 6, 2, 0, 5, 7]):
        ids, created, times, content, until = zip(*(rows[at] for at in order), strict=True)

        found = superseded_at(pa.array(ids), np.array(created), np.array(times), [pa.array(content)])

        assert found.tolist() == list(until)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([1e300, 1.0, -1e300], 1.0),
        ([2.0**53, 1.0, 1.0], 2.0**53 + 2),
        ([2.0**53, 1.0], 2.0**53),
        ([2.0**53, 1.0, 5e-324], 2.0**53 + 2),
        ([5e-324, 5e-324], 1e-323),
        ([0.1] * 10, 1.0),
        ([1.7976931348623157e308] * 2, float("inf")),
        ([-0.0], 0.0),
    ],
)
def test_a_sum_of_doubles_is_the_exact_sum_rounded_once(numbers: list[float], expected: float) -> None:
    events = [("10:00", number) for number in numbers]

    assert values(["10:00"], events, rules("sum")) == [expected]


def test_decimals_are_summed_exactly_and_averages_of_great_whole_numbers_are_too() -> None:
    prices = [("10:00", Decimal("0.10")), ("10:00", Decimal("0.20")), ("10:00", Decimal("100000000000000000.00"))]
    whole = [("10:00", 2**62), ("10:00", 2**62 + 1), ("10:00", 2**62 + 4)]

    assert values(["10:00"], prices[:2], rules("sum")) == [0.3]
    assert values(["10:00"], prices, rules("avg")) == [float(Decimal("100000000000000000.30") / 3)]
    assert values(["10:00"], whole, rules("avg")) == [float(2**62 + 2)]


def test_a_sum_of_longs_beyond_a_long_is_an_error_that_names_it() -> None:
    events = [("10:00", 2**62), ("10:00", 2**62)]

    with pytest.raises(
        TransformationError, match=r"feature 'feature': the sum of 'amount' in a window is 9223372036854775808"
    ):
        values(["10:00"], events, rules("sum", kind=pa.int64()))
    assert values(["10:00"], [*events, ("10:00", -1)], rules("sum", kind=pa.int64())) == [2**63 - 1]
    assert values(["10:00"], events, rules("sum")) == [2.0**63]


def test_equal_times_are_ordered_by_created_timestamp_then_by_value() -> None:
    events = [("10:00", 7.0, "10:10", 1), ("10:00", 1.0, "10:20", 2), ("10:00", 3.0, "10:20", 3)]

    assert values(["10:30"], events, rules("first")) == [7.0]
    assert values(["10:30"], events, rules("last")) == [3.0]
    assert values(["10:15"], events, rules("last"), "event") == [7.0]


def test_a_share_is_the_decimal_number_that_it_is_written_as() -> None:
    """As a double, 0.1 is a little more than a tenth, so that it would take the second of ten values."""
    events = [("10:00", float(number)) for number in range(1, 11)]

    assert values(["10:00"], events, rules("approx_percentile", p=0.1)) == [1.0]
    assert values(["10:00"], events, rules("approx_percentile", p=0.9)) == [9.0]
    assert values(["10:00"], events, rules("approx_percentile", p=0.0)) == [1.0]
    assert values(["10:00"], events, rules("approx_percentile", p=1.0)) == [10.0]


def test_a_function_that_needs_numbers_says_so() -> None:
    events = [("10:00", "paid")]

    with pytest.raises(SchemaError, match=r"feature 'feature': avg needs numbers; column 'amount' .* has type string"):
        values(["10:00"], events, rules("avg"))
    with pytest.raises(SchemaError, match="sum needs a column"):
        values(["10:00"], events, rules("sum", of=None))
    with pytest.raises(SchemaError, match="whose values have no order"):
        values(["10:00"], [("10:00", ["paid"])], rules("last"))
    with pytest.raises(SchemaError, match="must be boolean"):
        values(["10:00"], events, rules("count", where="amount"))
