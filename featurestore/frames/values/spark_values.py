"""A Spark column -> the values of a feature type, losslessly, and the reason of each value that cannot be read.

The same rules as ``python_values`` has for single values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.definitions.values.iso_times import DAY, MOMENT
from featurestore.definitions.values.time_window import Finer
from featurestore.definitions.values.types import storage_of_key
from featurestore.frames.schema import data_type
from featurestore.frames.timestamps import date_literal
from featurestore.frames.values import reasons
from featurestore.frames.values.json_columns import read_json

WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
FRACTION = (T.FloatType, T.DoubleType, T.DecimalType)
_EARLIEST, _LATEST = -62135596800000000, 253402300799999999  # years 0001 to 9999, in microseconds
_TWO_64, _TWO_32 = 2.0**64, 2.0**32


@dataclass(frozen=True)
class Reading:
    """A column read as another type: the value, and the reason why it could not be read, null where it could."""

    value: Column
    fault: Column

    @property
    def good_value(self) -> Column:
        """The value, null where there is a fault: a value that is half read would break rules of its own."""
        return F.when(self.fault.isNull(), self.value)


def storage(word: str) -> str:
    """The Spark SQL type of the column that holds a feature or key of this type."""
    return "array<float>" if word.startswith("embedding") else storage_of_key(word)


def read_as(
    value: Column, found: T.DataType, word: str, zone: str | None = None, finer: Finer = "down"
) -> Reading | None:
    """How to read a column of type ``found`` as the type ``word``; None where that can never be lossless."""
    target = data_type(storage(word))
    if isinstance(found, T.NullType):
        return _good(value.cast(target))
    if word == "timestamp":
        return _read_timestamp(value, found, zone, finer)
    if word == "date":
        return _read_date(value, found)
    if word == "json":
        json = read_json(value, found)
        return None if json is None else Reading(*json)
    if isinstance(target, T.ArrayType):
        return _read_array(value, found, target)
    if isinstance(target, T.StringType | T.BooleanType):
        return _good(value.cast(target)) if isinstance(found, type(target)) else None
    return read_number(value, found, word)


def first_of(faults: Sequence[tuple[Column, str]]) -> Column:
    """The reason of the first condition that holds; null where none does."""
    return F.coalesce(*(F.when(condition, F.lit(reason)) for condition, reason in faults), F.lit(None).cast("string"))


def _good(value: Column) -> Reading:
    return Reading(value, F.lit(None).cast("string"))


def read_number(value: Column, found: T.DataType, word: str) -> Reading | None:
    """A number, or None where the column holds none. Doubles are rounded to floats; whole numbers and decimals never are."""
    target = data_type(storage(word))
    if found == target:
        return _good(value)
    if not isinstance(found, (*WHOLE, *FRACTION)):
        return None
    if isinstance(target, WHOLE):
        return _read_whole(value, found, word)
    read = value.try_cast(target)
    if isinstance(found, T.DoubleType | T.FloatType):
        # Whoever declares float asks for its precision; only its range can be missed.
        return Reading(read, first_of([(~_is_infinite(value) & _is_infinite(read), reasons.beyond(word))]))
    exact = _same_whole(value, read) if isinstance(found, WHOLE) else _same_decimal(value, read, found)
    return Reading(read, first_of([(value.isNotNull() & ~F.coalesce(exact, F.lit(False)), reasons.inexact(word))]))


def _is_infinite(value: Column) -> Column:
    return F.coalesce(F.abs(value) == F.lit(float("inf")), F.lit(False))


def _read_whole(value: Column, found: T.DataType, word: str) -> Reading:
    read = value.try_cast(data_type(storage(word)))
    faults = []
    if isinstance(found, FRACTION):
        rest = value % (F.lit(1).cast("decimal(1,0)") if isinstance(found, T.DecimalType) else F.lit(1.0))
        # Of infinities and not-a-number, nothing remains that is a number.
        faults.append((value.isNotNull() & ~F.coalesce(rest == F.lit(0), F.lit(False)), reasons.not_whole(word)))
    if isinstance(found, T.DoubleType | T.FloatType):
        # 2^63 is the greatest long to a cast.
        read = F.when(value < F.lit(2.0**63), read)
    faults.append((value.isNotNull() & read.isNull(), reasons.beyond(word)))
    return Reading(read, first_of(faults))


def _same_whole(value: Column, read: Column) -> Column:
    """Whether the double or float ``read`` is exactly the whole number ``value``."""
    return (read < F.lit(2.0**63)) & (read.try_cast("bigint") == value)


def _same_decimal(value: Column, read: Column, found: T.DecimalType) -> Column:
    """Whether ``read`` is ``value``: exactly where that is whole, by its shortest digits where it has a fraction."""
    shortest = read.cast("string").try_cast(found) == value
    whole = (value % F.lit(1).cast("decimal(1,0)")) == F.lit(0)
    return F.when(whole, _exactly(read.cast("double")) == value).otherwise(shortest)


def _exactly(whole: Column) -> Column:
    """A double that is a whole number, as a decimal of all its digits; Spark's cast would make up the last of them."""
    high = (whole / F.lit(_TWO_64)).try_cast("bigint")
    rest = whole - high.cast("double") * F.lit(_TWO_64)
    middle = (rest / F.lit(_TWO_32)).try_cast("bigint")
    low = (rest - middle.cast("double") * F.lit(_TWO_32)).try_cast("bigint")
    parts = [part.cast("decimal(38,0)") for part in (high, middle, low)]
    upper = F.try_multiply(parts[0], F.lit(2**32).cast("decimal(11,0)"))
    return F.try_add(F.try_multiply(F.try_add(upper, parts[1]), F.lit(2**32).cast("decimal(11,0)")), parts[2])


