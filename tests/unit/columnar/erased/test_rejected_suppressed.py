"""Rejected rows whose text may be about an erased entity are marked as a write by Spark marks them."""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.erased.identities import ErasedEntities, identity_hashes
from featurestore.columnar.erased.rejected_texts import candidates, with_rejected_suppressed
from featurestore.columnar.rows.names import FAULTS, ROW, SUPPRESSED
from featurestore.operations.context import Scope
from featurestore.operations.erasure.suppress import suppressions, with_rejected_marked
from featurestore.stores.arrow import to_spark
from featurestore.stores.small_tables.suppression import SECRET, SuppressionSecret
from tests.conftest import Clock, OpenFeatureStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET_TEXT = "a secret of enough letters"
KINDS = {"user": "string", "code": "long"}
GROUP = FeatureGroup("stats", Entity("account", join_keys=KINDS), features=[Feature("score", "double")])
# Both are keys of the group: a user is part of an account.
ERASED: dict[str, pa.Table] = {
    "user": pa.table({"user": ["ann", "ünï", 'a "b"']}),
    "account": pa.table({"user": ["bob", "x"], "code": [42, -1]}),
}
SCHEMA = pa.schema([("id", pa.int64()), (FAULTS, pa.list_(pa.string())), (ROW, pa.string()), (SUPPRESSED, pa.bool_())])


@pytest.fixture(scope="module")
def secret() -> SuppressionSecret:
    return SuppressionSecret.of({SECRET: SECRET_TEXT}, "")


@pytest.fixture(scope="module")
def erased(secret: SuppressionSecret) -> list[ErasedEntities]:
    """In the order of the suppression list."""
    return [
        ErasedEntities(
            entity,
            {key: key for key in keys.column_names},
            identity_hashes(
                "acme", entity, {key: keys.column(key) for key in keys.column_names}, secret.pads
            ).to_pylist(),
        )
        for entity, keys in sorted(ERASED.items())
    ]


@pytest.fixture(scope="module")
def scope(
    spark: SparkSession, open_feature_store: OpenFeatureStore, erased: list[ErasedEntities], secret: SuppressionSecret
) -> Scope:
    scope = open_feature_store(Clock(NOON)).tenant("acme")._scope
    scope.context.environ = {SECRET: SECRET_TEXT}
    listed = scope.context.suppressed
    for entities in erased:
        hashes = list(entities.hashes)
        listed.add("acme", entities.entity, list(entities.columns), hashes, secret, "erasure", NOON)
    return scope


def marked(
    rows: list[tuple[int, list[str], str | None, bool]], erased: list[ErasedEntities], secret: SuppressionSecret
) -> list[bool]:
    checked = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)
    found = with_rejected_suppressed(checked, "acme", erased, KINDS, secret.pads)
    return list(found.column(SUPPRESSED).to_pylist())


def test_rejected_rows_about_erased_entities_are_marked(
    erased: list[ErasedEntities], secret: SuppressionSecret
) -> None:
    rows: list[tuple[int, list[str], str | None, bool]] = [
        (1, [], None, False),
        (2, [], None, True),
        (3, ["score: not a number"], '{"user": "carl", "code": 1}', False),
        (4, ["user: expected string, found list"], '{"user": ["ann"], "code": 1}', False),
        (5, ["code: not a whole number"], '{"user": "bob", "code": "42.0"}', False),
        (6, ["code: not a whole number"], '{"user": "bob", "code": "43"}', False),
        (7, ["score: missing"], '{"user": "carl", "code": 1}', True),
    ]

    assert marked(rows, erased, secret) == [False, True, False, True, True, False, True]


SCALARS = st.one_of(
    st.sampled_from(["ann", "bob", " ann", "ünï", 'a "b"', "42", "42.0", "x,-1", '{"user": "ann"}', "[bob]", "\ud800"]),
    st.sampled_from([42, 42.0, -1, 1e300, 10**40, None, True]),
    st.text(max_size=4),
)
CONTENTS = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.sampled_from(["user", "code", "x"]), SCALARS)
)
JSON_ROWS = st.dictionaries(st.sampled_from(["user", "code", "User", "note"]), CONTENTS).map(json.dumps)
REJECTED = st.tuples(
    st.integers(0, 9),
    st.lists(
        st.sampled_from(["user: missing", "code: missing", "user: faulty", "score: faulty"]), min_size=1, max_size=2
    ),
    st.one_of(JSON_ROWS, st.sampled_from(["ann,42", '{"user": "bob"; 42', "user=bob code=42", ""])),
    st.booleans(),
)
GOOD = st.tuples(st.integers(0, 9), st.just([]), st.none(), st.booleans())


@settings(max_examples=4)
@given(rows=st.lists(REJECTED | GOOD, min_size=20, max_size=60))
def test_the_same_rows_are_marked_as_by_spark(
    spark: SparkSession, scope: Scope, erased: list[ErasedEntities], secret: SuppressionSecret, rows: Any
) -> None:
    numbered = [(number, *row[1:]) for number, row in enumerate(rows)]
    checked = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in numbered], SCHEMA)
    by_spark = with_rejected_marked(scope, to_spark(spark, checked), suppressions(scope), GROUP)
    expected = {row["id"] for row in by_spark.where(SUPPRESSED).collect()}

    found = marked(numbered, erased, secret)

    assert {number for number, is_marked in enumerate(found) if is_marked} == expected


@settings(max_examples=300)
@given(row=REJECTED, extra=st.text(max_size=12))
def test_every_text_can_be_searched(row: Any, extra: str) -> None:
    kinds = {"user": "string", "code": "int", "day": "date", "at": "timestamp", "truth": "boolean"}

    for name, kind in kinds.items():
        candidates([(row[2], row[1]), (extra, [])], {name: kind})


@pytest.mark.parametrize(
    "text",
    [
        '{"at": "0001-01-01T00:00:00+14:00"}',
        '{"at": "9999-12-31T23:59:59-14:00"}',
        '{"user": "\\ud800"}',
        "1e999999999",
    ],
)
def test_a_value_that_no_key_can_have_is_no_candidate(text: str) -> None:
    assert candidates([(text, [])], {"user": "string", "at": "timestamp"}).num_rows == 0
