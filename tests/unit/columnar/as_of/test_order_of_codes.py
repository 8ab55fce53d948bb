"""Spine rows in the order of their keys' numbers, of which there may be more than a short number can tell apart."""

import numpy as np
import pytest

from featurestore.columnar.as_of.value_rows import order_of_codes


@pytest.mark.parametrize("most", [1, 2, 1 << 16, (1 << 16) + 1, 1 << 20, 1 << 32])
def test_rows_are_in_the_order_of_numbers_and_equal_ones_stay(most: int) -> None:
    codes = np.random.default_rng(0).integers(0, most, 5_000)
    codes[:2] = most - 1

    assert order_of_codes(codes).tolist() == np.argsort(codes, kind="stable").tolist()


def test_no_rows() -> None:
    assert order_of_codes(np.zeros(0, np.int64)).tolist() == []
