"""How the values' files decide the ranges of keys over which a spine is spread."""

import pytest

from featurestore.columnar.as_of.value_files import Bounds
from featurestore.operations.as_of.key_ranges import (
    ROWS_OF_A_TASK,
    KeyRanges,
    Part,
    are_few,
    key_ranges,
    least_tasks_of,
)


def part(*bounds: Bounds, start: int = 0, rows: int = 100) -> Part:
    return Part(bounds, start, rows)


def test_cuts_are_where_equal_shares_of_the_rows_begin() -> None:
    parts = [part((first, first + 9)) for first in range(0, 80, 10)]

    assert key_ranges(parts, 4).cuts == ((20,), (40,), (60,))
    assert key_ranges(parts, 4).pieces == 1


def test_files_of_several_partitions_are_cut_at_the_same_keys() -> None:
    parts = [part((first, first + 9), start=month) for month in (1, 2, 3) for first in range(0, 40, 10)]

    assert key_ranges(parts, 2).cuts == ((20,),)


def test_a_composite_key_is_cut_by_its_second_column_where_the_first_is_one() -> None:
    parts = [part((7, 7), (bytes([first]), bytes([first + 9]))) for first in range(0, 40, 10)]

    assert key_ranges(parts, 2).cuts == ((7, bytes([20])),)


def test_a_key_with_more_rows_than_a_share_is_also_cut_in_time() -> None:
    parts = [part((5, 5), start=month, rows=1000) for month in range(1, 5)] + [part((6, 9), rows=10)]

    assert key_ranges(parts, 4).cuts == ((5, 2), (5, 3), (5, 4))


def test_ranges_that_cannot_be_cut_are_divided_by_a_hash() -> None:
    ranges = key_ranges([part((None, None), rows=1000)], 6)

    assert (ranges.cuts, ranges.pieces, ranges.tasks) == ((), 6, 6)


def test_many_rows_make_more_tasks_than_asked_for() -> None:
    parts = [part((first, first), rows=ROWS_OF_A_TASK) for first in range(10)]

    assert key_ranges(parts, 2).tasks == 10


@pytest.mark.parametrize(
    ("parts", "tasks", "expected"),
    [
        ([], 4, KeyRanges((), 4)),
        ([part((1, 9))], 1, KeyRanges((), 1)),
        ([part((b"a", b"c")), part((b"", b"a"))], 2, KeyRanges(((b"a",),), 1)),
        # Parts without bounds come first, and are cut nowhere.
        ([part((None, None)), part((None, None))], 2, KeyRanges((), 2)),
        # The bounds of a further column mean nothing where those before it are several values.
        ([part((1, 2), (0, 4)), part((2, 3), (5, 9))], 2, KeyRanges(((2,),), 1)),
    ],
)
def test_ranges_of_odd_parts(parts: list[Part], tasks: int, expected: KeyRanges) -> None:
    assert key_ranges(parts, tasks) == expected


@pytest.mark.parametrize(
    ("rows", "tasks", "few"),
    [(250_000, None, True), (250_001, None, False), (250_000, 200, True), (250_001, 11, False), (500_000, 10, True),
     (1_250_000, 4, True), (1_250_001, 4, False)],
)  # fmt: skip
def test_few_tasks_read_more_values_each(rows: int, tasks: int | None, few: bool) -> None:
    assert are_few(rows, tasks) is few


@pytest.mark.parametrize(("setting", "tasks"), [("7", 7), ("auto", 200), (None, 200), ("", 200)])
def test_sparks_setting_may_be_a_word(setting: str | None, tasks: int) -> None:
    """On Databricks it may be ``auto``."""
    assert least_tasks_of(setting) == tasks
