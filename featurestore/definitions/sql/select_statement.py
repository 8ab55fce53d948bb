"""Check a user's SQL before it runs: one SELECT over declared sources, made of known constructs and functions.

The user's own text never runs. The SQL that runs is generated from the tree that was checked, so it contains nothing
unchecked: no comment, no hint, no quoted text that ends elsewhere than the check assumed.
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

# What the parser raises for text that is not SQL; it was not made for hostile input.
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

# What an expression over one row cannot contain.
_OF_A_QUERY = (exp.Query, exp.Window, exp.Alias, exp.Aliases, exp.Star)

PARAMETERS = frozenset({"tenant_id", "start_time", "end_time"})


@dataclass(frozen=True)
class _Rules:
    """Tables and parameters that SQL may name, and user functions that it may not, even those named like Spark's."""

    sources: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    user_functions: frozenset[str] = frozenset()


def check_select(sql: str, sources: Iterable[str], user_functions: Iterable[str] = ()) -> str:
    """Return the SQL to run in place of ``sql``; raises TransformationError, with reason and place, for disallowed SQL.

    ``sql`` must be one SELECT over the named sources, made of the constructs and functions listed in
    ``featurestore.definitions.sql``. It may use common table expressions, subqueries and set operations, and the
    parameters ``:tenant_id``, ``:start_time`` and ``:end_time``. ``user_functions``: functions of the catalog that are
    not Spark's own and so may read anything; SQL may call none of them, whatever its name.
    """
    rules = _Rules(_lower(sources), PARAMETERS, _lower(user_functions))
    return _rewritten_until_stable(sql, lambda text: written(_checked_select(text, rules)))


def check_expression(sql: str, user_functions: Iterable[str] = ()) -> str:
    """Return the SQL to run in place of ``sql``, an expression over the columns of one row; raises as ``check_select``.

    No subquery, aggregate, window, generator, star, alias or parameter is allowed.
    """
    rules = _Rules(user_functions=_lower(user_functions))
    return _rewritten_until_stable(sql, lambda text: written(_checked_expression(text, rules)))


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _rewritten_until_stable(sql: str, rewrite: Callable[[str], str]) -> str:
    """Rewrite ``sql``, and rewrite the result again: the SQL that runs is itself checked, and must not change."""
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
        raise refused(f"WITH {shadowing} would hide the sources of those names; choose other names")
    for node in statement.walk():
        _check_node(node, text, rules)
    return _without_ambiguity(statement, text)


def _checked_expression(sql: str, rules: _Rules) -> Any:
    text = lexed(sql)
    select = _parse(replace(text, code=f"SELECT {text.code}"))
    clauses = {name for name, value in select.args.items() if value} if isinstance(select, exp.Select) else set()
    if clauses != {"expressions"} or len(select.expressions) != 1:
        raise refused("it must be one expression over the columns of a row")
    [expression] = select.expressions
    _check_words(text.code, rules)
    for node in expression.walk():
        _check_node(node, text, rules)
        name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        if isinstance(node, _OF_A_QUERY) or name in functions.OF_MANY_ROWS:
            construct = f"function {name}" if name else type(node).__name__.upper()
            raise refused(f"{construct} is not allowed in an expression over one row")
    return _without_ambiguity(expression, text)


def _parse(text: LexedText) -> Any:
    """The tree, with the quoted texts back in it; raises TransformationError unless the text is one statement."""
    try:
        trees = sqlglot.parse(text.code, dialect=CheckedSpark)
    except ParseError as error:
        first: Any = error.errors[0]
        place = f"line {first['line']}, column {first['col']}"
        raise refused(f"it cannot be read as Spark SQL: {first['description']} ({place})") from error
    except _PARSER_FAULTS as error:
        raise refused("it cannot be read as Spark SQL") from error
    statements = [tree for tree in trees if tree is not None]
    if len(statements) != 1:
        raise refused(f"it must be one statement, found {len(statements)}")
    [statement] = statements
    for literal in statement.find_all(exp.Literal):
        if literal.is_string:
            # The parser itself turns the digits of an interval into a text; these have no stand-in.
            literal.set("this", text.texts.get(literal.this, literal.this))
    return statement


