"""An offline store for Feast: a Feast project's features by the as-of join of this package, over its own sources.

Select it in ``feature_store.yaml``; it needs the extra ``feast``::

    offline_store:
      type: featurestore.feast.FeatureStoreOfflineStore

Names are loaded on first use, since they need Feast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from featurestore.errors import ConfigurationError

if TYPE_CHECKING:
    from featurestore.feast.imported_repo import ImportedRepo, import_repo
    from featurestore.feast.offline_store import FeatureStoreOfflineStore, FeatureStoreOfflineStoreConfig

_MODULES = {
    "FeatureStoreOfflineStore": "featurestore.feast.offline_store",
    "FeatureStoreOfflineStoreConfig": "featurestore.feast.offline_store",
    "ImportedRepo": "featurestore.feast.imported_repo",
    "import_repo": "featurestore.feast.imported_repo",
}

__all__ = ["FeatureStoreOfflineStore", "FeatureStoreOfflineStoreConfig", "ImportedRepo", "import_repo"]


def __getattr__(name: str) -> Any:
    """Raises ConfigurationError if Feast is not installed."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Feast is not installed ({error}); run pip install 'offline-feature-store[feast]'"
        ) from error
