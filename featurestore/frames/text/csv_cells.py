"""Rows as lines of CSV (RFC 4180), made of columns alone: each value has one text, whatever the session's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.errors import InvalidArgumentError
from featurestore.frames.columns import column
from featurestore.kinds.json_text.iso_text import with_iso_times

LINE_END = "\r\n"

# What a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection. A text that begins with
# apostrophes and then such a character gets another one, so that taking one away always gives the text back.
_FORMULA = r"^'*[=+\-@\t\r]"
# Beside what RFC 4180 says: an empty text, which is no null, and spaces at either end, which some readers drop.
_QUOTED = '[",\\r\\n]|^$|^[ \\t]|[ \\t]$'
_PLAIN = (T.BooleanType, T.IntegralType, T.FractionalType)
_NESTED = (T.ArrayType, T.MapType, T.StructType, T.VariantType)
# The lower bits of ``monotonically_increasing_id`` count the rows of a partition.
_ROW_OF_PARTITION = (1 << 33) - 1


@dataclass(frozen=True)
class CsvOptions:
    """How cells are written.

    ``null``: the text, never quoted, of a missing value; a value of the same text is quoted, so that the two differ.
    ``guard_formulas``: text that a spreadsheet would take for a formula gets an apostrophe before it.
    """

    null: str = ""
    guard_formulas: bool = True

    def checked(self) -> Self:
        """Raises InvalidArgumentError for a null marker that would have to be quoted."""
        if not isinstance(self.null, str) or any(character in self.null for character in '",\r\n'):
            raise InvalidArgumentError(
                f"null is {self.null!r}; give a text without commas, quotes and line ends, such as '' or 'NA'"
            )
        return self


def header_line(names: list[str]) -> str:
    """The first line of a file: the names, never guarded."""
    return ",".join('"' + name.replace('"', '""') + '"' if _must_be_quoted(name) else name for name in names)


def _must_be_quoted(name: str) -> bool:
    return name != name.strip() or any(character in name for character in '",\r\n')


def csv_line(schema: T.StructType, options: CsvOptions) -> Column:
    """A row as one line, without its end: a cell a column, in order."""
    return F.concat_ws(",", *(_cell(column(field.name), field.dataType, options) for field in schema))


def with_header(line: Column, header: str) -> Column:
    """The line, behind the header where it is the first of its partition, and so of the file that a task writes."""
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
    """The text of a value that is no text; no such text can be taken for a null or needs a guard."""
    if isinstance(kind, T.DecimalType):
        # A cast writes small ones with an exponent, or not, as the session's ANSI mode says.
        return F.replace(F.format_number(value, kind.scale), F.lit(","), F.lit(""))
    if isinstance(kind, _PLAIN):
        return value.cast("string")
    if isinstance(kind, _NESTED):
        return _quoted(F.to_json(with_iso_times(value, kind), {"ignoreNullFields": "false"}))
    if isinstance(kind, T.BinaryType):
        # One of Spark's legacy settings breaks it into lines.
        text = F.translate(F.base64(value), "\r\n", "")
        return F.when(text == F.lit(""), _quoted(text)).otherwise(text)
    return with_iso_times(value, kind).cast("string")


def _guarded(text: Column) -> Column:
    return F.when(text.rlike(_FORMULA), F.concat(F.lit("'"), text)).otherwise(text)


def _quoted(text: Column) -> Column:
    return F.concat(F.lit('"'), F.replace(text, F.lit('"'), F.lit('""')), F.lit('"'))
