"""Columns of Python objects -> Arrow columns with every value unchanged, or a reason that names values and their rows.

Arrow and Spark infer a column's type from its first values and convert the others; here every value counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.arrow_columns import TIME_OF_DAY, exact_column
from featurestore.columnar.names import same_to_spark
from featurestore.columnar.python_kinds import AWARE, DATE, NAIVE, first_of_kinds, named_kinds, without_missing
from featurestore.columnar.python_moments import aware_moments, dates, durations, moments_in_zone, naive_moments
from featurestore.columnar.python_numbers import decimals, floats, integers, integers_beside_floats, numpy_numbers
from featurestore.columnar.unheld import ANY_KIND, UnheldError

_ADVICE = {
    "time": TIME_OF_DAY,
    "complex": "give its .real and its .imag as two columns, or drop it",
    "Interval": "give its ends, .left and .right, as two columns, make it text with .astype(str), or drop it",
    "Period": "make it text with .astype(str) or timestamps with .dt.to_timestamp(), or drop it",
}
_AS_JSON = "make it JSON text with json.dumps, or give every row the same keys"

# Takes values, the row of each, and whether timestamps are rounded down to the microsecond.
_Builder = Callable[[list[Any], Sequence[int], bool], pa.Array]


def python_column(values: Sequence[Any], down: bool = False) -> pa.Array:
    """A column of Python objects as an Arrow column; None, NaN, NaT and pd.NA are null, as in pandas.

    - Values of one kind keep it. Timestamps with a time zone become instants, whatever their zones. Integers may be
      mixed with floats or decimals if every integer stays exact. Integers beyond 64 bits become whole decimals.
    - ``down``: round timestamps down to the microsecond; if false, finer ones are refused.

    Raises UnheldError for values that no single column can hold unchanged.
    """
    return exact_column(_column(without_missing(values, nan=True), range(len(values)), down))


def instants(values: Sequence[Any], zone: str | None) -> pa.Array:
    """A column of timestamps, rounded down to the microsecond.

    Timestamps of one kind are read as ``python_column`` reads them. If kinds are mixed, each becomes an instant: one
    without a time zone is read in ``zone``, and refused if ``zone`` is None. All are also read in ``zone`` if one of
    them has ``fold=1`` (the second pass of a repeated hour), which a column without a time zone cannot express.
    """
    plain = without_missing(values, nan=True)
    kinds = first_of_kinds(plain)
    others = [kind for kind in kinds if kind not in (AWARE, NAIVE, DATE)]
    is_second = NAIVE in kinds and any(getattr(value, "fold", 0) for value in plain)
    if len(kinds) <= 1 and (others or zone is None or not is_second):
        return exact_column(_column(plain, range(len(plain)), down=True))
    if others or zone is None:
        advice = "give every value its time zone, or name the zone to read them in as timestamp_zone in the settings"
        raise UnheldError(
            f"holds {named_kinds(kinds, range(len(plain)))}", "give a datetime in every row" if others else advice
        )
    return moments_in_zone(plain, zone)


def _column(values: list[Any], rows: Sequence[int], down: bool) -> pa.Array:
    kinds = first_of_kinds(values)
    if not kinds:
        return pa.nulls(len(values))
    for accepted, build in _BUILDERS:
        if kinds.keys() <= accepted:
            return build(values, rows, down)
    named = named_kinds(kinds, rows)
    if len(kinds) == 1:
        raise UnheldError(f"holds {named}, which Spark has no type for", _ADVICE.get(next(iter(kinds)), ANY_KIND))
    raise UnheldError(f"holds {named}, and no column holds these beside each other unchanged")


def _texts(values: list[Any], rows: Sequence[int]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError as error:
        position = next(position for position, value in enumerate(values) if value is not None and _is_broken(value))
        raise UnheldError(
            f"holds {values[position]!a} (row {rows[position]}), which is not valid Unicode text",
            "mend it, or make it bytes",
        ) from error


def _is_broken(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _bytes(values: list[Any]) -> pa.Array:
    return pa.array([None if value is None else bytes(value) for value in values], pa.binary())


def _lists(values: list[Any], rows: Sequence[int], down: bool) -> pa.Array:
    for position, value in enumerate(values):
        if isinstance(value, np.ndarray) and value.ndim == 0:
            raise UnheldError(f"holds an array without dimensions (row {rows[position]})", "give its .item()")
    present = [value for value in values if value is not None]
    lengths = [0 if value is None else len(value) for value in values]
    items = numpy_numbers(present)
    if items is None:
        flat = without_missing(list(chain.from_iterable(present)), nan=False)
        items = _typed(_column(flat, np.repeat(np.asarray(rows), lengths).tolist(), down))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, items, mask=_nulls(values))


def _dicts(values: list[Any], rows: Sequence[int], down: bool) -> pa.Array:
    parts = {}
    for name in _field_names(values, rows):
        inner = [None if value is None else value[name] for value in values]
        parts[name] = _typed(_column(without_missing(inner, nan=False), rows, down))
    return pa.StructArray.from_arrays(list(parts.values()), names=list(parts), mask=_nulls(values))


def _field_names(values: list[Any], rows: Sequence[int]) -> list[str]:
    first, *others = (position for position, value in enumerate(values) if value is not None)
    names = list(values[first])
    if not names or not all(isinstance(name, str) and not _is_broken(name) for name in names):
        raise UnheldError(
            f"holds a dict with the keys {names[:5]} (row {rows[first]}); keys are text, one or more", _AS_JSON
        )
    for position in others:
        if values[position].keys() != values[first].keys():
            raise UnheldError(
                f"holds dicts with the keys {names[:5]} (row {rows[first]}) and {list(values[position])[:5]} "
                f"(row {rows[position]})",
                _AS_JSON,
            )
    doubled = same_to_spark(names)
    if doubled:
        raise UnheldError(f"holds dicts whose keys {doubled[0]} are the same to Spark, which ignores case", _AS_JSON)
    return names


def _nulls(values: list[Any]) -> pa.Array:
    return pa.array([value is None for value in values], pa.bool_())


def _typed(array: pa.Array) -> pa.Array:
    """The array with a type: a nested column needs one even if it holds only nulls."""
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


_BUILDERS: tuple[tuple[set[str], _Builder], ...] = (
    ({"str"}, lambda values, rows, down: _texts(values, rows)),
    ({"bool"}, lambda values, rows, down: pa.array(values, pa.bool_())),
    ({"int"}, lambda values, rows, down: integers(values)),
    ({"float"}, lambda values, rows, down: floats(values)),
    ({"int", "float"}, lambda values, rows, down: integers_beside_floats(values, rows)),
    ({"int", "Decimal"}, lambda values, rows, down: decimals(values, rows)),
    ({"bytes"}, lambda values, rows, down: _bytes(values)),
    ({DATE}, lambda values, rows, down: dates(values, rows)),
    ({AWARE}, aware_moments),
    ({NAIVE}, naive_moments),
    ({"timedelta"}, lambda values, rows, down: durations(values, rows)),
    ({"list"}, _lists),
    ({"dict"}, _dicts),
)
