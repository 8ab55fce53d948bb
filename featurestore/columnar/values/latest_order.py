"""The order in which one of several rows of an entity is the latest: by event time, created time, then content.

It is the order of the as-of join. Content is the tuple of the features: nulls lowest, NaN greatest, zeros equal
whatever their sign, false before true, texts by their UTF-8 bytes, a list by its xxHash, then by its elements. What
holds more than that, such as a struct, a map, or a list of lists, is compared part by part. Rows that are equal in all
of this stay in the order in which they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array, ranks, tuple_ranks
from featurestore.columnar.rows.fingerprint import can_be_hashed, xxhash64

Nulls: TypeAlias = Literal["skip", "keep"]

EVENT, CREATED = "event_timestamp", "created_timestamp"
_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


def latest_last(rows: pa.Table, entities: NDArray[np.int64] | None, features: Sequence[str]) -> NDArray[np.int64]:
    """The positions of the rows, sorted by entity, then such that a later row replaces an earlier one.

    ``entities`` is a number per row; None if all rows are of one entity. ``features`` are the content, in this order.
    """
    times = [micros(rows, EVENT), micros(rows, CREATED)]
    major = times if entities is None else [entities, *times]
    order = np.lexsort(major[::-1])
    tied = np.ones(max(len(order) - 1, 0), bool)
    for part in major:
        tied &= part[order[1:]] == part[order[:-1]]
    return _with_ties_in_order(order, tied, rows, features) if tied.any() and features else order


def _with_ties_in_order(
    order: NDArray[np.int64], tied: NDArray[np.bool_], rows: pa.Table, features: Sequence[str]
) -> NDArray[np.int64]:
    """``tied``: for each row but the first, whether it is of the entity and the times of the row before it."""
    follows = np.insert(tied, 0, False)
    in_run = follows | np.append(tied, False)
    runs = np.cumsum(~follows)[in_run]
    members = order[in_run]
    content = [content_ranks(rows.column(name).take(pa.array(members))) for name in features]
    in_order = order.copy()
    in_order[in_run] = members[np.lexsort([*reversed(content), runs])]
    return in_order


def content_ranks(column: Any) -> NDArray[np.int64]:
    """A number per row, equal for equal values and greater for greater ones; null is lowest."""
    array = one_array(column)
    kind = array.type
    if isinstance(kind, pa.StructType):
        return _struct_ranks(array)
    if isinstance(kind, pa.MapType):
        return content_ranks(array.cast(pa.list_(pa.struct([kind.key_field, kind.item_field]))))
    if not isinstance(kind, _LISTS):
        return ranks(array)
    if not can_be_hashed(kind.value_type):
        return _ranks_by_elements(array)
    hashed = pa.array(xxhash64([array]), mask=~is_valid(array))
    if not array.flatten().null_count:
        return ranks(hashed)
    # The hash passes over null elements, so that lists of one hash may differ.
    return tuple_ranks([hashed, pa.array(_list_ranks(array))])


def _struct_ranks(array: Any) -> NDArray[np.int64]:
    """By the fields, one after the other."""
    fields = [pa.array(content_ranks(field)) for field in array.flatten()]
    return tuple_ranks([pa.array(is_valid(array)), *fields])


def _ranks_by_elements(array: Any) -> NDArray[np.int64]:
    """The elements one after the other, null lowest, and then by length."""
    elements = content_ranks(array.flatten()).tolist()
    lengths = as_numpy(pc.fill_null(pc.list_value_length(array), 0))
    ends = np.cumsum(lengths)
    rows = zip((ends - lengths).tolist(), ends.tolist(), is_valid(array).tolist(), strict=True)
    return _sorted_ranks([tuple(elements[start:end]) if valid else None for start, end, valid in rows])


def _list_ranks(array: Any) -> NDArray[np.int64]:
    """The same for lists by their elements, null lowest, and then by length: Spark's order of arrays."""
    lists = array.to_pylist()
    return _sorted_ranks([None if value is None else tuple(map(_ordered, value)) for value in lists])


def _sorted_ranks(values: Sequence[tuple[Any, ...] | None]) -> NDArray[np.int64]:
    in_order = sorted({value for value in values if value is not None})
    numbers = {value: number for number, value in enumerate(in_order)}
    return np.array([-1 if value is None else numbers[value] for value in values], np.int64)


def _ordered(element: Any) -> tuple[bool, Any]:
    return (element is not None, element.encode() if isinstance(element, str) else (element or 0))


def starts_of_runs(*sorted_columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of the first row of each run of rows that are equal in all columns."""
    differs = np.zeros(max(len(sorted_columns[0]) - 1, 0), bool)
    for column in sorted_columns:
        differs |= column[1:] != column[:-1]
    starts = np.flatnonzero(differs) + 1
    return np.insert(starts, 0, 0) if len(sorted_columns[0]) else starts


def last_of_runs(order: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The last row of each run of the ordered rows."""
    return order[np.append(starts[1:], len(order)) - 1] if len(starts) else starts


def last_valid(valid: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each run of rows, which begin at ``starts``, the position of its last valid row; -1 if it has none."""
    if not len(starts):
        return starts
    return np.maximum.reduceat(np.where(valid, np.arange(len(valid)), -1), starts)


def is_valid(column: Any) -> NDArray[np.bool_]:
    """For each row of a column, whether it is not null."""
    return as_numpy(one_array(column.is_valid()))


def micros(rows: pa.Table, column: str) -> NDArray[np.int64]:
    """A column of instants without nulls, in microseconds since 1970."""
    return as_numpy(one_array(rows.column(column)))


def with_companions(rows: pa.Table, features: Sequence[str]) -> list[str]:
    """The features, each followed by the column of its model versions if the rows have one."""
    names = [name for feature in features for name in (feature, model_column(feature))]
    return [name for name in names if name in features or name in rows.column_names]


def model_column(feature: str) -> str:
    """The column of an embedding's model versions."""
    return f"{feature}__model_version"
