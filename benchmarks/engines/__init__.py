"""The engines in the order of the report, and what each can compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.dataset import Options

_OURS = "offline-feature-store"


@dataclass(frozen=True)
class Engine:
    """A module of this package.

    - On Spark it has ``run``, which takes a data set and a session and returns the answers.
    - On one machine it has ``join``, which takes a data set and returns the joined rows as an Arrow table, and
      ``first_look``, which reads a row of each file format before the clock starts.

    ``nulls`` is what it supports for null values: both policies, only the latest row (``keep``), or both but ``skip``
    only without TTL. ``knows_created``: whether it can leave out what the store did not know yet.
    """

    name: str
    package: str
    on_spark: bool = False
    is_as_of_join: bool = True
    nulls: Literal["both", "keep", "skip without ttl"] = "both"
    knows_created: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it is a host of this project's join."""
        return self.package == _OURS

    def left_out(self, options: Options) -> str | None:
        """The reason why it cannot give these answers; None if it can."""
        if options.known_at == "event" and self.is_as_of_join and not self.knows_created:
            return "takes every value, whenever the store learned it"
        if not options.skips_nulls or self.nulls == "both":
            return None
        if self.nulls == "keep":
            return "takes the latest row, with its nulls; there are nulls to skip"
        return (
            "bounds the age of the latest row, not of the value taken; there are nulls to skip" if options.ttl else None
        )


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("in_process", _OURS, knows_created=True),
        Engine("in_tasks", _OURS, on_spark=True, knows_created=True),
        Engine("by_shuffle", _OURS, on_spark=True, knows_created=True),
        Engine("shuffle_sort", "pyspark", on_spark=True, is_as_of_join=False),
        Engine("tempo", "dbl-tempo", on_spark=True, nulls="skip without ttl"),
        Engine("range_join", "pyspark", on_spark=True, nulls="keep"),
        Engine("duckdb", "duckdb"),
        Engine("polars", "polars"),
    )
}
