"""The constructs that SQL may contain: kinds of nodes of its tree, and bare words in them. All others are refused."""

from __future__ import annotations

import re
from typing import Any

from sqlglot import exp

_ALLOWED_KINDS = """
    Select SetOperation Union Except Intersect Subquery With CTE From Join Where Group GroupingSets Cube Rollup Having
    Qualify Order Ordered Limit Offset Distinct Values Tuple Table TableAlias Lateral Pivot PivotAlias PivotAny Star
    Alias Aliases Column Identifier Dot Paren Placeholder Literal HexString Boolean Null Var
    Anonymous Cast TryCast Extract Trim Substring StrPosition Overlay Case If
    DataType DataTypeParam ColumnDef Interval IntervalSpan Bracket Lambda
    Add Sub Mul Div IntDiv Mod Neg DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift BitwiseRightShift
    And Or Not EQ NEQ LT LTE GT GTE NullSafeEQ NullSafeNEQ Is In Between Like ILike RegexpLike Escape Any All Exists
    Filter Window WindowSpec WithinGroup IgnoreNulls RespectNulls Collate
"""
_ALLOWED = frozenset(_ALLOWED_KINDS.split())
# What Spark may read rows from. It would read anything else there, such as a column in parentheses, as a table.
_QUERIES = frozenset({"Select", "Union", "Except", "Intersect", "Subquery", "Values"})
_RELATIONS = {
    ("From", "this"): _QUERIES | {"Table"},
    ("Join", "this"): _QUERIES | {"Table", "Lateral"},
    ("Subquery", "this"): _QUERIES | {"Table"},
    ("CTE", "this"): _QUERIES,
    ("Lateral", "this"): frozenset({"Subquery", "Anonymous"}),
    ("Exists", "this"): _QUERIES,
    ("In", "query"): _QUERIES,
    **{(kind, side): _QUERIES for kind in ("Union", "Except", "Intersect") for side in ("this", "expression")},
}
_BARE_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?: [A-Za-z_]+)*")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_HEX = re.compile(r"[0-9A-Fa-f]*")
_REFUSED_TYPES = frozenset({"TIME", "UNKNOWN", "USERDEFINED"})

# What the user wrote, where the name of the node's class says little.
_IN_WORDS = {
    "TableSample": "TABLESAMPLE (chance decides its rows)",
    "QueryTransform": "TRANSFORM ... USING (it starts a program)",
    "Distribute": "DISTRIBUTE BY",
    "Cluster": "CLUSTER BY",
    "Sort": "SORT BY",
    "Version": "a version of a table",
    "Parameter": "a variable",
    "AtTimeZone": "AT TIME ZONE (use from_utc_timestamp)",
    "Into": "INTO",
    "Semicolon": "a semicolon",
}


def fault_of_kind(node: Any) -> str | None:
    """Why a SELECT may not contain a node of this kind, in words; None if it may."""
    kind = type(node).__name__
    return None if kind in _ALLOWED else f"{_IN_WORDS.get(kind, kind.upper())} is not allowed"


def fault_of(node: Any) -> str | None:
    """What is not allowed about the node itself, in words; None if a SELECT may contain it."""
    kind = type(node).__name__
    if fault := fault_of_kind(node):
        return fault
    if isinstance(node, exp.DataType) and (node.args.get("kind") is not None or _type_name(node) in _REFUSED_TYPES):
        return f"type {_type_name(node)} is not allowed"
    if isinstance(node, exp.Alias) and not isinstance(node.args.get("alias"), exp.Identifier):
        return "an alias must be a name"
    for name, value in node.args.items():
        rows = _RELATIONS.get((kind, name))
        if rows is not None and value is not None and type(value).__name__ not in rows:
            return f"{value.sql(dialect='spark', comments=False)} is neither a query nor a source, and not allowed"
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and not _is_plain(node, name, text) for text in texts):
            return f"{kind.upper()} with {value!r} is not allowed"
    return None


def _type_name(node: Any) -> str:
    return str(getattr(node.this, "name", node.this)).upper()


def _is_plain(node: Any, name: str, text: str) -> bool:
    """Whether the text of a node, written into SQL, means just that text: it is quoted, a number or plain words."""
    if isinstance(node, exp.Identifier) or (isinstance(node, exp.Literal) and node.is_string):
        # The generator quotes these.
        return True
    if isinstance(node, exp.Literal):
        return _NUMBER.fullmatch(text) is not None
    if isinstance(node, exp.HexString):
        return _HEX.fullmatch(text) is not None
    return _BARE_WORDS.fullmatch(text) is not None
