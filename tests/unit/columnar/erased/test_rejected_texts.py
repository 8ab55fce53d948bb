"""Whose a rejected row is, by its text as it came: the rule by which an erasure finds it."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.columnar.erased.rejected_texts import RejectedRow, spellings_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUOTED = 'Zoë "the\'O" 😀'
UNREADABLE = ["user: expected string, found bytes"]


def is_about(text: str, reasons: list[str], **entity: Any) -> bool:
    return RejectedRow(text, reasons).is_about(spellings_of(entity))


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ('{"user": "ann"}', []),
        ('{ "user" :\t"\\u0061nn" }', []),
        ('{"user": " ann "}', []),
        ('{"user": ["ann"]}', []),
        ('{"user": "[\\"ann\\"]"}', []),
        ('{"user": {"id": [["x", "ann"]]}}', []),
        ('{"user": "bob", "user": "ann"}', []),
        ('{"user": "bob", "more": {"user": "ann"}}', []),
        ('{"user": "bob", "more": "{\\"user\\": \\"\\\\u0061nn\\"}"}', []),
        ('{"user": null, "note": "by ann"}', []),
        ('{"user": NaN, "note": "by ann"}', []),
        ('{"user": "<NA>", "note": "by ann"}', ["user: missing"]),
        ('{"User": "ann"}', []),
        ('{"user": "b\'ann\'"}', UNREADABLE),
        ('{"user": "ann", broken', []),
        ('{"line": "\\u0061nn,2026-03-01"}', []),
        ("[" * 100_000 + '"ann"', []),
    ],
)
def test_a_text_is_of_the_entity_in_whichever_spelling(text: str, reasons: list[str]) -> None:
    assert is_about(text, reasons, user="ann")


@pytest.mark.parametrize(
    "text",
    [
        '{"user": "bob", "note": "by ann"}',
        '{"user": "anna"}',
        '{"user": ["bob"], "note": "ann"}',
        '{"user": "bob", "more": {"friend": "ann"}}',
        '{"user": null, "note": "by bob"}',
        '{"line": "bob,2026-03-01"}',
    ],
)
def test_a_row_with_a_readable_key_or_without_the_value_belongs_to_another_entity(text: str) -> None:
    assert not is_about(text, [], user="ann")


@pytest.mark.parametrize(
    ("wanted", "same", "others"),
    [
        (
            42,
            [42, 42.0, "42", " 42", "+42", "0042", "4.2e1", "\uff14\uff12", [42], ["x 42"], {"id": 42}],
            [43, 142, 42.5, "420", [421], True, "4.2e9999999999999999999"],
        ),
        (10, ["1e1", 10.0], ["1e2", 1]),
        (9_007_199_254_740_993, [9_007_199_254_740_993], [9_007_199_254_740_992, 9_007_199_254_740_992.0]),
        (-7, [-7, "-7.0", ["-7"]], [8, "-70"]),
        (True, [True, "TRUE", 1, ["true"]], [False, "untrue", 11]),
        (date(2026, 3, 1), ["2026-03-01", "20260301", "2026-03-01 00:00:00", ["2026-03-01"]], ["2026-03-02", 20260302]),
        (
            NOON,
            ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00.000000+01:00", "2026-03-01 07:00", 1772366400, ["1772366400000"]],
            ["2026-03-01T12:00:01Z", "2026-03-03 12:00", 1772366401],
        ),
        (QUOTED, [QUOTED, [QUOTED], {"user": json.dumps([QUOTED])}], ["Zoë", QUOTED + "x", "Zoe\u0308" + QUOTED[3:]]),
    ],
)  # fmt: skip
def test_each_type_of_key_has_its_spellings(wanted: Any, same: list[Any], others: list[Any]) -> None:
    for escaped in (True, False):
        texts = [json.dumps({"user": content}, ensure_ascii=escaped) for content in (*same, *others)]
        assert [text for text in texts if is_about(text, [], user=wanted)] == texts[: len(same)]


def test_a_text_with_doubled_quotes_is_of_the_entity() -> None:
    line = 'x,"' + QUOTED.replace('"', '""') + '",2026'
    assert is_about(json.dumps({"line": line}), [], user=QUOTED)
    assert is_about(line, [], user=QUOTED)


@pytest.mark.parametrize(
    ("row", "about"),
    [
        ({"user": "ann", "order": 7}, True),
        ({"user": ["ann"], "order": "7.0"}, True),
        ({"user": None, "order": 7, "note": "ann"}, True),
        ({"user": "ann", "order": 8}, False),
        ({"user": "bob", "order": 7, "note": "ann"}, False),
        ({"user": ["bob"], "order": [7]}, False),
    ],
)
def test_all_parts_of_a_key_must_be_met(row: dict[str, Any], about: bool) -> None:
    assert is_about(json.dumps(row), [], user="ann", order=7) == about


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z", "P", "S"]), min_size=1, max_size=12)
FORMS = st.sampled_from([
    lambda key: {"user": key}, lambda key: {"user": [key]}, lambda key: {"user": f' "{key}" '},
    lambda key: {"user": {"a": [1, {"b": key}]}}, lambda key: {"user": None, "note": f"of {key}, we think"},
    lambda key: {"more": json.dumps({"user": key})},
])  # fmt: skip


@given(key=NAMES | st.integers(-(2**63), 2**63 - 1), form=FORMS, escaped=st.booleans())
def test_an_erased_entity_is_among_those_that_its_rejected_row_may_be_about(key: Any, form: Any, escaped: bool) -> None:
    row = RejectedRow(json.dumps(form(key), ensure_ascii=escaped))
    kinds = {"user": "string" if isinstance(key, str) else "long"}
    assert row.is_about(spellings_of({"user": key}))
    candidates = list(row.may_be_about(kinds))
    assert {"user": key} in candidates
    assert all(row.is_about(spellings_of(candidate)) for candidate in candidates)
