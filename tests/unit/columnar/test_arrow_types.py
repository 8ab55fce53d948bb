"""Arrow's types as those that Spark has: nothing is lost, or an Arrow error."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from featurestore.columnar.arrow_types import plain_array
from featurestore.kinds.moment import INSTANT

LISTS = [[1], [2, 3], None, [4], []]


def extension(kind: Any, storage: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, storage)


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([1, None], pa.uint8()), pa.int16(), [1, None]),
        (pa.array([1, None], pa.uint64()), pa.int64(), [1, None]),
        (pa.array([2**63 + 5, 7], pa.uint64()), pa.decimal128(20, 0), [2**63 + 5, 7]),
        (pa.array([np.float16(1.5)]), pa.float32(), [1.5]),
        (pa.array(["x"], pa.string_view()), pa.string(), ["x"]),
        (pa.array([b"x"], pa.binary_view()), pa.binary(), [b"x"]),
        (pa.array([dt.date(2026, 1, 2)], pa.date64()), pa.date32(), [dt.date(2026, 1, 2)]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), pa.string(), ["a", "b", "a"]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], pa.array(["a", "b"])), pa.string(), ["a", "a", "b"]),
        (pa.array([[1, 2]], pa.list_(pa.uint8(), 2)), pa.list_(pa.int16()), [[1, 2]]),
        (pa.array([Decimal("1.5")], pa.decimal256(50, 1)), pa.decimal128(38, 1), [Decimal("1.5")]),
        (pa.array([Decimal("1.5E3")], pa.decimal128(5, -2)), pa.decimal128(7, 0), [Decimal(1500)]),
        (pa.array([UUID(int=1).bytes], pa.uuid()), pa.string(), [str(UUID(int=1))]),
        (extension(pa.json_(), pa.array(["{}"])), pa.string(), ["{}"]),
        (extension(pa.bool8(), pa.array([1, 0, None], pa.int8())), pa.bool_(), [True, False, None]),
        (
            pa.array(
                [{"a": 2**63 + 5, "c": ["x"]}], pa.struct({"a": pa.uint64(), "c": pa.list_view(pa.string_view())})
            ),
            pa.struct({"a": pa.decimal128(20, 0), "c": pa.list_(pa.string())}),
            [{"a": 2**63 + 5, "c": ["x"]}],
        ),
    ],
)
def test_a_type_that_spark_lacks_becomes_one_that_it_has(array: pa.Array, kind: pa.DataType, values: list[Any]) -> None:
    plain = plain_array(array)

    plain.validate(full=True)
    assert (plain.type, plain.to_pylist()) == (kind, values)


@pytest.mark.parametrize(
    "array",
    [
        pa.array(LISTS, pa.list_(pa.uint8())),
        pa.array(LISTS, pa.large_list(pa.uint8())),
        pa.array(LISTS, pa.list_view(pa.uint8())),
        pa.array(LISTS, pa.large_list_view(pa.uint8())),
        pa.array([[1, 2], None, [3, 4], [5, 6], None], pa.list_(pa.uint8(), 2)),
        pa.array([[("a", 1)], [("b", 2), ("c", 3)], None, [("d", 4)], []], pa.map_(pa.string(), pa.uint8())),
        pa.array([{"a": 1}, {"a": None}, None, {"a": 4}, {"a": 5}], pa.struct({"a": pa.uint8()})),
        # Views in another order than their elements, one within another.
        pa.ListViewArray.from_arrays(pa.array([2, 0, 1]), pa.array([2, 1, 3]), pa.array([1, 2, 3, 4], pa.uint8())),
    ],
)
def test_nested_values_keep_their_elements_also_in_slices_and_chunks(array: pa.Array) -> None:
    for part in (array, array[1:], array[1:2], array[:0], pa.chunked_array([array[2:], array[:2]])):
        plain = plain_array(part)

        plain.validate(full=True)
        assert plain.to_pylist() == part.to_pylist()


def test_timestamps_are_rounded_up_or_down_and_out_of_range_ones_stay_out_of_range() -> None:
    nanos = pa.array([1, -1, 1000, None], pa.timestamp("ns", "Europe/Berlin"))
    assert plain_array(nanos, "up").cast(pa.int64()).to_pylist() == [1, 0, 1, None]
    assert plain_array(nanos, "down").cast(pa.int64()).to_pylist() == [0, -1, 1, None]
    assert plain_array(nanos).type == INSTANT
    far = plain_array(pa.array([2**62, -(2**62), 1], pa.timestamp("s", "UTC"))).cast(pa.int64()).to_pylist()
    assert far == [253402300800000000, -62135596800000001, 1000000]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([dt.time(1)]),
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
        pa.array([Decimal("1" * 45)], pa.decimal256(50, 0)),
        pa.array([[dt.time(1)]]),
        extension(pa.fixed_shape_tensor(pa.float32(), [1, 2]), pa.array([[1, 2]], pa.list_(pa.float32(), 2))),
    ],
)
def test_a_lossy_conversion_is_an_arrow_error(array: pa.Array) -> None:
    with pytest.raises(pa.ArrowException):
        plain_array(array)


def test_rounding_up_does_not_wrap() -> None:
    ticks = [-(2**63), -(2**63) + 1, -1001, -1000, -1, 0, 1, 1000, 1001, 2**63 - 1, None]
    array = pa.array(ticks, pa.int64()).cast(pa.timestamp("ns"))
    for finer, sign in (("up", -1), ("down", 1)):
        expected = [None if tick is None else sign * (sign * tick // 1000) for tick in ticks]
        assert plain_array(array, finer).cast(pa.int64()).to_pylist() == expected  # type: ignore[arg-type]
