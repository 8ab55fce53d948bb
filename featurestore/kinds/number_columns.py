"""Spark columns of numbers: their types, and whether a cast kept a number exactly."""

from __future__ import annotations

from featurestore.late_spark import Column, F, T

# The spellings of numbers in text.
DIGITS = r"^\s*[+-]?[0-9]+\s*$"
NUMBER = r"(?i)^\s*[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf|infinity)\s*$"
FRACTION = r"\.[0-9]*[1-9][0-9]*\s*$"
# A double of this size or more is beyond a long, but a cast would turn it into the greatest long.
BEYOND_LONG = 2.0**63
_TWO_64, _TWO_32 = 2.0**64, 2.0**32


def is_whole_type(stored: T.DataType) -> bool:
    return isinstance(stored, T.ByteType | T.ShortType | T.IntegerType | T.LongType)


def is_floating_type(stored: T.DataType) -> bool:
    return isinstance(stored, T.FloatType | T.DoubleType)


def is_number_type(stored: T.DataType) -> bool:
    return is_whole_type(stored) or is_floating_type(stored) or isinstance(stored, T.DecimalType)


def is_not_finite(value: Column) -> Column:
    return F.isnan(value) | (F.abs(value) == F.lit(float("inf")))


def is_infinite(value: Column) -> Column:
    return F.coalesce(F.abs(value) == F.lit(float("inf")), F.lit(False))


def is_same_whole(value: Column, read: Column) -> Column:
    """Whether the double or float ``read`` equals the whole number ``value`` exactly."""
    return (read < F.lit(BEYOND_LONG)) & (read.try_cast("bigint") == value)


def is_same_decimal(value: Column, read: Column, stored: T.DataType) -> Column:
    """Whether ``read`` equals ``value``: exactly for a whole number, by its shortest digits for a fraction."""
    shortest = read.cast("string").try_cast(stored) == value
    whole = (value % F.lit(1).cast("decimal(1,0)")) == F.lit(0)
    return F.when(whole, _exactly(read.cast("double")) == value).otherwise(shortest)


def _exactly(whole: Column) -> Column:
    """A whole double as a decimal with all its digits; Spark's own cast makes up the last ones."""
    high = (whole / F.lit(_TWO_64)).try_cast("bigint")
    rest = whole - high.cast("double") * F.lit(_TWO_64)
    middle = (rest / F.lit(_TWO_32)).try_cast("bigint")
    low = (rest - middle.cast("double") * F.lit(_TWO_32)).try_cast("bigint")
    parts = [part.cast("decimal(38,0)") for part in (high, middle, low)]
    upper = F.try_multiply(parts[0], F.lit(2**32).cast("decimal(11,0)"))
    return F.try_add(F.try_multiply(F.try_add(upper, parts[1]), F.lit(2**32).cast("decimal(11,0)")), parts[2])
