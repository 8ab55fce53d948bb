"""Checks of Spark's own plans of a user's SQL, before any of it runs.

Another parser has already checked the text. These checks walk what Spark's parser and analyzer understood: every table
that they read and every function that they call. A client of Spark Connect has no access to plans; there the check of
the text is the only one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from featurestore.errors import TransformationError
from featurestore.late_spark import DataFrame, SparkSession, is_remote

_CATALYST = "org.apache.spark.sql.catalyst."
_EXPRESSIONS = f"{_CATALYST}expressions."

# Allowed nodes of plans and, before analysis, of expressions, by the name of their class. All others are refused:
# commands, scripts, hints, samples, files, versions of tables, and whatever a later Spark adds.
_COMMON_PLANS = frozenset(
    ("Aggregate", "Distinct", "Except", "Filter", "Generate", "GlobalLimit", "Intersect", "Join", "LateralJoin",
     "LocalLimit", "LocalRelation", "Offset", "OneRowRelation", "Project", "Sort", "SubqueryAlias", "Union")
)  # fmt: skip
_PARSED_PLANS = _COMMON_PLANS | frozenset(
    ("UnresolvedHaving", "UnresolvedQualify", "UnresolvedRelation", "UnresolvedSubqueryColumnAliases",
     "UnresolvedTVFAliases", "UnresolvedTableValuedFunction", "UnresolvedInlineTable", "UnresolvedWith", "Pivot",
     "Unpivot", "WithWindowDefinition")
)  # fmt: skip
_ANALYZED_PLANS = _COMMON_PLANS | frozenset(
    ("CTERelationDef", "CTERelationRef", "Deduplicate", "Expand", "Range", "UnionLoop", "UnionLoopRef", "View",
     "Window", "WithCTE")
)  # fmt: skip
_UNRESOLVED = frozenset(
    ("MultiAlias", "NamedParameter", "UnresolvedAlias", "UnresolvedAttribute", "UnresolvedExtractValue",
     "UnresolvedFunction", "UnresolvedGenerator", "UnresolvedRegex", "UnresolvedStar", "UnresolvedStarExceptOrReplace",
     "UnresolvedSubqueryColumnAliases")
)  # fmt: skip
# Catalyst's expressions that run other code, reveal files or the session, or depend on chance or the clock.
_REFUSED_EXPRESSIONS = frozenset(
    ("ApplyFunctionExpression", "CallMethodViaReflection", "CurrentCatalog", "CurrentDatabase", "CurrentDate",
     "CurrentPath", "CurrentTime", "CurrentTimestamp", "CurrentUser", "InputFileBlockLength", "InputFileBlockStart",
     "InputFileName", "LocalTimestamp", "MonotonicallyIncreasingID", "Now", "PythonUDAF", "PythonUDF", "PythonUDTF",
     "Rand", "Randn", "RandStr", "ScalaUDAF", "ScalaUDF", "ScalaAggregator", "SchemaOfXml", "SessionUser", "Shuffle",
     "SparkPartitionID", "SparkVersion", "TryReflect", "Uniform", "UserDefinedGenerator", "Uuid", "V2Aggregator",
     "VariableReference", "XmlToStructs")
)  # fmt: skip


def check_parsed_plan(spark: SparkSession, sql: str, tables: Collection[str], functions: Collection[str]) -> None:
    """Raise TransformationError unless Spark's parser reads ``sql`` as a query of ``tables`` and ``functions`` alone.

    The check looks nothing up and opens no file. It compares names as Spark does, without regard to case. Raises
    Spark's own ParseException for text that is not SQL.
    """
    if is_remote():
        return
    session: Any = spark
    plan = session._jsparkSession.sessionState().sqlParser().parsePlan(sql)
    nodes = list(_plans(plan, ()))
    subqueries = {
        _lower(pair._1()) for kind, node in nodes if kind == "UnresolvedWith" for pair in _items(node.cteRelations())
    }
    relations = {_lower(name) for name in tables} | subqueries
    for kind, node in nodes:
        if kind not in _PARSED_PLANS:
            raise _refused(kind)
        if kind == "UnresolvedRelation":
            _check_name("it reads", _items(node.multipartIdentifier()), relations)
        elif kind == "UnresolvedTableValuedFunction":
            _check_name("it calls", _items(node.name()), functions)
        for name, expression in _expressions(node):
            _check_parsed_expression(name, expression, functions)


def _check_parsed_expression(name: str, expression: Any, functions: Collection[str]) -> None:
    kind = name.rpartition(".")[2]
    in_analysis = name == f"{_CATALYST}analysis.{kind}"
    if not name.startswith(_EXPRESSIONS) and not (in_analysis and kind in _UNRESOLVED):
        raise _refused(name)
    if in_analysis and kind == "UnresolvedFunction":
        _check_name("it calls", _items(expression.nameParts()), functions)


def check_analyzed_plan(frame: DataFrame, views: Collection[str]) -> None:
    """Raise TransformationError unless ``frame`` reads only the temporary ``views`` and reaches nothing else.

    The check does not walk what a view itself reads: whoever made the view decided that. It executes nothing.
    """
    if is_remote():
        return
    handle: Any = frame
    names = {_lower(view) for view in views}
    for kind, node in _plans(handle._jdf.queryExecution().analyzed(), names):
        if kind not in _ANALYZED_PLANS or (kind == "View" and not _is_view_of(node, names)):
            raise _refused(kind)
        if kind == "View":
            continue
        for name, _ in _expressions(node):
            if not name.startswith(_EXPRESSIONS) or name.rpartition(".")[2] in _REFUSED_EXPRESSIONS:
                raise _refused(name)


def _plans(plan: Any, views: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Every node of a plan and its subqueries, with the name of its class, but no node below one of ``views``."""
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        kind = str(node.getClass().getSimpleName()).rstrip("$")
        yield kind, node
        if not (kind == "View" and _is_view_of(node, views)):
            waiting += [*_items(node.children()), *_items(node.innerChildren()), *_items(node.subqueries())]


def _expressions(plan: Any) -> Iterator[tuple[str, Any]]:
    """Every expression of one node, with the full name of its class; ``_plans`` walks the subqueries in them."""
    waiting = _items(plan.expressions())
    if plan.getClass().getSimpleName() == "WithWindowDefinition":
        waiting += _items(plan.windowDefinitions().values().toSeq())
    while waiting:
        expression = waiting.pop()
        yield str(expression.getClass().getName()).rstrip("$"), expression
        waiting += _items(expression.children())


def _items(sequence: Any) -> list[Any]:
    return [sequence.apply(index) for index in range(sequence.size())]


def _is_view_of(node: Any, views: Collection[str]) -> bool:
    identifier = node.desc().identifier()
    return bool(node.isTempView()) and identifier.database().isEmpty() and _lower(identifier.table()) in views


def _check_name(action: str, parts: list[Any], allowed: Collection[str]) -> None:
    if len(parts) != 1 or _lower(parts[0]) not in allowed:
        raise TransformationError(f"the SQL is refused: {action} {'.'.join(map(str, parts))}, which is not allowed")


def _lower(name: Any) -> str:
    return str(name).lower()


def _refused(kind: str) -> TransformationError:
    node = kind.rpartition(".")[2]
    return TransformationError(f"the SQL is refused: Spark's plan of it has the node {node}, which is not allowed")
