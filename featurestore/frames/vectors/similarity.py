"""Cosine similarity of stored vectors to one query, and each entity's latest vector.

Spark's own vector functions compute in single precision, tens of times as fast as the same in double precision. So
single precision selects the vectors that can be among the closest, within a proven margin, and double precision
computes exactly how close these are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from featurestore.columnar.schema import TIME_COLUMNS
from featurestore.columnar.values.newest_vectors import VectorColumns
from featurestore.frames.columns import column
from featurestore.frames.corrections import sort_value
from featurestore.late_spark import Column, DataFrame, F

SIMILARITY = "__similarity"
# Double precision is good to these. So a vector's similarity to itself is exactly 1, and vectors of one direction tie.
_DECIMALS = 12

_USABLE, _CONTENT, _LATEST = "__usable", "__content", "__latest"
# Up to this power of ten of a squared length, or its inverse, single precision neither overflows nor underflows.
_SAFE = 20


@dataclass(frozen=True)
class Query:
    """A direction: a vector scaled to length 1."""

    unit: tuple[float, ...]

    @classmethod
    def of(cls, vector: Sequence[float]) -> Query:
        """The direction of a finite vector that is not zero."""
        numbers = np.asarray(vector, dtype=np.float64)
        # First by the greatest number, because squares of very large or small ones would leave the range of a double.
        scaled = numbers / np.abs(numbers).max()
        return cls(tuple((scaled / np.sqrt(scaled @ scaled)).tolist()))

    @property
    def margin(self) -> float:
        """The greatest difference between ``near`` and the similarity.

        A sum of n products in unit roundoff u is off by at most n u / (1 - n u) times the product of the lengths, in
        any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1). The
        squares of both lengths are such sums, too, and the root halves their error: 2 n u together, doubled here to
        cover the few other roundings.
        """
        return 4 * (len(self.unit) + 2) * 2.0**-24

    def near(self, vector: Column) -> Column:
        """The similarity to within ``margin``; null for null and for a vector that is zero."""
        square = F.call_function("vector_inner_product", vector, vector)
        cosine = F.call_function("vector_cosine_similarity", vector, self._literal.cast("array<float>"))
        return F.when(F.abs(F.log10(square)) <= _SAFE, cosine.cast("double")).otherwise(self.exact(vector))

    def exact(self, vector: Column) -> Column:
        """The similarity in double precision, to 12 decimals; null for null and for a vector that is zero."""
        product = _sum(F.zip_with(vector, self._literal, lambda number, unit: number.cast("double") * unit))
        square = _sum(F.transform(vector, lambda number: number.cast("double") * number.cast("double")))
        return F.round(F.try_divide(product, F.sqrt(square)), _DECIMALS)

    @property
    def _literal(self) -> Column:
        # One text is one node of the plan until Spark folds it; one literal per number would take thousands of calls.
        return F.split(F.lit(",".join(map(repr, self.unit))), ",").cast("array<double>")


def _sum(numbers: Column) -> Column:
    return F.aggregate(numbers, F.lit(0.0), lambda total, number: total + number)


def latest_similarities(
    values: DataFrame, columns: VectorColumns, model_version: str, similarity: Callable[[Column], Column]
) -> DataFrame:
    """One row per entity with a vector of the model version: keys, ``SIMILARITY``, both timestamps, the others.

    ``nulls="skip"``: the latest vector of that version, and the latest value of each other column; ``"keep"``: the
    latest row as a whole, if it has such a vector. Rows are in the order of the as-of join. The similarity is computed
    row by row, before anything is sorted or shuffled, so that no vector is moved.
    """
    usable = column(columns.vector).isNotNull() & (column(columns.model) == F.lit(model_version))
    rows = values.select(
        *(column(name) for name in dict.fromkeys((*columns.keys, *TIME_COLUMNS, *columns.others))),
        usable.alias(_USABLE),
        F.when(usable, similarity(column(columns.vector))).alias(SIMILARITY),
        sort_value(values, columns.vector).alias(_CONTENT),
    )
    content = [F.col(_CONTENT) if name == columns.vector else column(name) for name in columns.features]
    order = F.struct(*TIME_COLUMNS, *content)
    others = [name for name in columns.others if name not in columns.keys]
    match = [F.col(SIMILARITY), *(F.col(name) for name in TIME_COLUMNS)]
    entities = rows.groupBy(*(column(key) for key in columns.keys))
    if columns.nulls == "keep":
        row = F.struct(*match, F.col(_USABLE), *(column(name) for name in others))
        latest = entities.agg(F.max_by(row, order).alias(_LATEST)).where(F.col(_LATEST)[_USABLE])
        other_values = [F.col(_LATEST)[name].alias(name) for name in others]
    else:
        latest = entities.agg(
            F.max_by(F.struct(*match), F.when(F.col(_USABLE), order)).alias(_LATEST),
            *(F.max_by(column(name), F.when(column(name).isNotNull(), order)).alias(name) for name in others),
        ).where(F.col(_LATEST).isNotNull())
        other_values = [column(name) for name in others]
    return latest.select(
        *(column(key) for key in columns.keys),
        *(F.col(_LATEST)[name].alias(name) for name in (SIMILARITY, *TIME_COLUMNS)),
        *other_values,
    )


def closest(rows: DataFrame, keys: Sequence[str], threshold: float, limit: int) -> DataFrame:
    """The ``limit`` most similar rows, of at least ``threshold``, most similar first; ties by key."""
    similarity = F.col(SIMILARITY)
    order = [similarity.desc(), *(column(key).asc() for key in keys)]
    return rows.where(similarity >= F.lit(threshold)).orderBy(*order).limit(limit)
