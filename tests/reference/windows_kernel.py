"""What the kernel of windowed features answers on a case, and where that differs from the naive reference."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from math import inf, isinf, nextafter
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

import featurestore.columnar.windows.join
from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.columnar.windows.rules import WindowRules
from featurestore.errors import TransformationError
from tests.inputs.window_cases import COLUMNS, INSTANT, Case
from tests.reference.exact_numbers import is_near
from tests.reference.windows import Row, rounded, windowed

ROOM = featurestore.columnar.windows.__name__
OVERFLOW = "a sum is beyond the longs"


@dataclass(frozen=True)
class Limits:
    """The kernel's limits: as in production, or so small that tiny tables exceed them.

    ``rows`` of a chunk, the ``bits`` of a packed long, the ``width`` of a part of a number, and ``parts``: the most of
    a number; ``values``: the most of a piece of lists.
    """

    rows: int = 1 << 18
    bits: int = 63
    width: int = 52
    parts: int = 8
    values: int = 1 << 24

    @property
    def constants(self) -> dict[tuple[str, str], int]:
        """By module and name."""
        return {
            ("chunks", "_MOST_ROWS"): self.rows,
            ("timelines", "_BITS"): self.bits,
            ("exact_numbers", "_WIDTH"): self.width,
            ("exact_numbers", "_MOST_PARTS"): self.parts,
            ("outputs", "_MOST_VALUES"): self.values,
        }


LIMITS = [Limits(), Limits(rows=10, width=33, parts=80), Limits(rows=1, bits=20, parts=1, values=3)]


@dataclass(frozen=True)
class Kernel:
    """The modules of the kernel, by name without the package."""

    modules: Mapping[str, ModuleType]

    @classmethod
    def imported(cls) -> Kernel:
        room = f"{ROOM}."
        return cls({name.removeprefix(room): each for name, each in sys.modules.items() if name.startswith(room)})

    def limit(self, limits: Limits) -> None:
        """Change the limits of these modules, for as long as they live."""
        for (module, name), value in limits.constants.items():
            setattr(self.modules[module], name, value)

    def answers(self, case: Case, order: Sequence[int], threads: int = 1) -> list[Row] | str:
        """``order``: of the events; ``OVERFLOW`` if that is what the kernel raises."""
        keys, times = ([row[place] for row in case.spine] for place in range(2))
        spine = SpineRows.of([pa.array(keys, pa.int64())], pa.array(times, INSTANT))
        try:
            columns = self.modules["join"].windowed(
                spine, self.events(case, order, spine), case.features, known_at=case.known_at, threads=threads
            )
        except TransformationError:
            return OVERFLOW
        assert {name: column.type for name, column in columns.items()} == {
            each.name: each.type for each in case.features
        }
        rows = {name: column.to_pylist() for name, column in columns.items()}
        return [{name: values[row] for name, values in rows.items()} for row in range(len(case.spine))]

    def events(self, case: Case, order: Sequence[int], spine: SpineRows) -> Any:
        events = [case.events[at] for at in order]
        types = {"key": pa.int64(), "big": pa.bool_(), **{name: kind for name, (kind, _) in COLUMNS.items()}}
        arrays = {name: pa.array([row[name] for row in events], kind) for name, kind in types.items()}
        halves = {name: pa.chunked_array([array[:3], array[3:]]) for name, array in arrays.items()}
        times, created = (np.array([row[name] for row in events], np.int64) for name in ("time", "created"))
        until = None
        if case.has_ids:
            ids = pa.array([row["id"] for row in events], pa.int64())
            content = [halves["key"], *(halves[name] for name in sorted(types) if name != "key")]
            until = self.modules["event_rows"].superseded_at(ids, created if case.has_created else None, times, content)
        return self.modules["event_rows"].EventRows(
            spine.keys.find([arrays["key"]]), times, created if case.has_created else None, until, halves
        )


def expected_answers(case: Case) -> list[Row] | str:
    """By the reference."""
    try:
        return windowed(case.spine, case.events, case.features, case.known_at)
    except OverflowError:
        return OVERFLOW


def difference(case: Case, expected: list[Row] | str, answers: list[Row] | str) -> str | None:
    """The first row and feature that differ, in words; None if none does."""
    if isinstance(expected, str) or isinstance(answers, str):
        return None if expected == answers else f"{expected!r} expected, {answers!r} found"
    if len(expected) != len(answers):
        return f"{len(expected)} rows expected, {len(answers)} found"
    for number, (wanted, row) in enumerate(zip(expected, answers, strict=True)):
        for rules in case.features:
            if not _is_same(rules, wanted[rules.name], row[rules.name]):
                return f"row {number}, {rules}: {wanted[rules.name]!r} expected, {row[rules.name]!r} found"
    return None


def _is_same(rules: WindowRules, wanted: Any, found: Any) -> bool:
    if wanted is None or found is None:
        return wanted is None and found is None
    if rules.function == "avg":
        if rules.of in ("amount", "ratio"):
            return found == rounded(wanted) or is_near(found, wanted)
        return bool(found == rounded(wanted))
    if rules.function == "stddev":
        if isinf(found):
            return bool(wanted >= Fraction(nextafter(inf, 0)) ** 2)
        low, high = nextafter(found, -inf), nextafter(found, inf)
        return bool(max(Fraction(low), 0) ** 2 <= wanted <= (Fraction(high) ** 2 if high < inf else wanted))
    return _plain(wanted) == _plain(found)


def _plain(value: Any) -> Any:
    """A value by which two are compared, with the sign of zeros."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return repr(value) if isinstance(value, float) else value
