"""The summary of a checked batch, and the samples of its rejected rows, are those of a write by Spark."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.columnar.rows.batch_summary import samples, summary
from featurestore.columnar.rows.names import FAULTS, REASON, ROW, SUPPRESSED
from featurestore.frames.fingerprint import fingerprint_columns, fingerprint_text
from featurestore.frames.rows.suppression import without_suppressed
from featurestore.operations.writing import spark_batch
from featurestore.stores.arrow import to_spark

SCHEMA = pa.schema([("id", pa.int64()), (FAULTS, pa.list_(pa.string())), (ROW, pa.string()), (SUPPRESSED, pa.bool_())])


def table(rows: Sequence[tuple[int | None, list[str], str | None, bool]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def test_counts_reasons_and_samples() -> None:
    checked = table(
        [
            (1, [], None, False),
            (2, ["b: missing", "a: missing"], '{"id": 2}', False),
            (3, ["b: missing"], '{"id": 3}', False),
            (4, ["b: missing"], '{"id": 4}', True),
            (5, [], None, True),
            (6, ["c: missing"], '{"id": 6}', False),
        ]
    )

    found = summary(checked)

    assert (found.rows, found.written, found.invalid, found.erased, found.failed) == (6, 1, 3, 2, 5)
    assert list(found.errors.items()) == [
        ("b: missing", 2),
        ("a: missing", 1),
        ("c: missing", 1),
        ("suppressed: the entity was erased", 2),
    ]
    assert samples(checked) == {
        "a: missing": ['{"id": 2}'],
        "b: missing": ['{"id": 3}', '{"id": 2}'],
        "c: missing": ['{"id": 6}'],
    }


REASONS = st.lists(st.sampled_from(["a: missing", "B", "é", "😀", "\uffee", ""]), unique=True, max_size=3)
TEXTS = st.one_of(st.text(max_size=3), st.sampled_from(["a", "b", "", "x" * 40]))
BATCHES: st.SearchStrategy[Any] = st.lists(
    st.one_of(
        st.tuples(st.none() | st.integers(0, 9), st.just([]), st.none(), st.booleans()),
        st.tuples(st.integers(0, 9), REASONS.filter(bool), TEXTS, st.booleans()),
    ),
    max_size=40,
)


@settings(max_examples=15)
@given(rows=BATCHES, marked=st.booleans())
def test_a_batch_has_the_summary_of_spark(spark: SparkSession, rows: Any, marked: bool) -> None:
    checked = table(rows) if marked else table(rows).drop_columns([SUPPRESSED])
    frame = to_spark(spark, checked)
    remaining = without_suppressed(frame)
    by_reason = remaining.select(F.explode(FAULTS).alias("reason")).groupBy("reason").count().collect()
    errors = sorted(((row["reason"], row["count"]) for row in by_reason), key=lambda item: (-item[1], item[0]))
    erased = frame.count() - remaining.count()

    found = summary(checked)

    content = [F.col(name) for name in frame.columns if name != SUPPRESSED]
    assert found.fingerprint == fingerprint_text(frame.agg(*fingerprint_columns(content)).collect()[0])
    assert (found.rows, found.erased) == (frame.count(), erased)
    assert (found.invalid, found.written) == (remaining.where(f"size({FAULTS}) > 0").count(), found.rows - found.failed)
    assert list(found.errors.items()) == [*errors, *([(REASON, erased)] if erased else [])]
    assert list(samples(checked).items()) == list(spark_batch._samples(remaining).items())
