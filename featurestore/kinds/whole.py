"""``long`` and ``int``: whole numbers in range, from any numeric type that holds them exactly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.definitions.values.types import WHOLE_RANGES
from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns import number_texts
from featurestore.kinds.arrow_columns.numbers import whole_numbers
from featurestore.kinds.arrow_columns.reading import ArrowReading, faulty, fine, is_present, true_of
from featurestore.kinds.kind import STRICT, Moments, Number
from featurestore.kinds.number_columns import (
    BEYOND_LONG,
    FRACTION,
    NUMBER,
    is_floating_type,
    is_whole_type,
)
from featurestore.kinds.python_numbers import is_finite, is_number
from featurestore.kinds.reading import Reading, first_of, good
from featurestore.kinds.reasons import UnreadableError
from featurestore.late_spark import Column, F, T


class Whole(Number):
    @property
    def arrow_type(self) -> pa.DataType:
        return pa.int64() if self.word == "long" else pa.int32()

    @property
    def spark_type(self) -> T.DataType:
        return T.LongType() if self.word == "long" else T.IntegerType()

    def read_python(self, value: Any, moments: Moments = STRICT) -> int:
        if not is_number(value):
            raise self.wrong_type(value)
        if not _is_whole(value):
            raise UnreadableError(reasons.not_whole(self.word))
        least, greatest = WHOLE_RANGES[self.word]
        # Decimal("1e999999999") is short, but as an int it has a billion digits.
        if (isinstance(value, Decimal) and value.adjusted() > 30) or not least <= int(value) <= greatest:
            raise UnreadableError(reasons.beyond(self.word))
        return int(value)

    def read_number(self, value: Column, stored: T.DataType) -> Reading:
        if stored == self.spark_type:
            return good(value)
        read = value.try_cast(self.storage)
        faults = []
        if not is_whole_type(stored):
            rest = value % (F.lit(1).cast("decimal(1,0)") if isinstance(stored, T.DecimalType) else F.lit(1.0))
            # The remainder of infinity or NaN is not a number, so these count as not whole.
            has_rest = value.isNotNull() & ~F.coalesce(rest == F.lit(0), F.lit(False))
            faults.append((has_rest, reasons.not_whole(self.word)))
        if is_floating_type(stored):
            read = F.when(value < F.lit(BEYOND_LONG), read)
        faults.append((value.isNotNull() & read.isNull(), reasons.beyond(self.word)))
        return Reading(read, first_of(faults))

    def read_arrow_number(self, value: pa.Array) -> ArrowReading:
        if value.type == self.arrow_type:
            return fine(value)
        read, has_rest = whole_numbers(value, self.arrow_type, *WHOLE_RANGES[self.word])
        beyond = is_present(value) & ~is_present(read)
        return faulty(read, [(has_rest, reasons.not_whole(self.word)), (beyond, reasons.beyond(self.word))])

    def read_cell(self, text: Column) -> Reading:
        number = F.trim(text)
        exact, nearest = number.try_cast("decimal(38,10)"), number.try_cast("double")
        no_rest = (nearest % F.lit(1.0) == F.lit(0.0)) & F.coalesce(exact % F.lit(1) == F.lit(0), F.lit(True))
        whole = F.coalesce(no_rest & ~text.rlike(FRACTION), F.lit(False))
        value = F.when(text.rlike(NUMBER) & whole, exact.try_cast(self.storage))
        faults = [
            (~text.rlike(NUMBER), reasons.not_readable(self.word)),
            (text.isNotNull() & ~whole, reasons.not_whole(self.word)),
            (text.isNotNull() & value.isNull(), reasons.beyond(self.word)),
        ]
        # A text with an exponent is a double, and spells fewer digits than the whole number that it denotes.
        double = self.read_number(nearest, T.DoubleType())
        has_exponent = text.rlike(NUMBER) & text.rlike("[eE]")
        return Reading(
            F.when(has_exponent, double.value).otherwise(value),
            F.when(has_exponent, double.fault).otherwise(first_of(faults)),
        )

    def read_cells(self, texts: pa.Array) -> ArrowReading:
        numbers = number_texts.numbers_of(texts)
        # As in ``read_cell``: a text with an exponent is a double.
        has_exponent = true_of(pc.match_substring(numbers, "e", ignore_case=True))
        plain = pc.if_else(pa.array(has_exponent), pa.scalar(None, pa.string()), numbers)
        value, has_rest = number_texts.wholes_of(plain, *WHOLE_RANGES[self.word], self.arrow_type)
        beyond = is_present(plain) & ~is_present(value)
        faults = [
            (is_present(texts) & ~is_present(numbers), reasons.not_readable(self.word)),
            (has_rest, reasons.not_whole(self.word)),
            (beyond, reasons.beyond(self.word)),
        ]
        exact = faulty(value, faults)
        if not has_exponent.any():
            return exact
        doubles = pc.if_else(pa.array(has_exponent), number_texts.doubles_of(numbers), pa.scalar(None, pa.float64()))
        read = self.read_arrow_number(doubles)
        return ArrowReading(pc.coalesce(value, read.value), pc.coalesce(exact.fault, read.fault))


def _is_whole(number: Any) -> bool:
    if isinstance(number, int | np.integer):
        return True
    if not is_finite(number):
        return False
    return bool(number == (number.to_integral_value() if isinstance(number, Decimal) else np.floor(number)))


LONG, INT = Whole("long"), Whole("int")
