"""Random small cases of the as-of join, with files in memory: ties, late and early rows, overlapping and unsorted files,
nulls, values before 1970, and tables whose rows are all of one key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.value_files import Bounds, Partition, RowGroup
from featurestore.definitions.values.time_window import to_micros
from tests.reference.as_of import AsOfLookup, Row

INSTANT = pa.timestamp("us", tz="UTC")
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Before 1970, where times are below 0, and in the first of Python's years.
NOONS = [NOON, datetime(1969, 12, 31, 12, tzinfo=UTC), datetime(1, 1, 9, 12, tzinfo=UTC)]

# Joined into one text, or hashed carelessly, several of these would be one key. Texts are in the order of their bytes,
# which is not that of UTF-16.
KEY_POOLS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "long": (pa.int64(), [1, 12, 123, 0, -1, 2**63 - 1, -(2**63)]),
    "int": (pa.int32(), [1, 12, 0, -1, 2**31 - 1, -(2**31)]),
    "string": (pa.string(), ["", "3", "23", "123", "2\x003", "é", "\uffff", "😀", "x" * 40]),
    "boolean": (pa.bool_(), [True, False]),
    "date": (pa.date32(), [date(1969, 12, 31), date(2026, 3, 1), date(1, 1, 1)]),
    "timestamp": (INSTANT, [NOON, NOON + MICROSECOND, NOON - 900 * 365 * 24 * HOUR]),
}
NAN = float("nan")
FEATURES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "score": (pa.float64(), [1.5, 0.0, -0.0, NAN, -2.0, 1e300]),
    "count": (pa.int64(), [0, -1, 2**53 + 1]),
    "ratio": (pa.float32(), [0.5, NAN, -0.0]),
    "name": (pa.string(), ["a", "", "b", "é", "😀"]),
    "flag": (pa.bool_(), [True, False]),
    "day": (pa.date32(), [date(2026, 3, 1), date(1, 1, 1)]),
    "seen": (INSTANT, [NOON, datetime(1, 1, 1, tzinfo=UTC)]),
    "tags": (pa.list_(pa.string()), [["a"], [], ["a", None], ["b"]]),
    "vector": (pa.list_(pa.float32()), [[0.5, -0.0], [NAN, 1.0]]),
}


@dataclass(frozen=True)
class TableFile:
    """A file in memory, in row groups of a few rows."""

    table: pa.Table = field(repr=False)
    keys: tuple[str, ...]
    group_rows: int
    has_bounds: bool
    encodes_keys: bool
    reads: list[tuple[tuple[int, ...], tuple[str, ...]]] = field(default_factory=list, repr=False)

    @property
    def rows(self) -> int:
        return self.table.num_rows

    @property
    def bytes(self) -> int:
        return self.table.nbytes

    @property
    def bounds(self) -> tuple[Bounds, ...]:
        return self._bounds(self.table)

    @property
    def created(self) -> tuple[int | None, int | None]:
        if not self.has_bounds:
            return None, None
        moments = self.table.column("created_timestamp").cast(pa.int64())
        return pc.min(moments).as_py(), pc.max(moments).as_py()

    def open(self) -> "TableFile":
        return self

    @property
    def row_groups(self) -> list[RowGroup]:
        parts = [self._part(number) for number in range(-(-self.rows // self.group_rows))]
        return [RowGroup(part.num_rows, part.nbytes, self._bounds(part)) for part in parts]

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        self.reads.append((tuple(groups), tuple(columns)))
        parts = [self._part(number).select(list(columns)) for number in groups]
        rows = pa.concat_tables(parts)
        for name in self.keys:
            if name in columns and self.encodes_keys and pa.types.is_string(rows.schema.field(name).type):
                encoded = pa.chunked_array([chunk.dictionary_encode() for chunk in rows.column(name).chunks])
                rows = rows.set_column(rows.column_names.index(name), name, encoded)
        return rows

    def _part(self, number: int) -> pa.Table:
        return self.table.slice(number * self.group_rows, self.group_rows)

    def _bounds(self, rows: pa.Table) -> tuple[Bounds, ...]:
        if not self.has_bounds:
            return ((None, None),) * len(self.keys)
        return tuple(_ends(rows.column(name)) for name in self.keys)


def _ends(column: pa.ChunkedArray) -> Bounds:
    kind = column.type
    if pa.types.is_string(kind):
        texts = sorted(value.encode() for value in column.to_pylist())
        return texts[0], texts[-1]
    whole = column.cast(pa.int32()) if pa.types.is_date32(kind) else column
    numbers = whole.cast(pa.int64()).to_pylist()
    return min(numbers), max(numbers)


@dataclass(frozen=True)
class Case:
    """A spine, the history of one group, and the question; ``offset``: how long after its time a spine row asks."""

    spine: list[Row] = field(repr=False)
    values: list[Row] = field(repr=False)
    spine_table: pa.Table = field(repr=False)
    partitions: list[Partition] = field(repr=False)
    rules: AsOfRules
    lookup: AsOfLookup
    offset: timedelta

    @property
    def types(self) -> dict[str, pa.DataType]:
        return {name: FEATURES[name][0] for name in self.rules.features}


def _files_of(random: Random, rows: list[Row], by: Sequence[str]) -> list[list[Row]]:
    """A day's rows dealt to files: as they come, or by ranges of these keys, which may end inside a key."""
    rows = sorted(rows, key=lambda row: [_in_bytes(row[name]) for name in by])
    cuts = sorted(random.randint(1, len(rows)) for _ in range(random.choice([0, 0, 1, 3])))
    return [part for first, end in pairwise([0, *cuts, len(rows)]) if (part := rows[first:end])]


