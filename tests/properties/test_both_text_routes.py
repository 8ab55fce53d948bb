"""CSV cells and JSON lines are read the same with Spark and without: values, reasons in the same order, texts of rows.

Each test is one big batch of hostile texts, drawn from pools by a seed: Spark plans the reading of a batch for seconds, and
then reads a row in no time. Texts that only Spark can decide are left out; that they are few is a test of its own.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from random import Random
from typing import Literal

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.batch_columns import targets
from featurestore.columnar.rows.checked_rows import check_local_rows
from featurestore.columnar.text.csv_records import csv_records
from featurestore.columnar.text.text_rows import arrow_from_json_lines, arrow_from_records
from featurestore.frames.rows.text_rows import rows_from_json_lines
from featurestore.frames.rows.validation import check_rows
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.operations.context import named_files
from featurestore.stores.files.rows import read_rows
from tests.properties.test_both_write_routes import DOCUMENTS, EDGES, MOMENTS, PLAIN, RULED, is_same, plain

NUMBERS = [str(n) for edge in EDGES for n in (edge, -edge)] + [
    "0.1", "-0", "-0.0", "-0e0", "1.0", "2.50", "1e2", "1E-5", "1e400", "1e-400", "5e-324", "1e7", "12345678.5", "16777217",
    "9007199254740993.0", "100000000000000000000", "100000000000000000000.0", "3.4028235677973366e38", "1e39", "1" * 42,
    "0." + "0" * 40 + "1", "-0." + "0" * 40 + "1", "123456789.1234567890123456789", "0.10000000000000001", "2147483648.000",
    "9" * 38, "9" * 39, str(2**124), "0." + "1" * 38, "1e20", "9223372036854775807.5", "0.00000000001", "1e-11", "1e15", "1e16",
]  # fmt: skip
NUMBER_CELLS = [
    *NUMBERS, "+1", " 1 ", "\t1", "1\u2028", "\u0661", "1.", ".5", "+.5e1", ".", "1e", "nan", "NaN", "-nan", "inf", "-Infinity", "1d",
    "0x1p3", "1_000", "1,5", "", " ", "007", "-007.0", "1.0e0", "+inf", "1 2", "9" * 310, "\u22121", "1e+5", "1\x0b", "true", "abc",
]  # fmt: skip
STRINGS = [
    "",
    "a",
    "é",
    "😀",
    'q"',
    "\\",
    "a\nb",
    "\t",
    "\x7f",
    " x ",
    "null",
    "12",
    "NaN",
    "\u2028",
    "\ufffd",
    "x" * 4,
]
ESCAPED = ['"\\u0041"', '"\\ud83d\\ude00"', '"\\/"', '"\\ud800"', '"\\u0000"']
ARRAYS = [
    "[]", "[1, 2.5]", "[ 1 ,null]", "[null]", '["a"]', '["a", null]', '["NaN"]', '["1"]', "[true]", "[[1]]", "[{}]", "[1e400]",
    "[-0, -0.0, -0e0]", "[9007199254740993, 1]", "[9007199254740993.0]", "[16777217]", "[16777217.0]", '["é😀", "\\n"]', '[1,"x"]',
    "[" + "1" * 42 + "]", "[1e39, 1]", "[0.1, 0.2]", "[0.5, 0.25]", '["a", 1, true]', "[100000000000000000000.0]", '[""]',
]  # fmt: skip
OBJECTS = [
    "{}", '{"k": [1, null]}', '{"b":1,"a":2.50}', '{"b":1e5,"a":100000000000000000000.0}', '{"é":"\\u00e9😀"}', '{"n":-0}',
    '{"n":[1.0E+2, 0.1, 1e-7, 12345678.5]}', '{"deep":{"a":[{"b":true}]}}', '{"a":1e400}', '{"t":"\\t\\u001f\x7f"}',
]  # fmt: skip
CELLS = {
    "double": NUMBER_CELLS,
    "float": NUMBER_CELLS,
    "long": NUMBER_CELLS,
    "int": NUMBER_CELLS,
    "boolean": ["true", "False", " TRUE ", "yes", "1", "", "\ttrue", "\uff34\uff32\uff35\uff25", "fAlSe"],
    "string": STRINGS,
    "timestamp": MOMENTS,
    "date": MOMENTS,
    "json": [*DOCUMENTS, *ARRAYS, *OBJECTS, *NUMBERS],
    "array<double>": [*ARRAYS, *DOCUMENTS, "1;2", " [1] ", "[1,]", '"[1]"'],
    "array<string>": [*ARRAYS, *DOCUMENTS],
    "embedding(2)": [*ARRAYS, *OBJECTS, "1 2"],
}
TEXTS = [json.dumps(text, ensure_ascii=False) for text in STRINGS] + ESCAPED
EVERYTHING = [*NUMBERS, *TEXTS, *ARRAYS, *OBJECTS, "true", "false", "null", "NaN", "'a'", "01", "tru"]
MEMBERS = {
    "double": NUMBERS,
    "float": NUMBERS,
    "long": NUMBERS,
    "int": NUMBERS,
    "boolean": ["true", "false"],
    "string": TEXTS,
    "timestamp": [json.dumps(text, ensure_ascii=False) for text in MOMENTS],
    "date": [json.dumps(text, ensure_ascii=False) for text in MOMENTS],
    "json": [*OBJECTS, *ARRAYS, *NUMBERS, *[json.dumps(text, ensure_ascii=False) for text in DOCUMENTS]],
    "array<double>": ARRAYS,
    "array<string>": ARRAYS,
    "embedding(2)": ARRAYS,
}
LINES = [
    "{", "{}", "[1]", "5", "null", '"x"', "", "  ", "\t", "\0", '{"zz":1} x', '{"id":1,"id":2}', '{"zz":1}{"b":2}', '{"id":NaN}',
    '{"id":1,}', "{'id':1}", '{"id":"\x01","zz":1}', '\t{"zz":1}x', '\ufeff{"zz":1}', '{"a":1,"z\\ud800":2}x', '{"tenant_id":"acme"}',
    '{"tenant_id":5}', '{"tenant_id":null}', '{"tenant_id":"other","x y":1,"q\\"":2}', '{"tenant_id":1.5}', '{"tenant_id":["acme"]}',
    '{"\\u0069d":7, "Real": 1, "REAL": 2}', "not json", '  {"id": 3}  ', '{"id":1', '{"zz":[1,{"yy":2}]} ,', "\ufeff", "\u2028",
    '{"id":1.}', '{"id":+1}', '{"id":.5}', '{"id":tru}', '{"":1}', '{"zz":1,"zz":2}', "\x0b{}", '{"id": 1} // x', '{"a":{"b":1,"b":2}}',
]  # fmt: skip


@cache
def decided_cells() -> Mapping[str, Sequence[str]]:
    """``CELLS`` without those that only Spark can decide."""
    cells = {word: decided(pool, lambda texts, word=word: are_cells(texts, word)) for word, pool in CELLS.items()}
    return cells | {"tenant": ["acme", "other", ""]}


@cache
def decided_members() -> Mapping[str, Sequence[str]]:
    """``MEMBERS`` without those that only Spark can decide."""
    return {word: decided(pool, lambda texts, word=word: are_members(texts, word)) for word, pool in MEMBERS.items()}


@cache
def decided_anywhere() -> Sequence[str]:
    """Those of ``EVERYTHING`` that are decided as a member of any type."""
    names = PLAIN.feature_names
    return decided(
        EVERYTHING, lambda texts: are_lines([object_of(dict.fromkeys(names, text)) for text in texts], PLAIN)
    )


def decided(texts: Sequence[str], are_decided: Callable[[Sequence[str]], bool]) -> list[str]:
    """The texts that are decided here. By halves, since one text that only Spark can decide leaves its batch to Spark."""
    if not texts or are_decided(texts):
        return list(texts)
    half = len(texts) // 2
    return [*decided(texts[:half], are_decided), *decided(texts[half:], are_decided)] if half else []


def are_lines(lines: Sequence[str], group: FeatureGroup) -> bool:
    try:
        return check_local_rows(arrow_from_json_lines(lines, group, "acme"), group, "acme") is not None
    except UndecidedError:
        return False


def are_records(text: str, names: Sequence[str], group: FeatureGroup) -> bool:
    try:
        return check_local_rows(arrow_from_records(names, csv_records(text), group), group, "acme") is not None
    except UndecidedError:
        return False


def one_feature(word: str) -> FeatureGroup:
    return FeatureGroup("one", Entity("row", join_keys={"id": "long"}), features=[Feature("value", word)])


def are_members(texts: Sequence[str], word: str) -> bool:
    return are_lines([object_of({"value": text}) for text in texts], one_feature(word))


def object_of(members: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in members.items()) + "}"


def are_cells(texts: Sequence[str], word: str) -> bool:
    records = "\n".join(written(["1", "2026-11-01T00:00Z", text], csv.QUOTE_ALL) for text in texts)
    return are_records(records, ["id", "event_timestamp", "value"], one_feature(word))


def line(random: Random, group: FeatureGroup) -> str:
    words = targets(group)
    parts = [f'"{name}"{random.choice([":", " : "])}' for name in words]
    values = [
        random.choice(decided_anywhere() if random.random() < 0.1 else decided_members()[word])
        for word in words.values()
    ]
    kept = [part + value for part, value in zip(parts, values, strict=True) if random.random() < 0.7]
    if random.random() < 0.05:
        kept.append(random.choice(['"zz":1', '"tenant_id":"other"', '"tenant_id":"acme"', '"tenant_id":5']))
    random.shuffle(kept)
    return "{" + random.choice([",", " , "]).join(kept) + "}"


def assert_same(rows: pa.Table | None, expected: pa.Table, originals: Sequence[str]) -> None:
    assert rows is not None
    assert rows.column_names == expected.column_names
    for name in rows.column_names:
        pairs = zip(plain(rows.column(name)), plain(expected.column(name)), strict=True)
        differences = [
            (originals[row] if row < len(originals) else row, here, there)
            for row, (here, there) in enumerate(pairs)
            if not is_same(here, there)
        ]
        assert not differences, (name, differences[:3])


@pytest.mark.parametrize("group", [PLAIN, RULED], ids=lambda group: group.name)
def test_json_lines(spark: SparkSession, group: FeatureGroup) -> None:
    random = Random(1)
    lines = decided(LINES + [line(random, group) for _ in range(500)], lambda texts: are_lines(texts, group))
    # No line of text files: Spark's reader of those removes marks of byte order.
    frame = spark.createDataFrame(pa.table({"value": lines})).coalesce(1)
    expected = check_rows(rows_from_json_lines(frame, group, "acme"), group, "acme").toArrow()

    rows = check_local_rows(arrow_from_json_lines(lines, group, "acme"), group, "acme")

    assert_same(rows, expected, [text for text in lines if text.strip(" ")])


@pytest.mark.parametrize(
    ("group", "start", "end"), [(PLAIN, "", "\r\n"), (RULED, "\n", "\n")], ids=["plain-crlf", "ruled-lf"]
)
def test_csv_files(spark: SparkSession, tmp_path: Path, group: FeatureGroup, start: str, end: str) -> None:
    random = Random(2)
    words = targets(group) | {"tenant_id": "string"}
    names = list(words)
    random.shuffle(names)
    drawn = [record(random, words, names, end) for _ in range(500)]
    records = decided(drawn, lambda texts: are_records(end.join(texts), names, group))
    file = tmp_path / "rows.csv"
    file.write_bytes((start + ",".join(names) + end + end.join(records)).encode())
    expected = check_rows(read_rows(named_files(spark), str(file), group, "acme"), group, "acme").toArrow()

    header, *read = csv_records(file.read_bytes().decode())
    rows = check_local_rows(arrow_from_records([str(name) for name in header.cells], read, group), group, "acme")

    assert_same(rows, expected, [record.text for record in read])


def record(random: Random, words: Mapping[str, str], names: Sequence[str], end: str) -> str:
    """A record, now and then with too many or too few cells, or with quotes where none belong."""
    pools = decided_cells()
    cells = [random.choice(pools["tenant" if name == "tenant_id" else words[name]]) for name in names]
    if random.random() < 0.05:
        cells = random.choice([[*cells, "x"], [*cells, ""], cells[:-1], cells[:1], ["  "], [""], ["\ufffd"]])
    text = written(cells, random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    if random.random() < 0.02:
        text = random.choice([text + '"', f' "a"{text}', text.replace(",", '" ,', 1), "", "\t", '""'])
    return text.replace("\r\n", "\n").replace("\n", end)


def written(cells: Sequence[str], quoting: Literal[0, 1]) -> str:
    text = StringIO()
    csv.writer(text, quoting=quoting, lineterminator="").writerow(cells)
    return text.getvalue()


@pytest.mark.parametrize("word", MEMBERS)
def test_few_texts_are_left_to_spark(word: str) -> None:
    assert len(decided_members()[word]) > 0.9 * len(MEMBERS[word])
    assert len(decided_cells()[word]) > 0.8 * len(CELLS[word])
