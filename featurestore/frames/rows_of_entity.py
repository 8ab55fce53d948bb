"""Which rows are about one of some entities: conditions on the alias ``target``, with the keys in the alias ``source``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

TARGET, SOURCE = "target", "source"
_FILE, _MET = "__file", "__met"


def by_columns(lookups: Sequence[Mapping[str, str]]) -> Column:
    """Rows that have the keys in columns; ``lookups``: ways in which a row tells an entity, join key -> column."""
    ways = [
        reduce(and_, (F.col(f"{TARGET}.`{name}`") == F.col(f"{SOURCE}.`{key}`") for key, name in lookup.items()))
        for lookup in lookups
    ]
    return reduce(or_, ways)


def by_json(text: str, keys: Sequence[T.StructField]) -> Column:
    """Rows with a JSON text that has the keys, whatever its other fields are like.

    Where a key cannot be told from it (the text is no JSON, or lacks the key), rows whose text has all keys anywhere:
    too many rather than too few.
    """
    row = F.col(f"{TARGET}.`{text}`")
    same, unknown, anywhere = [], [], []
    for key in keys:
        found, wanted = F.get_json_object(row, f"$.{key.name}"), F.col(f"{SOURCE}.`{key.name}`")
        spelled = wanted.cast("string")
        same.append(F.coalesce((found.try_cast(key.dataType) == wanted) | (found == spelled), F.lit(False)))
        unknown.append(found.isNull())
        anywhere.append(row.contains(spelled))
    return reduce(and_, same) | (reduce(or_, unknown) & reduce(and_, anywhere))


def rows_met(rows: DataFrame, keys: DataFrame, condition: Column) -> DataFrame:
    """The rows that the condition is true for."""
    return rows.alias(TARGET).join(F.broadcast(keys.alias(SOURCE)), condition, "left_semi")


def files_met(rows: DataFrame, keys: DataFrame, condition: Column, file: Column) -> DataFrame:
    """A row a ``file`` that has rows: its name, and ``met``, whether the condition is true for any of them."""
    told = rows.withColumn(_FILE, file).alias(TARGET)
    flagged = keys.withColumn(_MET, F.lit(True)).alias(SOURCE)
    met = told.join(F.broadcast(flagged), condition, "left")
    return met.groupBy(F.col(_FILE).alias("file")).agg(F.coalesce(F.bool_or(_MET), F.lit(False)).alias("met"))
