"""Typed columns as they come -> the group's types, losslessly or with a reason why not.

Two kinds of fault. A column that can never fit (missing, doubled, of a wrong type) is a SchemaError before anything
runs. A value that does not fit (2.5 for a long) is a reason on its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.types import storage_of_key
from featurestore.errors import SchemaError, nearest
from featurestore.frames.columns import column
from featurestore.frames.schema import data_type

# Made by this package and carried beside the group's columns.
FAULTS, ROW = "__faults", "__row"

_WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_FRACTION = (T.FloatType, T.DoubleType, T.DecimalType)
_OFFSET = r"(?i)^\s*\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?\s*(Z|[+-]\d{2}(:?\d{2})?)\s*$"
_NAIVE = r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?\s*$"
_EARLIEST, _LATEST = -62135596800000000, 253402300799999999  # years 0001 to 9999, in microseconds


@dataclass(frozen=True)
class Reading:
    """A column read as another type: the value, and when it could not be read."""

    value: Column
    unreadable: Column


def read_columns(rows: DataFrame, group: FeatureGroup, zone: str | None = None) -> dict[str, Reading]:
    """Each column of the group's tables, read from ``rows``: join keys, event and created timestamp, features.

    An absent feature or created timestamp reads as null. Raises SchemaError for columns that can never fit.
    """
    given = input_columns(rows)
    check_column_names(given, group)
    readings = {}
    for name, word in targets(group).items():
        if name in given:
            readings[name] = _read(rows.schema[name], word, group, zone)
        else:
            readings[name] = Reading(F.lit(None).cast(data_type(_storage(word))), F.lit(False))
    return readings


def input_columns(rows: DataFrame) -> list[str]:
    """The columns that the writer gave."""
    return [name for name in rows.columns if name not in (FAULTS, ROW)]


def targets(group: FeatureGroup) -> dict[str, str]:
    """Column -> the type as users write it, in the order of the table."""
    words: dict[str, str] = dict(group.entity.join_keys)
    words |= {"event_timestamp": "timestamp", "created_timestamp": "timestamp"}
    for feature in group.features:
        words[feature.name] = feature.type
        if feature.model_version_column is not None:
            words[feature.model_version_column] = "string"
    return words


def _storage(word: str) -> str:
    return "array<float>" if word.startswith("embedding") else storage_of_key(word)


def check_column_names(given: Sequence[str], group: FeatureGroup) -> None:
    """Raise SchemaError where columns are doubled, unknown, or lack a key, the timestamp or every feature."""
    known = targets(group)
    doubled = sorted({name for name in given if list(given).count(name) > 1})
    if doubled:
        raise SchemaError(f"group {group.name!r}: columns {doubled} come twice; rename or drop one of each")
    unknown = [name for name in given if name not in known and name != "tenant_id"]
    if unknown:
        hints = "; ".join(f"{name!r}: {nearest(name, known)}" for name in unknown)
        raise SchemaError(f"group {group.name!r} has no columns {unknown}; drop them or mend their names. {hints}")
    missing = [name for name in (*group.join_keys, "event_timestamp") if name not in given]
    if missing:
        raise SchemaError(f"group {group.name!r}: columns {missing} are missing; found {list(given)}")
    if not any(name in given for name in group.feature_names):
        raise SchemaError(f"group {group.name!r}: none of its features {group.feature_names} is among {list(given)}")


def _read(field: T.StructField, word: str, group: FeatureGroup, zone: str | None) -> Reading:
    value = column(field.name)
    reading = read_as(value, field.dataType, word, zone)
    if reading is None:
        raise SchemaError(
            f"group {group.name!r}: column {field.name!r} is {field.dataType.simpleString()} and cannot be read "
            f"losslessly as {word}; cast it yourself, or mend the definition{_time_advice(field.dataType, word)}"
        )
    return reading


def _time_advice(found: T.DataType, word: str) -> str:
    if word == "timestamp" and isinstance(found, T.TimestampNTZType | T.DateType):
        return " (it has no time zone: give instants, or name the zone to read it in as timestamp_zone in the settings)"
    return ""


def read_as(value: Column, found: T.DataType, word: str, zone: str | None = None) -> Reading | None:
    """How to read a column of type ``found`` as the type ``word``; None where that can never be lossless."""
    target = data_type(_storage(word))
    if isinstance(found, T.NullType):
        return Reading(value.cast(target), F.lit(False))
    if word == "timestamp":
        return _read_timestamp(value, found, zone)
    if word == "date":
        return _read_date(value, found)
    if word == "json":
        return _read_json(value, found)
    if isinstance(target, T.ArrayType):
        return _read_array(value, found, target)
    if isinstance(target, T.StringType):
        return Reading(value.cast(target), F.lit(False)) if isinstance(found, T.StringType) else None
    if isinstance(target, T.BooleanType):
        return Reading(value, F.lit(False)) if isinstance(found, T.BooleanType) else None
    return _read_number(value, found, target)


def _read_number(value: Column, found: T.DataType, target: T.DataType) -> Reading | None:
    if found == target:
        return Reading(value, F.lit(False))
    if not isinstance(found, (*_WHOLE, *_FRACTION)):
        return None
    read = value.try_cast(target)
    if isinstance(target, T.FloatType) and isinstance(found, T.DoubleType):
        # Whoever declares float asks for its precision; only its range can be missed.
        overflow = F.abs(read) == F.lit(float("inf"))
        return Reading(read, value.isNotNull() & overflow & (F.abs(value) != F.lit(float("inf"))))
    same = F.coalesce(read.try_cast(found) == value, F.lit(False))
    if isinstance(target, T.LongType) and isinstance(found, T.DoubleType | T.FloatType):
        same = same & (F.abs(value) < F.lit(float(2**63)))
    if isinstance(target, T.DoubleType) and isinstance(found, T.LongType):
        same = same & (F.abs(read) < F.lit(float(2**63)))
    return Reading(read, value.isNotNull() & ~same)


def _read_timestamp(value: Column, found: T.DataType, zone: str | None) -> Reading | None:
    if isinstance(found, T.TimestampType):
        read = value
    elif isinstance(found, T.StringType):
        with_offset = F.when(value.rlike(_OFFSET), value.try_cast("timestamp"))
        naive = F.when(value.rlike(_NAIVE), _in_zone(value.try_cast("timestamp_ntz"), zone)) if zone else F.lit(None)
        read = F.coalesce(with_offset, naive)
    elif isinstance(found, T.TimestampNTZType | T.DateType) and zone is not None:
        read = _in_zone(value.cast("timestamp_ntz"), zone)
    else:
        return None
    inside = F.unix_micros(read).between(_EARLIEST, _LATEST)
    return Reading(F.when(inside, read), value.isNotNull() & ~F.coalesce(inside, F.lit(False)))


def _in_zone(naive: Column, zone: str) -> Column:
    """The instant that a clock in ``zone`` shows so; independent of the session's zone, unlike a cast."""
    seconds = F.date_part(F.lit("SECOND"), naive)
    return F.make_timestamp(
        F.year(naive), F.month(naive), F.day(naive), F.hour(naive), F.minute(naive), seconds, F.lit(zone)
    )


