"""Rows of text (CSV cells, JSON lines) -> typed columns, with a reason for each value that cannot be read.

The result has ``__faults`` and ``__row`` for ``check_rows``, which reads the rest: timestamps, dates and JSON stay text
until then, so that their rules are written once.
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.columnar.text.text_rows import (
    NOT_AS_MANY_CELLS,
    NOT_COLUMNS,
    NOT_ONE_OBJECT,
    NOT_THE_TENANT,
    NOT_UTF8,
    REPLACED,
)
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW, check_column_names, targets
from featurestore.frames.rows.faults import faults_present
from featurestore.frames.rows.readings import with_readings
from featurestore.kinds.json_text.json_columns import is_json
from featurestore.kinds.json_text.variants import JsonMember, member_of
from featurestore.kinds.reading import Reading
from featurestore.kinds.registry import kind_of
from featurestore.late_spark import Column, DataFrame, F

_PARSED = "__parsed"
# The column concerned (None for the whole row), and a reason or null.
_Reason = tuple[str | None, Column]


def rows_from_cells(cells: DataFrame, group: FeatureGroup, malformed: str | None = None) -> DataFrame:
    """One row per row of ``cells``, which has only text columns; a null cell is a missing value.

    ``malformed`` names the column that holds a line if its cells do not match the header, else null. Arrays are read
    from JSON text. Raises SchemaError for columns that the group does not have.
    """
    names = [name for name in cells.columns if name != malformed]
    check_column_names(names, group)
    words = targets(group) | {"tenant_id": "string"}
    cells, readings = with_readings(cells, {name: kind_of(words[name]).read_cell(column(name)) for name in names})
    faults = _faults(readings)
    original = F.to_json(F.struct(*(column(name) for name in names)), {"ignoreNullFields": "false"})
    faults.append(_of_row(NOT_UTF8, F.contains(original, F.lit(REPLACED))))
    if malformed is not None:
        faults.append(_of_row(NOT_AS_MANY_CELLS, column(malformed).isNotNull()))
        line = F.to_json(F.struct(column(malformed).alias("line")))
        original = F.when(column(malformed).isNotNull(), line).otherwise(original)
    return cells.select(
        *(reading.good_value.alias(name) for name, reading in readings.items()),
        faults_present(faults).alias(FAULTS),
        original.alias(ROW),
    )


def rows_from_json_lines(lines: DataFrame, group: FeatureGroup, tenant_id: str) -> DataFrame:
    """One row per line of the text column ``value``, without blank lines; the result has every column of the group.

    A line that is not a single JSON object, an unknown key, another tenant's id, or a value of another JSON kind
    becomes a reason on that row alone.
    """
    line, parsed = column("value"), column(_PARSED)
    words = targets(group)
    lines, members = _with_members(lines.where(F.trim(line) != ""), list(words))
    read = {name: kind_of(word).read_json(members[name]) for name, word in words.items()}
    lines, readings = with_readings(lines, read)
    known = F.array(*(F.lit(name) for name in (*words, "tenant_id")))
    unknown = F.array_except(F.json_object_keys(line), known)
    owner = F.try_variant_get(parsed, "$.tenant_id", "string")
    faults = [
        _of_row(NOT_UTF8, ~F.is_valid_utf8(line)),
        _of_row(
            NOT_ONE_OBJECT,
            ~F.coalesce(F.schema_of_variant(parsed).startswith("OBJECT"), F.lit(False)),
        ),
        (
            None,
            F.when(F.size(unknown) > 0, F.concat(F.lit(NOT_COLUMNS), F.array_join(unknown, ", "))),
        ),
        ("tenant_id", F.when(owner != F.lit(tenant_id), F.lit(NOT_THE_TENANT))),
        *_faults(readings),
    ]
    return lines.select(
        *(reading.good_value.alias(name) for name, reading in readings.items()),
        faults_present(faults).alias(FAULTS),
        line.alias(ROW),
    )


def _with_members(lines: DataFrame, names: Sequence[str]) -> tuple[DataFrame, dict[str, JsonMember]]:
    """The lines, with each line's object as the variant ``_PARSED``, and the members of that object as columns.

    As columns, because a kind names a member many times, and Spark would plan the parsing of the line for each.
    """
    line = column("value")
    parsed = lines.select(line, F.when(is_json(line), F.try_parse_json(line)).alias(_PARSED))
    parts, members = [], {}
    for number, name in enumerate(names):
        variant, text, kind = (f"__variant_{number}", f"__text_{number}", f"__kind_{number}")
        of_member = member_of(column(_PARSED), name)
        parts += [part.alias(alias) for part, alias in zip(of_member, (variant, text, kind), strict=True)]
        members[name] = JsonMember(name, line, column(variant), column(text), column(kind))
    return parsed.select("*", *parts), members


def _faults(readings: dict[str, Reading]) -> list[_Reason]:
    return [(name, reading.fault) for name, reading in readings.items()]


def _of_row(reason: str, applies: Column) -> _Reason:
    return None, F.when(applies, F.lit(reason))
