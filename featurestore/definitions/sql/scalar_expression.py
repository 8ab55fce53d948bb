"""Check an expression over the columns of one row, in DuckDB's SQL, and write the text that runs in its place.

The user's own text never runs. Each kind of node that may occur has a writer below, and all other kinds are refused, so
the text that runs contains nothing unchecked. It has parentheses around each part, so it can be read in one way only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, SqlglotError

from featurestore.definitions.sql import scalar_functions as functions
from featurestore.definitions.sql.checked_expression import ScalarExpression
from featurestore.definitions.sql.place import place_at
from featurestore.errors import DefinitionError, nearest

_PARSER_FAULTS = (SqlglotError, AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError)
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LONGEST = 20_000
# mypy takes this class for a variable, which cannot be a base class.
_Parser: Any = DuckDB.Parser


class _Expressions(DuckDB):
    """DuckDB's dialect, in which each function keeps the name that the user wrote."""

    class Parser(_Parser):  # type: ignore[misc]
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar = {name: _Parser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST", "EXTRACT")}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {"CASE": _Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]}

        def _warn_unsupported(self) -> None:
            """Log nothing: unreadable SQL is refused with our own reason."""

        def _parse_interval(self, require_interval: bool = True, parse_function_unit: bool = True) -> Any:
            """Keep the amount as it was written; sqlglot makes ``'1 day'`` and ``1 day`` the same."""
            start = self._index + 1
            interval = super()._parse_interval(require_interval, parse_function_unit)
            amount = self._tokens[start] if start < len(self._tokens) else None
            if isinstance(interval, exp.Interval) and isinstance(interval.this, exp.Literal) and amount is not None:
                interval.set("amount", (amount.text, amount.token_type.name == "STRING"))
            return interval


def scalar_expression(sql: str, names: Iterable[str]) -> ScalarExpression:
    """Read ``sql`` as one expression over columns of these ``names``, which it spells in any case.

    Raises DefinitionError, with reason and place, for anything but literals, these columns, operators, CASE, CAST,
    EXTRACT, INTERVAL and the functions of ``scalar_functions``: no subquery, aggregate, window, star or alias.
    """
    if len(sql) > _LONGEST:
        raise _refused(f"it has {len(sql)} characters; possible: up to {_LONGEST}")
    try:
        writer = _Writer(sql, names)
        text = writer.write(_parsed(sql))
        if _Writer(text, names).write(_parsed(text)) != text:
            raise _refused("it can be read in more than one way; put parentheses around its parts")
    except RecursionError as error:
        raise _refused("its parts are nested too deeply") from error
    return ScalarExpression(sql, text, tuple(writer.read))


def _parsed(sql: str) -> Any:
    try:
        trees = [tree for tree in sqlglot.parse(f"SELECT {sql}", dialect=_Expressions) if tree is not None]
    except ParseError as error:
        first: Any = error.errors[0]
        place = f"line {first['line']}, column {first['col'] - (len('SELECT ') if first['line'] == 1 else 0)}"
        raise _refused(f"it cannot be read as DuckDB's SQL: {first['description']} ({place})") from error
    except _PARSER_FAULTS as error:
        raise _refused("it cannot be read as DuckDB's SQL") from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Select):
        raise _refused("it must be one expression over the columns of a row")
    [select] = trees
    if {name for name, value in select.args.items() if value} != {"expressions"} or len(select.expressions) != 1:
        raise _refused("it must be one expression over the columns of a row")
    return select.expressions[0]


