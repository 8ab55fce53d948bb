"""What every kind of value answers: the class that a new feature type implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from featurestore.definitions.values.time_window import Finer
from featurestore.definitions.values.types import parse_type
from featurestore.kinds import reasons
from featurestore.kinds.json_text.variants import JsonMember, wrong_json_kind
from featurestore.kinds.late_spark import Column, F, T
from featurestore.kinds.reading import Reading, good


@dataclass(frozen=True)
class Moments:
    """How timestamps are read.

    ``zone``: of those that have none; None refuses them. ``finer``: where those finer than a microsecond go.
    """

    zone: str | None = None
    finer: Finer = "down"


# Instants only, and never later than they were.
STRICT = Moments()


@dataclass(frozen=True)
class Kind(ABC):
    """One feature type: how each route reads its values, the rules that all of them keep, and how it words a fault.

    All routes store the same value, or give the same reason (``reasons``). A cast's form for Arrow or NumPy columns
    belongs beside its forms for Python values and Spark columns.
    """

    # The type as users write it, such as ``embedding(3)``.
    word: str

    # The kinds of JSON values, as Spark names them, that a JSON line may have for it.
    json_kinds: ClassVar[tuple[str, ...]] = ("STRING",)
    # Whether a text is a value of it, so that cells of text stay as they are until ``read_column``.
    is_read_from_text: ClassVar[bool] = False
    # What the numbers of its statistics measure; see ``FeatureStatistics.measure``.
    measure: ClassVar[str] = "none"
    # Whether statistics keep its most frequent values.
    has_frequent_values: ClassVar[bool] = False

    @property
    def storage(self) -> str:
        """The Spark SQL type of the column that holds it."""
        return parse_type(self.word).storage

    @property
    @abstractmethod
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of its values in the process's memory."""

    @property
    @abstractmethod
    def spark_type(self) -> T.DataType:
        """``storage`` as PySpark's type."""

    # Python values

    @abstractmethod
    def read_python(self, value: Any, moments: Moments = STRICT) -> Any:
        """A value that is not missing, losslessly; raises UnreadableError with the reason."""

    def wrong_type(self, value: Any) -> reasons.UnreadableError:
        return reasons.UnreadableError(reasons.wrong_type(self.word, type(value).__name__))

    # Spark columns

    def read_column(self, value: Column, stored: T.DataType, moments: Moments = STRICT) -> Reading | None:
        """How to read a column of the type ``stored``; None where that can never be lossless."""
        return good(value.cast(self.storage)) if isinstance(stored, T.NullType) else self._read(value, stored, moments)

    @abstractmethod
    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        """As ``read_column``, of a column that has a type."""

    # Text: CSV cells and JSON lines

    def read_cell(self, text: Column) -> Reading:
        """A CSV cell; null is a missing value."""
        return good(text)

    def read_json(self, member: JsonMember) -> Reading:
        """A member of a JSON line's object, whose JSON kind must fit; null and an absent member are a missing value."""
        fits = member.kind.isin(*self.json_kinds)
        reading = self._read_json_text(F.when(fits, member.text), member)
        misfit = member.text.isNotNull() & ~fits
        return Reading(reading.value, F.when(misfit, wrong_json_kind(member.kind, self.word)).otherwise(reading.fault))

    def _read_json_text(self, text: Column, member: JsonMember) -> Reading:
        """``text``: the member's value where its JSON kind fits, else null."""
        return self.read_cell(text)

    # Rules

    def broken_rules(self, value: Column) -> list[tuple[str, Column]]:
        """What every value of the type must keep: how each rule is called in a reason, and when a value breaks it."""
        return []

    def is_comparable(self, value: Column) -> Column:
        """Whether bounds apply to a value."""
        return F.lit(True)

    def length(self, value: Column) -> Column:
        return F.length(value)

    # Statistics

    def narrowed(self, value: Column) -> Column:
        """All that statistics need of a value; null for null."""
        return value

    def number(self, narrowed: Column) -> Column:
        """The double that ``measure`` names, of a narrowed value."""
        return F.lit(None).cast("double")

    def hashed(self, narrowed: Column) -> Column:
        """By which distinct values are counted."""
        return F.when(narrowed.isNotNull(), F.xxhash64(narrowed))


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, and pandas' and NumPy's own. Not-a-number is a value."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, np.datetime64 | np.timedelta64) and bool(np.isnat(value))
