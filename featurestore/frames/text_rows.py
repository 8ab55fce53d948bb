"""Rows of text (CSV cells, JSON lines) -> typed columns, with a reason for each value that cannot be read.

The result carries ``__faults`` and ``__row`` for ``check_rows``, which reads the rest: timestamps, dates and JSON stay
text until then, so that their rules are written once.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.columns import column, those_present
from featurestore.frames.conform import FAULTS, ROW, Reading, check_column_names, targets
from featurestore.frames.schema import data_type

_WHOLE_NUMBER = r"^\s*[+-]?\d+(\.0*)?\s*$"
_NUMBER = r"(?i)^\s*[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)\s*$"
_NOT_UTF8 = "the text is not UTF-8"
# What the reader of CSV puts in the place of bytes that are not UTF-8.
_REPLACED = "\ufffd"
_AS_TEXT = ("string", "timestamp", "date", "json")
# How Spark calls the kind of a JSON value, by the type it is wanted as.
_JSON_KINDS = {
    "double": r"^(BIGINT|DOUBLE|DECIMAL)",
    "float": r"^(BIGINT|DOUBLE|DECIMAL)",
    "long": r"^(BIGINT|DOUBLE|DECIMAL)",
    "int": r"^(BIGINT|DOUBLE|DECIMAL)",
    "boolean": "^BOOLEAN",
    "string": "^STRING",
    "timestamp": "^STRING",
    "date": "^STRING",
    "json": "",
}


def rows_from_cells(cells: DataFrame, group: FeatureGroup, malformed: str | None = None) -> DataFrame:
    """One row a row of ``cells``, whose columns are all text; a null cell is a missing value.

    ``malformed`` is the column that holds a line which could not be cut into the header's cells, else null.
    Arrays are read from JSON text. Raises SchemaError for columns that the group does not have.
    """
    given = [name for name in cells.columns if name != malformed]
    check_column_names(given, group)
    words = targets(group) | {"tenant_id": "string"}
    readings = {name: _read_cell(column(name), words[name]) for name in given}
    faults = [_fault(f"{name}: not readable as {words[name]}", readings[name].unreadable) for name in given]
    original = F.to_json(F.struct(*(column(name) for name in given)), {"ignoreNullFields": "false"})
    faults.append(_fault(_NOT_UTF8, F.contains(original, F.lit(_REPLACED))))
    if malformed is not None:
        faults.append(_fault("the line has not as many cells as the header", column(malformed).isNotNull()))
        line = F.to_json(F.struct(column(malformed).alias("line")))
        original = F.when(column(malformed).isNotNull(), line).otherwise(original)
    return cells.select(
        *(reading.value.alias(name) for name, reading in readings.items()),
        those_present(faults).alias(FAULTS),
        original.alias(ROW),
    )


def rows_from_json_lines(lines: DataFrame, group: FeatureGroup, tenant_id: str) -> DataFrame:
    """One row a line of the text column ``value``, blank lines left out; every column of the group is there.

    A line that is not one JSON object, an unknown key, another tenant's id, or a value of another JSON kind is a
    reason on that row alone.
    """
    line, parsed = column("value"), F.try_parse_json(column("value"))
    words = targets(group)
    readings = {name: _read_json_value(parsed, name, word) for name, word in words.items()}
    known = F.array(*(F.lit(name) for name in (*words, "tenant_id")))
    unknown = F.array_except(F.json_object_keys(line), known)
    owner = F.try_variant_get(parsed, "$.tenant_id", "string")
    faults = [
        _fault(_NOT_UTF8, ~F.is_valid_utf8(line)),
        _fault("the line is not one JSON object", ~F.coalesce(_kind(parsed).startswith("OBJECT"), F.lit(False))),
        F.when(F.size(unknown) > 0, F.concat(F.lit("not columns of the group: "), F.array_join(unknown, ", "))),
        _fault("tenant_id: not the tenant of this store", owner != F.lit(tenant_id)),
        *(_fault(f"{name}: not readable as {words[name]}", reading.unreadable) for name, reading in readings.items()),
    ]
    return lines.where(F.trim(line) != "").select(
        *(reading.value.alias(name) for name, reading in readings.items()),
        those_present(faults).alias(FAULTS),
        line.alias(ROW),
    )


def _kind(value: Column) -> Column:
    """The kind of a JSON value as Spark names it: OBJECT<...>, ARRAY<...>, STRING, BIGINT, VOID, ..."""
    return F.schema_of_variant(value)


def _read_json_value(parsed: Column, name: str, word: str) -> Reading:
    path = f"$.{name}"
    text = F.try_variant_get(parsed, path, "string")
    fits = _kind(F.try_variant_get(parsed, path, "variant")).rlike(_JSON_KINDS.get(word, "^ARRAY"))
    reading = _read_cell(F.when(fits, text), word)
    return Reading(reading.value, text.isNotNull() & (~fits | reading.unreadable))


def _read_cell(text: Column, word: str) -> Reading:
    if word in _AS_TEXT:
        return Reading(text, F.lit(False))
    if word == "boolean":
        wanted = F.lower(F.trim(text))
        value = F.when(wanted == "true", F.lit(True)).when(wanted == "false", F.lit(False))
    elif word in ("long", "int"):
        digits = F.regexp_replace(F.trim(text), r"\.0*$", "")
        value = F.when(text.rlike(_WHOLE_NUMBER), digits.try_cast(data_type("bigint" if word == "long" else "int")))
    elif word in ("double", "float"):
        value = F.when(text.rlike(_NUMBER), F.trim(text).try_cast(data_type("double")))
    else:
        value = F.from_json(text, "array<string>" if word == "array<string>" else "array<double>")
    return Reading(value, text.isNotNull() & value.isNull())


def _fault(reason: str, applies: Column) -> Column:
    return F.when(applies, F.lit(reason))
