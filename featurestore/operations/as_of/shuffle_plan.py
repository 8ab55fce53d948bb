"""The plan of an as-of join: what its scans read, which keys they keep, and which keys are split in time.

This module only decides: it reads no table and runs no job. No decision changes the result; docs/scaling.md explains
when each is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal, TypeAlias

import pyarrow as pa

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.frames.as_of.examples import is_wide
from featurestore.frames.as_of.hot_keys import HotKey
from featurestore.frames.as_of.join_rules import AsOfJoin
from featurestore.frames.as_of.key_sampling import KeySpread
from featurestore.frames.as_of.spine import SpineBounds
from featurestore.frames.timestamps import partition_of
from featurestore.late_spark import T
from featurestore.operations.context import State
from featurestore.operations.reading.request import AsOfRequest, ResolvedLookup

# The most keys of a spine that the driver holds, that are broadcast, and that go into a Bloom filter.
_KNOWN, _BROADCAST, _BLOOM = 10_000, 200_000, 4_000_000
# Joining a spine this small takes less time than sampling could save.
_SMALL_SPINE = 1_000
# A filter pays if the values have this many times the keys of the spine. Looking examples up once pays if the spine has
# this many rows per example.
_SELECTIVE, _REPEATED = 2, 2
# An empty range: no value has a date between these.
_NO_DATES = date(1970, 1, 2), date(1970, 1, 1)

# The keys that a scan keeps: all; those that the driver holds; those of the spine, broadcast or in a Bloom filter.
KeyFilter: TypeAlias = Literal["none", "known", "broadcast", "bloom"]


@dataclass(frozen=True)
class Scan:
    """The part of a group's table that one lookup reads, and how it is joined.

    - ``lookup``: the lookup's position in the request;
    - ``dates``: the first and last partition to read, both included; a first of None means no lower bound;
    - ``table_version``: None reads the newest.
    """

    lookup: int
    group: FeatureGroup
    columns: tuple[str, ...]
    dates: tuple[date | None, date]
    table_version: State | None
    join: AsOfJoin
    key_filter: KeyFilter = "none"


@dataclass(frozen=True)
class KeyedScans:
    """Scans with the same key columns of the spine, key types and offset, which share one shuffle of the spine.

    - ``timestamp_column``: the spine's column of instants that are ``offset`` later than its own;
    - ``spine_keys``: the estimated number of the spine's keys;
    - ``known_keys``: these keys, in the order of ``key_columns``, if the driver holds them;
    - ``hot_keys``: the keys that are split in time.
    """

    key_columns: tuple[str, ...]
    timestamp_column: str
    offset: timedelta
    scans: tuple[Scan, ...]
    spine_keys: int
    known_keys: pa.Table | None = field(default=None, repr=False)
    hot_keys: tuple[HotKey, ...] = ()


@dataclass(frozen=True)
class PlannedSpine:
    """The spine's own columns, the column added for its instants, and the bounds of its rows."""

    columns: tuple[str, ...]
    instants: str
    bounds: SpineBounds


@dataclass(frozen=True)
class AsOfPlan:
    """The whole plan of an as-of join.

    - ``examples_once``: whether rows with the same keys and instants are looked up only once;
    - ``outputs``: the columns that the join appends to the spine's own.
    """

    spine: PlannedSpine
    keyed_scans: tuple[KeyedScans, ...]
    outputs: tuple[str, ...]
    examples_once: bool = False

    @property
    def scans(self) -> list[Scan]:
        """All scans, in the order of the request's lookups."""
        return sorted((scan for keyed in self.keyed_scans for scan in keyed.scans), key=lambda scan: scan.lookup)

    @property
    def example_columns(self) -> list[str]:
        """The columns that identify an example: all instants and keys."""
        times = (keyed.timestamp_column for keyed in self.keyed_scans)
        keys = (name for keyed in self.keyed_scans for name in keyed.key_columns)
        return list(dict.fromkeys((self.spine.instants, *times, *keys)))


