"""Rows of text (CSV cells, JSON lines) -> Arrow columns, with a reason for each value that cannot be read.

This is ``frames/rows/text_rows.py`` without Spark: both give the same values, reasons and texts of rows. Both raise
UndecidedError for texts that only Spark can read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.rows.batch_columns import check_column_names, targets
from featurestore.columnar.rows.faults import Fault, arrow_faults
from featurestore.columnar.rows.names import FAULTS, ROW
from featurestore.columnar.text.csv_records import Record
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.kinds.arrow_columns.reading import ArrowReading, UndecidedError
from featurestore.kinds.json_text.arrow_json import object_texts
from featurestore.kinds.json_text.json_members import (
    ArrowMembers,
    JsonObject,
    keys_of_prefix,
    kind_of_json,
    parsed_line,
    scalar_text,
)
from featurestore.kinds.registry import kind_of

NOT_UTF8 = "the text is not UTF-8"
NOT_AS_MANY_CELLS = "the line has not as many cells as the header"
NOT_ONE_OBJECT = "the line is not one JSON object"
NOT_COLUMNS = "not columns of the group: "
NOT_THE_TENANT = "not the tenant of this store"
# Spark's CSV reader replaces bytes that are not UTF-8 with this character.
REPLACED = "\ufffd"


def arrow_from_records(names: Sequence[str], records: Sequence[Record], group: FeatureGroup) -> pa.Table:
    """One row per record below a header with these names; the same as ``rows_from_cells``.

    Raises SchemaError for columns that the group does not have.
    """
    check_column_names(names, group)
    words = targets(group) | {"tenant_id": "string"}
    width = len(names)
    ragged = [row for row, record in enumerate(records) if len(record.cells) != width]
    if any(not records[row].text.strip() for row in ragged):
        raise UndecidedError("a line of blanks")
    cells = [record.cells if len(record.cells) == width else _fitted(record.cells, width) for record in records]
    columns = [pa.array(column, pa.string()) for column in zip(*cells, strict=True)] if cells else []
    given = dict(zip(names, columns or [pa.nulls(0, pa.string())] * width, strict=True))
    readings = {name: kind_of(words[name]).read_cells(column) for name, column in given.items()}
    faults = _faults(readings, len(records))
    texts = object_texts(list(given.items()), len(records))
    for row in pc.indices_nonzero(pc.match_substring(texts, REPLACED)).to_pylist():
        faults[row].append(Fault(None, NOT_UTF8))
    originals = texts.to_pylist() if ragged else []
    for row in ragged:
        faults[row].append(Fault(None, NOT_AS_MANY_CELLS))
        originals[row] = object_texts([("line", pa.array([records[row].text]))], 1)[0].as_py()
    return _table(readings, faults, pa.array(originals, pa.string()) if ragged else texts)


def arrow_from_json_lines(lines: Sequence[str], group: FeatureGroup, tenant_id: str) -> pa.Table:
    """One row per line that is not blank, with every column of the group; the same as ``rows_from_json_lines``."""
    kept = [line for line in lines if line.strip(" ")]
    words = targets(group)
    known = {*words, "tenant_id"}
    objects: list[dict[str, Any]] = []
    whole_faults: list[list[Fault]] = []
    for line in kept:
        members, faults = _members(line, known, tenant_id)
        objects.append(members)
        whole_faults.append(faults)
    readings = {}
    for name, word in words.items():
        readings[name] = kind_of(word).read_members(ArrowMembers([members.get(name) for members in objects]))
    of_values = _faults(readings, len(kept))
    return _table(
        readings,
        [of_line + of_row for of_line, of_row in zip(whole_faults, of_values, strict=True)],
        pa.array(kept, pa.string()),
    )


def _members(line: str, known: set[str], tenant_id: str) -> tuple[dict[str, Any], list[Fault]]:
    """The members of a line's object, and the faults of the whole line."""
    faults: list[Fault] = []
    try:
        value = parsed_line(line)
    except ValueError:
        value = None
    is_object = isinstance(value, JsonObject)
    if not is_object:
        faults.append(Fault(None, NOT_ONE_OBJECT))
    members = dict(zip(value.names, value, strict=True)) if is_object else {}
    unknown = [name for name in (members if is_object else dict.fromkeys(keys_of_prefix(line))) if name not in known]
    if unknown:
        faults.append(Fault(None, NOT_COLUMNS + ", ".join(unknown)))
    owner = members.get("tenant_id")
    if owner is not None and owner != tenant_id and _text_of_owner(owner) != tenant_id:
        faults.append(Fault("tenant_id", NOT_THE_TENANT))
    return members, faults


def _text_of_owner(owner: Any) -> str | None:
    if kind_of_json(owner) == "DOUBLE":
        raise UndecidedError("a tenant id that is a fraction")
    return scalar_text(owner)


def _fitted(cells: Sequence[str | None], width: int) -> list[str | None]:
    return [*cells[:width], *[None] * (width - len(cells))]


def _faults(readings: dict[str, ArrowReading], rows: int) -> list[list[Fault]]:
    """The faults of each row's values, in the order of the columns."""
    faults: list[list[Fault]] = [[] for _ in range(rows)]
    for name, reading in readings.items():
        if reading.fault.null_count < len(reading.fault):
            present = reading.fault.is_valid()
            places, texts = pc.indices_nonzero(present).to_pylist(), reading.fault.drop_null().to_pylist()
            for row, reason in zip(places, texts, strict=True):
                faults[row].append(Fault(name, reason))
    return faults


def _table(readings: dict[str, ArrowReading], faults: list[list[Fault]], texts: pa.Array) -> pa.Table:
    values = {name: reading.good_value for name, reading in readings.items()}
    return pa.table(values | {FAULTS: arrow_faults(faults), ROW: texts})