def _in_bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def random_case(seed: int) -> Case:
    """Moments are on a coarse grid and one microsecond off it, and values from small pools: ties are frequent."""
    random = Random(seed)
    kinds = random.choice([["long"], ["string"], ["int"], ["long", "string"], ["string", "boolean"],
                           ["date", "timestamp", "string"]])  # fmt: skip
    keys = tuple(f"key{place}" for place in range(len(kinds)))
    types = {name: KEY_POOLS[kind][0] for name, kind in zip(keys, kinds, strict=True)}
    most = random.choice([1, 5, 5, 9])
    pools = {name: random.sample(pool := KEY_POOLS[kind][1], random.randint(1, min(most, len(pool))))
             for name, kind in zip(keys, kinds, strict=True)}  # fmt: skip
    features = tuple(random.sample(list(FEATURES), random.randint(1, 4)))
    null_share = random.choice([0.0, 0.3, 0.9])
    noon = random.choice([NOON, NOON, *NOONS])
    midnight = noon.replace(hour=0)
    days = [midnight + timedelta(days=day) for day in sorted(random.sample(range(-3, 4), random.randint(0, 6)))]
    encodes_keys = random.random() < 0.5
    lag = random.choice([[0], [0, 1, 3, 30], [500], [-7, -1, 0, 2]])

    def moment(day: datetime) -> datetime:
        """From the first to the last microsecond of the day."""
        at = day + random.choice([0, 0, 6, 12, 23, 24]) * HOUR
        return min(max(day, at + random.choice([-1, 0, 0, 1]) * MICROSECOND), day + 24 * HOUR - MICROSECOND)

    def value(name: str) -> Any:
        return None if random.random() < null_share else random.choice(FEATURES[name][1])

    def value_row(day: datetime) -> Row:
        event = moment(day)
        row: Row = {name: random.choice(pools[name]) for name in keys}
        row |= {"event_timestamp": event, "created_timestamp": event + random.choice(lag) * HOUR}
        return row | {name: value(name) for name in features}

    schema = {**types, "event_timestamp": INSTANT, "created_timestamp": INSTANT,
              **{name: FEATURES[name][0] for name in features}}  # fmt: skip
    cut_by = random.choice([keys, ()])
    values, partitions = [], []
    for day in days:
        files = []
        for rows in _files_of(random, [value_row(day) for _ in range(random.choice([1, 2, 30, 60]))], cut_by):
            values += rows
            table = pa.Table.from_pylist(rows, pa.schema(schema))
            if random.random() < 0.8:
                table = table.sort_by([(name, "ascending") for name in (*keys, "event_timestamp")])
            files.append(TableFile(table, keys, random.choice([1, 3, 100]), random.random() < 0.8, encodes_keys))
        partitions.append(Partition(to_micros(day), tuple(files)))

    # A spine's column may be of another type of whole numbers.
    spine_types = {name: pa.int64() if kind == pa.int32() else kind for name, kind in types.items()}
    spine = []
    for _ in range(random.randint(0, 25)):
        key = {name: random.choice([*pools[name], random.choice(pools[name]), None]) for name in keys}
        if random.random() < 0.2:
            key = {name: random.choice(KEY_POOLS[kind][1]) for name, kind in zip(keys, kinds, strict=True)}
        at = None if random.random() < 0.05 else moment(midnight + timedelta(days=random.randint(-4, 6)))
        spine.append({**key, "at": at})
    spine += spine[:3]
    spine_table = pa.Table.from_pylist(spine, pa.schema({**spine_types, "at": INSTANT}))
    ttl = random.choice([None, MICROSECOND, 6 * HOUR, 24 * HOUR, 60 * HOUR])
    moments = [row["created_timestamp"] for row in values]
    known_at = random.choice([None, random.choice([noon, *moments]), "event"])
    nulls: Any = random.choice(["skip", "keep"])
    rules = AsOfRules(keys, features, None if ttl is None else ttl // MICROSECOND, nulls,
                      to_micros(known_at) if isinstance(known_at, datetime) else known_at)  # fmt: skip
    lookup = AsOfLookup(
        keys={name: name for name in keys}, features=features, outputs={name: name for name in features},
        timestamp_column="at", ttl=ttl, nulls=nulls, known_at=known_at, event_timestamp_output="event",
    )  # fmt: skip
    offset = random.choice([timedelta(0), timedelta(0), 6 * HOUR, 24 * HOUR + MICROSECOND])
    return Case(spine, values, spine_table, partitions, rules, lookup, offset)
