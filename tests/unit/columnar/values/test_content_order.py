"""What holds other values has an order, too, so that of rows that tie always the same one is the latest."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from featurestore.columnar.values.latest_order import content_ranks, latest_last

POINT = pa.struct([("x", pa.int64()), ("name", pa.string())])


def in_order(value: Any) -> Any:
    """A value of Python's as a key that sorts as the column does: null first, then part by part."""
    if value is None:
        return (0,)
    if isinstance(value, dict):
        return (1, *(in_order(part) for part in value.values()))
    if isinstance(value, (list, tuple)):
        return (1, tuple(in_order(part) for part in value))
    return (1, value.encode() if isinstance(value, str) else value)


def point(dice: random.Random) -> dict[str, Any] | None:
    return dice.choice([None, {"x": dice.choice([None, 1, 2]), "name": dice.choice([None, "", "a", "é"])}])


def several(one: Callable[[random.Random], Any]) -> Callable[[random.Random], Any]:
    """A list of at most two values, or null."""
    return lambda dice: dice.choice([None, [one(dice) for _ in range(dice.randrange(3))]])


def numbers(dice: random.Random) -> Any:
    return dice.choice([None, 1, 2])


COLUMNS: list[tuple[pa.DataType, Callable[[random.Random], Any]]] = [
    (POINT, point),
    (pa.struct([("inner", POINT), ("all", pa.list_(pa.int64()))]), lambda dice: {"inner": point(dice), "all": None}),
    (pa.list_(POINT), several(point)),
    # Lists of whole numbers would be ordered by their hash.
    (pa.large_list(pa.list_(pa.uint8())), several(several(numbers))),
    (pa.list_(pa.list_(pa.uint8(), 2)), several(lambda dice: dice.choice([None, [1, numbers(dice)], [2, None]]))),
    (pa.map_(pa.string(), POINT), several(lambda dice: (dice.choice("ab"), point(dice)))),
    (pa.list_(pa.time64("us")), several(lambda dice: dice.choice([None, time(1), time(2)]))),
    (pa.list_(pa.duration("ms")), several(lambda dice: dice.choice([None, timedelta(1), timedelta(2)]))),
    (pa.list_(pa.uint64()), several(lambda dice: dice.choice([None, 2**63, 1]))),
    (pa.list_(pa.dictionary(pa.int8(), pa.string())), several(lambda dice: dice.choice([None, "b", "a"]))),
    (pa.list_(pa.decimal256(50, 1)), several(lambda dice: dice.choice([None, Decimal("1.5"), Decimal("-2.5")]))),
    (pa.list_(pa.binary(2)), several(lambda dice: dice.choice([None, b"ab", b"aa"]))),
    (pa.binary(), lambda dice: dice.choice([None, b"", b"a"])),
    (pa.time32("s"), lambda dice: dice.choice([None, time(1), time(2)])),
]


@pytest.mark.parametrize(
    ("kind", "value"), COLUMNS, ids=lambda each: str(each) if isinstance(each, pa.DataType) else ""
)
def test_values_are_compared_part_by_part(kind: pa.DataType, value: Callable[[random.Random], Any]) -> None:
    dice = random.Random(3)
    values = [value(dice) for _ in range(60)]
    keys = [in_order(each) for each in values]
    distinct = sorted(set(keys))
    # A slice, since its values begin in the middle of what holds them.
    column = pa.chunked_array([pa.array([value(dice), *values[:30]], kind).slice(1), pa.array(values[30:], kind)])

    found = content_ranks(column).tolist()

    numbers = {rank: number for number, rank in enumerate(sorted(set(found)))}
    assert [numbers[rank] for rank in found] == [distinct.index(key) for key in keys]
    assert len(distinct) > 1


def test_the_latest_of_tied_rows_is_the_same_in_any_order_of_the_rows() -> None:
    times = pa.array([0, 0, 0], pa.timestamp("us", "UTC"))
    points = [{"x": 1, "name": "b"}, {"x": 2, "name": "a"}, None]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        rows = pa.table(
            {
                "event_timestamp": times,
                "created_timestamp": times,
                "point": pa.array([points[place] for place in order], POINT),
            }
        )

        latest = latest_last(rows, None, ["point"])[-1]

        assert rows.column("point")[latest].as_py() == {"x": 2, "name": "a"}
