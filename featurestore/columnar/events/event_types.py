"""Whether the columns of events have types of which features can be computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.window_aggregate import WindowAggregate
from featurestore.errors import SchemaError

Test = Callable[[pa.DataType], bool]


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind)) and kind != pa.uint64()


def _is_int(kind: pa.DataType) -> bool:
    return _is_whole(kind) and (kind.bit_width < 32 or kind == pa.int32())


def _is_number(kind: pa.DataType) -> bool:
    return bool(_is_whole(kind) or pa.types.is_floating(kind) or pa.types.is_decimal128(kind))


def _is_single(kind: pa.DataType) -> bool:
    return bool(pa.types.is_float32(kind) or pa.types.is_float16(kind))


def _is_scalar(kind: pa.DataType) -> bool:
    others = (pa.types.is_string, pa.types.is_boolean, pa.types.is_date32, pa.types.is_timestamp)
    return _is_number(kind) or any(test(kind) for test in others)


# By type of the result, what it can be computed from, in words too. A number becomes the nearest double.
_OF_RESULT: Mapping[str, tuple[Test, str]] = {
    "double": (_is_number, "numbers"),
    "float": (_is_single, "floats of 32 bits"),
    "long": (_is_whole, "whole numbers of up to 64 bits"),
    "int": (_is_int, "whole numbers of up to 32 bits"),
    "string": (pa.types.is_string, "texts"),
    "boolean": (pa.types.is_boolean, "booleans"),
    "date": (pa.types.is_date32, "dates"),
    "timestamp": (pa.types.is_timestamp, "timestamps"),
    "array<double>": (_is_number, "numbers"),
    "array<string>": (pa.types.is_string, "texts"),
}
_ANY = (_is_scalar, "numbers, texts, booleans, dates and timestamps")


def check_types(group: FeatureGroup, features: Sequence[WindowAggregate], types: Mapping[str, pa.DataType]) -> None:
    """Raise SchemaError for a feature of a column whose type it cannot aggregate.

    ``types``: by the names that features use, plain types: texts are strings, without dictionaries.
    """
    for feature in features:
        if feature.of is None:
            continue
        fits, words = _ANY if feature.word.startswith("count") else _OF_RESULT[feature.type]
        kind = types[feature.of]
        if not fits(kind) and not pa.types.is_null(kind):
            raise SchemaError(
                f"feature {group.name}:{feature.name}: {feature.function} of {feature.of!r} gives {feature.type}, and "
                f"the events' column is {kind}; possible: {words}. Correct of=, or type="
            )
