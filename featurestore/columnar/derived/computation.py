"""How a derived feature's column is computed: one pure function of its inputs' columns, the same in every process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.expressions.evaluation import RowFaultError, evaluate, first_fault
from featurestore.columnar.ranks import one_array
from featurestore.definitions.sql.checked_expression import ScalarExpression
from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.kinds.kind import STRICT, Kind
from featurestore.kinds.reasons import NOT_FINITE


class WrongTypeError(Exception):
    """The column that was computed can never be of the declared type."""


@dataclass(frozen=True)
class Computation:
    """A derived feature's inputs by name, in order, its expression or its function, and the kind of its values.

    It goes to other processes as it is; nothing that it refers to needs this package there.
    """

    inputs: tuple[str, ...]
    kind: Kind
    expression: ScalarExpression | None
    function: Callable[..., Any] | None
    of_pandas: bool

    def column(self, columns: Mapping[str, Any], rows: int) -> pa.Array:
        """One value per row, in the declared type; numbers are finite.

        Raises RowFaultError for a row that has no value: its computation fails, or what it gives does not fit the type.
        Raises WrongTypeError.
        """
        read = {name: one_array(columns[name]) for name in self.inputs}
        if self.expression is not None:
            computed = evaluate(self.expression, read, rows)
            check_widened(computed.type, self.kind)
        else:
            computed = self._called([read[name] for name in self.inputs], rows)
        return fitted(computed, self.kind)

    def _called(self, arrays: list[pa.Array], rows: int) -> pa.Array:
        try:
            return self._call(arrays, rows)
        except _FunctionError as error:
            row, cause = first_fault(lambda start, count: self._call(_part(arrays, start, count), count), rows, _FAULTS)
            raise RowFaultError(row, str(cause or error)) from error.__cause__

    def _call(self, arrays: list[pa.Array], rows: int) -> pa.Array:
        assert self.function is not None
        try:
            returned = self.function(*(map(_series, arrays) if self.of_pandas else arrays))
        except Exception as error:  # The user wrote the function.
            raise _FunctionError(f"the function raised {type(error).__name__}: {error}") from error
        column = _as_column(returned)
        if len(column) != rows:
            raise WrongTypeError(f"the function returned {len(column)} values for {rows} rows; return one for each")
        return column


class _FunctionError(Exception):
    """The function raised; the message says what."""


_FAULTS = (_FunctionError,)


def _part(arrays: list[pa.Array], start: int, count: int) -> list[pa.Array]:
    return [array.slice(start, count) for array in arrays]


def _series(array: pa.Array) -> Any:
    """A pandas Series of the same values: whole numbers and booleans in types that have nulls, never rounded."""
    import pandas as pd

    exact = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
    return array.to_pandas(types_mapper=exact.get) if array.type in exact else array.to_pandas()


def _as_column(returned: Any) -> pa.Array:
    try:
        if isinstance(returned, pa.Array | pa.ChunkedArray):
            return one_array(returned)
        if isinstance(returned, np.ndarray):
            return pa.array(returned)
        if hasattr(returned, "__arrow_array__") or type(returned).__name__ == "Series":
            return one_array(pa.array(returned, from_pandas=True))
    except pa.ArrowException as error:
        raise WrongTypeError(f"the function returned values that Arrow cannot hold in one type: {error}") from error
    raise WrongTypeError(
        f"the function returned {type(returned).__name__}; return a pyarrow Array, a pandas Series or a NumPy array"
    )


def check_widened(computed: pa.DataType, kind: Kind) -> None:
    """Raise WrongTypeError unless every value of the type of an expression is one of the kind, or is read exactly."""
    narrows = (
        (kind.word in ("long", "int") and pa.types.is_floating(computed))
        or (kind.word == "float" and (computed == pa.float64() or pa.types.is_decimal(computed)))
        or (kind.word == "int" and pa.types.is_integer(computed) and computed.bit_width > 32)
        or (kind.word in ("long", "int") and pa.types.is_decimal(computed) and computed.scale > 0)
    )
    if narrows or kind.read_arrow(pa.array([], computed), STRICT) is None:
        raise WrongTypeError(f"it gives {computed}, which cannot be read as {kind.word} without loss")


def fitted(computed: pa.Array, kind: Kind) -> pa.Array:
    """The column in the type, as if its values were written: without loss, and by the rules of every value."""
    try:
        reading = kind.read_arrow(computed, STRICT)
    except UndecidedError as error:
        raise RowFaultError(None, f"it gives a value that cannot be read as {kind.word}: {error}") from error
    if reading is None:
        raise WrongTypeError(f"it gives {computed.type}, which cannot be read as {kind.word} without loss")
    if reading.fault.null_count < len(reading.fault):
        row = int(np.flatnonzero(reading.fault.is_valid().to_numpy(zero_copy_only=False))[0])
        raise RowFaultError(row, f"it gives {computed[row].as_py()!r}, which is {reading.fault[row].as_py()}")
    for rule, mask in kind.broken_arrow_rules(reading.value):
        if mask.any():
            row = int(np.flatnonzero(mask)[0])
            advice = "; divide by nullif(divisor, 0), or state the value with CASE" if rule == NOT_FINITE else ""
            raise RowFaultError(row, f"it gives {reading.value[row].as_py()!r}, which is {rule}{advice}")
    return reading.value
