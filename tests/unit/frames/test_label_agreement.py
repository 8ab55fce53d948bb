"""Findings about a feature and the label: leaks of every kind are found, honest features of every kind are not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from featurestore.frames.training_sets.label_agreement import Agreement, Values, agreement, is_many_numbers
from featurestore.operations.auditing.audit_findings import like_label, rounded_up

ROWS = 2000
GENERATOR = np.random.default_rng(7)
LABEL = GENERATOR.random(ROWS) < 0.3
RARE = GENERATOR.random(ROWS) < 0.01
AMOUNT = GENERATOR.gamma(2.0, 30.0, ROWS)
NOISE = GENERATOR.normal(size=ROWS)
USERS = GENERATOR.permutation(ROWS) // 4


def numbers(values: Any) -> Values:
    array = np.asarray(values, dtype=np.float64)
    return Values(array, np.isnan(array))


def texts(values: Any) -> Values:
    """As the audit holds texts: hashes."""
    listed = list(values)
    array = np.array([hash(value) for value in listed], dtype=np.int64)
    return Values(array, np.array([value is None for value in listed]))


def judged(feature: Values, label: Any, comparable: bool = True, users: Any = USERS) -> str:
    """The finding's check and severity; ``nothing`` where there is none."""
    values = numbers(label)
    result = compared(feature, values, comparable, users)
    finding = like_label("x", "late", result, is_many_numbers(values))
    return "nothing" if finding is None else f"{finding.check} {finding.severity}"


def compared(feature: Values, label: Values, comparable: bool, users: Any) -> Agreement:
    entities = np.asarray(users, dtype=np.int64) * 7919
    rows = np.random.default_rng(1).integers(0, 2**62, len(label.array))
    return agreement(feature, label, comparable, entities ^ (entities >> 5), rows)


LEAKS: dict[str, tuple[Callable[[], Values], Any, str]] = {
    "the label": (lambda: numbers(LABEL), LABEL, "equals_label error"),
    "the label, mostly missing": (
        lambda: numbers(np.where(np.arange(ROWS) % 9 == 0, LABEL, np.nan)),
        LABEL,
        "equals_label error",
    ),
    "its opposite": (lambda: numbers(~LABEL), LABEL, "tells_label error"),
    "the label as text": (lambda: texts(np.where(LABEL, "yes", "no")), LABEL, "tells_label error"),
    "many texts of each label": (
        lambda: texts(f"{late} {user % 40}" for late, user in zip(LABEL, USERS, strict=True)),
        LABEL,
        "tells_label error",
    ),
    "what the label is a threshold of": (lambda: numbers(AMOUNT), AMOUNT > 90, "tells_label error"),
    "there only where the label is": (
        lambda: numbers(np.where(LABEL, NOISE, np.nan)),
        LABEL,
        "tells_label error",
    ),
    "an identifier there only where the label is": (
        lambda: texts(str(row) if late else None for row, late in enumerate(LABEL)),
        LABEL,
        "tells_label error",
    ),
    "a rare label": (lambda: numbers(RARE), RARE, "equals_label error"),
    "a number that is the label": (lambda: numbers(AMOUNT), AMOUNT, "equals_label error"),
    "a number in another unit": (lambda: numbers(AMOUNT * 1.8 + 32), AMOUNT, "tells_label warning"),
    "a number's logarithm": (lambda: numbers(np.log(AMOUNT)), AMOUNT, "tells_label warning"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_seen(name: str) -> None:
    feature, label, expected = LEAKS[name]

    assert judged(feature(), label) == expected


def flipped(share: float) -> np.ndarray[Any, Any]:
    return np.where(np.random.default_rng(3).random(ROWS) < share, ~LABEL, LABEL)


HONEST: dict[str, tuple[Callable[[], Values], Any]] = {
    "noise": (lambda: numbers(NOISE), LABEL),
    "right in nine rows of ten": (lambda: numbers(flipped(0.10)), LABEL),
    "right in 97 rows of 100": (lambda: numbers(flipped(0.03)), LABEL),
    "a strong number": (lambda: numbers(LABEL * 3.0 + NOISE), LABEL),
    "different in every row": (lambda: texts(str(row) for row in range(ROWS)), LABEL),
    "a number different in every row": (lambda: numbers(np.arange(ROWS)), LABEL),
    "constant": (lambda: numbers(np.ones(ROWS)), LABEL),
    "always missing": (lambda: numbers(np.full(ROWS, np.nan)), LABEL),
    "nearly constant as the label is": (lambda: numbers(NOISE > 9), RARE),
    "noise beside a rare label": (lambda: numbers(NOISE), RARE),
    "a strong number beside a number": (lambda: numbers(AMOUNT + 5 * NOISE), AMOUNT),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_feature_is_left_alone(name: str) -> None:
    feature, label = HONEST[name]

    assert judged(feature(), label) == "nothing"


def test_what_is_unique_to_an_entity_tells_nothing_where_the_label_is_the_entitys() -> None:
    """Birthdays, where each user has one label: a model learns nothing from them about others."""
    label = (USERS * 2654435761 % 1000) < 300
    birthdays = USERS * 977.0 % 30011

    assert judged(numbers(birthdays), label) == "nothing"
    assert judged(texts(str(day) for day in birthdays), label) == "nothing"
    assert judged(numbers(label), label) == "equals_label error"


def test_values_of_other_types_than_the_labels_are_not_called_equal() -> None:
    assert judged(numbers(LABEL), LABEL, comparable=False) == "tells_label error"


@pytest.mark.parametrize(
    ("rows", "others", "expected"),
    [(9, 4, "nothing"), (10, 2, "nothing"), (10, 3, "equals_label error"), (12, 6, "equals_label error")],
)
def test_a_few_rows_prove_nothing(rows: int, others: int, expected: str) -> None:
    label = np.arange(rows) < others

    assert judged(numbers(label), label, users=np.arange(rows)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1.0, "0:00:01"), (61.0, "0:02:00"), (90_001.0, "2 days, 0:00:00"), (4e7, "730 days, 0:00:00")],
)
def test_a_ttl_is_named_as_people_write_it(seconds: float, expected: str) -> None:
    assert str(rounded_up(seconds)) == expected
