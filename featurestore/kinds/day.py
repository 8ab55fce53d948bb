"""``date``: dates of the years 1 to 9999, and ISO 8601 text. A timestamp is refused: its date depends on a zone."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.definitions.values.iso_times import DAY, parse_date
from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns.iso_columns import read_days
from featurestore.kinds.arrow_columns.reading import ArrowReading, arrow_of, faulty, is_present
from featurestore.kinds.arrow_columns.times import days_of
from featurestore.kinds.kind import STRICT, Kind, Moments
from featurestore.kinds.reading import Reading, first_of
from featurestore.kinds.reasons import UnreadableError
from featurestore.late_spark import Column, F, T

_EPOCH = date(1970, 1, 1)
_FIRST, _LAST = ((day - _EPOCH).days for day in (date.min, date.max))
_WHOLE_TEXT = rf"^(?:{DAY})\z"


class Day(Kind):
    is_read_from_text = True
    measure = "days"

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.date32()

    @property
    def spark_type(self) -> T.DataType:
        return T.DateType()

    def read_python(self, value: Any, moments: Moments = STRICT) -> date:
        if isinstance(value, str):
            try:
                return parse_date(value)
            except ValueError as error:
                raise UnreadableError(reasons.not_readable(self.word)) from error
        if isinstance(value, datetime) or not isinstance(value, date):
            raise self.wrong_type(value)
        return value

    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        if isinstance(stored, T.DateType):
            inside = F.unix_date(value).between(_FIRST, _LAST)
            return Reading(F.when(inside, value), first_of([(~inside, reasons.outside_years(self.word))]))
        if isinstance(stored, T.StringType):
            day = F.regexp_replace(value, _WHOLE_TEXT, "$1-$3-$4")
            read = F.when(value.rlike(_WHOLE_TEXT), day.try_cast("date"))
            return Reading(read, first_of([(value.isNotNull() & read.isNull(), reasons.not_readable(self.word))]))
        return None

    def _read_arrow(self, value: pa.Array, moments: Moments) -> ArrowReading | None:
        if pa.types.is_date32(value.type):
            days = days_of(value)
            outside = is_present(value) & ((days < _FIRST) | (days > _LAST))
            return faulty(value, [(outside, reasons.outside_years(self.word))])
        if pa.types.is_string(value.type):
            texts = read_days(value)
            read = arrow_of(texts.days.astype(np.int32), texts.is_day, pa.date32())
            return faulty(read, [(is_present(value) & ~texts.is_day, reasons.not_readable(self.word))])
        return None

    def number(self, narrowed: Column) -> Column:
        return F.unix_date(narrowed).cast("double")


DATE = Day("date")
