"""How well a feature predicts the label, over a sample that is in memory.

Good features predict much of the label; a leak predicts all of it. There are three measures, because each finds what
the others miss: rows in which the feature equals the label, Pearson's correlation, and the share of errors saved when
the label is guessed from the feature (Goodman and Kruskal's lambda, Journal of the American Statistical Association 49,
1954, 732-764).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

# A label with more distinct numbers than _CLASSES is cut into at most as many classes, of equal size and enough rows.
_CLASSES, _ROWS_A_CLASS = 20, 500
# A feature with this many rows per value, on average, is judged by all rows; others are judged by held-out rows.
_ROWS_A_VALUE = 10
# Entities are held out, so that a value unique to one (a birthday) predicts nothing for the others. If there are fewer
# than these, rows are held out instead.
_ENTITIES = 30


@dataclass(frozen=True)
class Values:
    """One column of a sample: ``array`` has its numbers as float64, or hashes of values of other types."""

    array: npt.NDArray[Any]
    missing: Mask

    @property
    def are_numbers(self) -> bool:
        return self.array.dtype == np.float64


@dataclass(frozen=True)
class Agreement:
    """The agreement of a feature with the label.

    - ``rows``: rows that have both; ``others``: rows among them with another label than the commonest;
    - ``equal``: rows in which they are equal; None if their types cannot be equal;
    - ``correlation``: of numbers; None for other types, and if one of the two is constant;
    - ``guessed``: rows whose label was guessed from the feature (missing counts as a value); ``base_errors``: rows
      among them without the commonest label; ``errors``: rows among them without the guessed label.
    """

    rows: int
    others: int
    equal: int | None
    correlation: float | None
    guessed: int
    base_errors: int
    errors: int

    @property
    def equality(self) -> float:
        """1 if they are always equal, 0 if guessing the commonest label does as well."""
        if self.equal is None or not self.others:
            return 0.0
        return 1 - (self.rows - self.equal) / self.others

    @property
    def errors_saved(self) -> float:
        """Lambda: the share of errors that guessing from the feature saves, over guessing the commonest label."""
        return 1 - self.errors / self.base_errors if self.base_errors else 0.0


def label_classes(label: Values) -> Codes:
    """The label as classes, from 0 on; many numbers become classes of about equal size. No label is missing."""
    distinct, codes = np.unique(label.array, return_inverse=True)
    if not label.are_numbers or len(distinct) <= _CLASSES:
        return codes.astype(np.int64)
    classes = min(_CLASSES, max(2, len(label.array) // _ROWS_A_CLASS))
    cuts = np.quantile(label.array, np.arange(1, classes) / classes)
    return np.searchsorted(cuts, label.array, side="right").astype(np.int64)


def is_many_numbers(label: Values) -> bool:
    return label.are_numbers and len(np.unique(label.array)) > _CLASSES


def agreement(feature: Values, label: Values, comparable: bool, entities: Codes, rows: Codes) -> Agreement:
    """Compare one feature with the label; ``entities`` and ``rows`` are hashes of each row's keys and of the row."""
    classes = label_classes(label)
    commonest = int(np.bincount(classes).argmax())
    both = ~feature.missing
    equal = int((feature.array[both] == label.array[both]).sum()) if comparable else None
    codes, values = value_codes(feature)
    train, test = _train_and_test(codes, len(values), entities, rows)
    guesses = np.full(len(values) + 1, commonest, dtype=np.int64)
    seen, guess_of_seen = _most_frequent(codes[train], classes[train])
    guesses[:-1] = _guesses_for_unseen(feature, values, seen, guess_of_seen, classes[train & both], commonest)
    guesses[seen] = guess_of_seen
    return Agreement(
        rows=int(both.sum()),
        others=int((classes[both] != commonest).sum()),
        equal=equal,
        correlation=_correlation(feature, label, both),
        guessed=int(test.sum()),
        base_errors=int((classes[test] != commonest).sum()),
        errors=int((classes[test] != guesses[codes[test]]).sum()),
    )


def _train_and_test(codes: Codes, values: int, entities: Codes, rows: Codes) -> tuple[Mask, Mask]:
    """The rows to learn guesses from and the rows to judge them by: all for both, if each value has enough rows."""
    number_of_entities = len(np.unique(entities))
    has_few_entities = number_of_entities < _ENTITIES
    enough = len(codes) if has_few_entities else min(len(codes), number_of_entities)
    if values * _ROWS_A_VALUE <= enough:
        everything = np.ones(len(codes), dtype=bool)
        return everything, everything
    held_out: Mask = (rows if has_few_entities else entities) % 2 == 1
    return ~held_out, held_out


def value_codes(feature: Values) -> tuple[Codes, npt.NDArray[Any]]:
    """A feature's values as codes, in their order, and the value of each code; the last code is for missing values."""
    present = ~feature.missing
    values, codes_of_present = np.unique(feature.array[present], return_inverse=True)
    codes = np.full(len(feature.array), len(values), dtype=np.int64)
    codes[present] = codes_of_present
    return codes, values


def _guesses_for_unseen(
    feature: Values, values: npt.NDArray[Any], seen: Codes, guess_of_seen: Codes, classes: Codes, commonest: int
) -> Codes:
    """For each value, the class to guess if training rows do not have it.

    For a number, the guess for the nearest number that they have; else their most frequent class (``classes``: those of
    training rows with any value).
    """
    is_value = seen < len(values)
    if feature.are_numbers and is_value.any():
        return guess_of_seen[is_value][_nearest(values[seen[is_value]], values)]
    fallback = int(np.bincount(classes).argmax()) if len(classes) else commonest
    return np.full(len(values), fallback, dtype=np.int64)


def _most_frequent(codes: Codes, classes: Codes) -> tuple[Codes, Codes]:
    """The distinct codes, in order, and the most frequent class of each."""
    size = int(classes.max(initial=0)) + 1
    pairs, counts = np.unique(codes * size + classes, return_counts=True)
    order = np.lexsort((pairs, -counts, pairs // size))
    distinct, first = np.unique(pairs[order] // size, return_index=True)
    return distinct, pairs[order][first] % size


def _nearest(candidates: npt.NDArray[Any], numbers: npt.NDArray[Any]) -> Codes:
    """For each number, the place of the nearest candidate; both are in order."""
    after = np.clip(np.searchsorted(candidates, numbers), 0, len(candidates) - 1)
    before = np.clip(after - 1, 0, len(candidates) - 1)
    is_nearer = np.abs(numbers - candidates[before]) < np.abs(candidates[after] - numbers)
    return np.where(is_nearer, before, after).astype(np.int64)


def _correlation(feature: Values, label: Values, both: Mask) -> float | None:
    if not (feature.are_numbers and label.are_numbers) or both.sum() < 2:
        return None
    feature_numbers, label_numbers = feature.array[both], label.array[both]
    if np.ptp(feature_numbers) == 0 or np.ptp(label_numbers) == 0:
        return None
    # The squares of numbers near the end of a float64's range are infinite; the correlation is unknown then.
    with np.errstate(over="ignore", invalid="ignore"):
        correlation = float(np.corrcoef(feature_numbers, label_numbers)[0, 1])
    return correlation if np.isfinite(correlation) else None
