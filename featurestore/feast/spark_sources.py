"""Sources that only Spark reads: tables of a catalog, queries, and files of other formats than Parquet and Delta.

Such files have times as texts, which other sources may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from operator import and_

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.ranks import one_array
from featurestore.errors import SchemaError, nearest
from featurestore.feast.source_table import ZONE, Columns, Values, instants_of_texts
from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame, SparkSession, to_arrow_schema
from featurestore.stores.outside.casts import INSTANT, cast_column, plain_type, why_no_cast
from featurestore.stores.outside.chosen import Ranges
from featurestore.stores.outside.rows import WantedColumn
from featurestore.stores.storage_faults import storage_errors

# Spark compares a time without a zone in the session's zone.
_ZONES = timedelta(days=1)


@dataclass(frozen=True)
class SparkTable:
    """The rows of a source by Spark; see ``SourceTable``. Those that are wanted are fetched into this process."""

    name: str
    frame: DataFrame = field(repr=False)
    spark: SparkSession = field(repr=False)

    @property
    def schema(self) -> pa.Schema:
        stored = to_arrow_schema(self.frame.schema, timezone=ZONE)
        return pa.schema([pa.field(each.name, plain_type(each.type)) for each in stored])

    def values(self, columns: Columns, *, required: Sequence[str], asked: pa.Table) -> Values:
        self._check(columns)
        rows = self._fetched(self._of_keys(columns, asked), columns, required)
        return Values.in_memory(rows, asked.num_columns, self.name)

    def read(self, columns: Columns, *, required: Sequence[str], ranges: Ranges) -> pa.Table:
        self._check(columns)
        rows, schema = self.frame, self.schema
        for name, (low, high) in ranges.items():
            times = column(columns[name].source)
            if pa.types.is_string(schema.field(columns[name].source).type):
                continue
            rows = rows if low is None else rows.where(times >= low - _ZONES)
            rows = rows if high is None else rows.where(times <= high + _ZONES)
        fetched = self._fetched(rows, columns, required)
        for name, (low, high) in ranges.items():
            fetched = fetched if low is None else fetched.filter(pc.field(name) >= low)
            fetched = fetched if high is None else fetched.filter(pc.field(name) <= high)
        return fetched

    def _check(self, columns: Columns) -> None:
        schema = self.schema
        for wanted in columns.values():
            for source in wanted.sources:
                if source not in schema.names:
                    raise SchemaError(f"{self.name}: there is no column {source!r}. {nearest(source, schema.names)}")
                stored = schema.field(source).type
                if wanted.type is None or (wanted.type == INSTANT and pa.types.is_string(stored)):
                    continue
                if (why := why_no_cast(stored, wanted.type, ZONE)) is not None:
                    raise SchemaError(f"{self.name}: column {source!r}: {why}; cast it in the source")

    def _of_keys(self, columns: Columns, asked: pa.Table) -> DataFrame:
        """The rows with one of these keys."""
        # Longer than any column's name, so that none is named so.
        prefix = "_" * (1 + max(map(len, self.frame.columns)))
        wanted = {f"{prefix}{place}": columns[name].source for place, name in enumerate(asked.column_names)}
        distinct = asked.group_by(asked.column_names).aggregate([]).rename_columns(list(wanted))
        keys = self.spark.createDataFrame(distinct)
        same = reduce(and_, (column(source) == column(name) for name, source in wanted.items()))
        return self.frame.join(keys, same, "left_semi")

    def _fetched(self, rows: DataFrame, columns: Columns, required: Sequence[str]) -> pa.Table:
        for name in required:
            rows = rows.where(column(columns[name].source).isNotNull())
        sources = list(dict.fromkeys(source for wanted in columns.values() for source in wanted.sources))
        with storage_errors():
            fetched = rows.select(*(column(name) for name in sources)).toArrow()
        return pa.table({name: self._column(fetched, wanted) for name, wanted in columns.items()})

    def _column(self, rows: pa.Table, wanted: WantedColumn) -> pa.Array:
        every = [self._of_source(rows, source, wanted) for source in wanted.sources]
        return pc.coalesce(*every) if len(every) > 1 else every[0]

    def _of_source(self, rows: pa.Table, source: str, wanted: WantedColumn) -> pa.Array:
        stored = rows.column(source)
        if wanted.type == INSTANT and pa.types.is_string(plain_type(stored.type)):
            try:
                stored = instants_of_texts(stored)
            except ValueError as error:
                raise SchemaError(
                    f"{self.name}: column {source!r} has texts that are no times ({error}); cast it in the source"
                ) from error
        return one_array(cast_column(stored, wanted.type or plain_type(stored.type), ZONE, up=wanted.rounded_up))
