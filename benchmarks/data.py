"""Write a data set: ``python -m benchmarks.data OPTIONS FOLDER MEMORY``, with the options as JSON, and Spark's heap.

Every cell is a hash of (seed, column, row), so that the same options give the same rows anywhere. Exact joins give the
same answers with every engine and every order of the rows:

- no two rows of a group have the same event timestamp, so no engine has to break a tie;
- features are doubles that hold whole numbers below 2^20, so their sums are exact in any order;
- a tenth of the spine has exactly the timestamp of a value; with a TTL, another tenth has the last microsecond at which
  a value counts, which reveals an engine with other bounds;
- a hundredth of the spine's keys have no value at all;
- with late values, a fifth of the spine lies in the weeks in which the store learns them, in an order unlike that of
  their events, and in the weeks after.
"""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlparse

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from benchmarks.dataset import TENANT, TIME, GroupFiles, KeyKind, Options, complete, spine, warehouse
from benchmarks.spark import benchmark_session
from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings
from featurestore.stores.layout import Layout

_YEAR_START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_DAY = 24 * 3600 * 1_000_000
_YEAR = 365 * _DAY
# The store learns late values in this time after the year.
_LATE = 30 * _DAY
_ROWS_A_BATCH = 5_000_000


def write(options: Options, folder: Path, memory: str) -> None:
    """Write a feature store with the groups' values, as ordinary batches, and the spine; ``memory``: Spark's heap.

    The remains of an interrupted run in the folder are removed first.
    """
    shutil.rmtree(folder, ignore_errors=True)
    settings = Settings(warehouse=str(warehouse(folder)))
    with benchmark_session(settings, **{"spark.driver.memory": memory}) as spark:
        store = FeatureStore.open(settings, spark=spark)
        definitions = [_definition(options, group) for group in range(1, options.groups + 1)]
        store.apply(definitions)
        for number, definition in enumerate(definitions, start=1):
            for ids in batches(options):
                rows = value_rows(spark.range(ids.start, ids.stop, ids.step), options, number)
                store.tenant(TENANT).write_batch(definition.name, rows, batch_id=str(ids.start))
        if options.batches is None:
            store.tenant(TENANT).optimize()
        spine_rows(spark.range(options.spine), options).write.parquet(str(spine(folder)))
        layout = Layout.of(settings, lambda: spark, is_native=True)
        groups = []
        for definition in definitions:
            table = layout.values(definition)
            files = [_relative(unquote(urlparse(uri).path), folder) for uri in table.read().inputFiles()]
            groups.append(
                GroupFiles(definition.name, definition.feature_names, _relative(str(table), folder), sorted(files))
            )
    complete(folder, options, groups)


def batches(options: Options) -> list[range]:
    """The row numbers of each batch. Rows are numbered in order of time."""
    if options.batches is not None:
        return [range(first, options.rows, options.batches) for first in range(min(options.batches, options.rows))]
    firsts = range(0, options.rows, _ROWS_A_BATCH)
    return [range(first, min(first + _ROWS_A_BATCH, options.rows)) for first in firsts]


def _definition(options: Options, group: int) -> FeatureGroup:
    return FeatureGroup(
        f"values_{group}",
        Entity("customer", join_keys={**options.join_keys}),
        features=[Feature(name, "double") for name in options.features(group)],
        ttl=options.ttl,
        nulls=options.nulls,
        # At the smaller sizes, partitions by day would have files of a few kilobytes.
        partition_by="month",
    )


def _relative(path: str, folder: Path) -> str:
    return str(Path(path).relative_to(folder))


def value_rows(ids: DataFrame, options: Options, group: int) -> DataFrame:
    """One row of a feature group per row of ``ids`` (``id`` from 0 to ``rows - 1``)."""
    row = F.col("id")
    time = _value_time(options, group, row)
    return ids.select(
        *_keys(options, _value_key(options, group, row)),
        F.timestamp_micros(time).alias(TIME),
        F.timestamp_micros(_created(options, group, row, time)).alias("created_timestamp"),
        *(_feature(options, name, row).alias(name) for name in options.features(group)),
    )


def spine_rows(ids: DataFrame, options: Options) -> DataFrame:
    """One spine row per row of ``ids`` (``id`` from 0 to ``spine - 1``)."""
    row = F.col("id")
    draw = partial(_draw, options, row)
    # The value row with exactly this row's timestamp, or its last valid one, in two tenths of the rows.
    match = draw("value met", options.rows)
    lifetime = options.ttl_microseconds or 0
    key = F.when(row % 10 < 2, _value_key(options, 1, match)).otherwise(
        _with_hot_key(options, row, "spine", draw("spine key", options.keys + options.keys // 100))
    )
    time = (
        F.when(row % 10 == 0, _value_time(options, 1, match))
        .when(row % 10 == 1, _value_time(options, 1, match) + lifetime)
        .when(F.lit(options.late > 0) & (row % 10 < 4), F.lit(_YEAR_START + _YEAR) + draw("spine time late", 2 * _LATE))
        .otherwise(F.lit(_YEAR_START) + draw("spine time", _YEAR))
    )
    label = draw("label", 2)
    return ids.select(row, *_keys(options, key), F.timestamp_micros(time).alias(TIME), label.alias("label"))


def _draw(options: Options, row: Column, what: str, below: int) -> Column:
    """A whole number from 0 to ``below - 1``, the same for the same seed, row and ``what``."""
    return F.pmod(F.xxhash64(F.lit(options.seed), F.lit(what), row), F.lit(below))


def _with_hot_key(options: Options, row: Column, what: str, key: Column) -> Column:
    hot = _draw(options, row, f"{what} hot", 1_000_000) < int(options.skew * 1_000_000)
    return F.when(hot, F.lit(0)).otherwise(key) if options.skew else key


def _value_key(options: Options, group: int, row: Column) -> Column:
    return _with_hot_key(options, row, f"values {group}", _draw(options, row, f"key {group}", options.keys))


def _value_time(options: Options, group: int, row: Column) -> Column:
    """Microseconds: each row has its own slot of the year, and a moment within it."""
    slot = _YEAR // options.rows
    return F.lit(_YEAR_START) + row * slot + _draw(options, row, f"time {group}", slot)


def _created(options: Options, group: int, row: Column, time: Column) -> Column:
    """Microseconds; they depend on the row and not on the time of the run."""
    on_time = time + 60_000_000
    is_late = _draw(options, row, f"late {group}", 1_000_000) < int(options.late * 1_000_000)
    late = F.lit(_YEAR_START + _YEAR) + _draw(options, row, f"created {group}", _LATE)
    return F.when(is_late, late).otherwise(on_time) if options.late else on_time


def _feature(options: Options, name: str, row: Column) -> Column:
    value = _draw(options, row, name, 1 << 20).cast("double")
    is_null = _draw(options, row, f"{name} null", 1_000_000) < int(options.null_share * 1_000_000)
    return F.when(~is_null, value) if options.null_share else value


def _keys(options: Options, number: Column) -> list[Column]:
    """The key columns of the key with this number."""
    name = F.concat(F.lit("user-"), F.lpad(number.cast("string"), 10, "0"))
    shop = F.pmod(number, F.lit(100))
    columns: dict[str, dict[KeyKind, Column]] = {
        "user_id": {"long": number.cast("bigint"), "string": name},
        "shop_id": {"long": shop.cast("bigint")},
    }
    return [columns[key][kind].alias(key) for key, kind in options.join_keys.items()]


if __name__ == "__main__":
    write(Options(**json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])
