"""Rows as lines of CSV (RFC 4180), by column expressions: each value has one text, whatever the session's settings."""

from __future__ import annotations

from functools import cache

from featurestore.columnar.text.csv_lines import FORMULA, LINE_END, CsvOptions
from featurestore.frames.columns import column
from featurestore.kinds.json_text.iso_text import with_iso_times
from featurestore.late_spark import Column, F, T


@cache
def _plain() -> tuple[type[T.DataType], ...]:
    return (T.BooleanType, T.IntegralType, T.FractionalType)


@cache
def _nested() -> tuple[type[T.DataType], ...]:
    return (T.ArrayType, T.MapType, T.StructType, T.VariantType)


# Besides what RFC 4180 quotes: an empty text, which is not null, and spaces at either end, which some readers drop.
_QUOTED = '[",\\r\\n]|^$|^[ \\t]|[ \\t]$'

# The lower bits of ``monotonically_increasing_id`` count the rows of a partition.
_ROW_OF_PARTITION = (1 << 33) - 1


def csv_line(schema: T.StructType, options: CsvOptions) -> Column:
    """A row as one line, without its end: one cell per column, in order."""
    return F.concat_ws(",", *(_cell(column(field.name), field.dataType, options) for field in schema))


def with_header(line: Column, header: str) -> Column:
    """The line, after the header if it is the first of its partition, and so of the file that a task writes."""
    first = F.monotonically_increasing_id().bitwiseAND(F.lit(_ROW_OF_PARTITION)) == 0
    return F.when(first, F.concat(F.lit(header + LINE_END), line)).otherwise(line)


def _cell(value: Column, kind: T.DataType, options: CsvOptions) -> Column:
    if isinstance(kind, T.StringType):
        text = _guarded(value) if options.guard_formulas else value
        cell = F.when(text.rlike(_QUOTED), _quoted(text)).otherwise(text)
    else:
        cell = _text(value, kind)
    if options.null:
        cell = F.when(cell == F.lit(options.null), _quoted(cell)).otherwise(cell)
    return F.coalesce(cell, F.lit(options.null))


def _text(value: Column, kind: T.DataType) -> Column:
    """The text of a value of another type than string; such a text needs no guard and cannot be taken for a null."""
    if isinstance(kind, T.DecimalType):
        # A cast writes small decimals with or without an exponent, depending on the session's ANSI mode.
        return F.replace(F.format_number(value, kind.scale), F.lit(","), F.lit(""))
    if isinstance(kind, _plain()):
        return value.cast("string")
    if isinstance(kind, _nested()):
        return _quoted(F.to_json(with_iso_times(value, kind), {"ignoreNullFields": "false"}))
    if isinstance(kind, T.BinaryType):
        # One of Spark's legacy settings breaks base64 into lines.
        text = F.translate(F.base64(value), "\r\n", "")
        return F.when(text == F.lit(""), _quoted(text)).otherwise(text)
    return with_iso_times(value, kind).cast("string")


def _guarded(text: Column) -> Column:
    return F.when(text.rlike(FORMULA), F.concat(F.lit("'"), text)).otherwise(text)


def _quoted(text: Column) -> Column:
    return F.concat(F.lit('"'), F.replace(text, F.lit('"'), F.lit('""')), F.lit('"'))
