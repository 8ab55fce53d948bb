"""Windowed features as DESIGN words them, in plain Python: slow, with loops and fractions. The tests' oracle.

Events are dicts with ``key``, ``time``, ``created``, ``id`` and their columns; moments are whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import copysign, isfinite
from typing import Any, Literal

from featurestore.columnar.windows.rules import WindowRules

Row = dict[str, Any]
KnownAt = int | Literal["event"] | None


def windowed(
    spine: Sequence[tuple[Any, int | None]], events: Sequence[Row], features: Sequence[WindowRules], known_at: KnownAt
) -> list[Row]:
    """A row per spine row; sums and deviations as ``value`` words them."""
    return [
        {rules.name: value(rules, _in_window(rules, key, at, _visible(events, at, known_at))) for rules in features}
        for key, at in spine
    ]


def _visible(events: Sequence[Row], at: int | None, known_at: KnownAt) -> list[Row]:
    """The rows that were known, and of the versions of one event the last."""
    moment = at if known_at == "event" else known_at
    known = [row for row in events if moment is None or row["created"] <= moment]
    newest: dict[Any, Row] = {}
    for row in known:
        if row["id"] is not None and (row["id"] not in newest or _version(newest[row["id"]]) < _version(row)):
            newest[row["id"]] = row
    return [row for row in known if row["id"] is None] + list(newest.values())


def _version(row: Row) -> tuple[Any, ...]:
    """Created timestamp, event timestamp, then the other columns, null below all."""
    content = [row["key"], *(row[name] for name in sorted(row) if name not in ("key", "time", "created", "id"))]
    return (row["created"], row["time"], [(each is not None, _ordered(each, nan=1)) for each in content])


def _ordered(value: Any, nan: int = 0) -> Any:
    if isinstance(value, float):
        return (nan, 0.0, 1.0) if value != value else (0, value, copysign(1.0, value))
    return value.encode() if isinstance(value, str) else value


def _in_window(rules: WindowRules, key: Any, at: int | None, events: Sequence[Row]) -> list[Row]:
    if key is None or at is None:
        return []
    return [
        row
        for row in events
        if row["key"] == key
        and row["time"] <= at
        and (rules.window is None or row["time"] > at - rules.window)
        and (rules.where is None or row[rules.where])
        and (rules.of is None or _counts(row[rules.of]))
    ]


def _counts(value: Any) -> bool:
    return value is not None and (not isinstance(value, float) or isfinite(value))


def value(rules: WindowRules, rows: Sequence[Row]) -> Any:
    """The function of these events. Sums are floats, or ints; averages are fractions, deviations the squared one."""
    if rules.function == "count":
        return len(rows)
    in_order = sorted(rows, key=lambda row: (row["time"], row["created"], _ordered(row[rules.of])))
    return _FUNCTIONS[rules.function](rules, [row[rules.of] for row in in_order])


def _sum(rules: WindowRules, values: Sequence[Any]) -> Any:
    if not values:
        return None
    total = sum(map(Fraction, values))
    if str(rules.type) == "int64":
        if not -(2**63) <= total < 2**63:
            raise OverflowError(rules.name)
        return int(total)
    return rounded(total)


def rounded(total: Fraction) -> float:
    try:
        return float(total)
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")


def _avg(rules: WindowRules, values: Sequence[Any]) -> Any:
    return sum(map(Fraction, values)) / len(values) if values else None


def _stddev(rules: WindowRules, values: Sequence[Any]) -> Any:
    """The variance."""
    if len(values) < 2:
        return None
    mean = sum(map(Fraction, values)) / len(values)
    return sum((Fraction(value) - mean) ** 2 for value in values) / (len(values) - 1)


def _min(rules: WindowRules, values: Sequence[Any]) -> Any:
    return min(values, key=_ordered, default=None)


def _max(rules: WindowRules, values: Sequence[Any]) -> Any:
    return max(values, key=_ordered, default=None)


def _first(rules: WindowRules, values: Sequence[Any]) -> Any:
    return values[0] if values else None


def _last(rules: WindowRules, values: Sequence[Any]) -> Any:
    return values[-1] if values else None


def _last_n(rules: WindowRules, values: Sequence[Any]) -> Any:
    return list(values[::-1][: rules.n]) if values else None


def _count_distinct(rules: WindowRules, values: Sequence[Any]) -> Any:
    return len(set(values))


def _approx_percentile(rules: WindowRules, values: Sequence[Any]) -> Any:
    """The smallest value such that at least ``p`` of all are at or below it."""
    in_order = sorted(values, key=_ordered)
    share = Fraction(Decimal(str(rules.p)))
    return next((each for rank, each in enumerate(in_order, 1) if rank >= share * len(values)), None)


_FUNCTIONS: Mapping[str, Callable[[WindowRules, Sequence[Any]], Any]] = {
    "sum": _sum, "avg": _avg, "stddev": _stddev, "min": _min, "max": _max, "first": _first, "last": _last,
    "last_n": _last_n, "count_distinct": _count_distinct, "approx_percentile": _approx_percentile,
}  # fmt: skip
