"""The as-of join: for each spine row, per feature, the latest value at or before its timestamp.

One shuffle and one sort, whatever the length of the history. Spine rows and value rows are put into one frame, spread
by a 128-bit hash of the join key and sorted by time, values before the spine rows of the same moment; a running window
then carries the latest values on to each spine row. (A range join with row_number, the usual other way, compares
every spine row with its key's whole history.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pyspark.sql import Column, DataFrame, WindowSpec
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from featurestore.definitions.durations import microseconds
from featurestore.frames.columns import column
from featurestore.frames.timestamps import instant

KnownAt = datetime | Literal["event"] | None

# Of a row in the union. A value row at event time t has moment 2t, a spine row at time t has moment 2t + 1: one long
# sorts both by time, and values before the spine rows that may see them.
_HASHES = ("__hash_1", "__hash_2")
_MOMENT, _SPINE, _EVENT, _CREATED = "__moment", "__spine", "__event", "__created"
_NEWEST = "__newest_event"
# What is carried on by itself where the latest row wins as a whole.
_ROW = "__row"


@dataclass(frozen=True)
class AsOfJoin:
    """What to join, and by which rules.

    - ``keys``: join key of the values -> column of the spine;
    - ``features``: columns of the values, in declared order;
    - ``outputs``: feature -> name in the output;
    - ``event_timestamp_output``: where the newest event timestamp of what was taken goes, if anywhere.
    """

    keys: Mapping[str, str]
    features: tuple[str, ...]
    timestamp_column: str = "event_timestamp"
    ttl: timedelta | None = None
    nulls: Literal["skip", "keep"] = "skip"
    known_at: KnownAt = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    event_timestamp_output: str | None = None

    def output(self, feature: str) -> str:
        return self.outputs.get(feature, feature)

    @property
    def needs_event_times(self) -> bool:
        return self.ttl is not None or self.event_timestamp_output is not None


def point_in_time_join(spine: DataFrame, values: DataFrame, join: AsOfJoin) -> DataFrame:
    """The spine's rows and columns, unchanged, and for each feature its value as of the row's timestamp.

    - Grain: one row a spine row, duplicates included. Row order is not kept.
    - A value row matches when ``T - ttl <= event_timestamp <= T``, both ends included, exact to the microsecond.
    - ``nulls="skip"``: each feature takes its latest non-null value; ``"keep"``: the latest row wins as a whole. The
      TTL applies to the value that was taken.
    - Latest is by event timestamp, then created timestamp, then the tuple of the asked features (nulls lowest).
    - ``known_at``: an instant K keeps the rows created at or before it; ``"event"`` those created at or before T.
    - A null key, a null timestamp or no match gives nulls.

    ``values`` has the join keys, ``event_timestamp``, ``created_timestamp`` and the features. The plan checks, row by
    row, that nothing newer than T was visible, and raises INVARIANT otherwise.
    """
    if isinstance(join.known_at, datetime):
        values = values.where(F.col("created_timestamp") <= instant(join.known_at))
    rows = _spine_rows(spine, values, join).unionByName(_value_rows(spine, values, join))
    newest = F.max(_EVENT).over(_running(_MOMENT)).alias(_NEWEST)
    found = rows.select(_SPINE, _MOMENT, newest, *_taken(join)).where(F.col(_SPINE).isNotNull())
    return found.where(_nothing_from_the_future()).select(*_spine_columns(spine), *_outputs(join))


def _slot(index: int) -> str:
    """A feature's column in the union: its own name may be one of the spine's, or of this module's."""
    return f"__feature_{index}"


def _slots(join: AsOfJoin) -> list[str]:
    return [_slot(index) for index in range(len(join.features))]


def _key_hashes(keys: list[Column]) -> list[Column]:
    """128 bits of hash of a typed key; every key column is known to be non-null where the hash is used."""
    return [F.xxhash64(*keys).alias(_HASHES[0]), F.xxhash64(F.lit(1), *keys).alias(_HASHES[1])]


def _value_rows(spine: DataFrame, values: DataFrame, join: AsOfJoin) -> DataFrame:
    event, created = F.unix_micros("event_timestamp"), F.unix_micros("created_timestamp")
    visible = F.greatest(event, created) if join.known_at == "event" else event
    return values.select(
        *_key_hashes([F.col(key) for key in join.keys]),
        (visible * 2).alias(_MOMENT),
        event.alias(_EVENT),
        created.alias(_CREATED),
        *(F.col(feature).alias(slot) for feature, slot in zip(join.features, _slots(join), strict=True)),
        F.lit(None).cast(spine.schema).alias(_SPINE),
    )


