"""An erasure in PostgreSQL that is interrupted: its certificate counts what all tries deleted, and no file holds the rest."""

import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest

from featurestore import Entity, Feature, FeatureGroup, OfflineStore, VectorIndex
from featurestore.errors import ErasureError, SyncError
from featurestore.stores.postgres.server import SUPERUSER
from featurestore.stores.postgres.staging import create_staging
from featurestore.stores.postgres.sync import SyncTarget
from featurestore.stores.postgres.tables import VectorTable
from tests.conftest import Clock, OpenFeatureStore

NOW = datetime(2026, 3, 20, tzinfo=UTC)
NOTE = Entity("note", join_keys={"writer": "string", "number": "long"})
NOTES = FeatureGroup("notes", NOTE, features=[Feature("text", "embedding(4)")])
PLACES = FeatureGroup(
    "places",
    Entity("person", join_keys={"person": "string"}),
    features=[Feature("city", "string"), Feature("text", "embedding(4)", index=VectorIndex(filters=["city"]))],
)
# Longer than an index entry may be, and incompressible.
LONG = "lengthy" + "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=6000))
WRITER = Entity("writer", join_keys={"writer": "string"})
VECTOR = [0.123, 0.456, 0.789, 0.321]


@pytest.fixture
def store(open_feature_store: OpenFeatureStore) -> Iterator[OfflineStore]:
    fs = open_feature_store(Clock(NOW))
    fs._context.environ = {"FEATURESTORE_SUPPRESSION_SECRET": "a secret that nobody guesses"}
    fs.apply([WRITER, NOTES, PLACES])
    yield fs.tenant("acme")
    fs._context.postgres.close()


def interrupt_after(store: OfflineStore, step: str) -> None:
    def reached(name: str) -> None:
        if name == step:
            raise KeyError(step)

    store._scope.context.step = reached


def files_with(store: OfflineStore, marker: bytes) -> list[str]:
    """Files of PostgreSQL that hold the bytes, its write-ahead log and what it said among them."""
    server = store._scope.context.postgres.server
    with psycopg.connect(server.dsn(SUPERUSER), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    return [str(file.relative_to(server.folder)) for file in server.folder.rglob("*") if marker in content(file)]


def content(file: Path) -> bytes:
    """What is in a file; nothing where PostgreSQL has removed it meanwhile."""
    try:
        return file.read_bytes() if file.is_file() else b""
    except FileNotFoundError:
        return b""


@pytest.mark.slow
def test_an_erasure_counts_all_attempts_and_no_file_or_log_has_the_deleted_rows(store: OfflineStore) -> None:
    rows = [
        {"writer": writer, "number": number, "text": vector, "event_timestamp": NOW}
        for writer, vector in (("erika", VECTOR), ("max", [1.0, 0.0, 0.0, 0.0]))
        for number in range(3)
    ]
    store.write_batch("notes", rows)
    store.sync_embeddings("notes:text")
    marker = np.float32(VECTOR).tobytes()
    before = files_with(store, marker)
    erasure_ids = []
    for step in ("erase.vectors", "erase.vector_files", "erase.vector_log"):
        interrupt_after(store, step)
        with pytest.raises(ErasureError, match="stopped before its end") as raised:
            store.erase("writer", {"writer": "erika"})
        erasure_ids.append(str(raised.value).split()[1])
    store._scope.context.step = lambda name: None
    certificate = store.erase("writer", {"writer": "erika"})
    again = store.erase("writer", {"writer": "erika"})

    assert [file for file in before if file.startswith("data/pg_wal")], before
    assert files_with(store, marker) == []
    assert erasure_ids == [certificate.erasure_id] * 3
    assert [(table.kind, table.rows) for table in certificate.tables if table.kind == "vectors"] == [("vectors", 3)]
    assert [table.rows for table in again.tables if table.kind == "vectors"] == [0]
    assert [
        neighbor.entity["writer"] for neighbor in store.search_similar_embeddings("notes:text", VECTOR, threshold=-1)
    ] == ["max"] * 3
    assert store.sync_embeddings("notes:text", verify=True).repaired == 0


def place(person: str, city: str) -> dict[str, object]:
    return {"person": person, "city": city, "text": VECTOR, "event_timestamp": NOW}


@pytest.mark.slow
def test_pages_statistics_and_failed_syncs_have_nothing_of_an_erased_entity(store: OfflineStore) -> None:
    store.write_batch("places", [*(place(f"person {n}", f"city {n % 3}") for n in range(20)), place("erika", "Utopia")])
    store.sync_embeddings("places:text")
    store.write_batch("places", [place("erika", "Atlantis"), place("gerda", "Atlantis")])
    store.sync_embeddings("places:text")
    store.write_batch("places", [place(LONG, "Avalon")])
    with pytest.raises(SyncError, match="'person' has a text of 6007 bytes"):
        store.sync_embeddings("places:text")
    markers = [b"erika", b"Utopia", b"Atlantis", b"lengthy", b"Avalon"]
    before = {marker: files_with(store, marker) for marker in markers}
    # A sync of another tenant's first rows that a crash ended.
    other = store._scope.context.postgres
    table = VectorTable.of(PLACES, PLACES.feature("text"), "text-embedding-3-small")
    with other.connect_owner() as connection:
        staging = create_staging(SyncTarget(connection, "crashed", table), attachable=True)

    longest = store.erase("person", {"person": LONG})
    of_long = [files_with(store, marker) for marker in (b"lengthy", b"Avalon")]
    store.erase("person", [{"person": "erika"}, {"person": "gerda"}])
    OfflineStore(store._scope.context, "crashed").erase("person", {"person": "erika"})

    assert all(before[marker] for marker in markers), before
    assert [table.rows for table in longest.tables if table.kind == "vectors"] == [0]
    assert of_long == [[], []]
    assert {marker: files_with(store, marker) for marker in markers} == {marker: [] for marker in markers}
    with other.connect_owner() as connection:
        assert connection.execute("SELECT to_regclass(%s)", [f'featurestore."{staging}"']).fetchone() == (None,)
