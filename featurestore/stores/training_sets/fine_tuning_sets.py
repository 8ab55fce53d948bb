"""Fine-tuning sets on disk: lines of chat messages in shards, one folder per part, and a manifest beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from featurestore.columnar.text.json_lines import LINE_END
from featurestore.definitions.lookup import Lookup
from featurestore.errors import InvariantError
from featurestore.frames.text.chat import ALL
from featurestore.late_spark import DataFrame, F
from featurestore.stores.files.exports import Staging, WrittenFile, write_lines
from featurestore.stores.files.local_exports import text_of
from featurestore.stores.training_sets.manifests import DerivedSnapshot, GroupSnapshot

_PLACE = re.compile(r"part=([^/]+)/shard=(\d+)/[^/]+")


class FineTuningFile(BaseModel):
    """A shard; ``path`` is relative to the set's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    part: str
    rows: int
    bytes: int


class FineTuningManifest(BaseModel):
    """Everything that a fine-tuning set was made from; of a ``format_fn`` only the name, not the code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: str
    name: str
    created_at: datetime
    code_version: str
    row_count: int
    left_out: dict[str, int]
    # Per input, the number of lines in which it is null; manifests of earlier versions do not have this.
    missing_inputs: dict[str, int] = {}
    parts: dict[str, int]
    files: tuple[FineTuningFile, ...]
    features: tuple[Lookup, ...]
    output: str
    system: str | None
    template: str | None
    format_fn: str | None
    timestamp_column: str
    known_at: Literal["event"] | datetime | None
    sample_size: int | None
    seed: int
    split: Any
    groups: tuple[GroupSnapshot, ...]
    # A hash of the request, the spine, the groups' definitions and the code's version, by which the same call knows its
    # set. None with a ``format_fn``, whose code cannot be compared, and in manifests of earlier versions.
    made_from: str | None = None
    # The derived features that were computed, each after those that it reads.
    derived: tuple[DerivedSnapshot, ...] = ()


def write_shards(
    staging: Staging, made: DataFrame, shards: int, parts: Mapping[str, int]
) -> tuple[FineTuningFile, ...]:
    """Write the lines of ``made`` (see ``chat_lines``) to at most ``shards`` files per part; one if the part is empty.

    The hashes of a line's row determine its shard and its place there. Raises InvariantError if the files do not hold
    the lines: the number of each part that ``parts`` states, and their total length.
    """
    shard = F.pmod(F.col("hash_1"), F.lit(shards)).cast("int").alias("shard")
    lines = made.where(F.col("line").isNotNull()).select(
        "part", shard, "hash_1", "hash_2", F.col("line").alias("value")
    )
    length = F.sum(F.octet_length("value") + F.lit(len(LINE_END))).alias("bytes")
    totals = lines.groupBy("part", "shard").agg(F.count(F.lit(1)).alias("rows"), length).collect()
    order = ["part", "shard", "hash_1", "hash_2", "value"]
    in_order = lines.repartition(max(1, len(totals)), "part", "shard").sortWithinPartitions(*order)
    _, written = write_lines(staging, in_order.select("value", "part", "shard"), LINE_END, by=("part", "shard"))
    by_place = {_place(file): file for file in written}
    for part, rows in parts.items():
        staging.check_total(f"rows of {part}", sum(row["rows"] for row in totals if row["part"] == part), rows)
    files = [
        _take(staging, by_place.get((row["part"], row["shard"])), row["part"], row["shard"], row["rows"], row["bytes"])
        for row in sorted(totals, key=lambda row: (list(parts).index(row["part"]), row["shard"]))
    ]
    staging.check_total("files", len(written), len(totals))
    return (*files, *(_empty(staging, part) for part, rows in parts.items() if not rows))


def write_local_shards(
    staging: Staging, made: pa.Table, shards: int, parts: Mapping[str, int]
) -> tuple[FineTuningFile, ...]:
    """The same of lines in this process, at a place on this machine."""
    lines = made.filter(made.column("line").is_valid())
    shard = pa.array(lines.column("hash_1").to_numpy() % shards)
    numbered = lines.append_column("shard", shard).select(["part", "shard", "hash_1", "hash_2", "line"])
    files: list[FineTuningFile] = []
    for part, rows in parts.items():
        of_part = numbered.filter(pc.equal(numbered.column("part"), part))
        staging.check_total(f"rows of {part}", of_part.num_rows, rows)
        in_order = of_part.sort_by([(name, "ascending") for name in of_part.column_names])
        numbers, counts = np.unique(in_order.column("shard").to_numpy(), return_counts=True)
        starts = np.cumsum(counts) - counts
        for number, start, count in zip(numbers.tolist(), starts.tolist(), counts.tolist(), strict=True):
            files.append(_written(staging, part, number, in_order.column("line").slice(start, count)))
    return (*files, *(_empty(staging, part) for part, rows in parts.items() if not rows))


def _written(staging: Staging, part: str, shard: int, lines: pa.ChunkedArray) -> FineTuningFile:
    name = _file_name(part, shard)
    place = staging.local_place(name)
    written = 0
    with place.open("xb") as file:
        for chunk in lines.chunks:
            written += file.write(text_of(pc.binary_join_element_wise(chunk, LINE_END, "")))
    staging.check_total(f"bytes in shard {shard} of {part}", place.stat().st_size, written)
    return FineTuningFile(path=name, part=part, rows=len(lines), bytes=written)


def _place(file: WrittenFile) -> tuple[str, int]:
    """Return the part and the shard of a file, by its folders."""
    match = _PLACE.fullmatch(file.path)
    if match is None:
        raise InvariantError(f"{file.path}: Spark wrote a file where none was expected; nothing was made visible")
    return match[1], int(match[2])


def _take(staging: Staging, file: WrittenFile | None, part: str, shard: int, rows: int, bytes: int) -> FineTuningFile:
    staging.check_total(f"bytes in shard {shard} of {part}", file.bytes if file is not None else 0, bytes)
    assert file is not None
    name = _file_name(part, shard)
    staging.take(file.path, name)
    return FineTuningFile(path=name, part=part, rows=rows, bytes=bytes)


def _empty(staging: Staging, part: str) -> FineTuningFile:
    name = _file_name(part, 0)
    staging.write_text(name, "")
    return FineTuningFile(path=name, part=part, rows=0, bytes=0)


def _file_name(part: str, shard: int) -> str:
    name = f"part-{shard:05d}.jsonl"
    return name if part == ALL else f"{part}/{name}"
