"""Typed columns of a batch -> the group's types, without loss or with a reason why not.

There are two kinds of fault. A column that can never fit (missing, repeated, of a wrong type) raises SchemaError before
anything runs. A value that does not fit (2.5 for a long) becomes a reason on its row.
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.columnar.rows.names import FAULTS as FAULTS
from featurestore.columnar.rows.names import ROW as ROW
from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import SchemaError, nearest
from featurestore.frames.columns import column
from featurestore.kinds.kind import Moments
from featurestore.kinds.reading import Reading, good
from featurestore.kinds.registry import kind_of
from featurestore.late_spark import DataFrame, F, T


def read_columns(rows: DataFrame, group: FeatureGroup, zone: str | None = None) -> dict[str, Reading]:
    """Each column of the group's tables, read from ``rows``: join keys, event and created timestamp, features.

    An absent feature or created timestamp reads as null. Raises SchemaError for columns that can never fit.
    """
    names = input_columns(rows)
    check_column_names(names, group)
    readings = {}
    for name, word in targets(group).items():
        if name in names:
            readings[name] = _read(rows.schema[name], word, group, zone)
        else:
            readings[name] = good(F.lit(None).cast(kind_of(word).storage))
    return readings


def input_columns(rows: DataFrame) -> list[str]:
    """The columns that the writer passed."""
    return [name for name in rows.columns if name not in (FAULTS, ROW)]


def targets(group: FeatureGroup) -> dict[str, str]:
    """Column -> its type as users write it, in the order of the table."""
    words: dict[str, str] = dict(group.entity.join_keys)
    words |= {"event_timestamp": "timestamp", "created_timestamp": "timestamp"}
    for feature in group.features:
        words[feature.name] = feature.type
        if feature.model_version_column is not None:
            words[feature.model_version_column] = "string"
    return words


def check_column_names(names: Sequence[str], group: FeatureGroup, needs_feature: bool = True) -> None:
    """Raise SchemaError for repeated or unknown columns, or if a key, the timestamp or every feature is missing."""
    known = targets(group)
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise SchemaError(f"group {group.name!r}: columns {doubled} come twice; rename or drop one of each")
    unknown = [name for name in names if name not in known and name != "tenant_id"]
    if unknown:
        hints = "; ".join(f"{name!r}: {nearest(name, known)}" for name in unknown)
        raise SchemaError(f"group {group.name!r} has no columns {unknown}; drop them or mend their names. {hints}")
    missing = [name for name in (*group.join_keys, "event_timestamp") if name not in names]
    if missing:
        raise SchemaError(f"group {group.name!r}: columns {missing} are missing; found {list(names)}")
    if needs_feature and not any(name in names for name in group.feature_names):
        raise SchemaError(f"group {group.name!r}: none of its features {group.feature_names} is among {list(names)}")


def _read(field: T.StructField, word: str, group: FeatureGroup, zone: str | None) -> Reading:
    reading = kind_of(word).read_column(column(field.name), field.dataType, moments_of(field.name, zone))
    if reading is None:
        advice = _time_advice(field.dataType, word)
        raise type_error(field.name, field.dataType.simpleString(), word, group, advice)
    return reading


def moments_of(name: str, zone: str | None) -> Moments:
    """How to read a column of timestamps; a row's own times are rounded up, so that no row is visible too early."""
    return Moments(zone, finer="up" if name in TIME_COLUMNS else "down")


def type_error(name: str, stored: str, word: str, group: FeatureGroup, advice: str = "") -> SchemaError:
    """The error for a column of a type that can never be read as the group's type."""
    return SchemaError(
        f"group {group.name!r}: column {name!r} is {stored} and cannot be read losslessly as {word}; cast it yourself, "
        f"or mend the definition{advice}"
    )


def _time_advice(stored: T.DataType, word: str) -> str:
    if word == "timestamp" and isinstance(stored, T.TimestampNTZType | T.DateType):
        return " (it has no time zone: give instants, or name the zone to read it in as timestamp_zone in the settings)"
    return ""