def plan_as_of(request: AsOfRequest, schema: T.StructType, instants: str, bounds: SpineBounds) -> AsOfPlan:
    """The plan as far as the request and the spine decide it: scans keep all keys, and no key is split.

    ``schema``: that of the spine's own columns; ``instants``: the column added for its instants.
    """
    plan = AsOfPlan(
        spine=PlannedSpine(tuple(schema.names), instants, bounds),
        keyed_scans=_keyed_scans(request, instants, bounds),
        outputs=tuple(request.columns),
    )
    return replace(plan, examples_once=looks_up_examples_once(schema, plan.example_columns, bounds))


def moment_column(instants: str, offset: timedelta) -> str:
    """The name of the spine's column with its instants plus ``offset``; only a label has an offset."""
    return f"{instants}_later" if offset else instants


def looks_up_examples_once(schema: T.StructType, example_columns: Sequence[str], spine: SpineBounds) -> bool:
    """Whether the spine's rows repeat examples, or are wide apart from the columns of an example."""
    if is_small(spine):
        return False
    return spine.rows >= _REPEATED * spine.examples or is_wide(schema, example_columns)


def is_small(spine: SpineBounds) -> bool:
    """Whether the spine has so few rows that sampling does not pay."""
    return spine.rows <= _SMALL_SPINE


def are_known(spine_keys: int) -> bool:
    """Whether the driver holds the spine's keys."""
    return spine_keys <= _KNOWN


def key_filter(spine_keys: int, value_keys: int) -> KeyFilter:
    """The filter for a spine with too many keys for the driver, from the estimated keys of spine and values."""
    if value_keys < _SELECTIVE * spine_keys or spine_keys > _BLOOM:
        return "none"
    return "broadcast" if spine_keys <= _BROADCAST else "bloom"


def chunks_by_key(spreads: Sequence[KeySpread], hot_key_rows: int) -> dict[tuple[int, ...], int]:
    """Keys that are hot by the rows of all frames together, each with its number of chunks."""
    rows: Counter[tuple[int, ...]] = Counter()
    for spread in spreads:
        rows.update(spread.rows_by_key)
    # A chunk has half the rows that make a key hot, so that no chunk is as large as the largest key left whole.
    return {key: -(-2 * number // hot_key_rows) for key, number in rows.items() if number >= hot_key_rows}


def _keyed_scans(request: AsOfRequest, instants: str, bounds: SpineBounds) -> tuple[KeyedScans, ...]:
    """The scans, grouped by columns of the spine, their types and the offset."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...], timedelta], list[Scan]] = {}
    for place, lookup in enumerate(request.all_lookups):
        types = tuple(lookup.group.entity.join_keys[key] for key in lookup.keys)
        scan = _scan(place, lookup, request, instants, bounds)
        groups.setdefault((tuple(lookup.keys.values()), types, lookup.offset), []).append(scan)
    return tuple(
        KeyedScans(columns, moment_column(instants, offset), offset, tuple(scans), bounds.keys[columns])
        for (columns, _, offset), scans in groups.items()
    )


def _scan(place: int, lookup: ResolvedLookup, request: AsOfRequest, instants: str, bounds: SpineBounds) -> Scan:
    group = lookup.group
    with_timestamps = request.with_timestamps and lookup is not request.label
    join = lookup.join(moment_column(instants, lookup.offset), request.known_at, with_timestamps)
    return Scan(
        lookup=place,
        group=group,
        columns=(*group.join_keys, *TIME_COLUMNS, *join.features),
        dates=dates_of(lookup, bounds),
        table_version=(request.table_versions or {}).get((group.name, group.version)),
        join=join,
    )


def dates_of(lookup: ResolvedLookup, bounds: SpineBounds) -> tuple[date | None, date]:
    """The partitions that can hold a value for the spine; an empty range if the spine has no timestamps."""
    dates = bounds.dates(lookup.group.ttl, lookup.offset)
    if dates is None:
        return _NO_DATES
    first, last = dates
    return (None if first is None else partition_of(first, lookup.group.partition_by)), last
