"""``array<double>``, ``array<string>`` and ``embedding(dims)``: lists, tuples and one-dimensional NumPy arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.definitions.values.types import parse_type
from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns import numbers as arrow_numbers
from featurestore.kinds.arrow_columns.lists import any_element, first_fault, is_list_type, with_elements
from featurestore.kinds.arrow_columns.reading import (
    ArrowReading,
    Mask,
    UndecidedError,
    faulty,
    fine,
    is_present,
    numpy_of,
)
from featurestore.kinds.floating import DOUBLE, FLOAT, FLOAT_LIMIT, Floating
from featurestore.kinds.json_text.json_columns import is_json
from featurestore.kinds.json_text.json_members import (
    ArrowMembers,
    Digits,
    kind_of_json,
    number_of_json,
    parsed_line,
)
from featurestore.kinds.json_text.variants import NUMBERS, PYTHON_NAMES, JsonMember, first_misfit
from featurestore.kinds.kind import STRICT, Kind, Moments, is_missing
from featurestore.kinds.number_columns import DIGITS, is_not_finite, is_number_type
from featurestore.kinds.reading import Reading, first_of, good
from featurestore.kinds.reasons import UnreadableError
from featurestore.kinds.text import STRING
from featurestore.late_spark import Column, F, T

# Texts that Spark reads as numbers within arrays of numbers.
_NUMBER_WORDS = ("NaN", "Infinity", "+Infinity", "-Infinity", "INF", "+INF", "-INF")
# Smaller whole numbers are exact as floats; a decimal has fewer digits than the second.
_EVERY_WHOLE, _LEAST_BEYOND = 1e7, 10**38
# A whole number in a JSON array that may be beyond what a float or a double can hold.
_LONG_NUMBER = {"float": "-?[0-9]{8,}", "double": "-?[0-9]{16,}"}


class Array(Kind):
    """An array of elements of one kind."""

    json_kinds: ClassVar[tuple[str, ...]] = ("ARRAY",)
    element: ClassVar[Kind]
    measure = "length"

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.list_(self.element.arrow_type)

    @property
    def spark_type(self) -> T.DataType:
        return T.ArrayType(self.element.spark_type)

    def read_python(self, value: Any, moments: Moments = STRICT) -> list[Any]:
        return [None if is_missing(item) else self.element.read_python(item) for item in self._items(value)]

    def _items(self, value: Any) -> list[Any]:
        if isinstance(value, np.ndarray):
            if value.ndim != 1:
                raise UnreadableError(reasons.wrong_type(self.word, f"an array of {value.ndim} dimensions"))
            # ``tolist`` would turn nanosecond timestamps and durations into integers.
            return list(value) if value.dtype.kind in "mM" else list(value.tolist())
        if isinstance(value, list | tuple):
            return list(value)
        raise self.wrong_type(value)

    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        if not isinstance(stored, T.ArrayType):
            return None
        if stored.elementType == self.element.spark_type or isinstance(stored.elementType, T.NullType):
            return good(value.cast(self.spark_type))
        return self._read_elements(value, stored.elementType)

    def _read_elements(self, value: Column, stored: T.DataType) -> Reading | None:
        """Read an array that has elements of another type."""
        return None

    def _read_arrow(self, value: pa.Array, moments: Moments) -> ArrowReading | None:
        if not is_list_type(value.type):
            return None
        stored = value.type.value_type
        if stored == self.element.arrow_type or pa.types.is_null(stored):
            return fine(with_elements(value, value.flatten().cast(self.element.arrow_type)))
        return self._read_arrow_elements(value, value.flatten())

    def _read_arrow_elements(self, value: pa.Array, elements: pa.Array) -> ArrowReading | None:
        """Read lists that have elements of another type."""
        return None

    def read_cell(self, text: Column) -> Reading:
        """Read a cell that holds the array as JSON."""
        value = F.when(is_json(text), text)
        reading = self._read_array_text(value)
        broken = text.isNotNull() & value.isNull()
        return Reading(reading.value, F.when(broken, F.lit(reasons.not_readable(self.word))).otherwise(reading.fault))

    def _read_json_text(self, text: Column, member: JsonMember) -> Reading:
        return self._read_array_text(text)

    def _read_array_text(self, text: Column) -> Reading:
        """Read an array from valid JSON."""
        value = F.from_json(text, "array<string>")
        broken = first_of([(text.isNotNull() & value.isNull(), reasons.not_readable(self.word))])
        return Reading(value, F.coalesce(first_misfit(text, self.element.json_kinds, self.element.word), broken))

    def read_cells(self, texts: pa.Array) -> ArrowReading:
        lists = [None if text is None else _list_of(text) for text in texts.to_pylist()]
        reading = self._read_lists(lists, is_canonical=False)
        broken = is_present(texts) & np.array([value is None for value in lists], np.bool_)
        others = faulty(texts, [(broken, reasons.not_readable(self.word))])
        return ArrowReading(reading.value, pc.coalesce(others.fault, reading.fault))

    def _read_members(self, members: ArrowMembers, fits: Mask) -> ArrowReading:
        lists = [value if is_fit else None for value, is_fit in zip(members.values, fits.tolist(), strict=True)]
        return self._read_lists(lists, is_canonical=True)

    @abstractmethod
    def _read_lists(self, lists: Sequence[list[Any] | None], is_canonical: bool) -> ArrowReading:
        """Read arrays of JSON values; ``is_canonical``: numbers are as Spark's variants write them."""

    def length(self, value: Column) -> Column:
        return F.size(value)

    def arrow_lengths(self, value: pa.Array) -> pa.Array:
        return pc.list_value_length(value)

    def narrowed(self, value: Column) -> Column:
        """The array's hash and its number, which are much smaller than the array."""
        of_value = F.struct(F.xxhash64(value).alias("hash"), self._number_of(value).cast("double").alias("number"))
        return F.when(value.isNotNull(), of_value)

    def _number_of(self, value: Column) -> Column:
        return F.size(value)

    def number(self, narrowed: Column) -> Column:
        return narrowed["number"]

    def hashed(self, narrowed: Column) -> Column:
        return narrowed["hash"]


