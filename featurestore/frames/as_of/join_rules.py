"""The columns that one lookup joins to a spine, and the rules of the join."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from featurestore.late_spark import DataFrame, T

KnownAt: TypeAlias = datetime | Literal["event"] | None


@dataclass(frozen=True)
class AsOfJoin:
    """The columns to join, and the rules of the join.

    - ``keys``: join key of the values -> column of the spine;
    - ``features``: columns of the values, in declared order;
    - ``outputs``: feature -> name in the output;
    - ``event_timestamp_output``: output column for the newest event timestamp of the row's values, if any;
    - ``row_identity``: a column of the values with a unique long of at least 0 per row. If set, arrays stay out of the
      sort and are joined to the result afterwards.
    """

    keys: Mapping[str, str]
    features: tuple[str, ...]
    timestamp_column: str = "event_timestamp"
    ttl: timedelta | None = None
    nulls: Literal["skip", "keep"] = "skip"
    known_at: KnownAt = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    event_timestamp_output: str | None = None
    row_identity: str | None = None

    def output(self, feature: str) -> str:
        return self.outputs.get(feature, feature)

    @property
    def output_columns(self) -> list[str]:
        names = [self.output(feature) for feature in self.features]
        return names if self.event_timestamp_output is None else [*names, self.event_timestamp_output]

    @property
    def needs_event_times(self) -> bool:
        return self.ttl is not None or self.event_timestamp_output is not None


@dataclass(frozen=True)
class JoinedValues:
    """Value rows, and how they are joined to the spine.

    ``values`` has the join keys, ``event_timestamp``, ``created_timestamp`` and the join's features.
    """

    values: DataFrame
    join: AsOfJoin

    @property
    def key_types(self) -> list[T.DataType]:
        return [self.values.schema[key].dataType for key in self.join.keys]