def _spine_rows(spine: DataFrame, values: DataFrame, join: AsOfJoin) -> DataFrame:
    time = F.unix_micros(column(join.timestamp_column))
    # try_cast: a key beyond the range of the values' type is a key that no value has.
    keys = [column(name).try_cast(values.schema[key].dataType) for key, name in join.keys.items()]
    complete = time.isNotNull()
    for key in keys:
        complete = complete & key.isNotNull()
    first, second = _key_hashes(keys)
    types = [values.schema[feature].dataType for feature in join.features]
    return spine.select(
        # No value row has a null hash, so an incomplete spine row meets none; its second hash still spreads it.
        F.when(complete, first).alias(_HASHES[0]),
        F.when(complete, second).otherwise(F.xxhash64(*keys, time)).alias(_HASHES[1]),
        (time * 2 + 1).alias(_MOMENT),
        F.lit(None).cast("bigint").alias(_EVENT),
        F.lit(None).cast("bigint").alias(_CREATED),
        *(F.lit(None).cast(kind).alias(slot) for kind, slot in zip(types, _slots(join), strict=True)),
        F.struct(*(column(name) for name in spine.columns)).alias(_SPINE),
    )


def _running(*order: str) -> WindowSpec:
    return W.partitionBy(*_HASHES).orderBy(*order).rowsBetween(W.unboundedPreceding, W.currentRow)


def _taken(join: AsOfJoin) -> list[Column]:
    """Running columns: per feature (``skip``) or per row (``keep``) the latest values, and their event time."""
    if join.known_at == "event":
        return _latest_known(join)
    # The sort compares the features only where event and created timestamps tie.
    window = _running(_MOMENT, _CREATED, *_slots(join))
    is_value = F.col(_EVENT).isNotNull()
    carried = [(F.when(is_value, _row(join)), _ROW)] if join.nulls == "keep" else [(F.col(s), s) for s in _slots(join)]
    taken = [F.last(value, ignorenulls=True).over(window).alias(slot) for value, slot in carried]
    if join.needs_event_times:
        times = [(F.when(value.isNotNull(), F.col(_EVENT)), slot) for value, slot in carried]
        taken += [F.last(time, ignorenulls=True).over(window).alias(_time(slot)) for time, slot in times]
    return taken


def _latest_known(join: AsOfJoin) -> list[Column]:
    """Rows become visible in the order of knowledge, which is not the order of event time.

    The running maximum of (event, created, content) is the latest among the rows visible so far.
    """
    content = F.struct(_EVENT, _CREATED, _row(join).alias(_ROW))
    taken = []
    for slot in [_ROW] if join.nulls == "keep" else _slots(join):
        present = F.col(_EVENT).isNotNull() if slot == _ROW else F.col(slot).isNotNull()
        best = F.max(F.when(present, content)).over(_running(_MOMENT))
        value = best[_ROW] if slot == _ROW else best[_ROW][slot]
        taken += [value.alias(slot), best[_EVENT].alias(_time(slot))]
    return taken


def _row(join: AsOfJoin) -> Column:
    return F.struct(*(F.col(slot) for slot in _slots(join)))


def _time(slot: str) -> str:
    return f"{slot}_event"


def _nothing_from_the_future() -> Column:
    message = F.lit("INVARIANT: the as-of join saw a value newer than its spine row; nothing may be built from this")
    return F.when(F.col(_NEWEST) > _spine_micros(), F.raise_error(message).cast("boolean")).otherwise(F.lit(True))


def _spine_micros() -> Column:
    return F.shiftright(_MOMENT, 1)


def _spine_columns(spine: DataFrame) -> list[Column]:
    return [F.col(_SPINE)[name].alias(name) for name in spine.columns]


def _outputs(join: AsOfJoin) -> list[Column]:
    outputs = []
    times = []
    for feature, own in zip(join.features, _slots(join), strict=True):
        slot = _ROW if join.nulls == "keep" else own
        value = F.col(_ROW)[own] if join.nulls == "keep" else F.col(own)
        valid = _valid(F.col(_time(slot)), join)
        outputs.append((value if join.ttl is None else F.when(valid, value)).alias(join.output(feature)))
        times.append(F.when(valid, F.col(_time(slot))))
    if join.event_timestamp_output is not None:
        newest = F.greatest(*times) if len(times) > 1 else times[0]
        outputs.append(F.timestamp_micros(newest).alias(join.event_timestamp_output))
    return outputs


def _valid(event: Column, join: AsOfJoin) -> Column:
    if join.ttl is None:
        return event.isNotNull()
    return event >= _spine_micros() - F.lit(microseconds(join.ttl))
