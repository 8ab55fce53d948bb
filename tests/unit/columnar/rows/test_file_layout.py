"""How rows are cut into row groups, files and ranges of keys, and which stored files are sorted runs."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.file_layout import (
    FileLimits,
    KeyRanges,
    RowGroup,
    are_sorted_runs,
    bytes_of_row,
    in_key_order,
    key_ranges,
    row_groups,
)

MONDAY, TUESDAY = date(2026, 11, 2), date(2026, 11, 3)


def sizes(rows: pa.Table, limits: FileLimits) -> list[int]:
    groups = list(row_groups(rows, limits))
    assert not groups or pa.concat_tables(groups).equals(rows)
    return [group.num_rows for group in groups]


def test_a_row_group_has_at_most_so_many_rows_and_bytes() -> None:
    numbers = pa.table({"n": range(10)})
    assert sizes(numbers, FileLimits(group_rows=4)) == [4, 4, 2]
    assert sizes(numbers, FileLimits(group_rows=8, group_bytes=24)) == [3, 3, 3, 1]
    assert sizes(numbers.slice(0, 0), FileLimits()) == []
    # Rows of many lengths: each group is measured by itself.
    texts = pa.table({"text": ["x" * 50, "y" * 200, "z", "z", "z", "z" * 90]})
    assert sizes(texts, FileLimits(group_bytes=100)) == [1, 1, 3, 1]


def test_a_row_is_estimated_by_the_types_of_its_columns() -> None:
    user = Entity("user", join_keys={"user_id": "string", "shop": "int"})
    features = [Feature("x", "double"), Feature("on", "boolean"), Feature("v", "embedding(100)"), Feature("l", "json")]
    # A text, an int, two timestamps; a double, a bit, 100 floats, their model version, a text.
    assert bytes_of_row(FeatureGroup("g", user, features=features)) == 32 + 4 + 16 + 8 + 1 + 400 + 32 + 32


def test_only_dates_of_more_than_a_file_are_cut_by_key() -> None:
    limits = FileLimits(file_bytes=1000)
    assert key_ranges({MONDAY: 10, TUESDAY: 10}, 100, limits) is None
    # 1,800 bytes, in files that are meant to hold 750.
    assert key_ranges({TUESDAY: 13, MONDAY: 5}, 100, limits) == KeyRanges(3, (TUESDAY,))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], True),
        ([[[("a", "c"), (1, 9)]]], True),
        # Files are compared in the order of their keys, in whatever order they are listed.
        ([[[("d", "f"), (1, 9)]], [[("a", "c"), (1, 9)]]], True),
        ([[[("a", "d"), (1, 9)]], [[("c", "f"), (1, 9)]]], False),
        ([[[("a", "z"), (1, 9)]], [[("c", "d"), (1, 9)]]], False),
        # One key of both: the second column tells, if both have no other key.
        ([[[("a", "a"), (1, 5)]], [[("a", "a"), (5, 9)]]], True),
        ([[[("a", "a"), (1, 6)]], [[("a", "a"), (5, 9)]]], False),
        ([[[("a", "b"), (1, 9)]], [[("b", "c"), (1, 9)]]], True),
        # Row groups of one file are compared in the order that they have there.
        ([[[("a", "b"), (1, 9)], [("b", "c"), (1, 9)]]], True),
        ([[[("b", "c"), (1, 9)], [("a", "b"), (1, 9)]]], False),
        ([[[("a", "c"), (1, 9)], [("b", "d"), (1, 9)]]], False),
        # Nobody knows.
        ([[[None, (1, 9)]], [[("a", "z"), (1, 9)]]], True),
    ],
)
def test_files_are_in_key_order(files: list[Any], expected: bool) -> None:
    assert in_key_order([[tuple(group) for group in file] for file in files]) is expected


def test_large_row_groups_are_no_sorted_runs() -> None:
    limits = FileLimits(group_rows=10, group_bytes=100)

    def good(*groups: tuple[int, int]) -> bool:
        return are_sorted_runs(
            [[RowGroup(rows, size, ((place, place),)) for place, (rows, size) in enumerate(groups)]], limits
        )

    assert good((10, 100), (10, 100))
    assert good((20, 200))
    assert not good((21, 10))
    assert not good((10, 100), (2, 201))
    assert good((1, 5000))
