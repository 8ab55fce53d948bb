"""A lookup of windowed features: its events, opened, and what they are computed with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.as_of.spine_keys import KeyColumn, SpineRows, TextKeys, WholeKeys
from featurestore.columnar.events.event_columns import EVENT
from featurestore.columnar.events.windowed_rows import WindowedFeatures
from featurestore.columnar.schema import data_type, feature_fields, key_fields
from featurestore.definitions.values.time_window import to_micros
from featurestore.definitions.window_aggregate import WindowAggregate
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import AsOfRequest, ResolvedLookup
from featurestore.operations.windows.event_tables import EventTable, open_events


@dataclass(frozen=True)
class WindowLookup:
    """A lookup of a group that computes its values, with its events; ``with_event``: see ``AsOfRequest``."""

    lookup: ResolvedLookup
    events: EventTable
    computed: WindowedFeatures
    with_event: bool

    @property
    def key_types(self) -> tuple[pa.DataType, ...]:
        return tuple(field.type for field in key_fields(self.lookup.group))

    @property
    def output_types(self) -> dict[str, pa.DataType]:
        """By output column its type."""
        group = self.lookup.group
        types = {
            self.lookup.outputs[name]: feature_fields(group.feature(name))[0].type for name in self.lookup.features
        }
        if self.with_event:
            types[self.lookup.event_timestamp_output] = data_type("timestamp")
        return types

    @property
    def outputs(self) -> dict[str, str]:
        """By result of ``computed`` its output column."""
        names = dict(self.lookup.outputs)
        return {**names, EVENT: self.lookup.event_timestamp_output} if self.with_event else names

    def of_rows(self, spine: SpineRows, threads: int) -> dict[str, Any]:
        """The results for a spine in this process, in its order; reads the events that it can reach."""
        times, longest = spine.times[spine.codes >= 0], self.computed.longest
        since = int(times.min()) - longest + 1 if longest is not None and len(times) else None
        bounds = [_bounds(*each) for each in zip(spine.keys.columns, self.key_types, strict=True)]
        return self.computed.of_rows(spine, self.events.read(since, bounds), threads)


def _bounds(keys: KeyColumn, kind: pa.DataType) -> tuple[Any, Any]:
    """The least and the greatest of a key's values, where they are texts or numbers that the type has."""
    if len(keys) and isinstance(keys, TextKeys):
        return keys.distinct[0].as_py(), keys.distinct[-1].as_py()
    if len(keys) and isinstance(keys, WholeKeys) and pa.types.is_integer(kind):
        low, high, limits = int(keys.distinct[0]), int(keys.distinct[-1]), np.iinfo(kind.to_pandas_dtype())
        return (low, high) if limits.min <= low and high <= limits.max else (None, None)
    return None, None


def open_lookup(scope: Scope, lookup: ResolvedLookup, request: AsOfRequest) -> WindowLookup:
    """Open the events of a lookup in their newest state, or in that which the request pins.

    Raises NotFoundError for a source that is not there, SchemaError for one that lacks a column or has another type.
    """
    group, known_at = lookup.group, request.known_at
    features = [feature for feature in group.features if feature.name in lookup.features]
    windows = [feature for feature in features if isinstance(feature, WindowAggregate)]
    events = open_events(scope, group, windows, (request.table_versions or {}).get((group.name, group.version)))
    events.check(group, windows)
    with_event = request.with_timestamps and lookup is not request.label
    assert group.events is not None
    computed = WindowedFeatures.of(
        group,
        windows,
        [*events.names, *group.events.columns],
        known_at=to_micros(known_at) if isinstance(known_at, datetime) else known_at,
        present=to_micros(scope.now()),
        with_event=with_event,
    )
    return WindowLookup(lookup, events, computed, with_event)
