"""Time small lookups in this process, without Spark, and print them as JSON on the last line.

``python -m benchmarks.lookup_operations REQUEST``, with the request as JSON. The files are in memory, the store is
open, and each lookup has run once before it is timed. The whole join and the whole read, which are long, run once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.dataset as ds

from benchmarks.dataset import TENANT, TIME, Dataset
from benchmarks.engines.in_process import read_spine
from benchmarks.page_cache import read_through
from featurestore import FeatureStore, OfflineStore, Settings
from featurestore.stores.value_files.parquet import OpenedParquet

SMALL = 1_000


@dataclass(frozen=True)
class Request:
    """The folders of two data sets: ``table``, with one large group, and ``groups``, with several groups; ``calls`` of
    each small lookup."""

    table: str
    groups: str
    cores: int
    calls: int


@dataclass(frozen=True)
class FilesRead:
    """What a join reads of the values' files."""

    bytes: int
    row_groups: int


@dataclass(frozen=True)
class Lookups:
    """Seconds of each call; of joins in process, from an Arrow table to an Arrow table.

    - ``small_join``: 1,000 spine rows; ``one_example``: one spine row with the features of all groups;
    - ``whole_join``: all spine rows; ``whole_read``: no join, but a read of the columns that it takes;
    - ``files_read``: the spine -> what its join reads.
    """

    small_join: list[float]
    one_example: list[float]
    whole_join: float
    whole_read: float
    files_read: dict[str, FilesRead]

    @classmethod
    def from_json(cls, line: str) -> Lookups:
        fields = json.loads(line)
        files = {name: FilesRead(**read) for name, read in fields.pop("files_read").items()}
        return cls(**fields, files_read=files)


def measure(request: Request) -> Lookups:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request.cores])
    table, groups = Dataset.read(Path(request.table)), Dataset.read(Path(request.groups))
    read_through(file for dataset in (table, groups) for group in dataset.groups for file in group.files)
    spine, example = read_spine(table), read_spine(groups).slice(0, 1)
    one_table, many_groups = _opened(table), _opened(groups)
    spines = {"one key": spine.slice(0, 1), f"{SMALL:,} keys": spine.slice(0, SMALL), "all keys": spine}
    return Lookups(
        small_join=_warm(lambda: _join(one_table, spine.slice(0, SMALL), table.references), request.calls),
        one_example=_warm(lambda: _join(many_groups, example, groups.references), request.calls),
        whole_join=_seconds(lambda: _join(one_table, spine, table.references)),
        whole_read=_seconds(lambda: _read(table)),
        files_read={name: files_read(one_table, rows, table.references) for name, rows in spines.items()},
    )


def _opened(dataset: Dataset) -> OfflineStore:
    return FeatureStore.open(Settings(warehouse=dataset.warehouse)).tenant(TENANT)


def _join(store: OfflineStore, spine: pa.Table, references: list[str]) -> object:
    options: dict[str, Any] = {"host": "in_process"}
    return store.get_point_in_time(spine, references, **options)


def _read(dataset: Dataset) -> None:
    for group in dataset.groups:
        rows = ds.dataset(group.files, format="parquet")
        for _ in rows.to_batches(columns=[*dataset.keys, TIME, *group.features]):
            pass


def files_read(store: OfflineStore, spine: pa.Table, references: list[str]) -> FilesRead:
    """What the join of this spine reads: its reads are counted while it runs."""
    read = OpenedParquet.read
    reads: list[tuple[OpenedParquet, Sequence[int], int]] = []

    def counted(file: OpenedParquet, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        reads.append((file, groups, file.stored_bytes(groups, columns)))
        return read(file, groups, columns)

    with patch.object(OpenedParquet, "read", counted):
        _join(store, spine, references)
    row_groups = {(id(file), group) for file, groups, _ in reads for group in groups}
    return FilesRead(sum(size for _, _, size in reads), len(row_groups))


def _warm(call: Callable[[], object], calls: int) -> list[float]:
    call()
    return [_seconds(call) for _ in range(calls)]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    measured = measure(Request(**json.loads(sys.argv[1])))
    if "pyspark" in sys.modules:
        raise RuntimeError("a lookup loaded Spark, so these are not the costs without it")
    print(json.dumps(asdict(measured)))
