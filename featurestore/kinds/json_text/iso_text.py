"""Instants, local times and dates as ISO 8601 text that does not depend on session settings."""

from __future__ import annotations

from featurestore.kinds.nested_types import types_within
from featurestore.late_spark import Column, F, T

_DAY, _HOUR, _MINUTE, _SECOND = 86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000


def instant_text(timestamp: Column) -> Column:
    """An instant in UTC with microseconds: ``2026-11-01T12:00:00.000000Z``; null for null."""
    micros = F.unix_micros(timestamp)
    of_day = F.pmod(micros, F.lit(_DAY))
    day = F.date_from_unix_date(((micros - of_day) / F.lit(_DAY)).cast("int"))
    parts = [
        F.floor(of_day / F.lit(_HOUR)),
        F.floor(F.pmod(of_day, F.lit(_HOUR)) / F.lit(_MINUTE)),
        F.floor(F.pmod(of_day, F.lit(_MINUTE)) / F.lit(_SECOND)),
        F.pmod(of_day, F.lit(_SECOND)),
    ]
    clock = F.format_string("T%02d:%02d:%02d.%06dZ", *parts)
    return F.concat(day.cast("string"), clock)


def local_text(timestamp: Column) -> Column:
    """A timestamp without a time zone, with microseconds: ``2026-11-01T12:00:00.000000``; null for null."""
    seconds = F.lpad(F.date_part(F.lit("SECOND"), timestamp).cast("string"), 9, "0")
    clock = F.format_string("T%02d:%02d:", F.hour(timestamp), F.minute(timestamp))
    return F.concat(timestamp.cast("date").cast("string"), clock, seconds)


def with_iso_times(value: Column, kind: T.DataType) -> Column:
    """The value with every instant, local time and date as text, including those in arrays, maps and structs."""
    if not _holds_times(kind):
        return value
    if isinstance(kind, T.TimestampType):
        return instant_text(value)
    if isinstance(kind, T.TimestampNTZType):
        return local_text(value)
    if isinstance(kind, T.ArrayType):
        element = kind.elementType
        return F.transform(value, lambda item: with_iso_times(item, element))
    if isinstance(kind, T.MapType):
        of_key, of_value = kind.keyType, kind.valueType
        renamed = F.transform_keys(value, lambda key, _: with_iso_times(key, of_key))
        return F.transform_values(renamed, lambda _, item: with_iso_times(item, of_value))
    if isinstance(kind, T.StructType):
        fields = [with_iso_times(value.getField(field.name), field.dataType).alias(field.name) for field in kind]
        return F.when(value.isNotNull(), F.struct(*fields))
    return value.cast("string")


def _holds_times(kind: T.DataType) -> bool:
    return any(isinstance(part, T.TimestampType | T.TimestampNTZType | T.DateType) for part in types_within(kind))
