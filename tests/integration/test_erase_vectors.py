"""An erasure in PostgreSQL that is interrupted: its certificate counts what all tries deleted, and no file holds the rest."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from featurestore import Entity, Feature, FeatureGroup, OfflineStore
from featurestore.errors import ErasureError
from tests.conftest import Clock, OpenFeatureStore

NOW = datetime(2026, 3, 20, tzinfo=UTC)
NOTE = Entity("note", join_keys={"writer": "string", "number": "long"})
NOTES = FeatureGroup("notes", NOTE, features=[Feature("text", "embedding(4)")])
WRITER = Entity("writer", join_keys={"writer": "string"})
VECTOR = [0.123, 0.456, 0.789, 0.321]


@pytest.fixture
def store(open_feature_store: OpenFeatureStore) -> Iterator[OfflineStore]:
    fs = open_feature_store(Clock(NOW))
    fs._context.environ = {"FEATURESTORE_SUPPRESSION_SECRET": "a secret that nobody guesses"}
    fs.apply([WRITER, NOTES])
    yield fs.tenant("acme")
    fs._context.postgres.close()


def interrupt_after(store: OfflineStore, step: str) -> None:
    def reached(name: str) -> None:
        if name == step:
            raise KeyError(step)

    store._context.step = reached


def files_with(store: OfflineStore, marker: bytes) -> list[str]:
    """Files of PostgreSQL that hold the bytes, its write-ahead log among them."""
    data = store._context.postgres.server.data
    return [str(file.relative_to(data)) for file in data.rglob("*") if file.is_file() and marker in file.read_bytes()]


@pytest.mark.slow
def test_all_tries_of_an_erasure_are_counted_and_no_file_nor_log_holds_what_they_deleted(store: OfflineStore) -> None:
    rows = [
        {"writer": writer, "number": number, "text": vector, "event_timestamp": NOW}
        for writer, vector in (("erika", VECTOR), ("max", [1.0, 0.0, 0.0, 0.0]))
        for number in range(3)
    ]
    store.write_batch("notes", rows)
    store.sync_embeddings("notes:text")
    marker = np.float32(VECTOR).tobytes()
    before = files_with(store, marker)
    told = []
    for step in ("erase.vectors", "erase.vector_files", "erase.vector_log"):
        interrupt_after(store, step)
        with pytest.raises(ErasureError, match="stopped before its end") as raised:
            store.erase("writer", {"writer": "erika"})
        told.append(str(raised.value).split()[1])
    store._context.step = lambda name: None
    certificate = store.erase("writer", {"writer": "erika"})
    again = store.erase("writer", {"writer": "erika"})

    assert [file for file in before if file.startswith("pg_wal")], before
    assert files_with(store, marker) == []
    assert told == [certificate.erasure_id] * 3
    assert [(table.kind, table.rows) for table in certificate.tables if table.kind == "vectors"] == [("vectors", 3)]
    assert [table.rows for table in again.tables if table.kind == "vectors"] == [0]
    assert [one.entity["writer"] for one in store.search_similar_embeddings("notes:text", VECTOR, threshold=-1)] == [
        "max"
    ] * 3
    assert store.sync_embeddings("notes:text", verify=True).repaired == 0
