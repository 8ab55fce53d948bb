"""``timestamp``: instants of the years 1 to 9999, to the microsecond, and ISO 8601 text (grammar: ``iso_times``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.definitions.values.iso_times import MOMENT
from featurestore.definitions.values.time_window import (
    DateWithoutTimeError,
    NaiveMomentError,
    OutsideYearsError,
    to_instant,
)
from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns.iso_columns import read_moments
from featurestore.kinds.arrow_columns.reading import ArrowReading, Mask, arrow_of, faulty, is_present
from featurestore.kinds.arrow_columns.times import Whole, in_zone, micros_of, midnights_of
from featurestore.kinds.kind import STRICT, Kind, Moments
from featurestore.kinds.reading import Reading, first_of
from featurestore.kinds.reasons import UnreadableError
from featurestore.late_spark import Column, F, T

INSTANT = pa.timestamp("us", tz="UTC")
_EARLIEST, _LATEST = -62135596800000000, 253402300799999999  # years 0001 to 9999, in microseconds
_WHOLE_TEXT = rf"^(?:{MOMENT})\z"


class Moment(Kind):
    is_read_from_text = True
    measure = "microseconds"

    @property
    def arrow_type(self) -> pa.DataType:
        return INSTANT

    @property
    def spark_type(self) -> T.DataType:
        return T.TimestampType()

    def read_python(self, value: Any, moments: Moments = STRICT) -> datetime:
        if not isinstance(value, str | date | np.datetime64):
            raise self.wrong_type(value)
        try:
            return to_instant(value, moments.zone, moments.finer)
        except NaiveMomentError as error:
            raise UnreadableError(reasons.NO_TIME_ZONE) from error
        except DateWithoutTimeError as error:
            raise UnreadableError(reasons.DATE_WITHOUT_TIME) from error
        except OutsideYearsError as error:
            raise UnreadableError(reasons.outside_years(self.word)) from error
        except ValueError as error:
            raise UnreadableError(reasons.not_readable(self.word)) from error

    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        if isinstance(stored, T.StringType):
            return self._read_text(value, moments)
        if isinstance(stored, T.TimestampType):
            return self._in_years(value, [])
        if isinstance(stored, T.TimestampNTZType | T.DateType) and moments.zone is not None:
            return self._in_years(_in_zone(value.cast("timestamp_ntz"), moments.zone), [])
        return None

    def _read_text(self, text: Column, moments: Moments) -> Reading:
        """Rewrite the text first, in the spelling that Spark casts the same way in every session."""
        parts = F.split(F.regexp_replace(text, _WHOLE_TEXT, "$1|$3|$4|$5|$7|$8|$9|$10"), r"\|")
        year, month, day, hour, minute, second, fraction, offset = (F.get(parts, F.lit(n)) for n in range(8))
        clock = [F.when(part == "", F.lit("00")).otherwise(part) for part in (hour, minute, second)]
        micros = F.rpad(F.substring(fraction, 1, 6), 6, "0")
        local = F.concat(F.concat_ws("-", year, month, day), F.lit("T"), F.concat_ws(":", *clock), F.lit("."), micros)
        naive = F.when(text.rlike(_WHOLE_TEXT), local.try_cast("timestamp_ntz"))
        known = F.lit(None).cast("timestamp") if moments.zone is None else _in_zone(naive, moments.zone)
        instant = F.when(offset != "", F.concat(local, F.upper(offset)).try_cast("timestamp")).otherwise(known)
        if moments.finer == "up":
            more = F.substring(fraction, 7, 2**30).rlike("[1-9]").cast("bigint")
            instant = F.timestamp_micros(F.unix_micros(instant) + more)
        faults = [(text.isNotNull() & naive.isNull(), reasons.not_readable(self.word))]
        if moments.zone is None:
            faults.append((naive.isNotNull() & (hour == ""), reasons.DATE_WITHOUT_TIME))
            faults.append((naive.isNotNull() & (offset == ""), reasons.NO_TIME_ZONE))
        return self._in_years(F.when(naive.isNotNull(), instant), faults)

    def _in_years(self, instant: Column, faults: Sequence[tuple[Column, str]]) -> Reading:
        inside = F.unix_micros(instant).between(_EARLIEST, _LATEST)
        outside = (instant.isNotNull() & ~inside, reasons.outside_years(self.word))
        return Reading(F.when(inside, instant), first_of([*faults, outside]))

    def _read_arrow(self, value: pa.Array, moments: Moments) -> ArrowReading | None:
        if pa.types.is_string(value.type):
            return self._read_arrow_text(value, moments)
        if pa.types.is_timestamp(value.type) and value.type.tz is not None:
            return self._micros_in_years(micros_of(value), is_present(value), [])
        if pa.types.is_timestamp(value.type) and moments.zone is not None:
            return self._micros_in_years(in_zone(micros_of(value), moments.zone), is_present(value), [])
        if pa.types.is_date32(value.type) and moments.zone is not None:
            return self._micros_in_years(in_zone(midnights_of(value), moments.zone), is_present(value), [])
        return None

    def _read_arrow_text(self, text: pa.Array, moments: Moments) -> ArrowReading:
        read = read_moments(text)
        naive = read.local if moments.zone is None else in_zone(read.local, moments.zone)
        instant = np.where(read.has_offset, read.local - read.offset, naive)
        if moments.finer == "up":
            instant = instant + read.is_finer
        faults = [(is_present(text) & ~read.is_moment, reasons.not_readable(self.word))]
        if moments.zone is None:
            faults.append((read.is_moment & ~read.has_time, reasons.DATE_WITHOUT_TIME))
            faults.append((read.is_moment & ~read.has_offset, reasons.NO_TIME_ZONE))
        return self._micros_in_years(instant, read.is_moment, faults)

    def _micros_in_years(self, micros: Whole, present: Mask, faults: Sequence[tuple[Mask, str]]) -> ArrowReading:
        inside = (micros >= _EARLIEST) & (micros <= _LATEST)
        outside = (present & ~inside, reasons.outside_years(self.word))
        return faulty(arrow_of(micros, present & inside, INSTANT), [*faults, outside])

    def number(self, narrowed: Column) -> Column:
        return F.unix_micros(narrowed).cast("double")


def _in_zone(naive: Column, zone: str) -> Column:
    """The instant of a local time in ``zone``. Unlike a cast, it does not depend on the session's time zone."""
    seconds = F.date_part(F.lit("SECOND"), naive)
    return F.make_timestamp(
        F.year(naive), F.month(naive), F.day(naive), F.hour(naive), F.minute(naive), seconds, F.lit(zone)
    )


TIMESTAMP = Moment("timestamp")
