"""A value of text (a CSV cell, a value of a JSON line) -> the value of a feature type.

Whole numbers in text are whole numbers, and must fit exactly; numbers with a point or an exponent are doubles, the nearest.
Timestamps, dates and JSON stay text, which ``spark_values`` reads.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from featurestore.frames.schema import data_type
from featurestore.frames.values import reasons
from featurestore.frames.values.json_columns import is_json
from featurestore.frames.values.spark_values import Reading, first_of, read_number, storage

_DIGITS = r"^\s*[+-]?[0-9]+\s*$"
_NUMBER = r"(?i)^\s*[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf|infinity)\s*$"
_FRACTION = r"\.[0-9]*[1-9][0-9]*\s*$"
# A whole number in a JSON array that may be beyond what a float or a double can hold.
_LONG_NUMBER = {"float": "-?[0-9]{8,}", "double": "-?[0-9]{16,}"}
_NUMBERS = ("double", "float", "long", "int")
_AS_TEXT = ("string", "timestamp", "date", "json")
_JSON_NUMBERS = ("BIGINT", "DOUBLE", "DECIMAL")
# The kinds of JSON values as Spark calls them, and the classes that Python reads them as.
_PYTHON = {
    "BIGINT": "int",
    "DOUBLE": "float",
    "DECIMAL": "float",
    "BOOLEAN": "bool",
    "STRING": "str",
    "OBJECT": "dict",
    "ARRAY": "list",
}


def read_cell(text: Column, word: str) -> Reading:
    """A CSV cell; null is a missing value. Arrays are JSON."""
    if word in _AS_TEXT:
        return Reading(text, F.lit(None).cast("string"))
    if word == "boolean":
        wanted = F.lower(F.trim(text))
        value = F.when(wanted == "true", F.lit(True)).when(wanted == "false", F.lit(False))
        return Reading(value, first_of([(text.isNotNull() & value.isNull(), reasons.not_readable(word))]))
    if word in ("long", "int"):
        return _read_whole(text, word)
    if word in ("double", "float"):
        return _read_fraction(text, word, text.rlike(_DIGITS))
    value = F.when(is_json(text), text)
    reading = _read_array(value, word)
    broken = text.isNotNull() & value.isNull()
    return Reading(reading.value, F.when(broken, F.lit(reasons.not_readable(word))).otherwise(reading.fault))


def read_json_value(line: Column, parsed: Column, name: str, word: str) -> Reading:
    """The value of a JSON line's key, whose kind must be the type's; null and an absent key are a missing value."""
    path = f"$.{name}"
    text = F.try_variant_get(parsed, path, "string")
    variant = F.try_variant_get(parsed, path, "variant")
    if word == "json":
        return _read_json(line, text, variant, name)
    kind = _kind(variant)
    wanted = _wanted(word)
    fits = kind.isin(*wanted)
    given = F.when(fits, text)
    if word in ("double", "float"):
        # A whole number beyond the longs is a decimal; others of no fraction were written with a point.
        reading = _read_fraction(
            given, word, (kind == "BIGINT") | (text.rlike(_DIGITS) & text.try_cast("bigint").isNull())
        )
    else:
        reading = _read_array(given, word) if wanted == ("ARRAY",) else read_cell(given, word)
    return Reading(reading.value, F.when(text.isNotNull() & ~fits, _wrong_kind(kind, word)).otherwise(reading.fault))


def _wanted(word: str) -> tuple[str, ...]:
    if word in _NUMBERS:
        return _JSON_NUMBERS
    if word == "boolean":
        return ("BOOLEAN",)
    return ("STRING",) if word in _AS_TEXT else ("ARRAY",)


def _kind(variant: Column) -> Column:
    """The kind of a JSON value, without what it holds."""
    return F.regexp_extract(F.schema_of_variant(variant), "^[A-Z]+", 0)


def _wrong_kind(kind: Column, word: str) -> Column:
    found = F.coalesce(*(F.when(kind == spark, F.lit(python)) for spark, python in _PYTHON.items()))
    return F.concat(F.lit(reasons.wrong_type(word, "")), found)


def _read_json(line: Column, text: Column, variant: Column, name: str) -> Reading:
    """A string is JSON text; any other value is copied, in its order, or as Spark reads it where a copy loses digits."""
    copy = F.from_json(line, T.StructType([T.StructField(name, T.StringType())])).getField(name)
    copied = F.try_parse_json(copy)
    is_text = _kind(variant) == "STRING"
    same = F.coalesce(F.try_variant_get(copied, "$", "string") == text, F.lit(False))
    # Spark writes a number beyond the doubles as the text "Infinity".
    changed = ~is_text & (_any_number(F.schema_of_variant(copied)) != _any_number(F.schema_of_variant(variant)))
    return Reading(
        F.when(~is_text & same, copy).otherwise(text),
        first_of([(F.coalesce(changed, F.lit(False)), reasons.JSON_NOT_FINITE)]),
    )


def _any_number(schema: Column) -> Column:
    return F.regexp_replace(schema, r"DECIMAL\([0-9, ]+\)|BIGINT", "DOUBLE")


def _read_whole(text: Column, word: str) -> Reading:
    number = F.trim(text)
    exact, nearest = number.try_cast("decimal(38,10)"), number.try_cast("double")
    no_rest = (nearest % F.lit(1.0) == F.lit(0.0)) & F.coalesce(exact % F.lit(1) == F.lit(0), F.lit(True))
    whole = F.coalesce(no_rest & ~text.rlike(_FRACTION), F.lit(False))
    value = F.when(text.rlike(_NUMBER) & whole, exact.try_cast(data_type(storage(word))))
    faults = [
        (~text.rlike(_NUMBER), reasons.not_readable(word)),
        (text.isNotNull() & ~whole, reasons.not_whole(word)),
        (text.isNotNull() & value.isNull(), reasons.beyond(word)),
    ]
    # With an exponent it is a double, whose digits in text are fewer than those of the whole number that it is.
    double = read_number(nearest, T.DoubleType(), word)
    assert double is not None
    has_exponent = text.rlike(_NUMBER) & text.rlike("[eE]")
    return Reading(
        F.when(has_exponent, double.value).otherwise(value),
        F.when(has_exponent, double.fault).otherwise(first_of(faults)),
    )


def _read_fraction(text: Column, word: str, is_whole: Column) -> Reading:
    """A double or a float; ``is_whole``: the text is a whole number, which is never rounded."""
    number = F.when(text.rlike(_NUMBER), F.trim(text))
    digits = T.DecimalType(38, 0)
    whole = read_number(number.try_cast(digits), digits, word)
    fraction = read_number(number.try_cast("double"), T.DoubleType(), word)
    assert whole is not None
    assert fraction is not None
    faults = [
        (text.isNotNull() & number.isNull(), reasons.not_readable(word)),
        (is_whole & number.try_cast(digits).isNull(), reasons.inexact(word)),
    ]
    fault = F.coalesce(first_of(faults), F.when(is_whole, whole.fault).otherwise(fraction.fault))
    return Reading(F.when(is_whole, whole.value).otherwise(fraction.value), fault)


def _read_array(text: Column, word: str) -> Reading:
    """An array of valid JSON."""
    if word == "array<string>":
        return _read_strings(text, word)
    element = "double" if word == "array<double>" else "float"
    value = F.from_json(text, "array<double>")
    long_number = _LONG_NUMBER[element]
    # Reading it as doubles is fast; only where a long whole number stands in it, each element is looked at.
    holds_long = text.rlike(rf"[\[,\s]{long_number}\s*[,\]]")
    rounded = F.exists(F.from_json(text, "array<string>"), lambda item: _is_rounded(item, element))
    faults = [
        (text.isNotNull() & value.isNull(), reasons.not_readable(word)),
        (F.when(holds_long, F.coalesce(rounded, F.lit(False))), reasons.inexact(element)),
    ]
    misfit = F.when(value.isNull(), _misfit(text, _JSON_NUMBERS, element))
    return Reading(value, F.coalesce(misfit, first_of(faults)))


def _is_rounded(item: Column, element: str) -> Column:
    digits = T.DecimalType(38, 0)
    exact = item.try_cast(digits)
    reading = read_number(exact, digits, element)
    assert reading is not None
    return F.coalesce(item.rlike(_DIGITS) & (reading.fault.isNotNull() | exact.isNull()), F.lit(False))


def _read_strings(text: Column, word: str) -> Reading:
    value = F.from_json(text, "array<string>")
    broken = first_of([(text.isNotNull() & value.isNull(), reasons.not_readable(word))])
    return Reading(value, F.coalesce(_misfit(text, ("STRING",), "string"), broken))


def _misfit(text: Column, kinds: tuple[str, ...], word: str) -> Column:
    """The reason why the first element of a JSON array that is of another kind cannot be read; null where all fit."""
    elements = F.try_variant_get(F.try_parse_json(text), "$", "array<variant>")
    others = F.filter(elements, lambda item: ~_kind(item).isin(*kinds, "VOID"))
    return _wrong_kind(_kind(F.get(others, F.lit(0))), word)