def _without_ambiguity(tree: Any, text: LexedText) -> Any:
    """The tree to write; raises TransformationError if parsers may read its text differently."""
    if any(token.token_type == TokenType.PIPE_GT for token in sqlglot.tokenize(text.code, dialect=CheckedSpark)):
        raise refused("the pipe |> is not allowed; write a WITH for each step")
    if text.doubts:
        raise refused(f"{text.doubts[0]}; parsers differ on it, so remove it")
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
    """Refuse words that are never allowed, whatever they mean: Spark and this parser could read them differently."""
    tokens = sqlglot.tokenize(code, dialect=CheckedSpark)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type == TokenType.TABLE:
            raise refused("the word TABLE is not allowed; quote a column of that name: `table`")
        is_call = following is not None and following.token_type == TokenType.L_PAREN
        if is_call and token.text.lower() in rules.user_functions:
            raise refused(f"function {token.text} is not Spark's own, and not allowed")


def _refers_to_cte(table: Any) -> bool:
    """Whether a table's name refers to a WITH that is in scope there; else the name is a table of the catalog."""
    child, node = table, table.parent
    while node is not None:
        in_scope: list[Any] = []
        if isinstance(node, exp.With):
            # A part of a WITH sees the parts before it; a part of a recursive WITH also sees itself.
            place = next(index for index, cte in enumerate(node.expressions) if cte is child)
            in_scope = node.expressions[: place + 1 if node.args.get("recursive") else place]
        elif (clause := node.args.get("with_")) is not None and clause is not child:
            in_scope = clause.expressions
        if any(cte.alias.lower() == table.name.lower() for cte in in_scope):
            return True
        child, node = node, node.parent
    return False


def _check_node(node: Any, text: LexedText, rules: _Rules) -> None:
    if isinstance(node, exp.Table):
        _check_table(node, text, rules)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        name = node.expression.name if isinstance(node.expression, exp.Anonymous) else type(node.expression).__name__
        raise refused(f"function {name} is named by its catalog; only Spark's own are allowed", node, text)
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
        raise refused("_metadata reveals files and is not allowed", column, text)
    if len(parts) == 1 and parts[0] in functions.CLOCK_AND_SESSION:
        raise refused(f"{parts[0]} is not allowed: {functions.WHY_REFUSED[parts[0]]}", column, text)


def _check_function(function: Any, text: LexedText, rules: _Rules) -> None:
    name = function.name.lower() if isinstance(function, exp.Anonymous) else ""
    if name not in functions.ALLOWED:
        close = get_close_matches(name, functions.ALLOWED, n=3)
        hint = (
            f"Did you mean {' or '.join(map(repr, close))}?" if close else "docs/security_model.md lists those that are"
        )
        why = functions.WHY_REFUSED.get(name, hint)
        raise refused(f"function {name} is not allowed: {why}", function, text)
    if name in rules.user_functions:
        raise refused(f"function {name} is not Spark's own, and not allowed", function, text)
    if name in functions.NEED_AN_ARGUMENT and not function.expressions:
        raise refused(f"function {name} without an argument returns the current time; use :end_time", function, text)
    after = functions.OPTIONS_AFTER.get(name)
    for options in [] if after is None else function.expressions[after:]:
        _check_options(name, options, text)


def _check_options(name: str, options: Any, text: LexedText) -> None:
    """Refuse options that are not allowed; they must be a map of literals, so that they can be read here."""
    is_map = isinstance(options, exp.Anonymous) and options.name.lower() == "map"
    pairs = options.expressions if is_map else []
    if not is_map or not all(isinstance(item, exp.Literal | exp.Boolean) for item in pairs):
        raise refused(f"the options of {name} must be written as map('name', 'value')", options, text)
    for option in pairs[::2]:
        if option.name.lower() not in functions.OPTIONS:
            raise refused(f"option {option.name!r} of {name} is not allowed", options, text)


def _check_table(table: Any, text: LexedText, rules: _Rules) -> None:
    if isinstance(table.this, exp.Func):
        name = table.this.name.lower() if isinstance(table.this, exp.Anonymous) else ""
        if name not in functions.TABLE_FUNCTIONS or name in rules.user_functions:
            raise refused(f"table function {name} is not allowed", table, text)
    elif table.db or table.catalog or (table.name.lower() not in rules.sources and not _refers_to_cte(table)):
        name = table.sql(dialect="spark", comments=False)
        raise refused(f"it reads {name}, which is not among its sources {sorted(rules.sources)}", table, text)


def refused(reason: str, node: Any = None, text: LexedText | None = None) -> TransformationError:
    """The error, with the place of ``node`` in the text if both are given and the place is known."""
    starts = [] if node is None else [part.meta["start"] for part in node.walk() if "start" in part.meta]
    place = f" ({place_at(text.code, min(starts))})" if starts and text is not None else ""
    return TransformationError(f"the SQL is refused: {reason}{place}")
