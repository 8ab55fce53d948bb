"""``json``: JSON text unchanged, and objects as JSON text. A text is checked by Spark, or by a twin of its parser."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from featurestore.kinds import reasons
from featurestore.kinds.arrow_columns.reading import ArrowReading, fine
from featurestore.kinds.json_text import arrow_json
from featurestore.kinds.json_text.json_columns import read_json
from featurestore.kinds.json_text.json_copies import json_copy
from featurestore.kinds.json_text.json_members import ArrowMembers
from featurestore.kinds.json_text.json_values import json_text
from featurestore.kinds.json_text.variants import JsonMember
from featurestore.kinds.kind import STRICT, Kind, Moments
from featurestore.kinds.reading import Reading, first_of
from featurestore.kinds.text import unicode_text
from featurestore.late_spark import Column, F, T


class Document(Kind):
    is_read_from_text = True

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.string()

    @property
    def spark_type(self) -> T.DataType:
        return T.StringType()

    def read_python(self, value: Any, moments: Moments = STRICT) -> str:
        return unicode_text(value) if isinstance(value, str) else json_text(value)

    def _read(self, value: Column, stored: T.DataType, moments: Moments) -> Reading | None:
        json = read_json(value, stored)
        return None if json is None else Reading(*json)

    def _read_arrow(self, value: pa.Array, moments: Moments) -> ArrowReading | None:
        return arrow_json.read_json(value)

    def read_json(self, member: JsonMember) -> Reading:
        """Read a string as JSON text. Copy any other value as written, or as Spark reads it where that loses digits."""
        copy = F.from_json(member.line, T.StructType([T.StructField(member.name, T.StringType())])).getField(
            member.name
        )
        copied = F.try_parse_json(copy)
        is_text = member.kind == "STRING"
        same = F.coalesce(F.try_variant_get(copied, "$", "string") == member.text, F.lit(False))
        # Spark writes a number beyond the range of a double as the text "Infinity".
        changed = ~is_text & (_any_number(copied) != _any_number(member.variant))
        return Reading(
            F.when(~is_text & same, copy).otherwise(member.text),
            first_of([(F.coalesce(changed, F.lit(False)), reasons.JSON_NOT_FINITE)]),
        )

    def read_members(self, members: ArrowMembers) -> ArrowReading:
        pairs = zip(members.values, members.kinds, strict=True)
        texts = [value if kind in ("STRING", "VOID") else json_copy(value) for value, kind in pairs]
        return fine(pa.array(texts, pa.string()))

    def narrowed(self, value: Column) -> Column:
        return F.when(value.isNotNull(), F.lit(True))

    def hashed(self, narrowed: Column) -> Column:
        return F.lit(None).cast("bigint")


def _any_number(variant: Column) -> Column:
    """The schema of a JSON value, with the same word for every kind of number."""
    return F.regexp_replace(F.schema_of_variant(variant), r"DECIMAL\([0-9, ]+\)|BIGINT", "DOUBLE")


JSON = Document("json")
