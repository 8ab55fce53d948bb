"""``FeatureDataLoader``: training sets, built, saved, listed, built again."""

from __future__ import annotations

import builtins
from typing import Any

from featurestore.definitions.training_set import TimeSplit
from featurestore.offline_store import OfflineStore
from featurestore.operations.build_training_set import (
    build_declared,
    build_training_set,
    request,
)
from featurestore.operations.read import Features, Spine
from featurestore.operations.rebuild_training_set import extend_training_set, rebuild_training_set
from featurestore.operations.training_set import TrainingSet
from featurestore.stores.training_sets import Manifest


class FeatureDataLoader:
    """Training sets of one tenant: ``FeatureDataLoader(store)``."""

    def __init__(self, store: OfflineStore) -> None:
        self._context = store._context
        self._tenant_id = store.tenant_id

    def load_training_data(
        self,
        spine: Spine,
        features: Features,
        label: str | None = None,
        name: str = "adhoc",
        *,
        timestamp_column: str = "event_timestamp",
        known_at: Any = None,
        full_feature_names: bool = False,
        sample_size: int | None = None,
        seed: int = 0,
        split: TimeSplit | None = None,
        description: str = "",
    ) -> TrainingSet:
        """Join features to a spine as of each row's time and save the result as a new version of ``name``.

        ``label`` is a column of the spine; it is never among the features. ``sample_size`` rows are taken by a hash
        of ``seed`` and the row. ``split`` adds the column ``split``. Raises SpineError, NotFoundError, InvariantError.
        """
        asked = request(
            self._context,
            name,
            features,
            label,
            timestamp_column,
            known_at,
            full_feature_names,
            sample_size,
            seed,
            split,
            description,
        )
        return self._loaded(build_training_set(self._context, self._tenant_id, spine, asked))

    def build(self, name: str) -> TrainingSet:
        """Build a new version of a training set that was applied as a definition."""
        definition = self._context.refresh().training_set(name)
        return self._loaded(build_declared(self._context, self._tenant_id, definition))

    def rebuild(self, name: str, version: int | None = None, spine: Spine | None = None) -> TrainingSet:
        """Build a saved version again from its manifest; raises RebuildError unless the content is the same."""
        manifest = self.get(name, version).manifest
        return self._loaded(rebuild_training_set(self._context, self._tenant_id, manifest, spine))

    def extend(self, name: str, spine: Spine, version: int | None = None) -> TrainingSet:
        """Add new spine rows to a saved version (the newest by default), as a new version; only they are computed.

        The rows that were saved stay as they are, with the values that they had. Raises SpineError unless ``spine`` has
        the columns that the version's own spine had.
        """
        manifest = self.get(name, version).manifest
        return self._loaded(extend_training_set(self._context, self._tenant_id, manifest, spine))

    def get(self, name: str, version: int | None = None) -> TrainingSet:
        """A saved version, the newest by default; raises NotFoundError."""
        return self._loaded(self._context.training_sets.get(self._context.spark, self._tenant_id, name, version))

    def list(self, name: str | None = None) -> builtins.list[Manifest]:
        """Manifests of the saved versions, by name and version."""
        return self._context.training_sets.list(self._context.spark, self._tenant_id, name)

    def _loaded(self, manifest: Manifest) -> TrainingSet:
        return TrainingSet(self._context, manifest)
