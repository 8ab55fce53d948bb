"""Typed columns of a batch -> the group's types, without loss or with a reason why not.

There are two kinds of fault. A column that can never fit (missing, repeated, of a wrong type) raises SchemaError before
anything runs. A value that does not fit (2.5 for a long) becomes a reason on its row.
"""

from __future__ import annotations

from featurestore.columnar.rows.batch_columns import check_column_names, moments_of, targets, time_advice, type_error
from featurestore.columnar.rows.names import FAULTS, ROW
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.columns import column
from featurestore.kinds.reading import Reading, good
from featurestore.kinds.registry import kind_of
from featurestore.late_spark import DataFrame, F, T

__all__ = ["FAULTS", "ROW", "check_column_names", "input_columns", "read_columns", "targets"]


def read_columns(rows: DataFrame, group: FeatureGroup, zone: str | None = None) -> dict[str, Reading]:
    """Each column of the group's tables, read from ``rows``: join keys, event and created timestamp, features.

    An absent feature or created timestamp reads as null. Raises SchemaError for columns that can never fit.
    """
    names = input_columns(rows)
    check_column_names(names, group)
    readings = {}
    for name, word in targets(group).items():
        if name in names:
            readings[name] = _read(rows.schema[name], word, group, zone)
        else:
            readings[name] = good(F.lit(None).cast(kind_of(word).storage))
    return readings


def input_columns(rows: DataFrame) -> list[str]:
    """The columns that the writer passed."""
    return [name for name in rows.columns if name not in (FAULTS, ROW)]


def _read(field: T.StructField, word: str, group: FeatureGroup, zone: str | None) -> Reading:
    reading = kind_of(word).read_column(column(field.name), field.dataType, moments_of(field.name, zone))
    if reading is None:
        is_naive = isinstance(field.dataType, T.TimestampNTZType | T.DateType)
        advice = time_advice(word) if is_naive else ""
        raise type_error(field.name, field.dataType.simpleString(), word, group, advice)
    return reading
