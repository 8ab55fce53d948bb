"""A user's SQL is read before it runs: one SELECT, over declared sources, of constructs and functions that are known.

What runs is not the user's text. It is written anew from the tree that was checked, so that there is nothing in it that was
not checked: no comment, no hint, no quoted text that ends elsewhere than the check believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from featurestore.definitions.sql import functions
from featurestore.definitions.sql.constructs import fault_of, fault_of_kind
from featurestore.definitions.sql.dialect import CheckedSpark, written
from featurestore.definitions.sql.place import place_at
from featurestore.definitions.sql.text import LexedText, lexed
from featurestore.errors import TransformationError

# What the parser raises for texts that are no SQL; it is not made for hostile ones.
_PARSER_FAULTS = (
    SqlglotError,
    RecursionError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)

PARAMETERS = frozenset({"tenant_id", "start_time", "end_time"})


@dataclass(frozen=True)
class _Rules:
    """What a text may name: tables, parameters, and functions that it may not, though their names are Spark's."""

    sources: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    user_functions: frozenset[str] = frozenset()


def check_select(sql: str, sources: Iterable[str], user_functions: Iterable[str] = ()) -> str:
    """The text to run in place of ``sql``; raises TransformationError, with reason and place, for what is not allowed.

    Allowed is one SELECT over the named sources, of the constructs and functions of ``featurestore.definitions.sql``.
    Common table expressions, subqueries and set operations are fine; the parameters are ``:tenant_id``,
    ``:start_time`` and ``:end_time``. ``user_functions``: functions of the catalog that are not Spark's own, and may
    read anything; none of them may be called, whatever its name.
    """
    rules = _Rules(_lower(sources), PARAMETERS, _lower(user_functions))
    return _settled(sql, lambda text: written(_checked_select(text, rules)))


def check_expression(sql: str, user_functions: Iterable[str] = ()) -> str:
    """The text to run in place of ``sql``, an expression over the columns of one row; raises as ``check_select`` does.

    No subquery, aggregate, window, generator, star, alias or parameter is allowed in it.
    """
    rules = _Rules(user_functions=_lower(user_functions))
    return _settled(sql, lambda text: written(_checked_expression(text, rules)))


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _settled(sql: str, rewrite: Callable[[str], str]) -> str:
    """The text that is written anew as itself: what was written is read, and checked, once more."""
    try:
        text = rewrite(sql)
        settled = rewrite(text) == text
    except RecursionError as error:
        raise refused("its parts are nested too deeply") from error
    if not settled:
        raise refused("it can be read in more than one way; put parentheses around its parts, or write it more simply")
    return text


def _checked_select(sql: str, rules: _Rules) -> Any:
    text = lexed(sql)
    statement = _parse(text)
    if not isinstance(statement, exp.Select | exp.SetOperation):
        raise refused(f"it must be one SELECT, found {type(statement).__name__.upper()}")
    for node in statement.walk():
        if fault := fault_of_kind(node):
            raise refused(fault, node, text)
    _check_words(text.code, rules)
    shadowing = sorted(cte.alias for cte in statement.find_all(exp.CTE) if cte.alias.lower() in rules.sources)
    if shadowing:
        raise refused(f"WITH {shadowing} would hide the sources of those names; name them otherwise")
    for node in statement.walk():
        _check_node(node, text, rules)
    return _cleared(statement, text)


def _checked_expression(sql: str, rules: _Rules) -> Any:
    text = lexed(sql)
    select = _parse(replace(text, code=f"SELECT {text.code}"))
    given = {name for name, value in select.args.items() if value} if isinstance(select, exp.Select) else set()
    if given != {"expressions"} or len(select.expressions) != 1:
        raise refused("it must be one expression over the columns of a row")
    [expression] = select.expressions
    _check_words(text.code, rules)
    for node in expression.walk():
        _check_node(node, text, rules)
        name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        if (
            isinstance(node, exp.Query | exp.Window | exp.Alias | exp.Aliases | exp.Star)
            or name in functions.OF_MANY_ROWS
        ):
            what = f"function {name}" if name else type(node).__name__.upper()
            raise refused(f"{what} is not of one row, and not allowed in an expression")
    return _cleared(expression, text)


def _parse(text: LexedText) -> Any:
    """The tree, with the quoted texts in it; raises TransformationError unless the text is one statement."""
    try:
        statements = [one for one in sqlglot.parse(text.code, dialect=CheckedSpark) if one is not None]
    except ParseError as error:
        first: Any = error.errors[0]
        place = f"line {first['line']}, column {first['col']}"
        raise refused(f"it cannot be read as Spark SQL: {first['description']} ({place})") from error
    except _PARSER_FAULTS as error:
        raise refused("it cannot be read as Spark SQL") from error
    if len(statements) != 1:
        raise refused(f"it must be one statement, found {len(statements)}")
    [statement] = statements
    for literal in statement.find_all(exp.Literal):
        if literal.is_string:
            # Digits of an interval have become a text by themselves.
            literal.set("this", text.texts.get(literal.this, literal.this))
    return statement


