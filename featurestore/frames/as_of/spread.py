"""Spread a spine over tasks by ranges of its keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F, T

# More cuts would make the query's code too long; they are searched in an array, which takes longer for each row.
_MOST_CONDITIONS = 256


def spread_by_key(
    spine: DataFrame,
    keys: Sequence[str],
    instants: str,
    cuts: Sequence[tuple[int | bytes, ...]],
    pieces: int,
) -> DataFrame:
    """The spine's rows in ``(len(cuts) + 1) * pieces`` partitions, by ranges of keys and instants.

    ``cuts`` ascend. Each has numbers (days and microseconds for dates and timestamps) or UTF-8 bytes of the first keys,
    and perhaps an instant after all of them; a row at a cut belongs to the range that the cut begins. ``pieces``: each
    range is divided by a hash. Rows without a key or an instant may be anywhere.
    """
    if any(isinstance(spine.schema[name].dataType, T.NullType) for name in keys):
        # No row has a key.
        return spine
    moment = F.unix_micros(column(instants))
    columns = [*(_comparable(spine, name) for name in keys), moment]
    tasks = (len(cuts) + 1) * pieces
    anywhere = F.pmod(F.xxhash64(*columns), F.lit(tasks))
    within = F.pmod(F.xxhash64(*columns), F.lit(pieces)) if pieces > 1 else F.lit(0)
    is_complete = reduce(lambda both, one: both & one, (each.isNotNull() for each in columns))
    ranges = _ranges_before(columns, cuts, 0) if len(cuts) <= _MOST_CONDITIONS else _ranges_in_array(columns, cuts)
    number = ranges * F.lit(pieces) + within
    return spine.repartitionById(tasks, F.when(is_complete, number).otherwise(anywhere).cast("int"))


def _comparable(spine: DataFrame, name: str) -> Column:
    """A key column as longs or bytes."""
    kind = spine.schema[name].dataType
    if isinstance(kind, T.StringType):
        return column(name).cast("binary")
    if isinstance(kind, T.TimestampType):
        return F.unix_micros(column(name))
    if isinstance(kind, T.DateType):
        return F.unix_date(column(name)).cast("bigint")
    return column(name).cast("bigint")


def _ranges_before(columns: Sequence[Column], cuts: Sequence[tuple[int | bytes, ...]], first: int) -> Column:
    """The number of cuts at or before the row, plus ``first``: by a tree of conditions, as deep as their logarithm."""
    if not cuts:
        return F.lit(first)
    middle = len(cuts) // 2
    return F.when(
        _is_at_or_after(columns, cuts[middle]), _ranges_before(columns, cuts[middle + 1 :], first + middle + 1)
    ).otherwise(_ranges_before(columns, cuts[:middle], first))


def _ranges_in_array(columns: Sequence[Column], cuts: Sequence[tuple[int | bytes, ...]]) -> Column:
    """The same by binary search among the cuts as structs, in which null stands for what a cut does not have."""
    names = [f"part_{place}" for place in range(max(map(len, cuts)))]
    row = F.struct(*(each.alias(name) for each, name in zip(columns, names, strict=False)))
    kinds = ["binary" if any(isinstance(cut[place], bytes) for cut in cuts if len(cut) > place) else "bigint"
             for place in range(len(names))]  # fmt: skip
    bounds = F.array(*(_struct(cut, names, kinds) for cut in cuts))
    steps = F.array(*(F.lit(1 << bit) for bit in reversed(range(len(cuts).bit_length()))))
    return F.aggregate(
        steps,
        F.lit(0),
        lambda passed, step: F.when(F.get(bounds, passed + step - 1) <= row, passed + step).otherwise(passed),
    )


def _struct(cut: tuple[int | bytes, ...], names: Sequence[str], kinds: Sequence[str]) -> Column:
    parts = [*cut, *[None] * (len(names) - len(cut))]
    return F.struct(*(F.lit(part).cast(kind).alias(name) for part, name, kind in zip(parts, names, kinds, strict=True)))


def _is_at_or_after(columns: Sequence[Column], cut: tuple[int | bytes, ...]) -> Column:
    """Whether the row's keys, compared one after the other, are not below the cut."""
    *major, last = zip(columns, cut, strict=False)
    condition = last[0] >= F.lit(last[1])
    for each, bound in reversed(major):
        condition = (each > F.lit(bound)) | ((each == F.lit(bound)) & condition)
    return condition
