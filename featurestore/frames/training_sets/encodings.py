"""A training set's columns as numbers: each type has one encoding to float64, which can be decoded to the same column.

docs/encodings.md has the table. Numbers that a float64 cannot hold exactly are refused, never rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from featurestore.errors import InvalidArgumentError
from featurestore.frames.training_sets.pandas_columns import (
    WHOLE,
    boolean_series,
    exact_as_float,
    matrix_of,
    vector_columns,
    vector_series,
    whole_series,
)
from featurestore.late_pandas import pd

Floats = npt.NDArray[np.float64]
Category = str | tuple[str | None, ...]

_SCALARS = (*WHOLE, "double", "float", "boolean", "timestamp", "timestamp_ntz", "date")
_CATEGORIES = ("string", "array<string>")
_VECTORS = ("array<float>", "array<double>")
_MICROS, _DAYS = "datetime64[us]", "datetime64[D]"
# Spark's longest decimals have 38 digits; Python's have 28 by default.
_DECIMAL_DIGITS = 40


class ColumnEncoding(BaseModel):
    """The encoding of one feature (or the label) in a matrix: its type, its columns, and the meaning of its codes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str
    type: str
    columns: tuple[str, ...]
    # For texts: code -> value. A list of texts is one category, a tuple.
    categories: tuple[Category, ...] = ()

    @property
    def width(self) -> int:
        """The number of columns for a vector's numbers; if lengths differ, the length has a column of its own."""
        return len(self.columns) - (self.type == "array<double>")


@dataclass(frozen=True)
class Encoded:
    """A matrix; ``unseen``: feature -> the number of rows with a value unknown to its encoding.

    An unknown category is NaN in the matrix; a vector that is too long is cut.
    """

    X: Floats
    unseen: dict[str, int]


