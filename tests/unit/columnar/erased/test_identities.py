"""Entities have the texts and the keyed hashes that Spark computes, because hashes are stored for good."""

import hashlib
import hmac
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from featurestore.columnar.erased.identities import (
    ErasedEntities,
    identity_hashes,
    identity_texts,
    key_pads,
    with_suppressed,
)
from featurestore.definitions.values.time_window import from_micros
from featurestore.frames.rows.suppression import identity_text
from featurestore.stores.arrow import to_spark
from featurestore.stores.small_tables.suppression import SECRET, SuppressionSecret

SECRET_TEXT = "a secret of enough letters"
PADS = key_pads(SECRET_TEXT.encode(), hashlib.sha256(SECRET_TEXT.encode()).digest())
TYPES = {
    "text": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "truth": pa.bool_(),
    "day": pa.date32(),
    "at": pa.timestamp("us", tz="UTC"),
}
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ['"', "\\", "/", "\x00", "\x1f", "\x7f", "\u2028", "\ufeff", "😀", "</script>", "", " \b\t\n\f\r'"]
    ),
)
KEYS = st.fixed_dictionaries(
    {
        "text": st.none() | TEXTS,
        "long": st.sampled_from([0, -(2**63), 2**63 - 1]) | st.integers(-9, 9),
        "int": st.sampled_from([-(2**31), 2**31 - 1]) | st.integers(-9, 9),
        "truth": st.booleans(),
        "day": st.sampled_from([date(1, 1, 1), date(9999, 12, 31), date(1582, 10, 10)]) | st.dates(),
        "at": st.integers(-62135596800000000, 253402300799999999).map(from_micros),
    }
)


def test_the_text_of_an_entity() -> None:
    keys = {
        "user": pa.array(['é"\\\n\x1f', "u2", None]),
        "code": pa.array([-7, 0, 1]),
        "is_new": pa.array([True, False, True]),
        "day": pa.array([date(1, 2, 3), date(2026, 3, 1), date(2026, 3, 1)]),
        "at": pa.array([datetime(987, 1, 2, tzinfo=UTC), datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC), None]),
    }

    assert identity_texts("acme", "user", keys).to_pylist() == [
        r'{"tenant":"acme","entity":"user","key":{"user":"é\"\\\n\u001F","code":-7,"is_new":true,"day":"0001-02-03",'
        '"at":"0987-01-02T00:00:00.000000Z"}}',
        '{"tenant":"acme","entity":"user","key":{"user":"u2","code":0,"is_new":false,"day":"2026-03-01",'
        '"at":"2026-03-01T12:00:00.000005Z"}}',
        None,
    ]


def test_the_hash_is_hmac_sha256() -> None:
    keys = {"user": pa.chunked_array([["u1", None], ["u1"]])}
    text = '{"tenant":"acme","entity":"user","key":{"user":"u1"}}'
    expected = hmac.new(SECRET_TEXT.encode(), text.encode(), "sha256").hexdigest()

    assert identity_hashes("acme", "user", keys, PADS).to_pylist() == [expected, None, expected]


@settings(max_examples=10)
@given(
    rows=st.lists(KEYS, min_size=1, max_size=40), names=st.lists(st.sampled_from(list(TYPES)), min_size=1, unique=True)
)
def test_texts_and_hashes_are_sparks(spark: SparkSession, rows: list[dict[str, Any]], names: list[str]) -> None:
    table = pa.Table.from_pylist(rows, pa.schema(list(TYPES.items())))
    keys = {name: F.col(name) for name in names}
    secret = SuppressionSecret.of({SECRET: SECRET_TEXT}, "")
    frame = secret.with_hash(to_spark(spark, table).coalesce(1), "acme", "user", keys)
    expected = frame.select(identity_text("acme", "user", keys).alias("text"), "__key_hash").toArrow()

    columns = {name: table.column(name) for name in names}
    assert identity_texts("acme", "user", columns).to_pylist() == expected.column("text").to_pylist()
    assert identity_hashes("acme", "user", columns, PADS).to_pylist() == expected.column("__key_hash").to_pylist()


def test_rows_of_erased_entities_are_marked() -> None:
    """Rows name users in two ways; a hash of another entity's, or of a user of another tenant's, is not the user's."""
    rows = pa.table({"from": ["u1", "u2", "u3", None], "to": ["u2", "u1", "u3", "u3"], "code": [1, 1, 1, 1]})
    [listed] = identity_hashes("acme", "user", {"user": pa.array(["u1"])}, PADS).to_pylist()
    [of_other] = identity_hashes("other", "user", {"user": pa.array(["u3"])}, PADS).to_pylist()
    erased = [ErasedEntities("user", {"user": name}, {listed, of_other}) for name in ("from", "to")]

    marked = with_suppressed(rows, "acme", erased, PADS)

    assert marked.column("__suppressed").to_pylist() == [True, True, False, False]


@pytest.mark.parametrize("length", [16, 64, 65, 200])
def test_a_secret_of_any_length_keys_the_hash(length: int) -> None:
    secret = b"s" * length
    pads = key_pads(secret, hashlib.sha256(secret).digest())
    [text] = identity_texts("acme", "user", {"user": pa.array(["u1"])}).to_pylist()

    [hashed] = identity_hashes("acme", "user", {"user": pa.array(["u1"])}, pads).to_pylist()

    assert hashed == hmac.new(secret, text.encode(), "sha256").hexdigest()
