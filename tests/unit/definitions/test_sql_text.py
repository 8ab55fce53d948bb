"""Comments and quoted texts as Spark's lexer reads them."""

import pytest

from featurestore.definitions.sql.place import place_at, place_in_original
from featurestore.definitions.sql.text import lexed, quoted
from featurestore.errors import TransformationError


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("'a'", "a"),
        ('"a"', "a"),
        ("''", ""),
        ("'It''s'", "It's"),
        ('"a""b"', 'a"b'),
        (r"'It\'s'", "It's"),
        (r"'a\\'", "a\\"),
        (r"'\n\t\r\b\0\Z'", "\n\t\r\b\0\x1a"),
        (r"'100\%\_'", r"100\%\_"),
        (r"'\d\x41'", "dx41"),
        (r"'\u0041\101\U0001F600'", "AA\U0001f600"),
        (r"'\777\u12'", "777u12"),
        (r"r'\d+'", r"\d+"),
        (r"R'a'", "a"),
        ("'a' 'b'", "ab"),
        ("'a' -- note\n r'\\b'", "a\\b"),
        ("'/* no comment */ -- none'", "/* no comment */ -- none"),
        ("'`'", "`"),
    ],
)
def test_a_quoted_text_is_read_as_spark_reads_it_and_written_so_that_it_stays(literal: str, text: str) -> None:
    [value] = lexed(literal).texts.values()

    assert value == text
    assert list(lexed(quoted(value)).texts.values()) == [text]
    assert quoted(value).isascii()


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("a -- b\nc", "a     \nc"),
        ("a /* b\n */ c", "a     \n    c"),
        ("a /*+ BROADCAST(o) */ c", "a                     c"),
        ("`a -- b` c", "`a -- b` c"),
        ("X'1f'", "X'1f'"),
    ],
)
def test_comments_and_hints_are_blanked_and_places_stay(sql: str, code: str) -> None:
    assert lexed(sql).code == code
    assert lexed(sql).doubts == []


@pytest.mark.parametrize(
    ("sql", "doubt"),
    [
        ("a /* b /* c */ d", "a comment contains another comment (line 1, column 3)"),
        ("a /* /*+ */ d", "a comment contains another comment (line 1, column 3)"),
        ("a\n-- b \\\n, c", "a line comment ends in a backslash, which joins the next line to it (line 2, column 1)"),
        ("a\u00a0b", "the character U+00A0 is outside quotes, where it has no meaning (line 1, column 2)"),
        ("${env}", "the character '$' is outside quotes, where it has no meaning (line 1, column 1)"),
    ],
)
def test_what_parsers_read_differently_is_doubted(sql: str, doubt: str) -> None:
    assert lexed(sql).doubts[0] == doubt


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("a /* b", "a comment is not closed"),
        ("a 'b", "a quoted text is not closed"),
        ("a `b", "a quoted name is not closed"),
        ("a r'b", "a quoted text is not closed"),
        ("`a\nb`", "cannot be printed"),
        ("X'1g'", "hexadecimal"),
    ],
)
def test_an_open_quote_or_comment_is_refused(sql: str, reason: str) -> None:
    with pytest.raises(TransformationError, match=reason):
        lexed(sql)


def test_a_place_in_the_written_text_is_found_in_the_users() -> None:
    original = "SELECT a,\n  sum( amont )\nFROM o -- amount"
    written = "SELECT `a`, sum(`amont`) FROM `o`"

    assert place_at(original, 0) == "line 1, column 1"
    assert place_in_original(original, written, written.index("`amont`")) == "line 2, column 8"
    assert place_in_original("a + a", "`a`", 0) is None