_BINARY = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.Pow: "**",
    exp.DPipe: "||",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
    exp.And: "AND",
    exp.Or: "OR",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
    exp.AtTimeZone: "AT TIME ZONE",
}
_PREFIX = {exp.Neg: "-", exp.Not: "NOT ", exp.BitwiseNot: "~"}
_INSTEAD = {
    "Bracket": "a subscript is not allowed; use list_extract or substr",
    "Array": "a list in brackets is not allowed; use list_value",
    "JSONExtract": "-> is not allowed; use json_extract",
    "JSONExtractScalar": "->> is not allowed; use json_extract_string",
    "Lambda": "a lambda is not allowed; use a Python function",
    "Placeholder": "a parameter is not allowed; write the value, or name it among the inputs",
    "Alias": "an alias is not allowed; the feature's name is the definition's",
    "Star": "* is not allowed; name each input",
    "Window": "a window is not allowed: it reads many rows, and an expression reads one",
    "Subquery": "a subquery is not allowed: an expression reads one row",
    "Exists": "a subquery is not allowed: an expression reads one row",
    "Distinct": "DISTINCT is not allowed: it reads many rows, and an expression reads one",
    "Filter": "FILTER is not allowed: it reads many rows, and an expression reads one",
    "SimilarTo": "SIMILAR TO is not allowed; use regexp_full_match",
    "RegexpLike": "~ is not allowed; use regexp_full_match",
    "StartsWith": "^@ is not allowed; use starts_with",
}


