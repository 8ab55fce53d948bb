"""Whether DuckDB reads the text that runs as it reads the user's own; where parsers disagree, an expression is refused.

DuckDB parses both texts and runs neither. Its trees are compared without the places of their parts, and with one
spelling for what has several.
"""

from __future__ import annotations

import json
from typing import Any

from featurestore.columnar.expressions.connections import connection
from featurestore.definitions.sql.checked_expression import ScalarExpression
from featurestore.errors import DefinitionError

_SPELLINGS = {
    "int": "INTEGER",
    "int4": "INTEGER",
    "signed": "INTEGER",
    "int8": "BIGINT",
    "long": "BIGINT",
    "int2": "SMALLINT",
    "short": "SMALLINT",
    "int1": "TINYINT",
    "bool": "BOOLEAN",
    "logical": "BOOLEAN",
    "float4": "FLOAT",
    "real": "FLOAT",
    "float8": "DOUBLE",
    "numeric": "DECIMAL",
    "dec": "DECIMAL",
    "text": "VARCHAR",
    "string": "VARCHAR",
    "char": "VARCHAR",
    "bpchar": "VARCHAR",
    "datetime": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMPTZ",
    "timestamp without time zone": "TIMESTAMP",
    "int128": "HUGEINT",
}
_PLACES = frozenset({"query_location", "query_location_length", "qualified_name"})


def check_same_reading(expression: ScalarExpression) -> None:
    """Raise DefinitionError if DuckDB reads the user's text otherwise than the text that runs."""
    given, runs = _tree(expression.sql), _tree(expression.text)
    if given.get("error"):
        raise DefinitionError(f"the expression is refused: DuckDB cannot read it: {given['error_message']}")
    if given != runs:
        raise DefinitionError(
            f"the expression is refused: it can be read in more than one way, also as {expression.text}; put "
            "parentheses around its parts, or write it more simply"
        )


def _tree(sql: str) -> Any:
    [[text]] = connection().execute("SELECT json_serialize_sql(?)", [f"SELECT {sql}"]).fetchall()
    return _plain(json.loads(text))


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {name: _plain(value) for name, value in node.items() if name not in _PLACES}
    kind = plain.get("type")
    if kind == "COLUMN_REF":
        return plain | {"column_names": [name.lower() for name in plain["column_names"]]}
    if plain.get("class") == "TYPE":
        word = str(plain["type_name"]).lower()
        children = plain["children"]
        if _SPELLINGS.get(word, word.upper()) == "DECIMAL" and not children:
            # DuckDB's digits if none are given.
            children = [_number("18"), _number("3")]
        return plain | {"type_name": _SPELLINGS.get(word, word.upper()), "children": children}
    if plain.get("kind") in ("INTEGER", "NUMERIC") and "text" in plain:
        text = str(plain["text"]).replace("_", "")
        return plain | {"text": f"0{text}" if text.startswith(".") else text}
    if kind == "FUNCTION" and plain.get("function_name") == "^":
        return plain | {"function_name": "**"}
    if kind == "OPERATOR_NOT":
        [child] = plain["children"]
        if child.get("type") == "OPERATOR_IS_NULL":
            return child | {"type": "OPERATOR_IS_NOT_NULL"}
        if child.get("type") == "COMPARE_NOT_DISTINCT_FROM":
            return child | {"type": "COMPARE_DISTINCT_FROM"}
    return plain


def _number(text: str) -> dict[str, Any]:
    return {
        "class": "CONSTANT",
        "type": "VALUE_CONSTANT",
        "alias": "",
        "literal": {"kind": "INTEGER", "text": text},
    }