def _read_array(value: Column, found: T.DataType, target: T.ArrayType) -> Reading | None:
    if not isinstance(found, T.ArrayType):
        return None
    element = found.elementType
    if element == target.elementType or isinstance(element, T.NullType):
        return _good(value.cast(target))
    if isinstance(target.elementType, T.StringType) or not isinstance(element, (*WHOLE, *FRACTION)):
        return None
    word = "float" if isinstance(target.elementType, T.FloatType) else "double"

    def reading(number: Column) -> Reading:
        read = read_number(number, element, word)
        assert read is not None
        return read

    faults = F.transform(value, lambda number: reading(number).fault)
    first = F.get(F.filter(faults, lambda fault: fault.isNotNull()), F.lit(0))
    return Reading(F.transform(value, lambda number: reading(number).value), first)


def _read_date(value: Column, found: T.DataType) -> Reading | None:
    if isinstance(found, T.DateType):
        inside = value.between(date_literal(date(1, 1, 1)), date_literal(date(9999, 12, 31)))
        return Reading(F.when(inside, value), first_of([(~inside, reasons.outside_years("date"))]))
    if isinstance(found, T.StringType):
        day = F.regexp_replace(value, _whole_text(DAY), "$1-$3-$4")
        read = F.when(value.rlike(_whole_text(DAY)), day.try_cast("date"))
        return Reading(read, first_of([(value.isNotNull() & read.isNull(), reasons.not_readable("date"))]))
    return None


def _read_timestamp(value: Column, found: T.DataType, zone: str | None, finer: Finer) -> Reading | None:
    if isinstance(found, T.StringType):
        return _read_moment(value, zone, finer)
    if isinstance(found, T.TimestampType):
        return _in_years(value, [])
    if isinstance(found, T.TimestampNTZType | T.DateType) and zone is not None:
        return _in_years(_in_zone(value.cast("timestamp_ntz"), zone), [])
    return None


def _read_moment(text: Column, zone: str | None, finer: Finer) -> Reading:
    """ISO 8601 text, by the grammar of ``iso_times``, in a spelling of its own that Spark casts alike in every session."""
    pattern = _whole_text(MOMENT)
    parts = F.split(F.regexp_replace(text, pattern, "$1|$3|$4|$5|$7|$8|$9|$10"), r"\|")
    year, month, day, hour, minute, second, fraction, offset = (F.get(parts, F.lit(n)) for n in range(8))
    clock = [F.when(part == "", F.lit("00")).otherwise(part) for part in (hour, minute, second)]
    micros = F.rpad(F.substring(fraction, 1, 6), 6, "0")
    local = F.concat(F.concat_ws("-", year, month, day), F.lit("T"), F.concat_ws(":", *clock), F.lit("."), micros)
    naive = F.when(text.rlike(pattern), local.try_cast("timestamp_ntz"))
    known = F.lit(None).cast("timestamp") if zone is None else _in_zone(naive, zone)
    instant = F.when(offset != "", F.concat(local, F.upper(offset)).try_cast("timestamp")).otherwise(known)
    if finer == "up":
        more = F.substring(fraction, 7, 2**30).rlike("[1-9]").cast("bigint")
        instant = F.timestamp_micros(F.unix_micros(instant) + more)
    faults = [(text.isNotNull() & naive.isNull(), reasons.not_readable("timestamp"))]
    if zone is None:
        faults.append((naive.isNotNull() & (hour == ""), reasons.DATE_WITHOUT_TIME))
        faults.append((naive.isNotNull() & (offset == ""), reasons.NO_TIME_ZONE))
    return _in_years(F.when(naive.isNotNull(), instant), faults)


def _in_years(instant: Column, faults: Sequence[tuple[Column, str]]) -> Reading:
    inside = F.unix_micros(instant).between(_EARLIEST, _LATEST)
    outside = (instant.isNotNull() & ~inside, reasons.outside_years("timestamp"))
    return Reading(F.when(inside, instant), first_of([*faults, outside]))


def _whole_text(pattern: str) -> str:
    return rf"^(?:{pattern})\z"


def _in_zone(naive: Column, zone: str) -> Column:
    """The instant that a clock in ``zone`` shows so; independent of the session's zone, unlike a cast."""
    seconds = F.date_part(F.lit("SECOND"), naive)
    return F.make_timestamp(
        F.year(naive), F.month(naive), F.day(naive), F.hour(naive), F.minute(naive), seconds, F.lit(zone)
    )
