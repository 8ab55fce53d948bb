"""Hashes and fingerprints of Arrow rows are those that Spark computes."""

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.columnar.rows import fingerprint
from featurestore.columnar.rows.fingerprint import Fingerprint, content_fingerprint, row_hashes, xxhash64
from featurestore.definitions.values.time_window import from_micros
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text, row_hash
from featurestore.stores.arrow import to_spark

UTC_MICROS = pa.timestamp("us", tz="UTC")
NAN_OF_ANOTHER_PATTERN = float(np.array([0xFFF8000000000001], np.uint64).view(np.float64)[0])
DOUBLES = st.one_of(
    st.floats(), st.sampled_from([0.0, -0.0, 5e-324, float("nan"), NAN_OF_ANOTHER_PATTERN, float("inf")])
)
FLOATS = st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, float("nan")]))
# Lengths to either side of every boundary of the hash: words of 4 and 8 bytes, stripes of 32.
TEXTS = st.one_of(
    st.text(max_size=5),
    st.sampled_from([0, 3, 4, 7, 8, 11, 12, 31, 32, 33, 63, 64, 100, 1024, 1025]).map(
        lambda length: "é"[: length % 2] + "x" * length
    ),
    st.binary(max_size=99).map(lambda data: data.decode("latin-1")),
)
VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bool": (pa.bool_(), st.booleans()),
    "int": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "long": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (pa.float32(), FLOATS),
    "double": (pa.float64(), DOUBLES),
    "string": (pa.string(), TEXTS),
    "timestamp": (
        UTC_MICROS,
        st.integers(-62135596800000000, 253402300799999999).map(from_micros),
    ),
    "date": (pa.date32(), st.dates()),
    "doubles": (pa.list_(pa.float64()), st.lists(st.none() | DOUBLES, max_size=5)),
    "floats": (pa.list_(pa.float32()), st.lists(FLOATS, max_size=5)),
    "texts": (pa.list_(pa.string()), st.lists(st.none() | TEXTS, max_size=4)),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in VALUES.items()])
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | values for name, (_, values) in VALUES.items()}), max_size=20)


def spark_fingerprint(spark: SparkSession, rows: pa.Table, names: Sequence[str]) -> str:
    frame = to_spark(spark, rows)
    return fingerprint_text(frame.agg(*fingerprint_columns([F.col(name) for name in names])).collect()[0])


@settings(max_examples=25)
@given(rows=ROWS, chunk=st.integers(1, 20))
def test_hashes_are_sparks(spark: SparkSession, rows: list[dict[str, Any]], chunk: int) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    chunked = pa.concat_tables([table.slice(first, chunk) for first in range(0, len(rows), chunk)] or [table])
    columns = [F.col(name) for name in SCHEMA.names]
    each = [F.xxhash64(column).alias(f"hash_{name}") for name, column in zip(SCHEMA.names, columns, strict=True)]
    frame = to_spark(spark, table).coalesce(1)
    expected = frame.select(*each, F.xxhash64(*columns).alias("all"), row_hash(columns, 7).alias("row")).toArrow()

    for name in SCHEMA.names:
        assert xxhash64([chunked.column(name)]).tolist() == expected.column(f"hash_{name}").to_pylist(), name
    assert xxhash64(chunked.columns).tolist() == expected.column("all").to_pylist()
    assert row_hashes(chunked.columns, 7).tolist() == expected.column("row").to_pylist()
    assert content_fingerprint(chunked) == spark_fingerprint(spark, table, SCHEMA.names)
    pieces = Fingerprint()
    for first in range(0, len(rows), chunk):
        pieces.add(table.slice(first, chunk), SCHEMA.names)
    assert (pieces.rows, pieces.text) == (len(rows), content_fingerprint(table))


def test_many_rows_have_the_fingerprint_of_spark(spark: SparkSession) -> None:
    """Sums of 64-bit hashes go beyond 64 bits, and rows are hashed in several blocks."""
    random = np.random.default_rng(1)
    size = 40_000
    rows = pa.table(
        {
            "number": pa.array(random.normal(size=size), mask=random.random(size) < 0.1),
            "text": pa.array([None if n % 7 == 0 else "x" * (n % 50) + str(n) for n in range(size)]),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(random.normal(size=size * 3)), 3).cast(
                pa.list_(pa.float64())
            ),
        }
    )

    assert content_fingerprint(rows) == spark_fingerprint(spark, rows, rows.column_names)


def test_a_table_without_rows(spark: SparkSession) -> None:
    nothing = SCHEMA.empty_table()

    assert content_fingerprint(nothing) == spark_fingerprint(spark, nothing, SCHEMA.names)


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        (pa.array(["a", None, "b"]), pa.array(["a", None, "b"], pa.large_string())),
        (pa.array(["a", None, "b"]), pa.array(["a", None, "b"]).dictionary_encode()),
        (pa.array([[1.0], [2.0]]), pa.array([[1.0], [2.0]], pa.list_(pa.float64(), 1))),
        (pa.array([[1.0, 2.0], None]), pa.array([[1.0, 2.0], None], pa.large_list(pa.float64()))),
        (pa.array([date(2026, 1, 1), None]), pa.array([date(2025, 1, 1), date(2026, 1, 1), None]).slice(1)),
        (pa.array([[1.0], [2.0]]), pa.array([[0.0], [1.0], [2.0]], pa.list_(pa.float64(), 1)).slice(1)),
        (pa.array([True, False]), pa.array([False, True, False]).slice(1)),
    ],
)
def test_the_layout_of_a_column_does_not_matter(plain: pa.Array, other: pa.Array) -> None:
    assert row_hashes([plain]).tolist() == row_hashes([other]).tolist()


LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    *VALUES.values(),
    (pa.null(), st.none()),
    (pa.large_string(), TEXTS),
    (pa.decimal128(18, 2), st.decimals(-(10**15), 10**15, places=2)),
    (pa.decimal128(38, 2), st.decimals(-(10**35), 10**35, places=2)),
]


@given(data=st.data())
def test_few_lists_have_the_hashes_of_many(data: st.DataObject) -> None:
    kind, leaf = data.draw(st.sampled_from(LEAVES))
    values = st.lists(st.none() | leaf, max_size=6)
    if data.draw(st.booleans()):
        kind, values = pa.list_(kind), st.lists(st.none() | values, max_size=4)
    rows = pa.array(data.draw(st.lists(st.none() | values, min_size=1, max_size=9)), pa.list_(kind))
    hashes = []
    for few in (0, 3, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fingerprint, "_FEW_LISTS", few)
            hashes.append((row_hashes([rows]).tolist(), xxhash64([rows.slice(1)]).tolist()))
    assert hashes[0] == hashes[1] == hashes[2]


def test_a_long_list_is_hashed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.array([[-0.0, math.nan, None, 1.5] * 10_000, [0.0]], pa.list_(pa.float64()))
    found = row_hashes([rows]).tolist()
    monkeypatch.setattr(fingerprint, "_FEW_LISTS", 0)
    assert found == row_hashes([rows]).tolist()


def test_a_null_counts_in_its_place() -> None:
    number, nothing = pa.array([1]), pa.array([None], pa.int64())

    assert row_hashes([number, nothing]).tolist() != row_hashes([nothing, number]).tolist()
    assert xxhash64([number, nothing]).tolist() == xxhash64([nothing, number]).tolist()


def test_a_type_without_a_hash_is_refused() -> None:
    with pytest.raises(TypeError, match="struct"):
        row_hashes([pa.array([{"a": 1}])])
