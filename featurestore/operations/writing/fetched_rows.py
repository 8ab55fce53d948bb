"""The rows of a Spark DataFrame in this process, if they are few: all that is left to do then needs no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from featurestore.columnar.rows.names import FAULTS
from featurestore.frames.training_sets.memory_size import row_bytes
from featurestore.late_spark import DataFrame, F, Observation
from featurestore.stores.arrow import MOST_FETCHED, from_spark, is_scalar


@contextmanager
def persisted(rows: DataFrame) -> Iterator[DataFrame]:
    """The frame, which keeps its rows from the first job on until the end; one that its owner persisted stays so."""
    level = rows.storageLevel
    if level.useMemory or level.useDisk:
        yield rows
        return
    frame = rows.persist()
    try:
        yield frame
    finally:
        frame.unpersist()


def can_be_fetched(rows: DataFrame) -> bool:
    """Whether Arrow has all columns as Spark has them."""
    return all(map(_is_plain, _words(rows).values()))


def fetched_rows(rows: DataFrame, most_rows: int) -> pa.Table | None:
    """The rows, with instants in UTC; None if they are too many.

    Costs a job that measures the rows, and one that fetches them. The frame must be persisted, so that both see the
    same rows.
    """
    seen = Observation()
    rows.select(row_bytes(_words(rows)).alias("bytes")).observe(
        seen, F.count(F.lit(1)).alias("rows"), F.coalesce(F.sum("bytes"), F.lit(0)).alias("bytes")
    ).write.format("noop").mode("overwrite").save()
    if seen.get["rows"] > most_rows or seen.get["bytes"] > MOST_FETCHED:
        return None
    return from_spark(rows)


def _words(rows: DataFrame) -> dict[str, str]:
    """Column -> the word for its Spark type, without the faults, which this package adds."""
    return {field.name: field.dataType.simpleString() for field in rows.schema if field.name != FAULTS}


def _is_plain(word: str) -> bool:
    return is_scalar(word.removeprefix("array<").removesuffix(">") if word.startswith("array<") else word)
