"""``double`` and ``float``: doubles are rounded to floats; whole numbers and decimals are never rounded."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns import number_texts
from featurestore.kinds.arrow_columns import numbers as arrow_numbers
from featurestore.kinds.arrow_columns.reading import ArrowReading, Mask, faulty, fine, is_present
from featurestore.kinds.json_text.json_members import ArrowMembers, number_of_json
from featurestore.kinds.json_text.variants import JsonMember
from featurestore.kinds.kind import STRICT, Moments, Number, texts_of
from featurestore.kinds.number_columns import (
    DIGITS,
    NUMBER,
    is_floating_type,
    is_infinite,
    is_not_finite,
    is_same_decimal,
    is_same_whole,
    is_whole_type,
)
from featurestore.kinds.python_numbers import is_finite, is_number
from featurestore.kinds.reading import Reading, first_of, good
from featurestore.kinds.reasons import UnreadableError
from featurestore.late_spark import Column, F, T

# A double of this size or more rounds to infinity as a float.
FLOAT_LIMIT = (2 - 2**-24) * 2.0**127


class Floating(Number):
    @property
    def arrow_type(self) -> pa.DataType:
        return pa.float64() if self.word == "double" else pa.float32()

    @property
    def spark_type(self) -> T.DataType:
        return T.DoubleType() if self.word == "double" else T.FloatType()

    def read_python(self, value: Any, moments: Moments = STRICT) -> float:
        if not is_number(value):
            raise self.wrong_type(value)
        if isinstance(value, Decimal) and value.is_nan():
            return math.nan
        try:
            number = float(value)
        except OverflowError as error:
            raise UnreadableError(reasons.beyond(self.word)) from error
        if not math.isfinite(number):
            if is_finite(value):
                raise UnreadableError(reasons.beyond(self.word))
            return number
        if self.word == "float" and abs(number) >= FLOAT_LIMIT:
            raise UnreadableError(reasons.beyond(self.word))
        # Most values are plain, and need no check of their digits.
        is_plain = type(value) is float or (type(value) is int and abs(value) < 2**24)
        if not is_plain and not _keeps(value, np.float32(number) if self.word == "float" else np.float64(number)):
            raise UnreadableError(reasons.inexact(self.word))
        return number

    def read_number(self, value: Column, stored: T.DataType) -> Reading:
        if stored == self.spark_type:
            return good(value)
        read = value.try_cast(self.storage)
        if is_floating_type(stored):
            return Reading(read, first_of([(~is_infinite(value) & is_infinite(read), reasons.beyond(self.word))]))
        is_exact = is_same_whole(value, read) if is_whole_type(stored) else is_same_decimal(value, read, stored)
        inexact = value.isNotNull() & ~F.coalesce(is_exact, F.lit(False))
        return Reading(read, first_of([(inexact, reasons.inexact(self.word))]))

    def read_arrow_number(self, value: pa.Array) -> ArrowReading:
        if value.type == self.arrow_type:
            return fine(value)
        if arrow_numbers.is_floating_type(value.type):
            read = value.cast(self.arrow_type, safe=False)
            beyond = ~arrow_numbers.is_infinite(value) & arrow_numbers.is_infinite(read)
            return faulty(read, [(beyond, reasons.beyond(self.word))])
        of_decimals = pa.types.is_decimal(value.type)
        cast = arrow_numbers.floats_of_decimals if of_decimals else arrow_numbers.floats_of_wholes
        read, inexact = cast(value, self.arrow_type)
        return faulty(read, [(inexact, reasons.inexact(self.word))])

    def read_cell(self, text: Column) -> Reading:
        return self._read_text(text, text.rlike(DIGITS))

    def _read_json_text(self, text: Column, member: JsonMember) -> Reading:
        # Spark reads a whole number beyond a long as a decimal. Any other decimal without a fraction has a point.
        is_beyond_long = member.text.rlike(DIGITS) & member.text.try_cast("bigint").isNull()
        return self._read_text(text, (member.kind == "BIGINT") | is_beyond_long)

    def _read_text(self, text: Column, is_whole: Column) -> Reading:
        """Read a text as a whole number, which is never rounded, where ``is_whole``; else as the nearest double."""
        number = F.when(text.rlike(NUMBER), F.trim(text))
        digits = T.DecimalType(38, 0)
        whole = self.read_number(number.try_cast(digits), digits)
        fraction = self.read_number(number.try_cast("double"), T.DoubleType())
        faults = [
            (text.isNotNull() & number.isNull(), reasons.not_readable(self.word)),
            (is_whole & number.try_cast(digits).isNull(), reasons.inexact(self.word)),
        ]
        fault = F.coalesce(first_of(faults), F.when(is_whole, whole.fault).otherwise(fraction.fault))
        return Reading(F.when(is_whole, whole.value).otherwise(fraction.value), fault)

    def read_cells(self, texts: pa.Array) -> ArrowReading:
        numbers = number_texts.numbers_of(texts)
        return self._read_numbers(texts, numbers, number_texts.are_whole(numbers))

    def _read_members(self, members: ArrowMembers, fits: Mask) -> ArrowReading:
        texts = texts_of(members, fits)
        # See ``_read_json_text``.
        numbers = number_texts.numbers_of(texts)
        digits = number_texts.are_whole(numbers)
        for row in np.flatnonzero(digits & ~members.are_of(("BIGINT",))):
            digits[row] = number_of_json(texts[row].as_py())[0] != "BIGINT"
        return self._read_numbers(texts, numbers, digits)

    def _read_numbers(self, texts: pa.Array, numbers: pa.Array, whole: Mask) -> ArrowReading:
        """The same as ``_read_text``."""
        exact = number_texts.decimals_of(numbers, whole)
        wholes, fractions = self.read_arrow_number(exact), self.read_arrow_number(number_texts.doubles_of(numbers))
        faults = [
            (is_present(texts) & ~is_present(numbers), reasons.not_readable(self.word)),
            (whole & ~is_present(exact), reasons.inexact(self.word)),
        ]
        is_whole = pa.array(whole)
        first = faulty(numbers, faults).fault
        return ArrowReading(
            pc.if_else(is_whole, wholes.value, fractions.value),
            pc.coalesce(first, pc.if_else(is_whole, wholes.fault, fractions.fault)),
        )

    def broken_rules(self, value: Column) -> list[tuple[str, Column]]:
        return [(reasons.NOT_FINITE, is_not_finite(value))]

    def is_comparable(self, value: Column) -> Column:
        # Spark sorts NaN above every number. NaN breaks a rule of its own, so bounds do not apply.
        return ~is_not_finite(value)

    def broken_arrow_rules(self, value: pa.Array) -> list[tuple[str, Mask]]:
        return [(reasons.NOT_FINITE, arrow_numbers.is_not_finite(value))]

    def is_arrow_comparable(self, value: pa.Array) -> Mask:
        return ~arrow_numbers.is_not_finite(value)


def _keeps(value: Any, nearest: Any) -> bool:
    """Whether ``nearest`` equals ``value``: exactly for a whole number, by its shortest digits for a fraction."""
    if isinstance(value, int | np.integer):
        return int(nearest) == int(value)
    if isinstance(value, Decimal):
        return arrow_numbers.keeps_decimal(value, nearest)
    return not isinstance(value, np.longdouble) or bool(np.longdouble(float(value)) == value)


DOUBLE, FLOAT = Floating("double"), Floating("float")
