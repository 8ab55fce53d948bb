"""Derived features in an as-of join: which columns they are, and how these are computed from the joined rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from featurestore.columnar.derived.derived_feature import DerivedFeature, computation_of
from featurestore.columnar.derived.steps import DerivedStep
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import DERIVED
from featurestore.errors import SpineError, nearest

# How the columns of inputs that were not asked for begin; no feature has such a name.
HIDDEN = "__input"


@dataclass(frozen=True)
class DerivedColumn:
    """One column that is computed: the feature, the column by the name of each input, and the output column."""

    feature: DerivedFeature
    columns: Mapping[str, str]
    output: str

    def step(self, keys: Sequence[str]) -> DerivedStep:
        computation = computation_of(self.feature)
        return DerivedStep(self.feature.name, computation, dict(self.columns), self.output, tuple(keys))


@dataclass(frozen=True)
class AskedDerived:
    """Derived features that were asked for together: their names, the prefix of their columns, and the place.

    ``place``: how many lookups of groups come before them in the output.
    """

    names: tuple[str, ...]
    outputs: tuple[str, ...]
    place: int

    @property
    def columns(self) -> dict[str, str]:
        """By feature the output column."""
        return dict(zip(self.names, self.outputs, strict=True))

    @property
    def lookup(self) -> Lookup:
        prefix = self.outputs[0].removesuffix(self.names[0])
        return Lookup(DERIVED, self.names, prefix=prefix or None)


@dataclass(frozen=True)
class DerivedPart:
    """The derived features of a request.

    - ``columns``: each after those that it reads, also those that were not asked for;
    - ``asked``: what was asked for, in order.
    """

    columns: tuple[DerivedColumn, ...] = ()
    asked: tuple[AskedDerived, ...] = ()

    @property
    def outputs(self) -> list[str]:
        """The output columns, in the order of the request."""
        return [name for asked in self.asked for name in asked.outputs]

    @property
    def words(self) -> dict[str, str]:
        """By output column the type of the feature."""
        words = {column.output: column.feature.type for column in self.columns}
        return {name: words[name] for name in self.outputs}

    @property
    def features(self) -> list[DerivedFeature]:
        """Each feature that is computed, once, by name."""
        return list({column.feature.name: column.feature for column in self.columns}.values())

    @property
    def spine_columns(self) -> dict[str, str]:
        """The spine's columns that are inputs, each with a feature that reads it."""
        return {name: column.feature.name for column in self.columns for name in column.feature.spine_columns}

    def check_spine(self, names: Iterable[str]) -> None:
        """Raise SpineError if the spine lacks an input, or has a column that inputs need for themselves."""
        known = list(names)
        for name, feature in self.spine_columns.items():
            if name not in known:
                raise SpineError(
                    f"spine: it has no column {name!r}, an input of derived feature {feature!r}; add it. "
                    f"{nearest(name, known)}"
                )
        for name in known if self.columns else ():
            if name.lower().startswith(HIDDEN):
                raise SpineError(f"spine: column {name!r} has a name that derived features use themselves; rename it")


NO_DERIVED = DerivedPart()
