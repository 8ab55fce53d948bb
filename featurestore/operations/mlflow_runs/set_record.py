"""What a run of MLflow records of a training set: which version it is, and the hash of its rows."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from featurestore.config import Settings
from featurestore.errors import TrackingError
from featurestore.operations.mlflow_runs.client import without_credentials
from featurestore.stores.training_sets.manifests import Manifest

SOURCE_TYPE = "featurestore_training_set"


class SetRecord(BaseModel):
    """One version of a training set, and where it is: the source of a dataset in MLflow.

    ``warehouse`` has no credentials; ``catalog`` is the one that names the tables, if any.
    """

    # A later release may record more.
    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    warehouse: str
    catalog: str | None = None
    tenant: str
    name: str
    version: int
    content_hash: str

    @classmethod
    def of(cls, settings: Settings, manifest: Manifest) -> SetRecord:
        return cls(
            warehouse=without_credentials(settings.warehouse),
            catalog=settings.catalog,
            tenant=manifest.tenant_id,
            name=manifest.name,
            version=manifest.version,
            content_hash=manifest.content_hash,
        )

    @classmethod
    def read(cls, run_id: str, source: str) -> SetRecord:
        """The record that a run holds; raises TrackingError for a text that is none."""
        try:
            return cls.model_validate_json(source)
        except ValidationError as error:
            places = sorted({".".join(map(str, fault["loc"])) or "the text" for fault in error.errors()})
            raise TrackingError(
                f"run {run_id!r} of MLflow has a training set whose record cannot be read ({', '.join(places)}); "
                "another release of this package wrote it, or it was edited"
            ) from None

    @property
    def digest(self) -> str:
        """At most 36 characters: the beginning of the content hash, then of a hash of the whole record.

        An experiment of MLflow keeps one source per name and digest, whichever run wrote it first. So two tenants,
        versions or warehouses with the same rows need different digests.
        """
        return f"{self.content_hash[:16]}-{hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]}"

    @property
    def place(self) -> str:
        return self.warehouse if self.catalog is None else f"catalog {self.catalog}, warehouse {self.warehouse}"

    def __str__(self) -> str:
        return f"training set {self.name!r} v{self.version} of tenant {self.tenant!r}"
