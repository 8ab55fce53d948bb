"""pandas, imported when it is first used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from featurestore.late import LateModule

__all__ = ["is_missing_in_pandas", "missing_in_pandas", "pd"]

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = LateModule("pandas", "DataFrame", "Series", "Timedelta", "Timestamp")


def is_missing_in_pandas(value: Any) -> bool:
    """Whether a value is ``pd.NA`` or ``NaT``; without pandas nothing is."""
    return value is not None and any(value is missing for missing in missing_in_pandas())


def missing_in_pandas() -> tuple[Any, ...]:
    """``pd.NA`` and ``NaT``; nothing as long as pandas is not loaded, as no value can be one of them."""
    pandas = sys.modules.get("pandas")
    # Another thread may be in the middle of importing it.
    return () if pandas is None else (getattr(pandas, "NA", None), getattr(pandas, "NaT", None))