class StringArray(Array):
    element = STRING

    def _read_lists(self, lists: Sequence[list[Any] | None], is_canonical: bool) -> ArrowReading:
        faults = [_first_misfit(values, self.element, is_canonical) for values in lists]
        read = [None if fault is not None else values for values, fault in zip(lists, faults, strict=True)]
        return ArrowReading(pa.array(read, self.arrow_type), pa.array(faults, pa.string()))


class NumberArray(Array):
    element: ClassVar[Floating] = DOUBLE

    def read_python(self, value: Any, moments: Moments = STRICT) -> list[Any]:
        items = self._items(value)
        # Most vectors are plain floats in range, and need no check of each element.
        if all(type(item) is float for item in items) and _are_in_range(items):
            return items
        return [None if is_missing(item) else self.element.read_python(item) for item in items]

    def _read_elements(self, value: Column, stored: T.DataType) -> Reading | None:
        if not is_number_type(stored):
            return None
        faults = F.transform(value, lambda number: self.element.read_number(number, stored).fault)
        first = F.get(F.filter(faults, lambda fault: fault.isNotNull()), F.lit(0))
        return Reading(F.transform(value, lambda number: self.element.read_number(number, stored).value), first)

    def _read_arrow_elements(self, value: pa.Array, elements: pa.Array) -> ArrowReading | None:
        if not arrow_numbers.is_number_type(elements.type):
            return None
        read = self.element.read_arrow_number(elements)
        return ArrowReading(with_elements(value, read.value), first_fault(value, read.fault))

    def _read_array_text(self, text: Column) -> Reading:
        word = self.element.word
        value = F.from_json(text, "array<double>")
        # Parsing as doubles is fast. Elements are checked one by one only if the text contains a long whole number.
        holds_long = text.rlike(rf"[\[,\s]{_LONG_NUMBER[word]}\s*[,\]]")
        rounded = F.exists(F.from_json(text, "array<string>"), self._is_rounded)
        faults = [
            (text.isNotNull() & value.isNull(), reasons.not_readable(self.word)),
            (F.when(holds_long, F.coalesce(rounded, F.lit(False))), reasons.inexact(word)),
        ]
        misfit = F.when(value.isNull(), first_misfit(text, NUMBERS, word))
        return Reading(value, F.coalesce(misfit, first_of(faults)))

    def _read_lists(self, lists: Sequence[list[Any] | None], is_canonical: bool) -> ArrowReading:
        faults = [_first_misfit(values, self.element, is_canonical) for values in lists]
        read: list[list[float | None] | None] = []
        for row, (values, fault) in enumerate(zip(lists, faults, strict=True)):
            if values is None or fault is not None:
                read.append(None)
                continue
            read.append([None if digits is None else _double(digits, is_canonical) for digits in values])
            if any(self._is_inexact(digits, is_canonical) for digits in values if digits is not None):
                faults[row] = reasons.inexact(self.element.word)
        return ArrowReading(pa.array(read, pa.list_(pa.float64())), pa.array(faults, pa.string()))

    def _is_inexact(self, digits: str, is_canonical: bool) -> bool:
        """Whether a whole number would be rounded; numbers of few digits are exact."""
        number = float(digits)
        if abs(number) < _EVERY_WHOLE:
            return False
        text = number_of_json(digits)[1] if is_canonical else digits
        if any(mark in text for mark in ".eEI"):
            return False
        whole = int(text)
        if abs(whole) >= _LEAST_BEYOND:
            return True
        nearest = np.float32(number) if self.element.word == "float" else np.float64(number)
        return int(nearest) != whole

    def _is_rounded(self, item: Column) -> Column:
        digits = T.DecimalType(38, 0)
        exact = item.try_cast(digits)
        fault = self.element.read_number(exact, digits).fault
        return F.coalesce(item.rlike(DIGITS) & (fault.isNotNull() | exact.isNull()), F.lit(False))

    def broken_rules(self, value: Column) -> list[tuple[str, Column]]:
        return [(reasons.ELEMENT_NOT_FINITE, F.exists(value, lambda item: item.isNull() | is_not_finite(item)))]

    def broken_arrow_rules(self, value: pa.Array) -> list[tuple[str, Mask]]:
        elements = value.flatten()
        broken = ~is_present(elements) | arrow_numbers.is_not_finite(elements)
        return [(reasons.ELEMENT_NOT_FINITE, any_element(value, broken))]


