"""Rows as lines of CSV (RFC 4180), without Spark: the same text as ``frames/text/csv_cells.py`` makes of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.ranks import one_array
from featurestore.errors import InvalidArgumentError
from featurestore.kinds.arrow_columns.lists import is_list_type
from featurestore.kinds.arrow_columns.numbers import is_floating_type
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.kinds.arrow_columns.times import date_texts, moment_texts
from featurestore.kinds.json_text.arrow_json import check_digits, float_texts, joined, json_of

LINE_END = "\r\n"

# Texts that a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection. A text with
# apostrophes before such a character also gets one more, so that removing one always gives the text back.
FORMULA = r"^'*[=+\-@\t\r]"
# What ``frames/text/csv_cells.py`` quotes. Where Java looks for the end, a last line separator may follow.
_LAST = "[\u0085\u2028\u2029]?$"
_QUOTED = f'[",\\r\\n]|^{_LAST}|^[ \\t]|[ \\t]{_LAST}'


@dataclass(frozen=True)
class CsvOptions:
    """How cells are written.

    ``null``: the text of a missing value, never quoted; a value of the same text is quoted, so that the two differ.
    ``guard_formulas``: puts an apostrophe before text that a spreadsheet would take for a formula.
    """

    null: str = ""
    guard_formulas: bool = True

    def checked(self) -> Self:
        """Return the options; raises InvalidArgumentError for a null marker that would have to be quoted."""
        if not isinstance(self.null, str) or any(character in self.null for character in '",\r\n'):
            raise InvalidArgumentError(
                f"null is {self.null!r}; give a text without commas, quotes and line ends, such as '' or 'NA'"
            )
        return self


def header_line(names: list[str]) -> str:
    """The first line of a file: the names, without guards."""
    return ",".join('"' + name.replace('"', '""') + '"' if _must_be_quoted(name) else name for name in names)


def _must_be_quoted(name: str) -> bool:
    return name != name.strip() or any(character in name for character in '",\r\n')


def csv_lines(rows: pa.Table, options: CsvOptions) -> pa.Array:
    """Each row as a line with its end: one cell per column, in order; there must be at least one.

    Raises UndecidedError for a type or a number whose text only Spark knows.
    """
    pieces: list[Any] = []
    for column in rows.columns:
        pieces += [*([","] if pieces else []), _cell(one_array(column), options)]
    return joined([*pieces, LINE_END], rows.num_rows)


def _cell(value: pa.Array, options: CsvOptions) -> pa.Array:
    cell = _text_cell(value, options) if pa.types.is_string(value.type) else _text(value)
    if options.null:
        cell = pc.if_else(pc.equal(cell, options.null), _quoted(cell), cell)
    return cell.fill_null(options.null)


def _text_cell(value: pa.Array, options: CsvOptions) -> pa.Array:
    if options.guard_formulas:
        guarded = pc.binary_join_element_wise("'", value, "")
        value = pc.if_else(pc.match_substring_regex(value, FORMULA), guarded, value)
    return pc.if_else(pc.match_substring_regex(value, _QUOTED), _quoted(value), value)


def _text(value: pa.Array) -> pa.Array:
    """The text of a value of another type than string."""
    kind = value.type
    if pa.types.is_boolean(kind) or pa.types.is_signed_integer(kind):
        return value.cast(pa.string())
    if is_floating_type(kind):
        check_digits(value)
        return pc.replace_substring(float_texts(value), '"', "")
    if pa.types.is_decimal128(kind):
        return pa.array([None if number is None else f"{number:f}" for number in value.to_pylist()], pa.string())
    if pa.types.is_date32(kind):
        return date_texts(value)
    if pa.types.is_timestamp(kind):
        return moment_texts(value)
    if pa.types.is_binary(kind):
        text = base64_texts(value)
        return pc.if_else(pc.equal(text, ""), '""', text)
    if is_list_type(kind):
        check_digits(value)
        return _quoted(json_of(value))
    raise UndecidedError(f"a column of {kind}")


def base64_texts(value: pa.Array) -> pa.Array:
    texts = [None if content is None else base64.b64encode(content).decode("ascii") for content in value.to_pylist()]
    return pa.array(texts, pa.string())


def _quoted(text: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
