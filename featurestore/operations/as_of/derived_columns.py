"""Derived features after the join, computed here or in Spark's tasks; inputs that were not asked for are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from featurestore.columnar.derived.steps import TaskSteps
from featurestore.frames.as_of.python_tasks import check_tasks
from featurestore.frames.columns import column, numbered
from featurestore.kinds.registry import kind_of
from featurestore.late_spark import DataFrame, StructField, StructType
from featurestore.operations.reading.request import AsOfRequest
from featurestore.stores.value_files.task_join import by_value


def with_derived(spine: pa.Table, joined: Mapping[str, Any], request: AsOfRequest) -> dict[str, Any]:
    """The output columns of the request; ``joined`` has those of its lookups. Raises TransformationError."""
    if not request.derived.columns:
        return {name: joined[name] for name in request.columns}
    rows = {name: spine.column(name) for name in spine.column_names} | dict(joined)
    for each in request.derived.columns:
        rows[each.output] = each.step(_row_keys(request)).computed(rows)
    return {name: rows[name] for name in request.columns}


def with_derived_in_tasks(joined: DataFrame, spine_columns: Sequence[str], request: AsOfRequest) -> DataFrame:
    """The spine's own columns followed by the output columns; lazy.

    Raises SpineError for a spine with a column that Python's tasks lack. A row that cannot be computed fails the job.
    """
    if not request.derived.columns:
        return joined
    check_tasks(joined.schema, "derived features")
    steps = tuple(each.step(_row_keys(request)) for each in request.derived.columns)
    computed = [StructField(each.output, kind_of(each.feature.type).spark_type) for each in request.derived.columns]
    tasks = TaskSteps(steps, tuple(joined.columns))
    rows = numbered(joined).mapInArrow(by_value(tasks.computed), StructType([*joined.schema.fields, *computed]))
    return rows.select(*(column(name) for name in (*spine_columns, *request.columns)))


def _row_keys(request: AsOfRequest) -> list[str]:
    """The spine's columns that name a row in an error."""
    keys = [name for keys in request.key_lookups for name in keys.values()]
    return list(dict.fromkeys((*(keys or request.derived.spine_columns), request.timestamp_column)))
