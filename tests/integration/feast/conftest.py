"""A Feast project in a folder, with this package's offline store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import feast

START, HOUR = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1)


def feast_store(folder: Path, settings: str = "") -> feast.FeatureStore:
    (folder / "feature_store.yaml").write_text(
        f"""project: rides
provider: local
registry: registry.db
entity_key_serialization_version: 3
offline_store:
  type: featurestore.feast.FeatureStoreOfflineStore
{settings}
online_store:
  type: sqlite
  path: online.db
"""
    )
    return feast.FeatureStore(repo_path=str(folder))
