"""The interface of every kind of value: the class that a new feature type implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.definitions.values.time_window import Finer
from featurestore.definitions.values.types import parse_type
from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns.numbers import is_number_type as is_arrow_number
from featurestore.kinds.arrow_columns.reading import ArrowReading, Mask, every_row, fine, one_array
from featurestore.kinds.json_text.json_members import ArrowMembers, scalar_text, wrong_json_kinds
from featurestore.kinds.json_text.variants import NUMBERS, JsonMember, wrong_json_kind
from featurestore.kinds.number_columns import is_number_type
from featurestore.kinds.reading import Reading, good
from featurestore.late_pandas import is_missing_in_pandas
from featurestore.late_spark import Column, F, T


@dataclass(frozen=True)
class Moments:
    """How timestamps are read.

    ``zone``: the zone of timestamps that have none; None refuses them. ``finer``: whether timestamps finer than a
    microsecond are rounded up or down.
    """

    zone: str | None = None
    finer: Finer = "down"


# Accepts instants only, and never makes one later.
STRICT = Moments()


@dataclass(frozen=True)
class Kind(ABC):
    """One feature type: how each route reads its values, the rules of all values, and the wording of a fault.

    All routes store the same value, or give the same reason (``reasons``). A cast for Arrow or NumPy columns belongs
    next to the casts for Python values and Spark columns.
    """

    # The type as users write it, such as ``embedding(3)``.
    word: str

    # The kinds of JSON values, as Spark names them, that a JSON line may hold for this type.
    json_kinds: ClassVar[tuple[str, ...]] = ("STRING",)
    # Whether a text can be a value, so that text cells stay unchanged until ``read_column``.
    is_read_from_text: ClassVar[bool] = False
    # What the numbers in its statistics measure; see ``FeatureStatistics.measure``.
    measure: ClassVar[str] = "none"
    # Whether statistics list its most frequent values.
    has_frequent_values: ClassVar[bool] = False

    @property
    def storage(self) -> str:
        """The Spark SQL type of its column."""
        return parse_type(self.word).storage

    @property
    @abstractmethod
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of its values in this process's memory."""

    @property
    @abstractmethod
    def spark_type(self) -> T.DataType:
        """``storage`` as PySpark's type."""

    # Python values

    @abstractmethod
    def read_python(self, value: Any, moments: Moments = STRICT) -> Any:
        """Read a value that is not missing, without loss; raises UnreadableError with the reason."""

    def wrong_type(self, value: Any) -> reasons.UnreadableError:
        return reasons.UnreadableError(reasons.wrong_type(self.word, type(value).__name__))

    # Spark columns

    def read_column(self, value: Column, stored: T.DataType, moments: Moments = STRICT) -> Reading | None:
        """Read a column of the type ``stored``; None if that type can never be read without loss."""
        return good(value.cast(self.storage)) if isinstance(stored, T.NullType) else self._read(value, stored, moments)

    @abstractmethod
    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        """The same as ``read_column``, for a column whose type is not null."""

    # Arrow columns, in the types that ``plain_array`` gives

    def read_arrow(self, value: Any, moments: Moments = STRICT) -> ArrowReading | None:
        """Read an Arrow column as ``read_column`` reads Spark's: the same values, the same reasons; None alike.

        Raises UndecidedError for the few values about which only Spark can say what it does.
        """
        array = one_array(value)
        if pa.types.is_null(array.type):
            return fine(pa.nulls(len(array), self.arrow_type))
        return self._read_arrow(array, moments)

    @abstractmethod
    def _read_arrow(self, value: pa.Array, moments: Moments) -> ArrowReading | None:
        """The same as ``read_arrow``, for a column whose type is not null."""

    # Text: CSV cells and JSON lines

    def read_cell(self, text: Column) -> Reading:
        """Read a CSV cell; null is a missing value."""
        return good(text)

    def read_json(self, member: JsonMember) -> Reading:
        """Read a member of a JSON line's object. Its JSON kind must fit; null or no member is a missing value."""
        fits = member.kind.isin(*self.json_kinds)
        reading = self._read_json_text(F.when(fits, member.text), member)
        misfit = member.text.isNotNull() & ~fits
        return Reading(reading.value, F.when(misfit, wrong_json_kind(member.kind, self.word)).otherwise(reading.fault))

    def _read_json_text(self, text: Column, member: JsonMember) -> Reading:
        """Read ``text``: the member's value if its JSON kind fits, else null."""
        return self.read_cell(text)

    # The same text in Arrow: the same values and reasons; UndecidedError for what only Spark can decide

    def read_cells(self, texts: pa.Array) -> ArrowReading:
        """Read CSV cells as ``read_cell`` reads Spark's."""
        return fine(texts)

    def read_members(self, members: ArrowMembers) -> ArrowReading:
        """Read a member of JSON lines' objects as ``read_json`` reads Spark's."""
        fits = members.are_of(self.json_kinds)
        reading = self._read_members(members, fits)
        misfits = ~fits & ~members.are_of(("VOID",))
        if not misfits.any():
            return reading
        reasons_of_misfits = wrong_json_kinds(members.kinds, misfits, self.word)
        return ArrowReading(reading.value, pc.coalesce(reasons_of_misfits, reading.fault))

    def _read_members(self, members: ArrowMembers, fits: Mask) -> ArrowReading:
        """Read those members that ``fits`` is true of; the others have no value."""
        return self.read_cells(texts_of(members, fits))

    # Rules

    def broken_rules(self, value: Column) -> list[tuple[str, Column]]:
        """The rules for every value of the type: each rule's name in a reason, and the condition that breaks it."""
        return []

    def is_comparable(self, value: Column) -> Column:
        """Whether bounds apply to a value."""
        return F.lit(True)

    def length(self, value: Column) -> Column:
        return F.length(value)

    def broken_arrow_rules(self, value: pa.Array) -> list[tuple[str, Mask]]:
        """The same rules as ``broken_rules``, for an Arrow column; a mask is false of null."""
        return []

    def is_arrow_comparable(self, value: pa.Array) -> Mask:
        return every_row(value)

    def arrow_lengths(self, value: pa.Array) -> pa.Array:
        return pc.utf8_length(value)

    # Statistics

    def narrowed(self, value: Column) -> Column:
        """The part of a value that statistics need; null for null."""
        return value

    def number(self, narrowed: Column) -> Column:
        """A narrowed value as the double that ``measure`` names."""
        return F.lit(None).cast("double")

    def hashed(self, narrowed: Column) -> Column:
        """A narrowed value as the hash by which distinct values are counted."""
        return F.when(narrowed.isNotNull(), F.xxhash64(narrowed))


