"""Python objects as JSON, and any row as JSON whatever is in it."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from featurestore.kinds import reasons
from featurestore.kinds.json_text.json_values import json_text, printable, row_text
from featurestore.kinds.reasons import UnreadableError

MOMENT = datetime(2026, 11, 1, 1, 2, 3, 456789, tzinfo=UTC)


class Odd:
    """Every operation on it raises."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = object.__hash__


class OddMapping(dict[str, int]):
    def items(self) -> Any:
        raise KeyError


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def itself() -> list[Any]:
    value: list[Any] = []
    value += [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": None, "a": [1, 2.5, True, (3,)]}, '{"b":null,"a":[1,2.5,true,[3]]}'),
        ('é"\\\n\x1f\u2028\\u001f', '"é\\"\\\\\\n\\u001F\u2028\\\\u001f"'),
        ([1e16, 1e7, 1e-4, 0.001, -0.0, 5e-324], "[1.0E16,1.0E7,1.0E-4,0.001,-0.0,4.9E-324]"),
        ([np.float32(0.1), np.int8(3), np.bool_(True), np.str_("x")], '[0.1,3,true,"x"]'),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        ([Decimal("1.50"), Decimal("1234567890123456.78"), 2**70], "[1.50,1234567890123456.78,1180591620717411303424]"),
        ([MOMENT, MOMENT.replace(tzinfo=None)], '["2026-11-01T01:02:03.456789Z","2026-11-01T01:02:03.456789"]'),
        ([pd.Timestamp(MOMENT), date(2026, 1, 2), pd.NaT], '["2026-11-01T01:02:03.456789Z","2026-01-02",null]'),
        ({}, "{}"),
        (3, "3"),
    ],
)
def test_an_object_is_compact_json_in_the_spelling_of_spark(value: Any, text: str) -> None:
    assert json_text(value) == text


BAD = [
    ({"x": math.nan}, reasons.JSON_NOT_FINITE),
    ([np.float32("inf")], reasons.JSON_NOT_FINITE),
    ([Decimal("sNaN")], reasons.JSON_NOT_FINITE),
    ({(1, 2): 3}, reasons.JSON_KEY),
    ({1: 2}, reasons.JSON_KEY),
    ({"a": "\ud83d"}, reasons.NOT_UNICODE),
    ({"\ud83d": 1}, reasons.NOT_UNICODE),
    (itself(), reasons.TOO_DEEP),
    (nested(501), reasons.TOO_DEEP),
    (nested(100_000), reasons.TOO_DEEP),
    ([10**5000], "a number that JSON cannot hold exactly"),
    ([b"x"], "holds bytes, which JSON does not have"),
    ({"x": {1, 2}}, "holds set, which JSON does not have"),
    ([UUID(int=1)], "holds UUID, which JSON does not have"),
    ([np.timedelta64(1, "s")], "holds timedelta64, which JSON does not have"),
    ([1 + 2j], "holds complex, which JSON does not have"),
    ([Odd()], "holds Odd, which JSON does not have"),
]


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_a_value_that_json_lacks_is_a_reason(value: Any, reason: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        json_text(value)
    assert str(raised.value) == reason


@pytest.mark.parametrize("value", [*(value for value, _ in BAD), Odd(), OddMapping(a=1), {Odd(): Odd()}, "\ud83d"])
def test_a_row_is_kept_as_json_whatever_is_in_it(value: Any) -> None:
    text = row_text({"user_id": "ann", "value": value})

    text.encode("utf-8")
    assert json.loads(text)["user_id"] == "ann"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (Decimal("sNaN"), "sNaN"),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        ("\ud83d", "\ud83d"),
        (Odd(), "<Odd>"),
        (b"x", "b'x'"),
        (itself(), [reasons.TOO_DEEP, reasons.TOO_DEEP]),
        (OddMapping(a=1), {"cannot be read": "KeyError"}),
    ],
)
def test_a_rejected_row_shows_values_that_json_lacks(value: Any, expected: Any) -> None:
    assert json.loads(row_text([value])) == [expected]


class Unbound:
    """Asking for its class raises, as for a proxy of nothing."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError


class MadeOnAccess(Mapping[str, Any]):
    """Its children live only as long as somebody holds them."""

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def __getitem__(self, key: str) -> Any:
        return MadeOnAccess(self.levels - 1) if self.levels else 1

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


class OddText(str):
    def __getitem__(self, key: Any) -> str:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("dimensions", [2, 4, 6])
def test_arrays_of_many_dimensions(dimensions: int) -> None:
    array = np.arange(2**dimensions).reshape((2,) * dimensions)
    for _ in range(20):
        assert json.loads(json_text(array)) == array.tolist()
        assert json.loads(row_text({"v": array})) == {"v": array.tolist()}


def test_children_made_on_access_are_not_their_parents() -> None:
    def made(levels: int) -> Any:
        return {key: made(levels - 1) if levels else 1 for key in "ab"}

    assert json.loads(json_text(MadeOnAccess(5))) == made(5)


def test_an_object_that_tells_no_class_is_shown_by_its_type() -> None:
    assert row_text([Unbound(), {Unbound(): 1}]) == '["<Unbound>",{"<Unbound>":1}]'
    assert row_text(Unbound()) == '"<Unbound>"'


def test_the_methods_of_another_class_of_text_are_not_called() -> None:
    assert printable(OddText("zz")) == "zz"
    assert row_text({OddText("zz"): 1}) == '{"zz":1}'
