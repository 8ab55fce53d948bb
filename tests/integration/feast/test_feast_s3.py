"""Feast's sources and saved datasets on an object store, reached by what the source itself names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deltalake
import feast
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource
from feast.credentials import ConnectionRef, CredentialProvider, register_credential_provider
from feast.data_format import DeltaFormat, ParquetFormat
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Float64, Int64
from pyarrow import fs

from featurestore.errors import StorageError
from tests.integration.feast.conftest import HOUR, START, feast_store
from tests.processes.s3_server import S3Server, s3_server

pytestmark = pytest.mark.slow

INSTANT = pa.timestamp("us", "UTC")
DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=feast.ValueType.INT64)
STORED = pa.table({"driver_id": [1, 2], "at": pa.array([START, START + HOUR], INSTANT), "rating": [0.5, 0.25]})
FORMATS: dict[str, Any] = {"stats.parquet": ParquetFormat(), "folder": ParquetFormat(), "table": DeltaFormat()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as started:
        started.make_bucket("rides")
        yield started


@pytest.fixture(autouse=True)
def _credentials_of_the_source(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own environment leads nowhere; a provider of Feast's knows the server's credentials."""
    for name in server.environment:
        monkeypatch.delenv(name, raising=False)

    class Vault(CredentialProvider):
        def provider_type(self) -> str:
            return "vault of the test"

        def resolve(self, ref: ConnectionRef) -> dict[str, str]:
            return {name: value for name, value in server.environment.items() if name != "AWS_ENDPOINT_URL"}

    register_credential_provider(Vault())


def bucket_of(server: S3Server) -> fs.FileSystem:
    return fs.S3FileSystem(
        access_key=server.environment["AWS_ACCESS_KEY_ID"],
        secret_key=server.environment["AWS_SECRET_ACCESS_KEY"],
        region=server.environment["AWS_REGION"],
        endpoint_override=server.environment["AWS_ENDPOINT_URL"],
    )


def store_over(server: S3Server, folder: Path, path: str) -> feast.FeatureStore:
    """A project over a new source at the path, which holds STORED."""
    place = f"s3://rides/{folder.name}/{path}"
    if path == "table":
        deltalake.write_deltalake(place, STORED, storage_options=server.environment)
    else:
        file = place if path == "stats.parquet" else f"{place}/first.parquet"
        pq.write_table(STORED, file.removeprefix("s3://"), filesystem=bucket_of(server))
    source = FileSource(
        name="stats",
        path=place,
        timestamp_field="at",
        file_format=FORMATS[path],
        s3_endpoint_override=server.environment["AWS_ENDPOINT_URL"],
        connection_ref=ConnectionRef(provider="vault of the test", name="rides"),
    )
    schema = [Field(name="driver_id", dtype=Int64), Field(name="rating", dtype=Float64)]
    store = feast_store(folder)
    store.apply([DRIVER, FeatureView(name="stats", entities=[DRIVER], schema=schema, source=source)])
    return store


def ratings(store: feast.FeatureStore) -> list[float | None]:
    entity_df = pd.DataFrame({"driver_id": [1, 2, 3], "event_timestamp": [START + 2 * HOUR] * 3})
    return store.get_historical_features(entity_df, ["stats:rating"]).to_arrow().column("rating").to_pylist()


@pytest.mark.parametrize("path", ["folder", "table"])
def test_rows_are_read_and_appended_with_the_credentials_of_the_source(
    server: S3Server, tmp_path: Path, path: str
) -> None:
    store = store_over(server, tmp_path, path)
    assert ratings(store) == [0.5, 0.25, None]

    more = pd.DataFrame({"driver_id": [1, 3], "at": [START + HOUR, START], "rating": [0.75, 1.0]})
    store.write_to_offline_store("stats", more)

    assert ratings(store) == [0.75, 0.25, 1.0]


def test_one_file_on_an_object_store_takes_no_rows(server: S3Server, tmp_path: Path) -> None:
    store = store_over(server, tmp_path, "stats.parquet")

    with pytest.raises(StorageError, match="one file on an object store, where two writers would lose each other's"):
        store.write_to_offline_store("stats", STORED.to_pandas())

    assert ratings(store) == [0.5, 0.25, None]


@pytest.mark.parametrize(
    ("path", "file_format"), [("set.parquet", ParquetFormat()), ("set", ParquetFormat()), ("delta", DeltaFormat())]
)
def test_a_saved_dataset_is_reached_by_the_environment(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, file_format: Any
) -> None:
    """Feast's storage of a dataset names an endpoint at most."""
    store = store_over(server, tmp_path, "folder")
    for name, value in server.environment.items():
        if name not in ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP"):
            monkeypatch.setenv(name, value)
    storage = SavedDatasetFileStorage(
        path=f"s3://rides/{tmp_path.name}/{path}",
        file_format=file_format,
        s3_endpoint_override=server.environment["AWS_ENDPOINT_URL"],
    )

    for driver in (1, 2):
        entity_df = pd.DataFrame({"driver_id": [driver], "event_timestamp": [START + 2 * HOUR]})
        job = store.get_historical_features(entity_df, ["stats:rating"])
        job.persist(storage, allow_overwrite=driver == 2)

    entity_df = pd.DataFrame({"driver_id": [1], "event_timestamp": [START]})
    saved = store.create_saved_dataset(
        store.get_historical_features(entity_df, ["stats:rating"]), "last", storage, allow_overwrite=True
    )
    assert saved.to_df()["rating"].tolist() == [0.5]
