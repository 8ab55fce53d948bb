"""The header of a CSV file, by its first bytes."""

from __future__ import annotations

import pytest

from featurestore.frames.rows.csv_header import doubled, header_names, header_record, is_whole


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,2\n", ["a", "b"]),
        ("a,b\r\n1,2\r\n", ["a", "b"]),
        ("a,b\r1,2\r", ["a", "b"]),
        ("a,b", ["a", "b"]),
        ("\n\r\na,b\n", ["a", "b"]),
        (' a ,"b",\n', [" a ", "b", ""]),
        ('"a,1","b""2"\n1,2\n', ["a,1", 'b"2']),
        ('"a\n1",b\n1,2\n', ["a\n1", "b"]),
        ("", None),
        ("\n\r\n\n", None),
    ],
)
def test_the_first_record_is_the_header(text: str, names: list[str] | None) -> None:
    record = header_record(text)

    assert (None if record is None else header_names(record)) == names


@pytest.mark.parametrize(
    ("text", "whole"),
    [("a,b\n1", True), ("a,b\n", False), ("a,b", False), ('"a\n1', False), ("", False), ("\n\na,b\n1", True)],
)
def test_a_header_that_may_go_on_after_the_text_is_not_whole(text: str, whole: bool) -> None:
    assert is_whole(text, header_record(text)) is whole


def test_lines_that_are_comments_are_passed_over() -> None:
    assert header_record("#x,y\n#\na;b\n", comment="#") == "a;b"
    assert header_names("a;'b;c'", ";", "'") == ["a", "b;c"]
    assert header_names("a||b", "||") == ["a", "b"]


@pytest.mark.parametrize("record", ['"a,b', "a,\udcfcb"])
def test_a_header_that_cannot_be_read_is_no_guess(record: str) -> None:
    with pytest.raises(ValueError, match="its header"):
        header_names(record)


def test_names_that_spark_considers_equal_are_duplicates() -> None:
    assert doubled(["a", "b", " A ", "", "", "c", "c"]) == ["a", "c"]