class Encoding(BaseModel):
    """Fitted once and applied to any rows of the same features.

    ``model_dump_json`` and ``model_validate_json`` write it as JSON and read it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[ColumnEncoding, ...]
    label: ColumnEncoding | None = None

    @property
    def columns(self) -> list[str]:
        """The columns of the matrix, in order."""
        return [name for feature in self.features for name in feature.columns]

    def encode(self, frame: pd.DataFrame) -> Encoded:
        """One row per row of ``frame``, which has the columns of ``TrainingFrame.X``; a missing value is NaN.

        Raises InvalidArgumentError if a feature is missing, or for a value that a float64 cannot hold exactly.
        """
        absent = [feature.feature for feature in self.features if feature.feature not in frame.columns]
        if absent:
            raise InvalidArgumentError(f"encoding: features {absent} are not among the columns {list(frame.columns)}")
        matrix = np.empty((len(frame), len(self.columns)), dtype=np.float64)
        unseen: dict[str, int] = {}
        start = 0
        for feature in self.features:
            block, unknown = encode_column(feature, frame[feature.feature])
            matrix[:, start : start + block.shape[1]] = block
            start += block.shape[1]
            if unknown:
                unseen[feature.feature] = unknown
        return Encoded(matrix, unseen)

    def decode(self, matrix: Floats) -> pd.DataFrame:
        """The frame that was encoded, with its types. Raises InvalidArgumentError for a matrix of another width."""
        if matrix.ndim != 2 or matrix.shape[1] != len(self.columns):
            raise InvalidArgumentError(f"encoding: it has {len(self.columns)} columns and the matrix is {matrix.shape}")
        decoded = {}
        start = 0
        for feature in self.features:
            decoded[feature.feature] = decode_column(feature, matrix[:, start : start + len(feature.columns)])
            start += len(feature.columns)
        return pd.DataFrame(
            decoded, index=pd.RangeIndex(len(matrix)), columns=[feature.feature for feature in self.features]
        )

    def encode_label(self, y: pd.Series[Any]) -> Floats:
        if self.label is None:
            raise InvalidArgumentError("encoding: it was fitted without a label")
        return encode_column(self.label, y)[0][:, 0]

    def decode_label(self, y: Floats) -> pd.Series[Any]:
        if self.label is None:
            raise InvalidArgumentError("encoding: it was fitted without a label")
        return decode_column(self.label, y.reshape(-1, 1)).rename(self.label.feature)


def fit(
    frame: pd.DataFrame,
    types: Mapping[str, str],
    widths: Mapping[str, int],
    y: pd.Series[Any] | None = None,
) -> Encoding:
    """The encoding of these rows: categories are their distinct values, in sorted order.

    ``types``: the Spark type of each column and the label; ``widths``: the numbers of each vector. Raises
    InvalidArgumentError for a type without an encoding, or if a vector's column would have the name of another feature.
    """
    spread = vector_columns({str(name): types[str(name)] for name in frame.columns}, widths)
    features = tuple(
        _fitted(str(name), types[str(name)], frame[name], tuple(spread.get(str(name), (str(name),))))
        for name in frame.columns
    )
    label = None
    if y is not None:
        name, kind = str(y.name), types[str(y.name)]
        if kind in _VECTORS:
            raise InvalidArgumentError(f"label {name!r} is {kind}; a label in numpy is one number")
        label = _fitted(name, kind, y, (name,))
    return Encoding(features=features, label=label)


def _fitted(name: str, kind: str, values: pd.Series[Any], columns: tuple[str, ...]) -> ColumnEncoding:
    if kind not in (*_SCALARS, *_CATEGORIES, *_VECTORS) and not _is_decimal(kind):
        raise InvalidArgumentError(
            f"column {name!r} is {kind}, for which there is no encoding; cast it, or use to_pandas()"
        )
    categories = _categories(values.dropna()) if kind in _CATEGORIES else ()
    return ColumnEncoding(feature=name, type=kind, columns=columns, categories=categories)


def _categories(values: Iterable[Category]) -> tuple[Category, ...]:
    return tuple(sorted(set(values), key=_order))


def _order(value: Category) -> Any:
    return value if isinstance(value, str) else [(item is not None, item or "") for item in value]


def encode_column(encoding: ColumnEncoding, values: pd.Series[Any]) -> tuple[Floats, int]:
    """A block of ``encoding.columns``, and the number of rows with a value unknown to the encoding."""
    if encoding.type in _VECTORS:
        return _encoded_vectors(encoding, values)
    if encoding.type in _CATEGORIES:
        codes = {value: float(code) for code, value in enumerate(encoding.categories)}
        missing = values.isna().to_numpy()
        block = np.array([codes.get(value, np.nan) for value in values], dtype=np.float64)
        return block.reshape(-1, 1), int((np.isnan(block) & ~missing).sum())
    return _numbers(encoding, values).reshape(-1, 1), 0


def _numbers(encoding: ColumnEncoding, values: pd.Series[Any]) -> Floats:
    missing = values.isna().to_numpy()
    if encoding.type in ("timestamp", "timestamp_ntz", "date"):
        unit = _DAYS if encoding.type == "date" else _MICROS
        return _as_floats(encoding, values.to_numpy(unit).astype(np.int64), missing)
    if encoding.type in WHOLE and not pd.api.types.is_float_dtype(values.dtype):
        return _as_floats(encoding, values.fillna(0).to_numpy(np.int64), missing)
    if _is_decimal(encoding.type):
        return np.array([_decimal_as_float(encoding, value) for value in values], dtype=np.float64)
    return values.to_numpy(np.float64, na_value=np.nan)


def _as_floats(encoding: ColumnEncoding, whole: npt.NDArray[np.int64], missing: npt.NDArray[np.bool_]) -> Floats:
    inexact = ~exact_as_float(whole) & ~missing
    if inexact.any():
        raise _refused(encoding, str(whole[inexact][0]))
    floats = whole.astype(np.float64)
    floats[missing] = np.nan
    return floats


def _decimal_as_float(encoding: ColumnEncoding, value: Decimal | None) -> float:
    if value is None:
        return float("nan")
    if _as_decimal(encoding.type, float(value)) != value:
        raise _refused(encoding, str(value))
    return float(value)


def _refused(encoding: ColumnEncoding, value: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"column {encoding.feature!r} ({encoding.type}) holds {value}, which a float64 cannot hold exactly (whole "
        "numbers beyond 2^53); make an identifier a string feature or leave it out; to_pandas() keeps it as it is"
    )


def _encoded_vectors(encoding: ColumnEncoding, values: pd.Series[Any]) -> tuple[Floats, int]:
    matrix = matrix_of(values)
    if encoding.type == "array<float>":
        if len(values.dropna()) and matrix.shape[1] != encoding.width:
            raise InvalidArgumentError(
                f"feature {encoding.feature!r} has {matrix.shape[1]} numbers and its encoding {encoding.width}"
            )
        return _cut(matrix, encoding.width), 0
    lengths = np.where(values.isna(), np.nan, (~np.isnan(matrix)).sum(axis=1).astype(np.float64))
    longer = int((lengths > encoding.width).sum())
    return np.column_stack([_cut(matrix, encoding.width), lengths]), longer


def _cut(matrix: Floats, width: int) -> Floats:
    block = np.full((len(matrix), width), np.nan)
    shared = min(width, matrix.shape[1])
    block[:, :shared] = matrix[:, :shared]
    return block


def decode_column(encoding: ColumnEncoding, block: Floats) -> pd.Series[Any]:
    """The column that ``encode_column`` encoded, in the pandas type of its Spark type."""
    if encoding.type == "array<float>":
        return vector_series(block.astype(np.float32), np.all(np.isnan(block), axis=1))
    if encoding.type == "array<double>":
        return vector_series(block[:, :-1], np.isnan(block[:, -1]))
    numbers = block[:, 0]
    missing = np.isnan(numbers)
    if encoding.type in _CATEGORIES:
        return _objects(
            None if is_missing else encoding.categories[int(code)]
            for code, is_missing in zip(numbers, missing, strict=True)
        )
    if encoding.type in WHOLE:
        return whole_series(np.where(missing, 0, numbers).astype(WHOLE[encoding.type]), missing)
    if encoding.type == "boolean":
        return boolean_series(np.where(missing, 0, numbers).astype(bool), missing)
    if encoding.type == "float":
        return pd.Series(numbers.astype(np.float32))
    if encoding.type in ("timestamp", "timestamp_ntz"):
        instants = pd.Series(_moments(numbers, missing, _MICROS))
        return instants.dt.tz_localize("UTC") if encoding.type == "timestamp" else instants
    if encoding.type == "date":
        return _objects(_moments(numbers, missing, _DAYS).astype(object))
    if _is_decimal(encoding.type):
        return _objects([None if np.isnan(number) else _as_decimal(encoding.type, number) for number in numbers])
    return pd.Series(numbers.copy())


def _moments(numbers: Floats, missing: npt.NDArray[np.bool_], unit: str) -> npt.NDArray[np.datetime64]:
    moments = np.where(missing, 0, numbers).astype(np.int64).view(unit)
    moments[missing] = np.datetime64("NaT")
    return moments


def _objects(values: Iterable[Any]) -> pd.Series[Any]:
    return pd.Series(list(values), dtype=object)


def _is_decimal(kind: str) -> bool:
    return kind.startswith("decimal(")


def _as_decimal(kind: str, number: float) -> Decimal:
    scale = int(kind.removesuffix(")").split(",")[1])
    with localcontext(prec=_DECIMAL_DIGITS):
        return Decimal(repr(float(number))).quantize(Decimal(1).scaleb(-scale))
