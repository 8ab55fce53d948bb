"""The engines of ``windowed_features.py``: each has ``aggregate``, which gives spine rows with five aggregates.

On one machine it takes a data set, the window in microseconds and the cores, and returns an Arrow table; on Spark it
takes a session in place of the cores, and returns a DataFrame. Engines on one machine also have ``first_look``, which
reads a row before the clock starts.
"""

from __future__ import annotations

OURS = "featurestore"
ENGINES = (OURS, "duckdb_window", "duckdb_join", "polars_rolling", "polars_join", "spark_window")
ON_SPARK = frozenset({"spark_window"})
FUNCTIONS = ("sum", "avg", "count", "min", "max")
