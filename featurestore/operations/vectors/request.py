"""The request of a similarity search, and the search after the request was checked against the registry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np

from featurestore.columnar.rows.faults import Fault
from featurestore.columnar.rows.local_rows import read_values
from featurestore.columnar.values.newest_vectors import VectorColumns
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import parse_reference
from featurestore.errors import InvalidArgumentError
from featurestore.frames.columns import column
from featurestore.frames.vectors.filters import ColumnFilter, read_filters
from featurestore.late_pandas import pd
from featurestore.late_spark import Column, F
from featurestore.operations.context import Context
from featurestore.operations.entities import entity_key
from featurestore.operations.instants import argument_count, argument_instant


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """A caller's options of a similarity search; ``OfflineStore.search_similar_embeddings`` explains each."""

    feature: str
    limit: int
    threshold: float
    at: Any
    filters: Mapping[str, Any] | None
    model_version: str | None
    exact: bool | None


@dataclass(frozen=True, kw_only=True)
class SimilaritySearch:
    """A checked request: the feature, its current group, the instant, and the filters with their types."""

    group: FeatureGroup
    feature: Feature
    model_column: str
    at: datetime
    limit: int
    threshold: float
    filters: tuple[ColumnFilter, ...]
    model_version: str | None
    # The request names no instant, so an index of currently valid vectors may answer it.
    present: bool
    exact: bool | None

    @property
    def reference(self) -> str:
        return f"{self.group.name}:{self.feature.name}"

    @property
    def columns(self) -> VectorColumns:
        names = [filter.name for filter in self.filters]
        return VectorColumns(
            keys=tuple(self.group.join_keys),
            vector=self.feature.name,
            model=self.model_column,
            others=tuple(names),
            features=tuple(name for name in self.group.feature_names if name == self.feature.name or name in names),
            nulls=self.group.nulls,
        )

    def passes(self, of_keys: bool) -> Column:
        """The condition of the filters on join keys, applied first as keys never change, or of those on features."""
        passes = F.lit(True)
        for filter in self.filters:
            if (filter.name in self.group.join_keys) == of_keys:
                passes = passes & filter.condition(column(filter.name))
        return passes


def check_search(context: Context, request: SearchRequest) -> SimilaritySearch:
    """Check a request; raises NotFoundError with the nearest names, and InvalidArgumentError for invalid options."""
    group_name, name = parse_reference(request.feature)
    group = context.group_with_values(group_name)
    feature = group.feature(name)
    model_column = feature.model_version_column
    if model_column is None:
        raise InvalidArgumentError(
            f"feature {request.feature!r} is {feature.type}; only an embedding(dims) can be searched by similarity"
        )
    zone = context.settings.timestamp_zone
    words: dict[str, str] = {**group.entity.join_keys, **{each.name: each.type for each in group.features}}
    return SimilaritySearch(
        group=group,
        feature=feature,
        model_column=model_column,
        at=context.clock() if request.at is None else argument_instant("at", request.at, zone, "down"),
        limit=argument_count("limit", request.limit),
        threshold=_check_threshold(request.threshold),
        filters=tuple(read_filters(request.filters, words, f"group {group.name!r}", zone)),
        model_version=_check_model_version(request.model_version),
        present=request.at is None,
        exact=_check_exact(request.exact),
    )


def _check_threshold(threshold: object) -> float:
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not is_number or not -1 <= cast(float, threshold) <= 1:
        raise InvalidArgumentError(f"threshold is {threshold!r}; give a cosine similarity from -1 to 1, both included")
    return float(cast(float, threshold))


def _check_model_version(model_version: object) -> str | None:
    if model_version is None or (isinstance(model_version, str) and model_version):
        return model_version
    raise InvalidArgumentError(f"model_version is {model_version!r}; give its name, or None")


def _check_exact(exact: object) -> bool | None:
    if exact is None or isinstance(exact, bool):
        return exact
    raise InvalidArgumentError(f"exact is {exact!r}; give True, False, or None for whichever is available")


@dataclass(frozen=True)
class SearchQuery:
    """A vector to compare with, or the entity that it belongs to; exactly one of the two is set."""

    vector: list[float] | None = None
    entity: dict[str, Any] | None = None


def read_query(context: Context, query: object, search: SimilaritySearch) -> SearchQuery:
    """Read a query; raises InvalidArgumentError unless it is a vector of the feature's dims or an entity."""
    if isinstance(query, Mapping):
        return SearchQuery(entity=entity_key(search.group.entity, query, context.settings.timestamp_zone))
    return SearchQuery(vector=read_vector(query, search))


def read_vector(query: object, search: SimilaritySearch) -> list[float]:
    """The query in double precision; raises InvalidArgumentError unless it is a vector of the feature's dims."""
    dims = cast(int, search.feature.feature_type.dims)
    requirement = f"{search.reference!r} has vectors of {dims} finite numbers"
    if isinstance(query, pd.Series):
        query = query.to_numpy()
    if not isinstance(query, list | tuple | np.ndarray) or (isinstance(query, np.ndarray) and not _is_vector(query)):
        kind = _kind(query)
        key = {name: f"<{word}>" for name, word in search.group.entity.join_keys.items()}
        raise InvalidArgumentError(
            f"{'' if isinstance(query, np.ndarray) else f'{query!r} is '}{kind}, which cannot be searched by: "
            f"{requirement}; give one, or an entity as a mapping of its join keys, as in {key}"
        )
    if len(query) != dims:
        raise InvalidArgumentError(f"the vector has {len(query)} dims, and {requirement}")
    faults: list[list[Fault]] = [[]]
    [vector] = read_values([query], "the vector", "array<double>", faults).to_pylist()
    if faults[0] or any(number is None or not math.isfinite(number) for number in vector):
        reason = "; ".join(map(str, faults[0])) or "the vector holds a number that is missing or not finite"
        raise InvalidArgumentError(f"{reason}; {requirement}")
    if not any(vector):
        raise InvalidArgumentError("the vector is zero in all dims: it has no direction, and nothing is similar to it")
    return list(vector)


def _is_vector(query: np.ndarray[Any, Any]) -> bool:
    """Whether the array is one-dimensional and of numbers: NumPy would convert instants to integers."""
    return query.ndim == 1 and query.dtype.kind in "iufO"


def _kind(query: object) -> str:
    if not isinstance(query, np.ndarray):
        return type(query).__name__
    return f"an array of {query.dtype}" if query.ndim == 1 else f"an array of shape {query.shape}"
