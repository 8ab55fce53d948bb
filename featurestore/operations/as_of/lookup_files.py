"""The files of values that the lookups of an as-of join read, and the rules by which the kernel reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import to_micros
from featurestore.frames.as_of.spine import SpineBounds
from featurestore.operations.as_of.shuffle_plan import dates_of
from featurestore.operations.context import Scope, State
from featurestore.operations.reading.request import AsOfRequest, ResolvedLookup
from featurestore.operations.windows.window_lookup import WindowLookup, open_lookup
from featurestore.stores.delta.pruning import Dates
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.value_files.partitions import TenantFiles

# Estimates of what a value takes in memory, in bytes. Texts and arrays are held twice while they are put in order.
_TEXT, _ARRAY = 64, 512


@dataclass(frozen=True)
class LookupFiles:
    """A lookup, its rules, and the files that may hold its values."""

    lookup: ResolvedLookup
    rules: AsOfRules
    files: TenantFiles
    with_event: bool

    @property
    def key_types(self) -> tuple[pa.DataType, ...]:
        return tuple(self.files.columns.schema.field(key).type for key in self.rules.keys)

    @property
    def types(self) -> dict[str, pa.DataType]:
        """By feature the type of its column in this version of the table."""
        return {name: self.files.columns.schema.field(name).type for name in self.rules.features}

    @property
    def output_types(self) -> dict[str, pa.DataType]:
        """By output column its type."""
        types = {self.lookup.outputs[name]: self.types[name] for name in self.lookup.features}
        if self.with_event:
            types[self.lookup.event_timestamp_output] = pa.timestamp("us", "UTC")
        return types


@dataclass(frozen=True)
class JoinFiles:
    """The lookups of a join with their files, and those of windowed features with their events.

    ``obstacle``: why only Spark can read the files of values, or None.
    """

    lookups: tuple[LookupFiles, ...]
    obstacle: str | None
    windows: tuple[WindowLookup, ...] = ()

    @property
    def output_types(self) -> dict[str, pa.DataType]:
        of_lookups = [each.output_types for each in self.lookups] + [each.output_types for each in self.windows]
        return {name: kind for types in of_lookups for name, kind in types.items()}

    @property
    def local_obstacle(self) -> str | None:
        """Why this process cannot read all files and events itself, or None."""
        return self.obstacle or next((each.events.obstacle for each in self.windows if each.events.obstacle), None)

    @property
    def event_bytes(self) -> int:
        """About what the events take in memory."""
        return sum(each.events.bytes for each in self.windows)

    @property
    def row_bytes(self) -> int:
        """About what the output columns of one row take in memory."""
        dims = (
            each.lookup.group.feature(name).feature_type.dims for each in self.lookups for name in each.lookup.features
        )
        vectors = sum(2 * 4 * count for count in dims if count is not None)
        return vectors + sum(_width(kind) for kind in self.output_types.values())


def _width(kind: pa.DataType) -> int:
    if pa.types.is_string(kind):
        return _TEXT
    return _ARRAY if pa.types.is_nested(kind) else 9


def join_files(scope: Scope, request: AsOfRequest, bounds: SpineBounds | None) -> JoinFiles:
    """Find the files by the tables' logs alone; ``bounds``: of the spine, None if they are not known."""
    windows = tuple(open_lookup(scope, lookup, request) for lookup in request.all_lookups if lookup.group.is_computed)
    if scope.context.only_spark_reads_values is not None:
        return JoinFiles((), scope.context.only_spark_reads_values, windows)
    found = []
    for lookup in request.stored_lookups:
        rules = _rules(lookup, request)
        version = (request.table_versions or {}).get((lookup.group.name, lookup.group.version))
        dates = (None, None) if bounds is None else dates_of(lookup, bounds)
        files = _files_of(scope, lookup.group, rules.features, dates, version)
        if isinstance(files, str):
            return JoinFiles((), files, windows)
        found.append(LookupFiles(lookup, rules, files, request.with_timestamps and lookup is not request.label))
    return JoinFiles(tuple(found), None, windows)


def _files_of(
    scope: Scope, group: FeatureGroup, features: Sequence[str], dates: Dates, version: State | None
) -> TenantFiles | str:
    """The files of a group's values; or why only Spark can read them."""
    if isinstance(version, SourcePin) or group.in_place is not None:
        pin = version if isinstance(version, SourcePin) else None
        return scope.context.in_place(group).partitions(scope.tenant_id, features, dates, pin)
    table = scope.table(group)
    files = table.partitions(scope.tenant_id, features, dates, version)
    return files or f"table {table.values} has features that only Spark reads, such as deletion vectors"


def _rules(lookup: ResolvedLookup, request: AsOfRequest) -> AsOfRules:
    group, known_at = lookup.group, request.known_at
    return AsOfRules(
        keys=tuple(lookup.keys),
        features=lookup.declared_features,
        ttl=None if group.ttl is None else microseconds(group.ttl),
        nulls=group.nulls,
        known_at=to_micros(known_at) if isinstance(known_at, datetime) else known_at,
    )
