"""The columns that a batch may have: their names, their types, and what is wrong with those that can never fit."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import SchemaError, nearest
from featurestore.kinds.kind import Moments


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


def moments_of(name: str, zone: str | None) -> Moments:
    """How to read a column of timestamps; a row's own times are rounded up, so that no row is visible too early."""
    return Moments(zone, finer="up" if name in TIME_COLUMNS else "down")


def type_error(name: str, stored: str, word: str, group: FeatureGroup, advice: str = "") -> SchemaError:
    """The error for a column of a type that can never be read as the group's type."""
    return SchemaError(
        f"group {group.name!r}: column {name!r} is {stored} and cannot be read losslessly as {word}; cast it yourself, "
        f"or mend the definition{advice}"
    )


def time_advice(word: str) -> str:
    """What else to do about timestamps without a time zone or dates that ``word`` cannot hold."""
    if word != "timestamp":
        return ""
    return " (it has no time zone: give instants, or name the zone to read it in as timestamp_zone in the settings)"