def _read_date(value: Column, found: T.DataType) -> Reading | None:
    if isinstance(found, T.DateType):
        return Reading(value, F.lit(False))
    if isinstance(found, T.StringType):
        read = F.when(value.rlike(r"^\d{4}-\d{2}-\d{2}$"), value.try_cast("date"))
        return Reading(read, value.isNotNull() & read.isNull())
    return None


def _read_json(value: Column, found: T.DataType) -> Reading | None:
    if isinstance(found, T.StringType):
        return Reading(value, value.isNotNull() & F.try_parse_json(value).isNull())
    if isinstance(found, T.StructType | T.MapType | T.ArrayType):
        return Reading(F.to_json(value), F.lit(False))
    return None


def _read_array(value: Column, found: T.DataType, target: T.ArrayType) -> Reading | None:
    if not isinstance(found, T.ArrayType):
        return None
    element = found.elementType
    if element == target.elementType or isinstance(element, T.NullType):
        return Reading(value.cast(target), F.lit(False))
    if isinstance(target.elementType, T.StringType) or not isinstance(element, (*_WHOLE, *_FRACTION)):
        return None
    read = F.transform(value, lambda number: number.try_cast(target.elementType))
    if isinstance(target.elementType, T.FloatType) or not isinstance(element, T.LongType):
        return Reading(read, F.lit(False))
    exact = F.forall(value, lambda x: x.isNull() | (x.cast("double").try_cast("long") == x))
    return Reading(read, value.isNotNull() & ~F.coalesce(exact, F.lit(False)))
