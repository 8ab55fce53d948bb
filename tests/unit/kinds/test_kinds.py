"""Each kind of value, without Spark: what it reads from Python objects, and how it words what it cannot read."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from featurestore.definitions.values.types import ARRAY_TYPES, SCALAR_TYPES
from featurestore.kinds.kind import Moments
from featurestore.kinds.reasons import UnreadableError
from featurestore.kinds.registry import KINDS, kind_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("word", "value", "expected"),
    [
        ("double", np.float32(0.5), 0.5),
        ("double", Decimal("0.1"), 0.1),
        ("double", 2**53, 2.0**53),
        ("float", 1.5, 1.5),
        ("long", np.float64(3), 3),
        ("long", Decimal("3.00"), 3),
        ("int", 2**31 - 1, 2**31 - 1),
        ("boolean", np.True_, True),
        ("string", "é", "é"),
        ("timestamp", "2026-11-01T13:00:00+01:00", NOON),
        ("timestamp", datetime(2026, 11, 1, 13, tzinfo=timezone(timedelta(hours=1))), NOON),
        ("date", "20261101", date(2026, 11, 1)),
        ("json", {"a": [1, None]}, '{"a":[1,null]}'),
        ("array<double>", np.array([1, 2]), [1.0, 2.0]),
        ("array<string>", ("a", None), ["a", None]),
        ("embedding(2)", [1, 0.5], [1.0, 0.5]),
    ],
)
def test_a_value_is_read_losslessly(word: str, value: Any, expected: Any) -> None:
    assert kind_of(word).read_python(value) == expected


@pytest.mark.parametrize(
    ("word", "value", "reason"),
    [
        ("double", "1", "expected double, found str"),
        ("double", True, "expected double, found bool"),
        ("double", 2**53 + 1, "a number that double cannot hold exactly"),
        ("float", 1e39, "beyond the range of float"),
        ("long", 2.5, "not a whole number, for long"),
        ("long", float("nan"), "not a whole number, for long"),
        ("long", Decimal("1e999999999"), "beyond the range of long"),
        ("int", 2**31, "beyond the range of int"),
        ("boolean", 1, "expected boolean, found int"),
        ("string", "\ud800", "not valid Unicode text"),
        ("timestamp", NOON.replace(tzinfo=None), "timestamp without a time zone"),
        ("timestamp", date(2026, 11, 1), "a date without a time"),
        ("timestamp", "noon", "not readable as timestamp"),
        ("date", NOON, "expected date, found datetime"),
        ("json", {1: 2}, "holds a key that is not text; keys in JSON are text"),
        ("array<double>", [2**53 + 1], "a number that double cannot hold exactly"),
        ("array<double>", np.zeros((2, 2)), "expected array<double>, found an array of 2 dimensions"),
        ("array<string>", [1], "expected string, found int"),
        ("embedding(2)", 0.5, "expected embedding(2), found float"),
        ("embedding(2)", [1e39], "beyond the range of float"),
    ],
)
def test_a_value_that_cannot_be_read_has_a_reason(word: str, value: Any, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        kind_of(word).read_python(value)

    assert str(refused.value) == reason


def test_a_naive_timestamp_is_read_in_the_zone_and_rounded_up_or_down() -> None:
    finer = np.datetime64("2026-11-01T13:00:00.000000001")

    assert kind_of("timestamp").read_python(finer, Moments("Europe/Berlin", finer="down")) == NOON
    assert kind_of("timestamp").read_python(finer, Moments("Europe/Berlin", finer="up")) == NOON.replace(microsecond=1)


def test_every_feature_type_has_a_kind() -> None:
    assert set(KINDS) == {*SCALAR_TYPES, *ARRAY_TYPES}
    assert {word: kind.word for word, kind in KINDS.items()} == {word: word for word in KINDS}
    assert kind_of("embedding(3)").word == "embedding(3)"


def test_python_values_are_read_without_spark() -> None:
    script = (
        "import sys; from featurestore.kinds.registry import KINDS, kind_of\n"
        "[kind_of(word).arrow_type for word in (*KINDS, 'embedding(2)')]\n"
        "kind_of('embedding(2)').read_python([1, 2]); kind_of('json').read_python({'a': 1})\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in ('pyspark', 'py4j')))"
    )

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"