class _Writer:
    """Writes a tree as text, and collects the columns that it reads."""

    def __init__(self, sql: str, names: Iterable[str]) -> None:
        self._sql = sql
        self._names = {name.lower(): name for name in names}
        self.read: dict[str, None] = {}
        self._writers: dict[type, Callable[[Any], str]] = {
            exp.Paren: lambda node: self.write(node.this),
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.Boolean: lambda node: "TRUE" if node.this else "FALSE",
            exp.Null: lambda node: "NULL",
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Like: self._like,
            exp.ILike: self._like,
            exp.Escape: self._escape,
            exp.Case: self._case,
            exp.Cast: self._cast,
            exp.TryCast: self._cast,
            exp.Extract: self._extract,
            exp.Interval: self._interval,
            exp.Anonymous: self._function,
        }

    def write(self, node: Any) -> str:
        kind = type(node)
        if kind in _BINARY:
            return f"({self.write(node.this)} {_BINARY[kind]} {self.write(node.args.get('zone') or node.expression)})"
        if kind in _PREFIX:
            return f"({_PREFIX[kind]}{self.write(node.this)})"
        writer = self._writers.get(kind)
        if writer is None:
            raise self._refuse(_INSTEAD.get(kind.__name__, f"{kind.__name__.upper()} is not allowed"), node)
        return writer(node)

    def _column(self, node: Any) -> str:
        if len(node.parts) != 1 or not isinstance(node.this, exp.Identifier):
            raise self._refuse(f"{node.sql(comments=False)} is not the name of an input", node)
        written = node.name
        name = self._names.get(written.lower())
        if name is None:
            why = functions.WHY_REFUSED.get(written.lower())
            if why is not None and not node.this.quoted:
                raise self._refuse(f"{written} is not allowed: {why}", node)
            raise self._refuse(
                f"{written!r} is not among the inputs. {nearest(written, list(self._names.values()))}", node
            )
        self.read[name] = None
        return '"' + name.replace('"', '""') + '"'

    def _literal(self, node: Any) -> str:
        text = str(node.this)
        if node.is_string:
            if "\0" in text:
                raise self._refuse("a text holds the character of code 0", node)
            return _quoted(text)
        if not _NUMBER.fullmatch(text):
            raise self._refuse(f"{text!r} is not a number", node)
        return text

    def _is(self, node: Any) -> str:
        if not isinstance(node.expression, exp.Null | exp.Boolean):
            raise self._refuse("IS is followed by NULL, TRUE or FALSE", node)
        return f"({self.write(node.this)} IS {self.write(node.expression)})"

    def _in(self, node: Any) -> str:
        if not node.expressions or any(node.args.get(part) for part in ("query", "unnest", "field")):
            raise self._refuse("IN is followed by values in parentheses", node)
        return f"({self.write(node.this)} IN ({', '.join(map(self.write, node.expressions))}))"

    def _between(self, node: Any) -> str:
        if node.args.get("symmetric"):
            raise self._refuse("BETWEEN SYMMETRIC is not allowed", node)
        low, high = self.write(node.args["low"]), self.write(node.args["high"])
        return f"({self.write(node.this)} BETWEEN {low} AND {high})"

    def _like(self, node: Any, escape: str = "") -> str:
        word = "NOT " if node.args.get("negate") else ""
        word += "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
        return f"({self.write(node.this)} {word} {self.write(node.expression)}{escape})"

    def _escape(self, node: Any) -> str:
        if not isinstance(node.this, exp.Like | exp.ILike):
            raise self._refuse("ESCAPE belongs to LIKE", node)
        return self._like(node.this, f" ESCAPE {self.write(node.expression)}")

    def _case(self, node: Any) -> str:
        parts = ["CASE"] if node.this is None else ["CASE", self.write(node.this)]
        for branch in node.args["ifs"]:
            parts += ["WHEN", self.write(branch.this), "THEN", self.write(branch.args["true"])]
        if (default := node.args.get("default")) is not None:
            parts += ["ELSE", self.write(default)]
        return f"({' '.join(parts)} END)"

    def _cast(self, node: Any) -> str:
        if node.args.get("format") or node.args.get("default") or node.args.get("action"):
            raise self._refuse("CAST takes a value and a type", node)
        word = "TRY_CAST" if isinstance(node, exp.TryCast) else "CAST"
        return f"{word}({self.write(node.this)} AS {self._type(node.args['to'])})"

    def _type(self, node: Any) -> str:
        name = str(getattr(node.this, "name", node.this)).upper() if isinstance(node, exp.DataType) else "of that form"
        inner = node.expressions if isinstance(node, exp.DataType) else []
        if name in ("ARRAY", "LIST") and len(inner) == 1 and not node.args.get("values"):
            return f"{self._type(inner[0])}[]"
        numbers = [part.this.name for part in inner if isinstance(part, exp.DataTypeParam)]
        is_plain = len(numbers) == len(inner) and all(number.isdecimal() for number in numbers)
        if name not in functions.TYPES or not is_plain or (numbers and name != "DECIMAL"):
            possible = ", ".join(sorted(set(functions.TYPES.values())))
            raise self._refuse(f"type {name} is not allowed; possible: {possible}, and lists of these", node)
        return functions.TYPES[name] + (f"({', '.join(numbers)})" if numbers else "")

    def _extract(self, node: Any) -> str:
        return f"EXTRACT({self._unit(node.this)} FROM {self.write(node.expression)})"

    def _interval(self, node: Any) -> str:
        amount, unit = node.args.get("amount"), node.args.get("unit")
        if amount is None:
            if node.this is None or unit is None:
                raise self._refuse("write an interval as INTERVAL '1 day', or INTERVAL (amount) DAY", node)
            return f"(INTERVAL ({self.write(node.this)}) {self._unit(unit)})"
        text, is_text = amount
        if is_text and text.strip() != node.this.name:
            # The unit is part of the text.
            return f"(INTERVAL {_quoted(text)})"
        number = _quoted(text) if is_text else self._literal(exp.Literal.number(text))
        return f"(INTERVAL {number} {self._unit(unit)})" if unit is not None else f"(INTERVAL {number})"

    def _unit(self, node: Any) -> str:
        word = str(getattr(node, "name", "")).upper()
        if not isinstance(node, exp.Var) or word not in functions.UNITS:
            raise self._refuse(f"{word or node} is not a unit of time", node)
        return word

    def _function(self, node: Any) -> str:
        name = str(node.this).lower()
        if not isinstance(node.this, str) or name not in functions.ALLOWED:
            close = get_close_matches(name, functions.ALLOWED, n=3)
            hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else "docs/derived_features.md lists them"
            raise self._refuse(f"function {name} is not allowed: {functions.WHY_REFUSED.get(name, hint)}", node)
        least = functions.LEAST_ARGUMENTS.get(name, 0)
        if len(node.expressions) < least:
            raise self._refuse(f"function {name} needs {least} arguments; with fewer it depends on the clock", node)
        return f"{name}({', '.join(map(self.write, node.expressions))})"

    def _refuse(self, reason: str, node: Any) -> DefinitionError:
        starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
        offset = min(starts) - len("SELECT ") if starts else None
        return _refused(f"{reason} ({place_at(self._sql, offset)})" if offset is not None else reason)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _refused(reason: str) -> DefinitionError:
    return DefinitionError(f"the expression is refused: {reason}")
