"""``string``: text of valid Unicode."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns.reading import ArrowReading, fine
from featurestore.kinds.kind import STRICT, Kind, Moments
from featurestore.kinds.reading import Reading, good
from featurestore.kinds.reasons import UnreadableError
from featurestore.late_spark import Column, F, T


class Text(Kind):
    is_read_from_text = True
    measure = "length"
    has_frequent_values = True

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.string()

    @property
    def spark_type(self) -> T.DataType:
        return T.StringType()

    def read_python(self, value: Any, moments: Moments = STRICT) -> str:
        if not isinstance(value, str):
            raise self.wrong_type(value)
        return unicode_text(value)

    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        return good(value.cast(self.storage)) if isinstance(stored, T.StringType) else None

    def _read_arrow(self, value: pa.Array, moments: Moments) -> ArrowReading | None:
        return fine(value) if pa.types.is_string(value.type) else None

    def number(self, narrowed: Column) -> Column:
        return F.char_length(narrowed).cast("double")


def unicode_text(text: str) -> str:
    """The text as a plain ``str``; raises UnreadableError for an unpaired surrogate."""
    try:
        return str.encode(text, "utf-8").decode("utf-8")
    except UnicodeEncodeError as error:
        raise UnreadableError(reasons.NOT_UNICODE) from error


STRING = Text("string")
