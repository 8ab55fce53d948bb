"""Derived columns of joined rows; an error names the feature and the row's key, in this process and in tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featurestore.columnar.derived.computation import Computation, WrongTypeError
from featurestore.columnar.expressions.evaluation import RowFaultError
from featurestore.columnar.ranks import one_array
from featurestore.errors import DefinitionError, TransformationError


@dataclass(frozen=True)
class DerivedStep:
    """One column: the feature's name, how it is computed, the column of each input, the output column.

    ``keys``: the columns that name a row in an error.
    """

    name: str
    computation: Computation
    columns: Mapping[str, str]
    output: str
    keys: tuple[str, ...]

    def computed(self, rows: Mapping[str, Any]) -> pa.Array:
        """The column for these columns of joined rows; raises TransformationError."""
        inputs = {name: rows[column] for name, column in self.columns.items()}
        count = len(next(iter(rows.values()))) if rows else 0
        try:
            return self.computation.column(inputs, count)
        except DefinitionError as error:
            raise DefinitionError(f"derived feature {self.name!r}: {error}") from error
        except WrongTypeError as error:
            raise TransformationError(f"derived feature {self.name!r}: {error}") from error
        except RowFaultError as error:
            where = "" if error.row is None else f"the row with {self._row(rows, error.row)}: "
            raise TransformationError(f"derived feature {self.name!r}: {where}{error.reason}") from error

    def _row(self, rows: Mapping[str, Any], row: int) -> str:
        return ", ".join(f"{name}={_text(one_array(rows[name])[row].as_py())}" for name in self.keys)


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


@dataclass(frozen=True)
class TaskSteps:
    """The steps of a task; ``columns``: the names of the batches' columns, which may come under other names."""

    steps: tuple[DerivedStep, ...]
    columns: tuple[str, ...]

    def computed(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches' columns followed by those of the steps."""
        for batch in batches:
            rows = dict(zip(self.columns, batch.columns, strict=True))
            for step in self.steps:
                rows[step.output] = step.computed(rows)
            yield pa.RecordBatch.from_arrays(list(rows.values()), names=list(rows))
