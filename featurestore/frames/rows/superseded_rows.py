"""Old rows that reads after a cutoff still need, and rows that they do not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import and_, or_

from featurestore.columnar.schema import PARTITION_COLUMNS, TIME_COLUMNS
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.frames.schema import values_schema
from featurestore.frames.timestamps import instant
from featurestore.late_spark import Column, DataFrame, F, W

_EVENT, _CREATED = TIME_COLUMNS
_NEEDED = "__needed"
CONTENT = ("__content_1", "__content_2")


def superseded_rows(old: DataFrame, group: FeatureGroup, cut: datetime) -> DataFrame:
    """The rows, all older than ``cut``, from which no as-of read at ``cut`` or later takes a value.

    A row is needed if it is the latest of its entity (``nulls: keep``), or the latest with a value of one of the
    features (``skip``), as known at any time from ``cut`` on. This includes a row that a correction or a late row
    replaced only after ``cut``. Rows with the same event and created timestamp are needed together or not at all,
    because only their content decides between them. A row whose TTL ends before ``cut`` is not needed. Grain: one row
    per identity, that is ``identity_columns(group)``.
    """
    known = F.greatest(F.col(_CREATED), instant(cut))
    until_then = W.partitionBy(*(column(key) for key in group.join_keys)).orderBy(known)
    place = F.struct(F.col(_EVENT), F.col(_CREATED))

    def is_latest(counts: Column) -> Column:
        return counts & (place == F.max(F.when(counts, place)).over(until_then))

    if group.nulls == "keep":
        latest = is_latest(F.lit(True))
    else:
        latest = reduce(or_, (is_latest(column(name).isNotNull()) for name in group.feature_names))
    marked = old.withColumn(_NEEDED, latest & _within_ttl(group, cut))
    return identities(marked.where(~F.col(_NEEDED)), group).distinct()


def _within_ttl(group: FeatureGroup, cut: datetime) -> Column:
    if group.ttl is None:
        return F.lit(True)
    try:
        return F.col(_EVENT) >= instant(cut - group.ttl)
    except OverflowError:
        return F.lit(True)


def identities(rows: DataFrame, group: FeatureGroup) -> DataFrame:
    """Each row's keys, event and created timestamp, and 128 bits of hash over all columns of the group."""
    first, second = content(group)
    named = [column(name) for name in identity_columns(group)[: -len(CONTENT)]]
    return rows.select(*named, first.alias(CONTENT[0]), second.alias(CONTENT[1]))


def identity_columns(group: FeatureGroup) -> list[str]:
    return [*group.join_keys, *TIME_COLUMNS, *CONTENT]


def content(group: FeatureGroup, prefix: str = "") -> tuple[Column, Column]:
    """Two hashes over the group's columns, typed as in its definition; ``prefix``: an alias and a dot, or empty."""
    fields = [field for field in values_schema(group) if field.name not in PARTITION_COLUMNS]
    values = [F.col(f"{prefix}`{field.name}`").cast(field.dataType) for field in fields]
    return row_hash(values, 1), row_hash(values, 2)


def same_identity(group: FeatureGroup, target: str, source: str) -> Column:
    """Whether a row of the alias ``target`` has the identity of a row of the alias ``source``."""
    named = [
        F.col(f"{target}.`{name}`") == F.col(f"{source}.`{name}`") for name in identity_columns(group)[: -len(CONTENT)]
    ]
    hashed = [own == F.col(f"{source}.{name}") for own, name in zip(content(group, f"{target}."), CONTENT, strict=True)]
    return _all([*named, *hashed])


def _all(conditions: Sequence[Column]) -> Column:
    return reduce(and_, conditions)
