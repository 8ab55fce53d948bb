"""Texts to vectors: a user's model, called batch by batch on the executors, and only for new texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame, F

Model: TypeAlias = Callable[[list[str]], Sequence[Sequence[float]] | np.ndarray[Any, Any]]

HASH, VECTOR = "__text_hash", "__vector"
_VECTORS = f"{HASH} string, {VECTOR} array<float>"


@dataclass(frozen=True)
class TextModel:
    """A model, and how to call it: with at most ``batch_size`` texts, up to ``attempts`` times.

    Waits between attempts grow from a second to a minute, with random jitter, so that workers do not retry in step.
    """

    call: Model
    dims: int
    batch_size: int = 64
    attempts: int = 5

    def vectors(self, texts: list[str]) -> list[Any]:
        """One vector per text, in order.

        Re-raises the model's last error; raises ValueError if the model returns another number of vectors or dims.
        """
        from tenacity import Retrying, stop_after_attempt, wait_random_exponential

        waits = wait_random_exponential(multiplier=1, max=60)
        vectors = list(Retrying(stop=stop_after_attempt(self.attempts), wait=waits, reraise=True)(self.call, texts))
        if len(vectors) != len(texts):
            raise ValueError(f"the model returned {len(vectors)} vectors for {len(texts)} texts; return one per text")
        for vector in vectors:
            if len(vector) != self.dims:
                raise ValueError(f"the model returned a vector of {len(vector)} dims; the feature has {self.dims}")
        return vectors


def with_text_hash(rows: DataFrame, text: str) -> DataFrame:
    """The rows with ``HASH``, the SHA-256 of the text in UTF-8 as hexadecimal; null for a null text."""
    return rows.withColumn(HASH, F.sha2(column(text).cast("binary"), 256))


def new_texts(rows: DataFrame, text: str, known: DataFrame) -> DataFrame:
    """One row per text without a vector in ``known`` (``HASH``, ``VECTOR``): ``HASH`` and ``text``."""
    texts = rows.where(column(text).isNotNull()).select(HASH, column(text).alias("text")).dropDuplicates([HASH])
    return texts.join(known, HASH, "anti")


def embedded(texts: DataFrame, model: TextModel) -> DataFrame:
    """``HASH`` and ``VECTOR`` of texts (``HASH``, ``text``). Each run of the frame calls the model."""

    def embed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, model.batch_size):
                part = batch.slice(start, model.batch_size)
                vectors = model.vectors(part.column("text").to_pylist())
                plain = [np.asarray(vector, dtype=np.float32) for vector in vectors]
                values = pa.array(np.concatenate(plain), pa.float32())
                offsets = pa.array(range(0, len(values) + 1, model.dims), pa.int32())
                arrays = [part.column(HASH), pa.ListArray.from_arrays(offsets, values)]
                yield pa.RecordBatch.from_arrays(arrays, names=[HASH, VECTOR])

    return texts.mapInArrow(embed, _VECTORS)