class Embedding(NumberArray):
    element = FLOAT
    measure = "norm"

    def broken_rules(self, value: Column) -> list[tuple[str, Column]]:
        dims = parse_type(self.word).dims
        return [*super().broken_rules(value), (reasons.wrong_dims(dims), F.size(value) != F.lit(dims))]

    def broken_arrow_rules(self, value: pa.Array) -> list[tuple[str, Mask]]:
        dims = parse_type(self.word).dims
        others = is_present(value) & (numpy_of(pc.list_value_length(value)) != dims)
        return [*super().broken_arrow_rules(value), (reasons.wrong_dims(dims), others)]

    def _number_of(self, value: Column) -> Column:
        """The Euclidean norm, summed in doubles: the square of a float is exact, and each sum is rounded."""
        squares = F.reduce(value.cast("array<double>"), F.lit(0.0), lambda total, number: total + number * number)
        return F.sqrt(squares)


def _list_of(text: str) -> list[Any] | None:
    """The array that a text holds as JSON; None if it holds anything else."""
    try:
        value = parsed_line(text)
    except ValueError:
        return None
    return value if type(value) is list else None


def _first_misfit(values: list[Any] | None, element: Kind, is_canonical: bool) -> str | None:
    """The reason for the first element of another kind; null is of every kind."""
    if values is None or (element is not STRING and all(type(value) is Digits or value is None for value in values)):
        return None
    kinds = [
        # The text of a decimal may be that of a long.
        kind_of_json(Digits(number_of_json(value)[1]) if is_canonical and kind_of_json(value) == "DECIMAL" else value)
        for value in values
    ]
    if element is not STRING and any(value in _NUMBER_WORDS for value in values if isinstance(value, str)):
        # Spark reads some texts as infinities.
        raise UndecidedError("an array with a text that may be a number")
    if element is STRING and any(type(value) is Digits and np.isinf(float(value)) for value in values):
        # Spark writes it as a text.
        raise UndecidedError("an array of texts with a number beyond a double")
    others = [kind for kind in kinds if kind not in element.json_kinds and kind != "VOID"]
    return reasons.wrong_type(element.word, PYTHON_NAMES[others[0]]) if others else None


def _double(digits: str, is_canonical: bool) -> float:
    number = float(digits)
    if number != 0:
        return number
    # Zero without an exponent has no sign in a variant, nor has a whole one anywhere.
    has_sign = number_of_json(digits)[0] == "DOUBLE" if is_canonical else "." in digits or "e" in digits.lower()
    return number if has_sign else 0.0


def _are_in_range(numbers: Sequence[float]) -> bool:
    return not numbers or (min(numbers) > -FLOAT_LIMIT and max(numbers) < FLOAT_LIMIT)