class Number(Kind):
    """A kind whose values are single numbers."""

    json_kinds: ClassVar[tuple[str, ...]] = NUMBERS
    measure = "value"

    @abstractmethod
    def read_number(self, value: Column, stored: T.DataType) -> Reading:
        """Read a column of numbers; ``stored`` is its type."""

    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        return self.read_number(value, stored) if is_number_type(stored) else None

    @abstractmethod
    def read_arrow_number(self, value: pa.Array) -> ArrowReading:
        """Read an Arrow column of numbers."""

    def _read_arrow(self, value: pa.Array, moments: Moments) -> ArrowReading | None:
        return self.read_arrow_number(value) if is_arrow_number(value.type) else None

    def number(self, narrowed: Column) -> Column:
        return narrowed.cast("double")


def texts_of(members: ArrowMembers, fits: Mask) -> pa.Array:
    """The texts of those members that ``fits`` is true of; null for the others."""
    pairs = zip(members.values, fits.tolist(), strict=True)
    return pa.array([scalar_text(value) if is_fit else None for value, is_fit in pairs], pa.string())


def is_missing(value: Any) -> bool:
    """Whether a value is missing: None, ``pd.NA`` or ``NaT``. NaN is a value."""
    if value is None or is_missing_in_pandas(value):
        return True
    return isinstance(value, np.datetime64 | np.timedelta64) and bool(np.isnat(value))
