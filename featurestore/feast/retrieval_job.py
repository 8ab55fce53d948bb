"""What a retrieval returns: a job that reads when it is asked for rows, and can save them."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
from feast import OnDemandFeatureView
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage

from featurestore.feast.saved_datasets import SavedDatasets


class FeatureStoreRetrievalJob(RetrievalJob):
    """Rows that are read, and joined, whenever they are asked for. ``saved`` writes them to a dataset's storage."""

    def __init__(
        self,
        rows: Callable[[], pa.Table],
        saved: SavedDatasets,
        *,
        full_feature_names: bool = False,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._rows, self._saved = rows, saved
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = on_demand_feature_views or []
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._rows()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._rows().to_pandas()
        return frame

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write all rows; raises SavedDatasetLocationAlreadyExists if something is there that they may not replace."""
        self._saved.check(storage, allow_overwrite)
        self._saved.write(self.to_arrow(timeout=timeout), storage, allow_overwrite)
