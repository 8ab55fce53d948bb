"""Rows of a local batch -> the group's types, each row with every reason why it cannot be stored, without Spark.

This is ``frames/rows/validation.py`` on Arrow columns: both give the same values, reasons and texts of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.ranks import one_array
from featurestore.columnar.rows.batch_columns import check_column_names, moments_of, targets, time_advice, type_error
from featurestore.columnar.rows.names import FAULTS, ROW
from featurestore.columnar.rows.reasons_of_rows import EarlierFaults, Reasons, add_unreadable
from featurestore.columnar.rows.rules import broken_rules
from featurestore.columnar.spark_names import spark_name
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.kinds.arrow_columns.reading import (
    ArrowReading,
    Mask,
    UndecidedError,
    fine,
    is_present,
    numpy_of,
    true_of,
)
from featurestore.kinds.json_text.arrow_json import object_texts
from featurestore.kinds.registry import kind_of


def check_local_rows(rows: pa.Table, group: FeatureGroup, tenant_id: str, zone: str | None = None) -> pa.Table | None:
    """One row per input row: the group's columns, ``__faults`` (every reason as text; empty for a good row), ``__row``.

    ``rows`` is what ``arrow_from_dicts``, ``arrow_from_pandas`` or ``arrow_from_table`` made, perhaps with faults of
    its own. The columns are the join keys, event and created timestamp, then features, in the types of their kinds. The
    rest is as ``check_rows`` has it. Raises SchemaError for columns that can never fit.

    Returns None if the batch must go by Spark, because one of its parts is not known to be decided equally here:

    - a ``pattern`` that is not known to mean the same to Java and to RE2 (``patterns``);
    - JSON text with half a character, a very long number or key, a megabyte or more, or 400 levels or more;
    - a timestamp or date near the ends of 64 bits, which fails in Spark;
    - text that is not Unicode;
    - a column of a type that Spark may not read, or, if a row is faulty, whose text in JSON only Spark knows.
    """
    try:
        return _checked(rows, group, tenant_id, zone)
    except UndecidedError:
        return None


def _checked(rows: pa.Table, group: FeatureGroup, tenant_id: str, zone: str | None) -> pa.Table:
    given = {name: rows.column(name).combine_chunks() for name in rows.column_names if name not in (FAULTS, ROW)}
    check_column_names([name for name in rows.column_names if name not in (FAULTS, ROW)], group)
    for column in given.values():
        _check_readable(column)
    readings = _read(given, group, zone, rows.num_rows)
    earlier, reasons = EarlierFaults(rows), Reasons(rows.num_rows)
    for name, reading in readings.items():
        add_unreadable(reasons, name, reading.fault)
    if "tenant_id" in given:
        reasons.add(_of_another_tenant(given["tenant_id"], tenant_id), "tenant_id: not the tenant of this store")
    earlier.add_to(reasons)
    values = {name: reading.good_value for name, reading in readings.items()}

    def unreadable(name: str) -> Mask:
        return is_present(readings[name].fault) | earlier.of_column(name)

    for name in (*group.join_keys, "event_timestamp"):
        if values[name].null_count:
            # A value that could not be read already has its reason, so "missing" would be wrong.
            reasons.add(~is_present(values[name]) & ~unreadable(name), f"{name}: missing")
    for feature in group.features:
        for rule, mask in broken_rules(feature, values[feature.name], unreadable(feature.name)):
            reasons.add(mask, f"{feature.name}: {rule}")
    original = _original(rows, given, reasons.is_faulty())
    return pa.table(values | {FAULTS: reasons.column(), ROW: original})


def _check_readable(column: pa.Array) -> None:
    """Raise UndecidedError for a column that Spark might refuse, or read in a way of its own."""
    name = spark_name(column.type)
    if "string" in name:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise UndecidedError("text that is not Unicode") from error


def _read(given: Mapping[str, pa.Array], group: FeatureGroup, zone: str | None, rows: int) -> dict[str, ArrowReading]:
    readings = {}
    for name, word in targets(group).items():
        if name not in given:
            readings[name] = fine(pa.nulls(rows, kind_of(word).arrow_type))
            continue
        column = given[name]
        reading = kind_of(word).read_arrow(column, moments_of(name, zone))
        if reading is None:
            stored = spark_name(column.type)
            advice = time_advice(word) if stored in ("timestamp_ntz", "date") else ""
            raise type_error(name, stored, word, group, advice)
        readings[name] = reading
    return readings


def _of_another_tenant(column: pa.Array, tenant_id: str) -> Mask:
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_null(kind) or pa.types.is_signed_integer(kind)):
        raise UndecidedError(f"tenant ids of type {kind}")
    return true_of(pc.not_equal(column.cast(pa.string()), tenant_id))


def _original(rows: pa.Table, given: Mapping[str, pa.Array], faulty: Mask) -> pa.Array:
    """Each faulty row as JSON with every field, or the text that an earlier step made of it; null for good rows."""
    texts = pa.nulls(len(faulty), pa.string())
    if ROW in rows.column_names:
        texts = pc.if_else(pa.array(faulty), rows.column(ROW).combine_chunks(), pa.scalar(None, pa.string()))
    missing = faulty & ~is_present(texts)
    if not missing.any():
        return texts
    places = pa.array(np.flatnonzero(missing))
    made = object_texts([(name, column.take(places)) for name, column in given.items()], len(places))
    return pc.replace_with_mask(texts, pa.array(missing), made)


def rejected_whole(checked: pa.Table, reasons: Sequence[str]) -> pa.Table:
    """All rows of a checked batch, each with these reasons after its own, and with its text as JSON."""
    faults, count = one_array(checked.column(FAULTS)), checked.num_rows
    own = faults.flatten()
    ends = np.cumsum(numpy_of(pc.list_value_length(faults)).astype(np.int64))
    added = np.arange(len(own), len(own) + len(reasons))
    places = np.insert(np.arange(len(own)), np.repeat(ends, len(reasons)), np.tile(added, count))
    texts = pa.concat_arrays([own, pa.array(list(reasons), pa.string())]).take(pa.array(places))
    offsets = np.concatenate([[0], ends + len(reasons) * np.arange(1, count + 1)])
    columns = {name: one_array(checked.column(name)) for name in checked.column_names if name not in (FAULTS, ROW)}
    rows = pc.coalesce(one_array(checked.column(ROW)), object_texts(list(columns.items()), count))
    return pa.table(columns | {FAULTS: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts), ROW: rows})
