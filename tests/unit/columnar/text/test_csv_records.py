"""Records of CSV files, for files that leave no room for another reading."""

from __future__ import annotations

import pytest

from featurestore.columnar.text.csv_records import Record, csv_records
from featurestore.kinds.arrow_columns.reading import UndecidedError


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        ("a,b\r\n1,2", [["a", "b"], ["1", "2"]]),
        ("\n\na,b\n\n1,\n", [["a", "b"], ["1", None]]),
        ('"a","b"\n"",\n', [["a", "b"], [None, None]]),
        ('"x, ""y"""," "\n', [['x, "y"', " "]]),
        ('"1\n2",3\n', [["1\n2", "3"]]),
        ('"1\r\n2",3\r\n', [["1\n2", "3"]]),
        ('"a",', [["a", None]]),
        ('"a"', [["a"]]),
        (" a\t,\u2028,#\n", [[" a\t", "\u2028", "#"]]),
        ("", []),
    ],
)
def test_the_cells_of_records(text: str, cells: list[list[str | None]]) -> None:
    assert [list(record.cells) for record in csv_records(text)] == cells


def test_a_record_keeps_its_text() -> None:
    assert csv_records('1,2\r\n"3\r\n4"\r\n') == [Record(["1", "2"], "1,2"), Record(["3\n4"], '"3\r\n4"')]


@pytest.mark.parametrize(
    "text",
    [
        'a "quoted" word,b\n',
        ' "a",b\n',
        '"a" ,b\n',
        '"a,b\n',
        '"a"b,c\n',
        "a\rb\r",
        "a\r\nb\n",
        'x\n"a\r\nb"\n',
        "a\0,b\n",
        "," * 20_001,
    ],
)
def test_what_only_spark_can_read(text: str) -> None:
    with pytest.raises(UndecidedError):
        csv_records(text)
