"""A similarity search as it is asked, checked: what to search, by which vector, among whom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import parse_reference
from featurestore.errors import InvalidArgumentError
from featurestore.frames.columns import column
from featurestore.frames.rows.faults import Fault
from featurestore.frames.rows.local_rows import read_values
from featurestore.frames.vectors.filters import ColumnFilter, read_filters
from featurestore.frames.vectors.similarity import VectorColumns
from featurestore.operations.context import Context
from featurestore.operations.entities import entity_key
from featurestore.operations.instants import argument_count, argument_instant


@dataclass(frozen=True)
class SimilaritySearch:
    """What is asked, checked."""

    group: FeatureGroup
    feature: Feature
    model_column: str
    at: datetime
    limit: int
    threshold: float
    filters: tuple[ColumnFilter, ...]
    model_version: str | None
    # No moment was named: vectors as they are valid now, which an index of them may tell.
    present: bool = True
    exact: bool | None = None

    @property
    def reference(self) -> str:
        return f"{self.group.name}:{self.feature.name}"

    @property
    def columns(self) -> VectorColumns:
        names = [one.name for one in self.filters]
        return VectorColumns(
            keys=tuple(self.group.join_keys),
            vector=self.feature.name,
            model=self.model_column,
            others=tuple(names),
            asked=tuple(name for name in self.group.feature_names if name == self.feature.name or name in names),
            nulls=self.group.nulls,
        )

    def passes(self, of_keys: bool) -> Column:
        """The filters on join keys, which never change and are applied before all else, or those on features."""
        passes = F.lit(True)
        for one in self.filters:
            if (one.name in self.group.join_keys) == of_keys:
                passes = passes & one.condition(column(one.name))
        return passes


def check_search(
    context: Context,
    reference: str,
    limit: object,
    threshold: object,
    at: object,
    filters: object,
    model_version: object,
    exact: object = None,
) -> SimilaritySearch:
    """Raises NotFoundError with the nearest names, and InvalidArgumentError for what cannot be searched by."""
    group_name, name = parse_reference(reference)
    group = context.group(group_name)
    feature = group.feature(name)
    model_column = feature.model_version_column
    if model_column is None:
        raise InvalidArgumentError(
            f"feature {reference!r} is {feature.type}; similar ones are found for embedding(dims)"
        )
    zone = context.settings.timestamp_zone
    words: dict[str, str] = {**group.entity.join_keys, **{one.name: one.type for one in group.features}}
    return SimilaritySearch(
        group=group,
        feature=feature,
        model_column=model_column,
        at=context.clock() if at is None else argument_instant("at", at, zone, "down"),
        limit=argument_count("limit", limit),
        threshold=_check_threshold(threshold),
        filters=tuple(read_filters(filters, words, f"group {group.name!r}", zone)),
        model_version=_check_model_version(model_version),
        present=at is None,
        exact=_check_exact(exact),
    )


def _check_threshold(threshold: object) -> float:
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not number or not -1 <= cast(float, threshold) <= 1:
        raise InvalidArgumentError(f"threshold is {threshold!r}; give a cosine similarity from -1 to 1, both included")
    return float(cast(float, threshold))


def _check_model_version(model_version: object) -> str | None:
    if model_version is None or (isinstance(model_version, str) and model_version):
        return model_version
    raise InvalidArgumentError(f"model_version is {model_version!r}; give its name, or none")


def _check_exact(exact: object) -> bool | None:
    if exact is None or isinstance(exact, bool):
        return exact
    raise InvalidArgumentError(f"exact is {exact!r}; give True, False, or none for whichever is at hand")


@dataclass(frozen=True)
class Asked:
    """What is searched by: a vector, or the entity whose own vector it is; exactly one of the two."""

    vector: list[float] | None = None
    entity: dict[str, Any] | None = None


def read_query(context: Context, given: object, search: SimilaritySearch) -> Asked:
    """Raises InvalidArgumentError where it is neither a vector of the feature's dims nor an entity."""
    if isinstance(given, Mapping):
        return Asked(entity=entity_key(search.group.entity, given, context.settings.timestamp_zone))
    return Asked(vector=read_vector(given, search))


def read_vector(given: object, search: SimilaritySearch) -> list[float]:
    """The query in double precision; raises InvalidArgumentError where it is no vector of the feature's dims."""
    dims = cast(int, search.feature.feature_type.dims)
    wanted = f"{search.reference!r} has vectors of {dims} finite numbers"
    if isinstance(given, pd.Series):
        given = given.to_numpy()
    if not isinstance(given, list | tuple | np.ndarray) or (isinstance(given, np.ndarray) and not _is_vector(given)):
        told = _word(given)
        key = {name: f"<{kind}>" for name, kind in search.group.entity.join_keys.items()}
        raise InvalidArgumentError(
            f"{'' if isinstance(given, np.ndarray) else f'{given!r} is '}{told}, which cannot be searched by: {wanted}; give "
            f"one, or an entity as a mapping of its join keys, as in {key}"
        )
    if len(given) != dims:
        raise InvalidArgumentError(f"the vector has {len(given)} dims, and {wanted}")
    faults: list[list[Fault]] = [[]]
    [vector] = read_values([given], "the vector", "array<double>", faults).to_pylist()
    if faults[0] or any(number is None or not math.isfinite(number) for number in vector):
        reason = "; ".join(map(str, faults[0])) or "the vector holds a number that is missing or not finite"
        raise InvalidArgumentError(f"{reason}; {wanted}")
    if not any(vector):
        raise InvalidArgumentError("the vector is zero in all dims: it has no direction, and nothing is similar to it")
    return list(vector)


def _is_vector(given: np.ndarray[Any, Any]) -> bool:
    """Whether the array has one dimension, of numbers: NumPy would give those of moments as integers."""
    return given.ndim == 1 and given.dtype.kind in "iufO"


def _word(given: object) -> str:
    if not isinstance(given, np.ndarray):
        return type(given).__name__
    return f"an array of {given.dtype}" if given.ndim == 1 else f"an array of shape {given.shape}"
