"""PySpark's functions and types, imported when one is first used, so that kinds read Python values without Spark."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["Column", "F", "T"]

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql import functions as F
    from pyspark.sql import types as T
else:

    class _LateModule:
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    # Only annotations use it, and they are never evaluated.
    Column = Any
    F, T = _LateModule("pyspark.sql.functions"), _LateModule("pyspark.sql.types")
