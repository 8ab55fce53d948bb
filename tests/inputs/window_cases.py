"""Random small cases of windowed features: ties at both edges of windows, late and superseded events, moved keys,
nulls, both zeros, doubles that are huge and tiny.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa

from featurestore.columnar.windows.rules import WindowRules
from tests.reference.windows import KnownAt, Row

INSTANT = pa.timestamp("us", tz="UTC")
HOUR = 3_600_000_000
DAY = 24 * HOUR
NAN, INFINITY = float("nan"), float("inf")
DOUBLES = [
    [1.5, 0.0, -0.0, -2.0],
    [0.1, 0.2, 0.3, 19.99, -19.99],
    [1e300, 1.0, -1e300, 5e-324, -5e-324],
    [2.0**53, 1.0, -1.0, 2.0**-60],
    [1e16, 1.0, 1e-16, 1e-30, -1e16],
    [1e308, 1e308, -1e308, 1.7976931348623157e308],
    [5e-324, 1e-310, -2.2250738585072014e-308, 3e-320],
    [1e6, 1e6 + 2**-30, 1e6 - 2**-30],
    [1.0, 1e-80, 1e80, -1e80],
]
# By column: its type, and pools of values, of which a case takes one.
COLUMNS: dict[str, tuple[pa.DataType, list[list[Any]]]] = {
    "amount": (pa.float64(), [[*pool, NAN, INFINITY] if odd else pool for pool in DOUBLES for odd in (False, True)]),
    "ratio": (pa.float32(), [[0.5, -0.0, 0.0, 0.1, NAN], [3e38, 1e-45, 1.0]]),
    "whole": (pa.int64(), [[1, 2, 3, -3, 0], [2**53, 2**53 + 1, 1, -(2**53)], [2**62, -(2**62), 2**62 + 1, 7]]),
    "small": (pa.int32(), [[2**31 - 1, -(2**31), 5]]),
    "price": (pa.decimal128(10, 2), [[Decimal("0.10"), Decimal("19.99"), Decimal("-0.30"), Decimal("12345678.01")]]),
    "exact": (pa.decimal128(38, 20), [[Decimal("1e17"), Decimal("-1e17"), Decimal("1e-20"), Decimal("0.1")]]),
    "name": (pa.string(), [["a", "", "b", "é", "😀"]]),
    "flag": (pa.bool_(), [[True, False]]),
    "day": (pa.date32(), [[date(2026, 3, 1), date(1, 1, 1), date(1969, 12, 31)]]),
    "seen": (INSTANT, [[datetime(2026, 3, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)]]),
}
NUMBERS = ["amount", "ratio", "whole", "small", "price", "exact"]
OF_NUMBERS = ["sum", "avg", "stddev", "approx_percentile"]
OF_ALL = ["count", "min", "max", "first", "last", "last_n", "count_distinct"]


@dataclass(frozen=True)
class Case:
    """``spine``: (key, time) of each row; ``events``: all rows of all keys."""

    spine: list[tuple[Any, int | None]] = field(repr=False)
    events: list[Row] = field(repr=False)
    features: list[WindowRules]
    known_at: KnownAt
    has_created: bool
    has_ids: bool


def random_case(seed: int) -> Case:
    random = Random(seed)
    keys = list(range(random.choice([1, 1, 3, 6])))
    hours = random.choice([2, 8, 60])
    start = random.choice([0, 1_772_000_000_000_000, -62_135_000_000_000_000])
    # A late version of an event is created after other events, or at the same moment.
    lags = random.choice([[0], [0, 1, 3, 30], [0, 0, 0, 5], [-7, -1, 0, 2], [500]])
    known_at: KnownAt = random.choice([None, "event", "event", start + random.randint(-1, hours + 2) * HOUR])
    has_created = random.random() < 0.8
    ids: list[Any] = random.choice([[None], [None, 1, 2, 3], list(range(5)), list(range(40))])
    # As the column's type holds them.
    pools = {name: pa.array(random.choice(pools), kind).to_pylist() for name, (kind, pools) in COLUMNS.items()}
    null_share = random.choice([0.0, 0.2, 0.8])

    def moment() -> int:
        return start + random.randint(0, hours) * HOUR + random.choice([-1, 0, 0, 0, 1])

    def event() -> Row:
        time = moment()
        row: Row = {"key": random.choice([*keys, *keys, 99]), "time": time, "id": random.choice(ids)}
        row["created"] = time + random.choice(lags) * HOUR if has_created else time
        row |= {name: None if random.random() < null_share else random.choice(pool) for name, pool in pools.items()}
        return row | {"big": random.choice([True, False, None])}

    events = [event() for _ in range(random.choice([0, 1, 5, 30, 80]))]
    spine = [(random.choice([*keys, *keys, None]), random.choice([*[moment()] * 9, None]))
             for _ in range(random.choice([0, 1, 10, 30]))]  # fmt: skip
    features = [_feature(random, number) for number in range(random.choice([1, 5, 9]))]
    return Case(spine, events, features, known_at, has_created, ids != [None])


def _feature(random: Random, number: int) -> WindowRules:
    function: Any = random.choice([*OF_NUMBERS, *OF_ALL])
    of = random.choice(NUMBERS if function in OF_NUMBERS else [*COLUMNS, *([None] * 5 if function == "count" else [])])
    return WindowRules(
        name=f"f{number}", function=function, of=of,
        window=random.choice([None, 1, HOUR, HOUR, 3 * HOUR + 1, DAY, 2**62]),
        where=random.choice([None, None, "big"]),
        n=random.choice([1, 2, 3, 100]) if function == "last_n" else None,
        p=random.choice([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]) if function == "approx_percentile" else None,
        type=_type(function, of),
    )  # fmt: skip


def _type(function: str, of: str | None) -> pa.DataType:
    if function in ("count", "count_distinct"):
        return pa.int64()
    assert of is not None
    kind = COLUMNS[of][0]
    if function in ("avg", "stddev"):
        return pa.float64()
    if function == "sum":
        return pa.int64() if pa.types.is_integer(kind) else pa.float64()
    return pa.list_(kind) if function == "last_n" else kind
