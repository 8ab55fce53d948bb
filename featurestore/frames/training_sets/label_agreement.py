"""How much of the label a feature tells, over a sample that is in memory.

Ordinary good features tell much; a leak tells all. Three measures, because each sees what the others miss: rows in
which the feature equals the label, Pearson's correlation, and how many fewer errors there are when the label is guessed
from the feature (Goodman and Kruskal's lambda, Journal of the American Statistical Association 49, 1954, 732-764).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

# A label of more numbers than these is cut into as many classes of equal size, in each of which there are rows enough.
_CLASSES, _ROWS_A_CLASS = 20, 500
# A value that is seen so often on the average can be judged by the rows it is in; others by rows that were held out.
_ROWS_A_VALUE = 10
# Held out are entities, so that what is unique to one (a birthday) tells nothing of the others; of few, rows are.
_ENTITIES = 30


@dataclass(frozen=True)
class Values:
    """One column of a sample: ``numbers`` (a float64; NaN is missing), or hashes of other values with ``missing``."""

    held: npt.NDArray[Any]
    missing: Mask

    @property
    def are_numbers(self) -> bool:
        return self.held.dtype == np.float64


@dataclass(frozen=True)
class Agreement:
    """A feature beside the label.

    - ``rows``: that have both, and ``others``: those of them whose label is not the commonest;
    - ``equal``: rows in which they are equal; none where their types cannot be;
    - ``correlation``: of numbers, none where one of them is constant;
    - ``guessed``: rows whose label was guessed from the feature (missing counts as a value), of which ``base_errors`` do not have
      the commonest label and ``errors`` not the guessed one.
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
        """1 where they are always equal, 0 where the commonest label alone does as well."""
        if self.equal is None or not self.others:
            return 0.0
        return 1 - (self.rows - self.equal) / self.others

    @property
    def told(self) -> float:
        """Lambda: the share of the errors of guessing the commonest label that the feature saves."""
        return 1 - self.errors / self.base_errors if self.base_errors else 0.0


def label_classes(label: Values) -> Codes:
    """The label as classes, from 0 on; many numbers as classes of about equal size. No label is missing."""
    distinct, codes = np.unique(label.held, return_inverse=True)
    if not label.are_numbers or len(distinct) <= _CLASSES:
        return codes.astype(np.int64)
    classes = min(_CLASSES, max(2, len(label.held) // _ROWS_A_CLASS))
    cuts = np.quantile(label.held, np.arange(1, classes) / classes)
    return np.searchsorted(cuts, label.held, side="right").astype(np.int64)


def is_many_numbers(label: Values) -> bool:
    return label.are_numbers and len(np.unique(label.held)) > _CLASSES


def agreement(feature: Values, label: Values, comparable: bool, entities: Codes, rows: Codes) -> Agreement:
    """Compare one feature with the label; ``entities`` and ``rows`` are hashes of the rows' keys and of the rows."""
    classes = label_classes(label)
    commonest = int(np.bincount(classes).argmax())
    both = ~feature.missing
    equal = int((feature.held[both] == label.held[both]).sum()) if comparable else None
    codes, values = value_codes(feature)
    few_entities = len(np.unique(entities)) < _ENTITIES
    known_well = len(values) * _ROWS_A_VALUE <= len(codes) and (
        few_entities or len(values) * _ROWS_A_VALUE <= len(np.unique(entities))
    )
    if known_well:
        held_out = learned = np.ones(len(codes), dtype=bool)
    else:
        held_out = (rows if few_entities else entities) % 2 == 1
        learned = ~held_out
    guesses = np.full(len(values) + 1, commonest, dtype=np.int64)
    known, guessed = _most_frequent(codes[learned], classes[learned])
    guesses[:-1] = _of_unknown(feature, values, known, guessed, classes[learned & both], commonest)
    guesses[known] = guessed
    return Agreement(
        rows=int(both.sum()),
        others=int((classes[both] != commonest).sum()),
        equal=equal,
        correlation=_correlation(feature, label, both),
        guessed=int(held_out.sum()),
        base_errors=int((classes[held_out] != commonest).sum()),
        errors=int((classes[held_out] != guesses[codes[held_out]]).sum()),
    )


def value_codes(feature: Values) -> tuple[Codes, npt.NDArray[Any]]:
    """A feature's values as codes, in their order, and the value of each code; the last code is that of missing."""
    there = ~feature.missing
    values, found = np.unique(feature.held[there], return_inverse=True)
    codes = np.full(len(feature.held), len(values), dtype=np.int64)
    codes[there] = found
    return codes, values


def _of_unknown(
    feature: Values, values: npt.NDArray[Any], known: Codes, guessed: Codes, classes: Codes, commonest: int
) -> Codes:
    """By value, the class to guess where the value is not known: of a number, that of the nearest number that is; else
    the one that is most frequent where there is any value at all (``classes``)."""
    valued = known < len(values)
    if feature.are_numbers and valued.any():
        return guessed[valued][_nearest(values[known[valued]], values)]
    fallback = int(np.bincount(classes).argmax()) if len(classes) else commonest
    return np.full(len(values), fallback, dtype=np.int64)


def _most_frequent(codes: Codes, classes: Codes) -> tuple[Codes, Codes]:
    """The codes that there are, in order, and the class that each most often has."""
    size = int(classes.max(initial=0)) + 1
    pairs, counts = np.unique(codes * size + classes, return_counts=True)
    order = np.lexsort((pairs, -counts, pairs // size))
    known, first = np.unique(pairs[order] // size, return_index=True)
    return known, pairs[order][first] % size


def _nearest(known: npt.NDArray[Any], asked: npt.NDArray[Any]) -> Codes:
    """For each number asked, the place of the nearest one that is known; both are in order."""
    after = np.clip(np.searchsorted(known, asked), 0, len(known) - 1)
    before = np.clip(after - 1, 0, len(known) - 1)
    is_nearer = np.abs(asked - known[before]) < np.abs(known[after] - asked)
    return np.where(is_nearer, before, after).astype(np.int64)


def _correlation(feature: Values, label: Values, both: Mask) -> float | None:
    if not (feature.are_numbers and label.are_numbers) or both.sum() < 2:
        return None
    left, right = feature.held[both], label.held[both]
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    # Of numbers near the end of a float64's range the squares are infinite: there is no telling then.
    with np.errstate(over="ignore", invalid="ignore"):
        found = float(np.corrcoef(left, right)[0, 1])
    return found if np.isfinite(found) else None
