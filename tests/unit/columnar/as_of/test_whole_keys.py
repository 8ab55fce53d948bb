"""The numbers of whole keys, whether they are searched or looked up in a table."""

import numpy as np
import pyarrow as pa
import pytest

from featurestore.columnar.as_of.spine_keys import WholeKeys


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # Close together, so that they are looked up.
        ([3, 4, 6], {3: 0, 4: 1, 6: 2}),
        ([0], {0: 0}),
        ([2**63 - 3, 2**63 - 1], {2**63 - 3: 0, 2**63 - 1: 1}),
        # Far apart, so that they are searched.
        ([-(2**63), 3, 2**63 - 1], {-(2**63): 0, 3: 1, 2**63 - 1: 2}),
        ([3, 4, 6000], {3: 0, 4: 1, 6000: 2}),
        ([], {}),
    ],
)
def test_a_key_has_its_place_and_all_else_has_none(keys: list[int], expected: dict[int, int]) -> None:
    values = [*range(-3, 10), 6000, -(2**63), -(2**63) + 1, 2**63 - 3, 2**63 - 2, 2**63 - 1, None]

    found = WholeKeys(np.array(keys, np.int64)).find(pa.array(values, pa.int64()))

    assert found.tolist() == [-1 if value is None else expected.get(value, -1) for value in values]
