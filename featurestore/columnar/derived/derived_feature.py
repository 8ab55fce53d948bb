"""``DerivedFeature``: what a user declares, which also computes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import pyarrow as pa
from pydantic import PrivateAttr

from featurestore.columnar.derived.computation import Computation, WrongTypeError
from featurestore.columnar.expressions.evaluation import RowFaultError
from featurestore.columnar.ranks import one_array
from featurestore.definitions.derived.definition import DerivedDefinition
from featurestore.errors import DefinitionError, InvalidArgumentError, TransformationError, nearest
from featurestore.kinds.kind import STRICT
from featurestore.kinds.registry import kind_of
from featurestore.late_pandas import pd


class DerivedFeature(DerivedDefinition):
    """``DerivedFeature("speed", "double", inputs=["trip:km", "trip:hours"], sql="km / nullif(hours, 0)")``.

    It is asked for as ``derived:speed``, and computed for each example from the example's own values.

    - ``inputs``: references ``"group:feature"`` (also ``"derived:other"``), names of the spine's columns, and
      ``Lookup``s of one feature, for other columns as keys. Each is called by its feature's or column's own name, with
      the lookup's prefix; ``{name: input}`` gives other names.
    - ``sql``: one expression over these names in DuckDB's SQL, of the functions that docs/derived_features.md lists.
    - ``function``: ``"module:name"``, or a function of a module, that takes one column per input in their order, and
      returns one of as many rows: Arrow arrays, or pandas Series with ``frame="pandas"``.
    - ``type``: any but an embedding. A result is read as a written value is: without loss, and numbers are finite.
    - ``version``: the major version; a reference means the highest.
    """

    # In the words of their features' types; the columns of a spine have none. Known of a feature of the registry.
    _input_types: dict[str, str] = PrivateAttr(default_factory=dict)
    positional: ClassVar[tuple[str, ...]] = ("name", "type")

    def with_input_types(self, words: Mapping[str, str]) -> Self:
        """The same feature, which reads the inputs that ``compute`` is given as these types."""
        known = self.model_copy()
        known._input_types = dict(words)
        known._callable = self._callable
        return known

    def compute(self, columns: Mapping[str, Any] | pa.Table | pd.DataFrame) -> Any:
        """The feature's value for each row of its inputs, as a training set would hold it; needs no store.

        ``columns``: an Arrow table, a pandas DataFrame, or a mapping, with one equally long column per input, under
        the input's name; others are ignored. Returns an Arrow array, or for a DataFrame a Series with its index. The
        inputs of a feature from ``FeatureStore.derived_feature`` are read as their features' types, without loss.
        Raises InvalidArgumentError for columns that are missing, of unequal lengths or of another type, and
        TransformationError for a row that has no value.
        """
        arrays = {name: self._read(columns, name) for name in self.inputs_by_name}
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise self._wrong(f"the inputs have {lengths} rows; give columns of one length")
        rows = next(iter(lengths.values())) if lengths else len(_any_column(columns))
        try:
            computed = computation_of(self).column(arrays, rows)
        except DefinitionError as error:
            raise self._wrong(str(error)) from error
        except WrongTypeError as error:
            raise TransformationError(f"derived feature {self.name!r}: {error}") from error
        except RowFaultError as error:
            row = "" if error.row is None else f"row {error.row}, counted from 0 ({_shown(arrays, error.row)}): "
            raise TransformationError(f"derived feature {self.name!r}: {row}{error.reason}") from error
        if not isinstance(columns, pd.DataFrame):
            return computed
        return computed.to_pandas().set_axis(columns.index).rename(self.name)

    def _read(self, columns: Any, name: str) -> pa.Array:
        names = list(columns.column_names if isinstance(columns, pa.Table) else columns)
        if name not in names:
            raise self._wrong(f"input {name!r} is missing. {nearest(name, list(map(str, names)))}")
        try:
            array = one_array(pa.array(columns[name], from_pandas=isinstance(columns, pd.DataFrame)))
        except (pa.ArrowException, TypeError) as error:
            raise self._wrong(f"input {name!r} is no column that Arrow can hold: {error}") from error
        word = self._input_types.get(name)
        if word is None:
            return array
        reading = kind_of(word).read_arrow(array, STRICT)
        if reading is None or reading.fault.null_count < len(reading.fault):
            raise self._wrong(f"input {name!r} is {array.type}, and its feature is {word}; give values of that type")
        return reading.value

    def _wrong(self, fault: str) -> InvalidArgumentError:
        return InvalidArgumentError(f"derived feature {self.name!r}: {fault}")


def _any_column(columns: Any) -> Any:
    if isinstance(columns, pa.Table | pd.DataFrame):
        return range(len(columns))
    return next(iter(columns.values()), ())


def _shown(arrays: Mapping[str, pa.Array], row: int) -> str:
    return ", ".join(f"{name}={array[row].as_py()!r}" for name, array in arrays.items())


def computation_of(feature: DerivedDefinition) -> Computation:
    """How the feature's column is computed; raises TransformationError if its function cannot be imported."""
    return Computation(
        inputs=tuple(feature.inputs_by_name),
        kind=kind_of(feature.type),
        expression=None if feature.sql is None else feature.expression,
        function=None if feature.function is None else feature.load(),
        of_pandas=feature.frame == "pandas",
    )
