"""Spark's SQL as a tree and back; every function keeps the name that the user wrote.

sqlglot's own dialect turns functions into general ones, to write them for other databases, and so changes some of them.
Here Spark runs the SQL, so it must stay as the user wrote it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.spark import Spark

from featurestore.definitions.sql.text import quoted

# Functions that are not written like a call: ``CAST(a AS INT)``, ``EXTRACT(YEAR FROM a)``, ``TRIM(BOTH 'x' FROM a)``.
_OF_THEIR_OWN_SYNTAX = ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "SUBSTRING", "SUBSTR", "POSITION", "OVERLAY")
# mypy takes these classes for variables, which cannot be base classes.
_Parser: Any = Spark.Parser
_Generator: Any = Spark.Generator


class CheckedSpark(Spark):
    """The dialect; ``CheckedSpark.Generator`` writes names quoted, texts escaped, and no comment."""

    class Parser(_Parser):  # type: ignore[misc]
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar = {name: _Parser.FUNCTION_PARSERS[name] for name in _OF_THEIR_OWN_SYNTAX}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {"CASE": _Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]}
        # ``array(1, 2)[0]`` is an element, not an array of 0.
        ARRAY_CONSTRUCTORS: ClassVar[dict[str, Any]] = {}

        def _warn_unsupported(self) -> None:
            """Log nothing: we refuse unreadable SQL with our own reason, and a log should not hold a user's text."""

        def _parse_interval(self, require_interval: bool = True, parse_function_unit: bool = True) -> Any:
            """Put ``INTERVAL 1 DAY 2 HOURS``, which is read as a sum, in parentheses; a minus applies to both."""
            interval = super()._parse_interval(require_interval, parse_function_unit)
            return exp.Paren(this=interval) if isinstance(interval, exp.Add) else interval

    class Generator(_Generator):  # type: ignore[misc]
        # Spark has QUALIFY, the only part of a SELECT that sqlglot would rewrite.
        TRANSFORMS: ClassVar = {
            **{kind: write for kind, write in _Generator.TRANSFORMS.items() if kind is not exp.Select},
            # Written as calls, shifts would have another precedence than Spark's operators.
            exp.BitwiseLeftShift: lambda self, node: self.binary(node, "<<"),
            exp.BitwiseRightShift: lambda self, node: self.binary(node, ">>"),
        }

        def literal_sql(self, expression: exp.Literal) -> str:
            return quoted(expression.name) if expression.is_string else str(expression.name)

        def identifier_sql(self, expression: exp.Identifier) -> str:
            return "`" + expression.name.replace("`", "``") + "`"

        def lateral_sql(self, expression: exp.Lateral) -> str:
            if not expression.args.get("view"):
                return str(super().lateral_sql(expression))
            outer = " OUTER" if expression.args.get("outer") else ""
            alias = expression.args.get("alias")
            name = f" {self.sql(alias, 'this')}" if alias is not None and alias.this else ""
            columns = self.expressions(alias, key="columns", flat=True) if alias is not None else ""
            return f" LATERAL VIEW{outer} {self.sql(expression, 'this')}{name}{f' AS {columns}' if columns else ''}"


def written(tree: exp.Expression) -> str:
    """The tree as one line of Spark's SQL: every name quoted, and no comment of the user's."""
    return str(tree.sql(dialect=CheckedSpark, comments=False, normalize_functions=False, pretty=False))