def _cleared(tree: Any, text: LexedText) -> Any:
    """The tree to be written, if nothing of its text could be read otherwise."""
    if any(token.token_type == TokenType.PIPE_GT for token in sqlglot.tokenize(text.code, dialect=CheckedSpark)):
        raise refused("the pipe |> is not allowed in it; write a WITH for each step")
    if text.doubts:
        raise refused(f"{text.doubts[0]}; parsers differ there, so take it out")
    for call in tree.find_all(exp.Anonymous):
        unit = call.expressions[0] if len(call.expressions) == 3 else None
        if (
            call.name.lower() in functions.UNIT_FIRST
            and isinstance(unit, exp.Column)
            and unit.name.upper() in functions.UNITS
        ):
            unit.replace(exp.Var(this=unit.name.upper()))
    return tree


def _check_words(code: str, rules: _Rules) -> None:
    """What must not stand in it at all, whatever it would be read as: Spark and this parser could differ there."""
    tokens = sqlglot.tokenize(code, dialect=CheckedSpark)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type == TokenType.TABLE:
            raise refused("the word TABLE is not allowed in it; quote a column of that name: `table`")
        is_call = following is not None and following.token_type == TokenType.L_PAREN
        if is_call and token.text.lower() in rules.user_functions:
            raise refused(f"function {token.text} is not Spark's own, and not allowed in it")


def _reads_with(table: Any) -> bool:
    """Whether a table's name is that of a WITH in force where it stands; elsewhere the same name is a table of the catalog."""
    below, node = table, table.parent
    while node is not None:
        known: list[Any] = []
        if isinstance(node, exp.With):
            # Of a WITH its own parts see those before them; a recursive one sees itself.
            place = next(index for index, cte in enumerate(node.expressions) if cte is below)
            known = node.expressions[: place + 1 if node.args.get("recursive") else place]
        elif (given := node.args.get("with_")) is not None and given is not below:
            known = given.expressions
        if any(cte.alias.lower() == table.name.lower() for cte in known):
            return True
        below, node = node, node.parent
    return False


def _check_node(node: Any, text: LexedText, rules: _Rules) -> None:
    if isinstance(node, exp.Table):
        _check_table(node, text, rules)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        name = node.expression.name if isinstance(node.expression, exp.Anonymous) else type(node.expression).__name__
        raise refused(f"function {name} is named by its catalog; only Spark's own are allowed in it", node, text)
    if isinstance(node, exp.Placeholder) and node.name not in rules.parameters:
        raise refused(f"parameter :{node.name} is not known; possible: {sorted(rules.parameters)}", node, text)
    if isinstance(node, exp.Column):
        _check_column(node, text)
    if isinstance(node, exp.Anonymous):
        if not isinstance(node.parent, exp.Table):
            _check_function(node, text, rules)
    elif fault := fault_of(node):
        raise refused(fault, node, text)


def _check_column(column: Any, text: LexedText) -> None:
    parts = [part.name.lower() for part in column.parts]
    if "_metadata" in parts:
        raise refused("_metadata tells of files, and is not allowed in it", column, text)
    if len(parts) == 1 and parts[0] in functions.CLOCK_AND_SESSION:
        raise refused(f"{parts[0]} is not allowed in it: {functions.WHY_REFUSED[parts[0]]}", column, text)


def _check_function(function: Any, text: LexedText, rules: _Rules) -> None:
    name = function.name.lower() if isinstance(function, exp.Anonymous) else ""
    if name not in functions.ALLOWED:
        close = get_close_matches(name, functions.ALLOWED, n=3)
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else "docs/security_model.md says which are"
        why = functions.WHY_REFUSED.get(name, hint)
        raise refused(f"function {name} is not allowed in it: {why}", function, text)
    if name in rules.user_functions:
        raise refused(f"function {name} is not Spark's own, and not allowed in it", function, text)
    if name in functions.NEED_AN_ARGUMENT and not function.expressions:
        raise refused(f"function {name} without an argument tells the time it runs at; use :end_time", function, text)
    after = functions.OPTIONS_AFTER.get(name)
    for options in [] if after is None else function.expressions[after:]:
        _check_options(name, options, text)


def _check_options(name: str, options: Any, text: LexedText) -> None:
    """Options are a map of texts that stand in the SQL, so that they can be read here."""
    is_map = isinstance(options, exp.Anonymous) and options.name.lower() == "map"
    pairs = options.expressions if is_map else []
    if not is_map or not all(isinstance(item, exp.Literal | exp.Boolean) for item in pairs):
        raise refused(f"the options of {name} must be written as map('name', 'value')", options, text)
    for option in pairs[::2]:
        if option.name.lower() not in functions.OPTIONS:
            raise refused(f"option {option.name!r} of {name} is not allowed in it", options, text)


def _check_table(table: Any, text: LexedText, rules: _Rules) -> None:
    if isinstance(table.this, exp.Func):
        name = table.this.name.lower() if isinstance(table.this, exp.Anonymous) else ""
        if name not in functions.TABLE_FUNCTIONS or name in rules.user_functions:
            raise refused(f"table function {name} is not allowed in it", table, text)
    elif table.db or table.catalog or (table.name.lower() not in rules.sources and not _reads_with(table)):
        name = table.sql(dialect="spark", comments=False)
        raise refused(f"it reads {name}, which is not among its sources {sorted(rules.sources)}", table, text)


def refused(reason: str, node: Any = None, text: LexedText | None = None) -> TransformationError:
    """The error; with the place of ``node`` in the text, if both are given and the place is known."""
    starts = [] if node is None else [part.meta["start"] for part in node.walk() if "start" in part.meta]
    place = f" ({place_at(text.code, min(starts))})" if starts and text is not None else ""
    return TransformationError(f"the SQL is refused: {reason}{place}")
