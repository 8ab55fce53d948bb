"""The bar of a long job: rows, all rows once they are known, and which host was first."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from featurestore.cli.rows_bar import RowsBar


def shown_by(bar: RowsBar, printed: StringIO) -> str:
    """What the bar shows now."""
    before = printed.tell()
    bar._bar.refresh()
    return printed.getvalue()[before:]


def test_a_terminal_shows_rows_and_all_rows_once_they_are_known() -> None:
    printed = StringIO()
    console = Console(file=printed, force_terminal=True, width=120, color_system=None)

    with RowsBar(console, "Building leavers", "rows", shown=True).running() as bar:
        bar.rows(1_200)
        unknown = shown_by(bar, printed)
        bar.rows(2_400, 9_600)
        known = shown_by(bar, printed)

    assert "Building leavers" in unknown
    assert "1,200 rows" in unknown
    assert "2,400/9,600 rows" in known


def test_a_file_gets_no_bar() -> None:
    printed = StringIO()

    with RowsBar(Console(file=printed), "Building leavers", "rows", shown=False).running() as bar:
        bar.rows(1, 2)
        bar.advance(1)

    assert printed.getvalue() == ""


def test_the_host_of_the_first_join_is_that_of_the_job() -> None:
    bar = RowsBar(Console(file=StringIO()), "Building leavers", "rows", shown=False)

    assert bar.first_host is None
    bar.host("in_tasks")
    bar.host("in_process")
    assert bar.first_host == "in_tasks"
