"""The rows to which features are joined: a pandas, Arrow or Spark frame, or the answer to a query."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast.errors import EntityTimestampInferenceException, FeastEntityDFMissingColumnsError
from feast.infra.offline_stores.offline_utils import DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL

from featurestore.columnar.ranks import one_array
from featurestore.errors import InvalidArgumentError, SpineError, shown
from featurestore.feast.source_table import ZONE, instants_of_texts
from featurestore.stores.outside.casts import INSTANT, cast_column, plain_type, why_no_cast


@dataclass(frozen=True)
class EntityRows:
    """``rows``: all columns as they were given, the times as instants; ``timestamp``: the name of their column."""

    rows: pa.Table
    timestamp: str

    @classmethod
    def of(cls, given: Any, of_query: Callable[[str], pa.Table]) -> EntityRows:
        """``of_query`` answers a query of Spark's.

        Raises EntityTimestampInferenceException if no column is the time, SpineError for times that cannot be read.
        """
        rows = _table(given, of_query)
        timestamp = _timestamp_of(rows)
        column = rows.column(timestamp)
        place = rows.schema.get_field_index(timestamp)
        return cls(rows.set_column(place, timestamp, _as_instants(column, timestamp)), timestamp)

    @property
    def instants(self) -> pa.Array:
        """The times in microseconds; what is finer is cut off, so that no value is seen too early."""
        return one_array(cast_column(self.rows.column(self.timestamp), INSTANT, ZONE))

    @property
    def bounds(self) -> tuple[Any, Any]:
        """The earliest and the latest time; None if there is no row."""
        found = pc.min_max(self.instants).as_py()
        return found["min"], found["max"]

    def check_columns(self, keys: Iterable[str], outputs: Iterable[str]) -> None:
        """Raise FeastEntityDFMissingColumnsError for keys that are not there, SpineError for an output that is."""
        wanted, present = {self.timestamp, *keys}, set(self.rows.column_names)
        if missing := wanted - present:
            raise FeastEntityDFMissingColumnsError(wanted, missing)
        if taken := sorted(present.intersection(outputs)):
            raise SpineError(
                f"the entity rows have columns of the names of features that are asked for: {', '.join(taken)}; rename "
                "the columns, or ask with full_feature_names=True"
            )


def _table(given: Any, of_query: Callable[[str], pa.Table]) -> pa.Table:
    if isinstance(given, pa.Table):
        return given
    if isinstance(given, pd.DataFrame):
        try:
            return pa.Table.from_pandas(given, preserve_index=False).replace_schema_metadata(None)
        except (pa.ArrowException, ValueError) as error:
            raise SpineError(
                f"the entity frame cannot be read as columns: {error}; give each column one type"
            ) from error
    if isinstance(given, str):
        return of_query(given)
    if callable(getattr(given, "toArrow", None)):
        return given.toArrow()
    raise InvalidArgumentError(
        f"entity_df is {shown(given)} ({type(given).__name__}); give a pandas or Spark DataFrame, an Arrow table, or a "
        "query of Spark's"
    )


def _timestamp_of(rows: pa.Table) -> str:
    usual: str = DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL
    times = [field.name for field in rows.schema if pa.types.is_timestamp(field.type)]
    if usual in rows.column_names:
        return usual
    if len(times) != 1:
        raise EntityTimestampInferenceException(usual)
    [only] = times
    return str(only)


def _as_instants(column: pa.ChunkedArray, name: str) -> Any:
    """The times as instants, timestamps in their own unit."""
    kind = plain_type(column.type)
    if pa.types.is_string(kind):
        try:
            return instants_of_texts(column)
        except ValueError as error:
            raise SpineError(
                f"entity column {name!r} has texts that are no times ({error}); give timestamps"
            ) from error
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp(kind.unit, ZONE))
    if (why := why_no_cast(kind, INSTANT, ZONE)) is not None:
        raise SpineError(f"entity column {name!r}: {why}; give timestamps")
    return cast_column(column, INSTANT, ZONE)
