"""Rows as JSON, one object per line."""

from __future__ import annotations

from featurestore.columnar.text.json_lines import LINE_SEPARATORS
from featurestore.frames.columns import column
from featurestore.kinds.json_text.iso_text import with_iso_times
from featurestore.late_spark import Column, F, T


def json_line(schema: T.StructType) -> Column:
    """A row as one JSON object, without its line end: one key per column, in order.

    A null stays null; instants are UTC, in ISO 8601 with microseconds; binary is base64. JSON has no NaN and no
    infinities: they become the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
    """
    fields = [with_iso_times(column(field.name), field.dataType).alias(field.name) for field in schema]
    line = F.to_json(F.struct(*fields), {"ignoreNullFields": "false"})
    for character, escaped in LINE_SEPARATORS.items():
        line = F.replace(line, F.lit(character), F.lit(escaped))
    return line
