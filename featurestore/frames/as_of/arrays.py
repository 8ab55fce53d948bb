"""Arrays stay out of the sort: a hash orders them, and the identity of their row brings them back afterwards."""

from __future__ import annotations

from featurestore.frames.as_of.join_rules import AsOfJoin, JoinedValues
from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T

# Fields of an array's slot: the hash that orders it, and the array or the identity of its row.
_ORDER, _HELD = "order", "held"
_HELD_ROW, _ARRAY = "__held_row", "__array"


def sortable_column(values: DataFrame, feature: str, join: AsOfJoin) -> Column:
    """A feature's column in the sort: its value; for an array, its hash with the array or its row's identity."""
    value = column(feature)
    if not _is_array(values, feature):
        return value
    content = value if join.row_identity is None else column(join.row_identity)
    return F.when(value.isNotNull(), F.struct(F.xxhash64(value).alias(_ORDER), content.alias(_HELD)))


def with_arrays(joined: DataFrame, lookup: JoinedValues) -> DataFrame:
    """The rows with arrays in place of the columns that represented them in the sort."""
    values, join = lookup.values, lookup.join
    for feature in join.features:
        if _is_array(values, feature):
            joined = _with_array(joined, values, feature, join)
    return joined


def _with_array(joined: DataFrame, values: DataFrame, feature: str, join: AsOfJoin) -> DataFrame:
    name = join.output(feature)
    content = column(name)[_HELD]
    if join.row_identity is None:
        return joined.withColumn(name, content)
    # Identities are never negative, so rows without an array match none; a hash spreads these rows.
    anywhere = F.xxhash64(*(column(key) for key in join.keys.values()), column(join.timestamp_column))
    identified = joined.withColumn(_HELD_ROW, F.coalesce(content, F.lit(-1) - F.pmod(anywhere, F.lit(1 << 40))))
    arrays = values.select(column(join.row_identity).alias(_HELD_ROW), column(feature).alias(_ARRAY))
    # Spark hashes the spine's side, which has no arrays, and streams the arrays without sorting them.
    both = identified.hint("shuffle_hash").join(arrays, _HELD_ROW, "left")
    return both.select(*(F.col(_ARRAY).alias(name) if other == name else column(other) for other in joined.columns))


def _is_array(values: DataFrame, feature: str) -> bool:
    return isinstance(values.schema[feature].dataType, T.ArrayType)
