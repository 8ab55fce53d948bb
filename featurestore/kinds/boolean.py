"""``boolean``: Python's and NumPy's booleans, and in CSV ``true`` and ``false`` in any case."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns.reading import ArrowReading, faulty, fine, is_present, true_of
from featurestore.kinds.kind import STRICT, Kind, Moments
from featurestore.kinds.reading import Reading, first_of, good
from featurestore.late_spark import Column, F, T


class Boolean(Kind):
    json_kinds: ClassVar[tuple[str, ...]] = ("BOOLEAN",)
    measure = "truth"
    has_frequent_values = True

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.bool_()

    @property
    def spark_type(self) -> T.DataType:
        return T.BooleanType()

    def read_python(self, value: Any, moments: Moments = STRICT) -> bool:
        if not isinstance(value, bool | np.bool_):
            raise self.wrong_type(value)
        return bool(value)

    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        return good(value) if isinstance(stored, T.BooleanType) else None

    def _read_arrow(self, value: pa.Array, moments: Moments) -> ArrowReading | None:
        return fine(value) if pa.types.is_boolean(value.type) else None

    def read_cell(self, text: Column) -> Reading:
        word = F.lower(F.trim(text))
        value = F.when(word == "true", F.lit(True)).when(word == "false", F.lit(False))
        return Reading(value, first_of([(text.isNotNull() & value.isNull(), reasons.not_readable(self.word))]))

    def read_cells(self, texts: pa.Array) -> ArrowReading:
        words = pc.utf8_lower(pc.utf8_trim(texts, characters=" "))
        known = pc.is_in(words, value_set=pa.array(["true", "false"]))
        value = pc.if_else(known, pc.equal(words, "true"), pa.scalar(None, pa.bool_()))
        return faulty(value, [(is_present(texts) & ~true_of(known), reasons.not_readable(self.word))])

    def number(self, narrowed: Column) -> Column:
        return narrowed.cast("int").cast("double")


BOOLEAN = Boolean("boolean")
