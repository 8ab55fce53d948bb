"""The as-of join as DESIGN words it, in plain Python: slow, with loops, and obviously right. The tests' oracle.

Rows are dicts, instants are datetimes in UTC, a missing value is None.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Row = dict[str, Any]


@dataclass(frozen=True)
class AsOfLookup:
    """What to look up in one feature group, and by which rules."""

    keys: Mapping[str, str]  # join key -> column of the spine
    features: Sequence[str]  # in the order declared
    outputs: Mapping[str, str]  # feature -> column of the output
    timestamp_column: str = "event_timestamp"
    ttl: timedelta | None = None
    nulls: Literal["skip", "keep"] = "skip"
    known_at: datetime | Literal["event"] | None = None
    event_timestamp_output: str | None = None


# By what two values are compared where event and created timestamps tie; of arrays, the product compares hashes.
Ordered = Callable[[Any], Any]


def _as_it_is(value: Any) -> Any:
    return value


def as_of_join(
    spine: Sequence[Row], values: Sequence[Row], lookup: AsOfLookup, ordered: Ordered = _as_it_is
) -> list[Row]:
    """Every spine row, in order, with the features as of its timestamp."""
    return [{**row, **look_up(row, values, lookup, ordered)} for row in spine]


def look_up(spine_row: Row, values: Sequence[Row], lookup: AsOfLookup, ordered: Ordered = _as_it_is) -> Row:
    candidates = [row for row in values if _matches(row, spine_row, lookup)]
    newest_first = sorted(candidates, key=lambda row: _order(row, lookup.features, ordered), reverse=True)
    taken = {feature: _taken_from(newest_first, feature, lookup.nulls) for feature in lookup.features}
    outputs = {lookup.outputs[name]: None if row is None else row[name] for name, row in taken.items()}
    if lookup.event_timestamp_output is not None:
        times = [row["event_timestamp"] for row in taken.values() if row is not None]
        outputs[lookup.event_timestamp_output] = max(times, default=None)
    return outputs


def _matches(row: Row, spine_row: Row, lookup: AsOfLookup) -> bool:
    at = spine_row[lookup.timestamp_column]
    if at is None:
        return False
    for key, column in lookup.keys.items():
        if spine_row[column] is None or spine_row[column] != row[key]:
            return False
    if row["event_timestamp"] > at:
        return False
    if lookup.ttl is not None and at - row["event_timestamp"] > lookup.ttl:
        return False
    return _was_known(row, at, lookup.known_at)


def _was_known(row: Row, at: datetime, known_at: datetime | Literal["event"] | None) -> bool:
    if known_at is None:
        return True
    return row["created_timestamp"] <= (at if known_at == "event" else known_at)


def _order(row: Row, features: Sequence[str], ordered: Ordered) -> tuple[Any, ...]:
    """Event timestamp, created timestamp, then the content: requested features in declared order, null below all."""
    content = [(row[name] is not None, ordered(row[name])) for name in features]
    return (row["event_timestamp"], row["created_timestamp"], content)


def _taken_from(newest_first: Sequence[Row], feature: str, nulls: Literal["skip", "keep"]) -> Row | None:
    """The row that a feature's value is taken from: the newest (``keep``), or the newest that has one (``skip``)."""
    for row in newest_first:
        if nulls == "keep" or row[feature] is not None:
            return row
    return None
