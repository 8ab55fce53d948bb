"""Which rows are about one of some entities: conditions on the alias ``target``, with the keys in the alias ``source``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

TARGET, SOURCE = "target", "source"
_FILE, _MET = "__file", "__met"


def by_columns(lookups: Sequence[Mapping[str, str]]) -> Column:
    """Rows that have the keys in columns; ``lookups``: ways in which a row tells an entity, join key -> column."""
    ways = [
        reduce(and_, (F.col(f"{TARGET}.`{name}`") == F.col(f"{SOURCE}.`{key}`") for key, name in lookup.items()))
        for lookup in lookups
    ]
    return reduce(or_, ways)


def rows_met(rows: DataFrame, keys: DataFrame, condition: Column) -> DataFrame:
    """The rows that the condition is true for."""
    return rows.alias(TARGET).join(F.broadcast(keys.alias(SOURCE)), condition, "left_semi")


def files_met(rows: DataFrame, keys: DataFrame, condition: Column, file: Column) -> DataFrame:
    """A row a ``file`` that has rows: its name, and ``met``, whether the condition is true for any of them."""
    told = rows.withColumn(_FILE, file).alias(TARGET)
    flagged = keys.withColumn(_MET, F.lit(True)).alias(SOURCE)
    met = told.join(F.broadcast(flagged), condition, "left")
    return met.groupBy(F.col(_FILE).alias("file")).agg(F.coalesce(F.bool_or(_MET), F.lit(False)).alias("met"))
