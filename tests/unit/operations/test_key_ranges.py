"""How a spine is spread over tasks: where it is cut, by the bounds of the values' parts."""

from __future__ import annotations

import pytest

from featurestore.columnar.as_of.value_files import Bounds
from featurestore.operations.as_of.key_ranges import KeyRanges, Part, key_ranges, least_tasks_of


def part(*bounds: Bounds, rows: int = 10, start: int = 0) -> Part:
    return Part(bounds, start, rows)


@pytest.mark.parametrize(
    ("parts", "tasks", "expected"),
    [
        ([], 4, KeyRanges((), 4)),
        ([part((1, 9))], 1, KeyRanges((), 1)),
        # As many rows in each range, wherever the parts come from.
        ([part((5, 9)), part((0, 4)), part((20, 29)), part((10, 19))], 2, KeyRanges(((10,),), 1)),
        ([part((b"a", b"c")), part((b"", b"a"))], 2, KeyRanges(((b"a",),), 1)),
        # Parts without bounds come first, and are cut nowhere.
        ([part((None, None)), part((None, None))], 2, KeyRanges((), 2)),
        # The bounds of a further column mean something where those before it are one value.
        ([part((1, 1), (0, 4)), part((1, 1), (5, 9))], 2, KeyRanges(((1, 5),), 1)),
        ([part((1, 2), (0, 4)), part((2, 3), (5, 9))], 2, KeyRanges(((2,),), 1)),
        # One key with the rows of several tasks is cut in time.
        ([part((7, 7), start=at) for at in (0, 100, 200)], 3, KeyRanges(((7,), (7, 200)), 1)),
    ],
)  # fmt: skip
def test_ranges_have_about_equally_many_rows(parts: list[Part], tasks: int, expected: KeyRanges) -> None:
    assert key_ranges(parts, tasks) == expected


@pytest.mark.parametrize(("setting", "tasks"), [("7", 7), ("auto", 200), (None, 200), ("", 200)])
def test_sparks_setting_may_be_a_word(setting: str | None, tasks: int) -> None:
    """On Databricks it may be ``auto``."""
    assert least_tasks_of(setting) == tasks
