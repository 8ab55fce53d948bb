"""Rows -> the group's types, each row with every reason why it cannot be stored."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.bounds import greatest_value, least_value, number_text
from featurestore.frames.columns import column, those_present
from featurestore.frames.rows.conform import FAULTS, ROW, input_columns, read_columns
from featurestore.frames.rows.faults import faults_present, is_unreadable, no_faults, reasons_of
from featurestore.frames.rows.readings import with_readings
from featurestore.kinds.json_text.json_columns import json_of
from featurestore.kinds.registry import kind_of
from featurestore.late_spark import Column, DataFrame, F, T

_UNREADABLE = "__unreadable"


def check_rows(rows: DataFrame, group: FeatureGroup, tenant_id: str, zone: str | None = None) -> DataFrame:
    """One row per input row: the group's columns, ``__faults`` (every reason as text; empty for a good row), ``__row``.

    Rows may have ``__faults`` of an earlier step that has read some of their values (``faults_present``). ``__row`` is
    the original row as JSON if there is a reason, else null. A null passes every rule except ``not_null``; join keys
    and the event timestamp are always required. Raises SchemaError for columns that can never fit.
    """
    names, has_faults, has_row = input_columns(rows), FAULTS in rows.columns, ROW in rows.columns
    rows, readings = with_readings(rows, read_columns(rows, group, zone))
    unreadable: list[tuple[str | None, Column]] = [(name, reading.fault) for name, reading in readings.items()]
    if "tenant_id" in names:
        other = column("tenant_id").cast("string") != F.lit(tenant_id)
        unreadable.append(("tenant_id", F.when(other, F.lit("not the tenant of this store"))))
    faults = faults_present(unreadable)
    if has_faults:
        faults = F.concat(faults, F.coalesce(column(FAULTS), no_faults()))
    read = rows.select(
        *(reading.good_value.alias(name) for name, reading in readings.items()),
        faults.alias(_UNREADABLE),
        F.struct(*(column(name) for name in names)).alias("__given"),
        *([column(ROW)] if has_row else []),
    )
    checked = read.withColumn(FAULTS, F.array_distinct(F.concat(reasons_of(column(_UNREADABLE)), _broken_rules(group))))
    return checked.select(*readings, column(FAULTS), _original(checked).alias(ROW))


def _original(checked: DataFrame) -> Column:
    """The original row as JSON with every field, or the text that an earlier step made of a Python row."""
    made = json_of(column("__given"), checked.schema["__given"].dataType)
    text = F.coalesce(column(ROW), made) if ROW in checked.columns else made
    return F.when(F.size(FAULTS) > 0, text)


def _broken_rules(group: FeatureGroup) -> Column:
    needed = [*group.join_keys, "event_timestamp"]
    # A value that could not be read is null here and already has its reason, so "missing" would be wrong.
    maybe = [F.when(column(name).isNull() & ~_unreadable(name), F.lit(f"{name}: missing")) for name in needed]
    for feature in group.features:
        maybe += [F.when(broken, F.lit(f"{feature.name}: {rule}")) for rule, broken in rules(feature)]
    return those_present(maybe)


def _unreadable(name: str) -> Column:
    return is_unreadable(column(_UNREADABLE), name)


def rules(feature: Feature) -> list[tuple[str, Column]]:
    """The feature's rules: their names in reasons, and the conditions that break them; null breaks only ``missing``."""
    value, kind = column(feature.name), kind_of(feature.type)
    broken: list[tuple[str, Column]] = []
    if feature.not_null:
        broken.append(("missing", value.isNull() & ~_unreadable(feature.name)))
    broken += [*kind.broken_rules(value), *_out_of_bounds(feature)]
    if feature.allowed_values is not None:
        broken.append(("not among allowed_values", ~value.isin(list(feature.allowed_values))))
    if feature.pattern is not None:
        broken.append(("does not match pattern", ~value.rlike(rf"^(?:{feature.pattern})\z")))
    length = kind.length(value)
    if feature.min_length is not None:
        broken.append((f"shorter than min_length {feature.min_length}", length < F.lit(feature.min_length)))
    if feature.max_length is not None:
        broken.append((f"longer than max_length {feature.max_length}", length > F.lit(feature.max_length)))
    # size(null) is -1 in some sessions, so nulls are excluded here.
    return [(rule, breaks if rule == "missing" else value.isNotNull() & breaks) for rule, breaks in broken]


def _out_of_bounds(feature: Feature) -> list[tuple[str, Column]]:
    """The bounds that a value breaks. Whole numbers are compared as such: as doubles, 2**53 and 2**53 + 1 are equal."""
    value, word = column(feature.name), feature.type
    is_comparable = kind_of(word).is_comparable(value)
    broken: list[tuple[str, Column]] = []
    if feature.min is not None and (least := least_value(word, feature.min)) is not None:
        broken.append((f"less than min {number_text(feature.min)}", (value < F.lit(least)) & is_comparable))
    if feature.max is not None and (greatest := greatest_value(word, feature.max)) is not None:
        broken.append((f"greater than max {number_text(feature.max)}", (value > F.lit(greatest)) & is_comparable))
    return broken


def good_rows(checked: DataFrame) -> DataFrame:
    return checked.where(F.size(FAULTS) == 0).drop(FAULTS, ROW)


def bad_rows(checked: DataFrame) -> DataFrame:
    return checked.where(F.size(FAULTS) > 0)


def rejected_whole(checked: DataFrame, reasons: Sequence[str]) -> DataFrame:
    """All rows of a checked batch, each with these reasons after its own, and with its text as JSON."""
    fields = [field for field in checked.schema if field.name not in (FAULTS, ROW)]
    made = json_of(F.struct(*(column(field.name) for field in fields)), T.StructType(fields))
    added = F.array(*(F.lit(reason) for reason in reasons))
    return checked.withColumns({FAULTS: F.concat(column(FAULTS), added), ROW: F.coalesce(column(ROW), made)})
