"""Spark's own reading of a user's SQL, walked before anything of it runs.

The text was checked before, by another parser. Here Spark's parser and analyser say what they understood: every table that they
read, every function that they call. A client of Spark Connect has no plan to show; there the check of the text stands alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.utils import is_remote

from featurestore.errors import TransformationError

_CATALYST = "org.apache.spark.sql.catalyst."
_EXPRESSIONS = f"{_CATALYST}expressions."

# Nodes of plans, and before analysis of expressions, by the name of their class. What is not here is refused: commands,
# scripts, hints, samples, files, versions of tables, and whatever a later Spark brings.
_OF_BOTH = frozenset(
    ("Aggregate", "Distinct", "Except", "Filter", "Generate", "GlobalLimit", "Intersect", "Join", "LateralJoin", "LocalLimit",
     "LocalRelation", "Offset", "OneRowRelation", "Project", "Sort", "SubqueryAlias", "Union")
)  # fmt: skip
_PARSED_PLANS = _OF_BOTH | frozenset(
    ("UnresolvedHaving", "UnresolvedQualify", "UnresolvedRelation", "UnresolvedSubqueryColumnAliases", "UnresolvedTVFAliases",
     "UnresolvedTableValuedFunction", "UnresolvedInlineTable", "UnresolvedWith", "Pivot", "Unpivot", "WithWindowDefinition")
)  # fmt: skip
_ANALYZED_PLANS = _OF_BOTH | frozenset(
    ("CTERelationDef", "CTERelationRef", "Deduplicate", "Expand", "Range", "UnionLoop", "UnionLoopRef", "View", "Window", "WithCTE")
)  # fmt: skip
_UNRESOLVED = frozenset(
    ("MultiAlias", "NamedParameter", "UnresolvedAlias", "UnresolvedAttribute", "UnresolvedExtractValue", "UnresolvedFunction",
     "UnresolvedGenerator", "UnresolvedRegex", "UnresolvedStar", "UnresolvedStarExceptOrReplace", "UnresolvedSubqueryColumnAliases")
)  # fmt: skip
# Expressions of Catalyst's that run other code, tell of files or of the session, or take chance or the clock.
_REFUSED_EXPRESSIONS = frozenset(
    ("ApplyFunctionExpression", "CallMethodViaReflection", "CurrentCatalog", "CurrentDatabase", "CurrentDate", "CurrentPath",
     "CurrentTime", "CurrentTimestamp", "CurrentUser", "InputFileBlockLength", "InputFileBlockStart", "InputFileName",
     "LocalTimestamp", "MonotonicallyIncreasingID", "Now", "PythonUDAF", "PythonUDF", "PythonUDTF", "Rand", "Randn", "RandStr",
     "ScalaUDAF", "ScalaUDF", "ScalaAggregator", "SchemaOfXml", "SessionUser", "Shuffle", "SparkPartitionID", "SparkVersion",
     "TryReflect", "Uniform", "UserDefinedGenerator", "Uuid", "V2Aggregator", "VariableReference", "XmlToStructs")
)  # fmt: skip


def check_parsed_plan(spark: SparkSession, sql: str, tables: Collection[str], functions: Collection[str]) -> None:
    """Raise TransformationError unless Spark's parser reads ``sql`` as a query of ``tables`` and ``functions`` alone.

    Nothing is looked up and no file is opened for it; names are compared as Spark does, in any case. Raises Spark's own
    ParseException for what is not SQL.
    """
    if is_remote():
        return
    session: Any = spark
    plan = session._jsparkSession.sessionState().sqlParser().parsePlan(sql)
    nodes = list(_plans(plan, ()))
    subqueries = {
        _lower(pair._1()) for kind, node in nodes if kind == "UnresolvedWith" for pair in _items(node.cteRelations())
    }
    known = {_lower(name) for name in tables} | subqueries
    for kind, node in nodes:
        if kind not in _PARSED_PLANS:
            raise _refused(kind)
        if kind == "UnresolvedRelation":
            _check_name("it reads", _items(node.multipartIdentifier()), known)
        elif kind == "UnresolvedTableValuedFunction":
            _check_name("it calls", _items(node.name()), functions)
        for name, expression in _expressions(node):
            in_analysis = f"{_CATALYST}analysis." + name.rpartition(".")[2] == name
            if not name.startswith(_EXPRESSIONS) and not (in_analysis and name.rpartition(".")[2] in _UNRESOLVED):
                raise _refused(name)
            if in_analysis and name.endswith("UnresolvedFunction"):
                _check_name("it calls", _items(expression.nameParts()), functions)


def check_analyzed_plan(frame: DataFrame, views: Collection[str]) -> None:
    """Raise TransformationError unless everything that ``frame`` reads is one of the temporary ``views``, and nothing in it reaches out.

    What a view itself reads is its maker's matter, and is not walked. Nothing is executed for it.
    """
    if is_remote():
        return
    handle: Any = frame
    known = {_lower(view) for view in views}
    for kind, node in _plans(handle._jdf.queryExecution().analyzed(), known):
        if kind not in _ANALYZED_PLANS or (kind == "View" and not _is_view_of(node, known)):
            raise _refused(kind)
        if kind == "View":
            continue
        for name, _ in _expressions(node):
            if not name.startswith(_EXPRESSIONS) or name.rpartition(".")[2] in _REFUSED_EXPRESSIONS:
                raise _refused(name)


def _plans(plan: Any, views: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Every node of a plan and of the subqueries in it, with the name of its class; of ``views`` not what is below them."""
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        kind = str(node.getClass().getSimpleName()).rstrip("$")
        yield kind, node
        if not (kind == "View" and _is_view_of(node, views)):
            waiting += [*_items(node.children()), *_items(node.innerChildren()), *_items(node.subqueries())]


def _expressions(plan: Any) -> Iterator[tuple[str, Any]]:
    """Every expression of one node, with the full name of its class; subqueries in them are plans, and not walked here."""
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


def _check_name(verb: str, parts: list[Any], known: Collection[str]) -> None:
    if len(parts) != 1 or _lower(parts[0]) not in known:
        raise TransformationError(f"the SQL is refused: {verb} {'.'.join(map(str, parts))}, which is not allowed in it")


def _lower(name: Any) -> str:
    return str(name).lower()


def _refused(kind: str) -> TransformationError:
    return TransformationError(f"the SQL is refused: Spark reads {kind.rpartition('.')[2]} in it, which is not allowed")
