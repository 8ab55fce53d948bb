"""Which rows are about given entities: conditions on rows (alias ``target``) and keys (alias ``source``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_, or_

from featurestore.late_spark import Column, DataFrame, F

TARGET, SOURCE = "target", "source"
_FILE, _MET = "__file", "__met"


def by_columns(lookups: Sequence[Mapping[str, str]]) -> Column:
    """Whether a row has the keys in its columns; each lookup (join key -> column) is a way to name an entity."""
    ways = [
        reduce(and_, (F.col(f"{TARGET}.`{name}`") == F.col(f"{SOURCE}.`{key}`") for key, name in lookup.items()))
        for lookup in lookups
    ]
    return reduce(or_, ways)


def rows_met(rows: DataFrame, keys: DataFrame, condition: Column) -> DataFrame:
    """The rows for which the condition is true for any of the keys."""
    return rows.alias(TARGET).join(F.broadcast(keys.alias(SOURCE)), condition, "left_semi")


def files_met(rows: DataFrame, keys: DataFrame, condition: Column, file: Column) -> DataFrame:
    """One row per file that has rows: its name (``file``), and whether the condition is true for any row (``met``)."""
    named = rows.withColumn(_FILE, file).alias(TARGET)
    flagged = keys.withColumn(_MET, F.lit(True)).alias(SOURCE)
    met = named.join(F.broadcast(flagged), condition, "left")
    return met.groupBy(F.col(_FILE).alias("file")).agg(F.coalesce(F.bool_or(_MET), F.lit(False)).alias("met"))
