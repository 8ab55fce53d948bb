"""CSV cells and JSON lines are read the same with Spark and without: values, reasons in the same order, texts of rows.

Each example is one batch of hostile texts, drawn from pools by a seed. Texts that only Spark can decide are left out of
it; that they are few is a test of its own.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from io import StringIO
from random import Random

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from featurestore import FeatureGroup
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
    "9" * 38, "9" * 39, "0." + "1" * 38, "1e20", "9223372036854775807.5", "0.00000000001", "1e-11", "1e15", "1e16",
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


def line(random: Random, group: FeatureGroup) -> str:
    words = targets(group)
    parts = [f'"{name}"{random.choice([":", " : "])}' for name in words]
    values = [random.choice(EVERYTHING if random.random() < 0.1 else MEMBERS[word]) for word in words.values()]
    kept = [part + value for part, value in zip(parts, values, strict=True) if random.random() < 0.7]
    random.shuffle(kept)
    return "{" + random.choice([",", " , "]).join(kept) + "}"


def is_decided(text: str, group: FeatureGroup) -> bool:
    try:
        return check_local_rows(arrow_from_json_lines([text], group, "acme"), group, "acme") is not None
    except UndecidedError:
        return False


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


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("group", [PLAIN, RULED], ids=lambda group: group.name)
def test_json_lines(spark: SparkSession, group: FeatureGroup, seed: int) -> None:
    random = Random(seed)
    drawn = LINES + [line(random, group) for _ in range(250)]
    lines = [text for text in drawn if is_decided(text, group)]
    frame = spark.createDataFrame(pa.table({"value": lines}))
    expected = check_rows(rows_from_json_lines(frame, group, "acme"), group, "acme").toArrow()

    rows = check_local_rows(arrow_from_json_lines(lines, group, "acme"), group, "acme")

    assert_same(rows, expected, [text for text in lines if text.strip(" ")])


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("group", [PLAIN, RULED], ids=lambda group: group.name)
def test_csv_files(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, group: FeatureGroup, seed: int
) -> None:
    random = Random(seed)
    words = targets(group) | {"tenant_id": "string"}
    names = [name for name in words if name in (*group.join_keys, "event_timestamp") or random.random() < 0.8]
    random.shuffle(names)
    end = random.choice(["\n", "\r\n"])
    decided = [
        text for text in (record(random, words, names, end) for _ in range(250)) if is_a_record(text, names, group)
    ]
    file = tmp_path_factory.mktemp("csv") / "rows.csv"
    file.write_bytes((random.choice(["", end]) + ",".join(names) + end + end.join(decided)).encode())
    expected = check_rows(read_rows(named_files(spark), str(file), group, "acme"), group, "acme").toArrow()

    header, *records = csv_records(file.read_bytes().decode())
    rows = check_local_rows(arrow_from_records([str(name) for name in header.cells], records, group), group, "acme")

    assert_same(rows, expected, [record.text for record in records])


def record(random: Random, words: dict[str, str], names: Sequence[str], end: str) -> str:
    """A record, now and then with too many or too few cells, or with quotes where none belong."""
    pools = {**CELLS, "tenant": ["acme", "other", ""]}
    cells = [random.choice(pools["tenant" if name == "tenant_id" else words[name]]) for name in names]
    if random.random() < 0.05:
        cells = random.choice([[*cells, "x"], [*cells, ""], cells[:-1], cells[:1], ["  "], [""], ["\ufffd"]])
    written = StringIO()
    csv.writer(written, quoting=random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), lineterminator="").writerow(cells)
    text = written.getvalue()
    if random.random() < 0.02:
        text = random.choice([text + '"', f' "a"{text}', text.replace(",", '" ,', 1), "", "\t", '""'])
    return text.replace("\r\n", "\n").replace("\n", end)


def is_a_record(text: str, names: Sequence[str], group: FeatureGroup) -> bool:
    try:
        records = csv_records(text)
        return check_local_rows(arrow_from_records(names, records, group), group, "acme") is not None
    except UndecidedError:
        return False


def test_few_texts_are_left_to_spark() -> None:
    random = Random(0)
    lines = [line(random, PLAIN) for _ in range(300)]
    words = targets(PLAIN)
    records = [record(random, words, list(words), "\n") for _ in range(300)]

    assert sum(is_decided(text, PLAIN) for text in lines) > 150
    assert sum(is_a_record(text, list(words), PLAIN) for text in records) > 100
