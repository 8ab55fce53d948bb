"""One published version of a training set, as operations and reports read it."""

from __future__ import annotations

from dataclasses import dataclass, field

from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.stores.training_sets.manifests import Manifest


@dataclass(frozen=True)
class SavedSet:
    """A version's manifest, and the store that has its rows."""

    context: Context = field(repr=False)
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def rows(self) -> DataFrame:
        """The spine's columns, the features, one ``<group>__event_timestamp`` per lookup, and ``split``, if any."""
        return self.context.training_sets.read(self.manifest)
