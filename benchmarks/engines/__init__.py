"""The engines in the order of the report, and what each can compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.dataset import Options

OURS = "featurestore"


@dataclass(frozen=True)
class Engine:
    """A module of this package with ``run``, which takes a data set (on Spark also a session) and returns answers.

    ``nulls`` is what it supports for null values: both policies, only the latest row (``keep``), or both but ``skip``
    only without TTL.
    """

    name: str
    package: str
    on_spark: bool = False
    is_as_of_join: bool = True
    nulls: Literal["both", "keep", "skip without ttl"] = "both"

    def left_out(self, options: Options) -> str | None:
        """The reason why it cannot give these answers; None if it can."""
        if not options.null_share or options.nulls == "keep" or self.nulls == "both":
            return None
        if self.nulls == "keep":
            return "takes the latest row, with its nulls; there are nulls to skip"
        return (
            "bounds the age of the latest row, not of the value taken; there are nulls to skip" if options.ttl else None
        )


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(OURS, "offline-feature-store", on_spark=True),
        Engine("shuffle_sort", "pyspark", on_spark=True, is_as_of_join=False),
        Engine("tempo", "dbl-tempo", on_spark=True, nulls="skip without ttl"),
        Engine("range_join", "pyspark", on_spark=True, nulls="keep"),
        Engine("duckdb", "duckdb", nulls="keep"),
        Engine("polars", "polars", nulls="keep"),
    )
}
