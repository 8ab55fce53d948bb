"""Rows as JSON, one object per line, without Spark: the same text as ``frames/text/json_lines.py`` makes of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.ranks import one_array
from featurestore.columnar.text.csv_lines import base64_texts
from featurestore.kinds.json_text.arrow_json import check_digits, joined, object_texts

LINE_END = "\n"

# JSON may contain these as they are, but some readers end a line at them.
LINE_SEPARATORS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def json_lines(rows: pa.Table) -> pa.Array:
    """Each row as a line with its end: an object with one key per column, in order.

    Raises UndecidedError for a type or a number whose text only Spark knows.
    """
    lines = object_texts([(name, _member(rows.column(name))) for name in rows.column_names], rows.num_rows)
    for character, escaped in LINE_SEPARATORS.items():
        lines = pc.replace_substring(lines, character, escaped)
    return joined([lines, LINE_END], rows.num_rows)


def _member(column: Any) -> pa.Array:
    value = one_array(column)
    check_digits(value)
    return base64_texts(value) if pa.types.is_binary(value.type) else value


def one_line(text: str) -> str:
    """JSON that Python wrote, with ``LINE_SEPARATORS`` escaped."""
    for character, escaped in LINE_SEPARATORS.items():
        text = text.replace(character, escaped)
    return text
