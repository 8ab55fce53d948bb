"""Texts become embeddings by a user's model, in batches, with retries, and no text is embedded twice."""

from __future__ import annotations

import hashlib
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Lock

import pandas as pd
import pyarrow as pa
import pytest
from pyspark import cloudpickle
from pyspark.sql import SparkSession

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, Settings
from featurestore.errors import InvalidArgumentError, SchemaError, TransformationError
from tests.conftest import Clock

START = datetime(2026, 11, 1, tzinfo=UTC)
DOCS = FeatureGroup(
    "docs",
    Entity("doc", join_keys={"doc_id": "string"}),
    features=[
        Feature("meaning", "embedding(4)", model_version="letters-1"),
        Feature("text_hash", "string"),
        Feature("pages", "long", min=1),
    ],
)


def letters(texts: list[str]) -> list[list[float]]:
    return [[float(text.count(letter)) for letter in "abcd"] for text in texts]


# A worker cannot import a test's module: what it calls goes to it by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> OfflineStore:
    warehouse = str(tmp_path_factory.mktemp("texts") / "warehouse")
    fs = FeatureStore.open(Settings(warehouse=warehouse), spark=spark, clock=Clock(START))
    fs.apply([DOCS])
    return fs.tenant("acme")


def docs(*rows: tuple[str, int, str | None, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["doc_id", "hour", "text", "pages"])
    times = [START + timedelta(hours=hour) for hour in frame.pop("hour")]
    return frame.assign(event_timestamp=pd.Series(times, dtype="datetime64[us, UTC]"))


def test_each_new_text_is_embedded_once_in_batches_and_retried(store: OfflineStore, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()

    def model(texts: list[str]) -> list[list[float]]:
        # A worker is another process: files record its calls.
        (calls / f"{time.monotonic_ns()}").write_text("\n".join(texts), encoding="utf-8")
        if len(list(calls.iterdir())) == 1:
            raise ConnectionError("try again")
        return letters(texts)

    first = docs(
        ("d1", 1, "abba", 1), ("d2", 1, "cab", 2), ("d3", 1, "abba", 3), ("d4", 1, None, 4), ("d5", 1, "dd", 0)
    )
    result = store.embed_texts("docs:meaning", first, "text", model, hash_feature="text_hash", batch_size=2)

    assert (result.embedded, result.reused) == (3, 0)
    assert (result.write.written, result.write.failed) == (4, 1)
    batches = [file.read_text(encoding="utf-8").splitlines() for file in sorted(calls.iterdir())]
    assert max(map(len, batches)) <= 2
    assert sorted({text for texts in batches for text in texts}) == ["abba", "cab", "dd"]
    rows = store.get_batch_features(["docs:meaning", "docs:text_hash"], START, START + timedelta(days=1)).rows.collect()
    vectors = {row["doc_id"]: (row["meaning"], row["text_hash"]) for row in rows}
    hashed = hashlib.sha256(b"abba").hexdigest()
    assert vectors["d1"] == vectors["d3"] == ([2.0, 2.0, 0.0, 0.0], hashed)
    assert vectors["d2"][0] == [1.0, 1.0, 1.0, 0.0]
    assert "d4" not in vectors

    before = len(list(calls.iterdir()))
    again = docs(("d1", 2, "abba", 1), ("d2", 2, "bad", 2))
    result = store.embed_texts("docs:meaning", again, "text", model, hash_feature="text_hash")

    assert (result.embedded, result.reused, result.write.written) == (1, 1, 2)
    assert [file.read_text(encoding="utf-8") for file in sorted(calls.iterdir())[before:]] == ["bad"]


def test_a_model_that_fails_or_gives_other_than_a_vector_a_text_writes_nothing(store: OfflineStore) -> None:
    rows = docs(("d9", 1, "never seen", 1))
    for model, message in (
        (lambda texts: [], "returned 0 vectors for 1 texts"),
        (lambda texts: [[1.0]], "a vector of 1 dims; the feature has 4"),
        (lambda texts: 1 / 0, "ZeroDivisionError"),
    ):
        with pytest.raises(TransformationError, match=rf"'docs:meaning' failed, and nothing was written: .*{message}"):
            store.embed_texts("docs:meaning", rows, "text", model, hash_feature="text_hash", attempts=1)
    assert store.get_feature_at_time("docs:pages", {"doc_id": "d9"}, START + timedelta(days=1)) is None


def test_each_value_next_to_a_text_is_read_on_its_own(store: OfflineStore) -> None:
    """Moments without a time zone, and what is no text, are faults of their rows, whichever value comes first."""
    naive, aware = datetime(2026, 11, 1, 5), datetime(2026, 11, 1, 5, tzinfo=UTC)  # noqa: DTZ001
    later = datetime(2026, 11, 1, 8, tzinfo=timezone(timedelta(hours=2)))
    rows = pd.DataFrame({"doc_id": ["m1", "m2", "m3", "m4"], "text": ["ab", "abc", "abcd", 5]})
    rows["event_timestamp"] = pd.Series([naive, aware, later, aware], dtype=object)

    result = store.embed_texts("docs:meaning", rows, "text", letters, hash_feature="text_hash")

    assert result.write.written == 2
    assert result.write.errors == {
        "event_timestamp: timestamp without a time zone": 1,
        "text: expected string, found int": 1,
    }
    written = {
        doc: store.get_feature_at_time("docs:meaning", {"doc_id": doc}, START + timedelta(hours=9))
        for doc in rows["doc_id"]
    }
    assert {doc: value.event_timestamp for doc, value in written.items() if value is not None} == {
        "m2": START + timedelta(hours=5),
        "m3": START + timedelta(hours=6),
    }


def test_a_text_that_cannot_be_embedded_is_refused_before_anything_runs(store: OfflineStore) -> None:
    rows = docs(("d1", 1, "abba", 1))
    with pytest.raises(InvalidArgumentError, match=r"'docs:pages' is long; only an embedding"):
        store.embed_texts("docs:pages", rows, "text", letters, hash_feature="text_hash")
    with pytest.raises(InvalidArgumentError, match=r"docs:pages is long; the hash of the text needs a string"):
        store.embed_texts("docs:meaning", rows, "text", letters, hash_feature="pages")
    with pytest.raises(SchemaError, match=r"no column 'body' to embed; they have \['doc_id', 'text'"):
        store.embed_texts("docs:meaning", rows, "body", letters, hash_feature="text_hash")
    for other, message in (
        (rows.assign(Text="x"), r"columns \['text', 'Text'\] differ only in case"),
        (rows.assign(colour="red"), r"no columns \['colour'\]"),
        (rows.assign(text=5), "column 'text' is bigint; texts to embed are strings"),
        (pa.Table.from_pandas(rows.assign(text=5)), "column 'text' is bigint; texts to embed are strings"),
        ([{"doc_id": "d1"}], "are list; give a Spark or pandas DataFrame or a pyarrow Table"),
    ):
        with pytest.raises(SchemaError, match=message):
            store.embed_texts("docs:meaning", other, "text", letters, hash_feature="text_hash")
    with pytest.raises(InvalidArgumentError, match="batch_size is 0"):
        store.embed_texts("docs:meaning", rows, "text", letters, hash_feature="text_hash", batch_size=0)
    lock = Lock()
    with pytest.raises(TransformationError, match="the model of 'docs:meaning' cannot be sent to the executors"):
        store.embed_texts("docs:meaning", rows, "text", lambda texts: [lock, *texts], hash_feature="text_hash")
