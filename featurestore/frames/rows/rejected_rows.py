"""Which rejected rows of a frame are about given entities; the rule is in ``columnar/erased/rejected_texts.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from featurestore.columnar.erased.rejected_texts import RejectedRow, candidates, mentions, spellings_of
from featurestore.definitions.values.types import storage_of_key
from featurestore.frames.schema import data_type
from featurestore.late_spark import DataFrame, F, StringType, StructField, StructType


def about_any(rows: DataFrame, entities: Sequence[Mapping[str, Any]]) -> DataFrame:
    """The distinct texts (``row``) of those rejected rows (``row``, ``reasons``) that are about one of the entities."""
    spellings = [spellings_of(entity) for entity in entities]

    def about(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts, reasons = batch.column("row").to_pylist(), batch.column("reasons").to_pylist()
            rejected = [RejectedRow(text or "", why or ()) for text, why in zip(texts, reasons, strict=True)]
            matches = [any(row.is_about(entity) for entity in spellings) for row in rejected]
            yield batch.select(["row"]).filter(pa.array(matches, pa.bool_()))

    return rows.select("row", "reasons").distinct().mapInArrow(about, "row string").distinct()


def mentions_of_any(rows: DataFrame, text: str, entities: Sequence[Mapping[str, Any]]) -> DataFrame:
    """The distinct texts of a column that contain all join keys of one of the entities anywhere."""
    spellings = [spellings_of(entity) for entity in entities]

    def mentioning(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts = batch.column(text).to_pylist()
            matches = [any(mentions(content, entity) for entity in spellings) for content in texts]
            yield batch.filter(pa.array(matches, pa.bool_()))

    contents = rows.where(F.col(text).isNotNull()).select(text)
    return contents.distinct().mapInArrow(mentioning, contents.schema).distinct()


def may_be_about(rows: DataFrame, text: str, reasons: str, kinds: Mapping[str, str]) -> DataFrame:
    """One row per rejected row's ``text`` and entity that it may be about: the text and the entity's join keys."""
    fields = [StructField("text", StringType())]
    fields += [StructField(name, data_type(storage_of_key(kind))) for name, kind in kinds.items()]

    def about(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts, why = batch.column("text").to_pylist(), batch.column("reasons").to_pylist()
            yield from candidates(list(zip(texts, why, strict=True)), kinds).to_batches()

    named = rows.where(F.col(text).isNotNull()).select(F.col(text).alias("text"), F.col(reasons).alias("reasons"))
    return named.distinct().mapInArrow(about, StructType(fields))
