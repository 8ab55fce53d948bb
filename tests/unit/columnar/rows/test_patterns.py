"""Which patterns are known to mean the same to Java and to RE2, and what they match."""

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from featurestore.columnar.rows.patterns import whole_match
from featurestore.kinds.arrow_columns.reading import UndecidedError


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("", [""], ["a", "\n"]),
        ("abc", ["abc"], ["abcd", "xabc", "abc\n", "ABC"]),
        ("^a$", ["a"], ["a\n", "b"]),
        ("a|^b$|c", ["a", "b", "c"], ["ab", ""]),
        (r"\Aa", ["a"], ["\na"]),
        ("a*?b+c?", ["b", "aabbc"], ["a"]),
        ("[a-cx]{2}", ["ab", "xx"], ["a", "abc", "dd"]),
        ("a{2,}", ["aa", "aaaa"], ["a"]),
        ("a{0,1}b", ["b", "ab"], ["aab"]),
        ("(?:a|(b))*", ["", "abba"], ["c"]),
        ("[^a]", ["b", "\n", "é", "😀"], ["a", ""]),
        ("[-.+]", ["-", ".", "+"], ["a"]),
        (r"[\w.-]+@[a-z]+\.com", ["a.b-c_1@x.com"], ["@x.com", "a@x_com"]),
        (r"[\]\[\^\-\\]", ["]", "[", "^", "-", "\\"], ["a"]),
        (r"\d+", ["0123456789"], ["٣", "a"]),
        (r"\D", ["٣", "a"], ["1"]),
        (r"\w", ["a", "Z", "_", "0"], ["é", "-"]),
        (r"\W", ["é", "-"], ["a"]),
        (r"\s", [" ", "\t", "\n", "\x0b", "\f", "\r"], ["\xa0", "\u2028", "a"]),
        (r"\S", ["a", "\xa0"], [" ", "\x0b"]),
        (r"[\s\d]+", ["1 2\x0b"], ["a"]),
        (".", ["a", "é", "😀", "\x0b", "\0"], ["\n", "\r", "\x85", "\u2028", "\u2029", ""]),
        (r"\.\x41\u00e9\t/#-", [".Aé\t/#-"], ["aAé\t/#-"]),
        ("😀{2}", ["😀😀"], ["😀"]),
    ],
)
def test_a_known_pattern_matches_the_whole_text(pattern: str, matching: list[str], others: list[str]) -> None:
    matches = pc.match_substring_regex(pa.array([*matching, *others]), whole_match(pattern)).to_pylist()

    assert matches == [True] * len(matching) + [False] * len(others)
    for text in ("a", "ab", "é", "1", "a\n"):
        # Python's own engine agrees on what has one meaning everywhere.
        if pattern not in (r"\d+", r"\D", r"\w", r"\W", r"\s", r"\S", r"[\s\d]+", "."):
            assert pc.match_substring_regex(pa.array([text]), whole_match(pattern))[0].as_py() == (
                re.compile(rf"(?:{pattern.replace('$', chr(92) + 'Z')})\Z").match(text) is not None
            )


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)b", "(?!a)b", "(?<=a)b", r"(a)\1", "(?P<x>a)", "(?i)a", "(?i:a)", "a++", "a*+", "a?+", "a{2}+", "(?>a)", "(?#x)a",
        r"\bword\b", r"a\B", r"a\Z", "a$b", "(a$)", "a$\n", "a^", "(^a)", "[[a]]", "[a&&b]", "[]a]", "[^]a]", r"[\S]", r"[a-\d]",
        r"[\d-z]", "[a-z-9]", "[--a]", "a{", "a{,3}", "a{1001}", "(?:a{1000}){1000}", "a}", "]", r"\v", r"\0", r"\101", r"\a",
        r"\ud83d", "\ud800", r"[\x61-\u0062-c]",
    ],
)  # fmt: skip
def test_a_pattern_that_may_mean_something_else_is_undecided(pattern: str) -> None:
    with pytest.raises(UndecidedError):
        whole_match(pattern)
