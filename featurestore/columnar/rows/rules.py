"""The rules of a feature on Arrow columns: their names in reasons, and the rows that break them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.rows.patterns import whole_match
from featurestore.definitions.feature import Feature
from featurestore.definitions.values.bounds import greatest_value, least_value, number_text
from featurestore.definitions.values.types import WHOLE_RANGES
from featurestore.kinds.arrow_columns.reading import Mask, is_present, true_of
from featurestore.kinds.registry import kind_of


def broken_rules(feature: Feature, value: pa.Array, unreadable: Mask) -> list[tuple[str, Mask]]:
    """The rules that some rows break, in the order in which Spark has them; null breaks only ``missing``.

    ``unreadable``: the rows whose value could not be read, which is another reason. Raises UndecidedError for a pattern
    that only Spark knows how to match.
    """
    kind = kind_of(feature.type)
    broken: list[tuple[str, Mask]] = []
    if feature.not_null:
        broken.append(("missing", ~is_present(value) & ~unreadable))
    broken += [*kind.broken_arrow_rules(value), *_out_of_bounds(feature, value)]
    if feature.allowed_values is not None:
        broken.append(("not among allowed_values", ~_is_allowed(value, feature.allowed_values) & is_present(value)))
    if feature.pattern is not None:
        matches = pc.match_substring_regex(value, whole_match(feature.pattern))
        broken.append(("does not match pattern", true_of(pc.invert(matches))))
    if feature.min_length is not None:
        shorter = true_of(pc.less(kind.arrow_lengths(value), feature.min_length))
        broken.append((f"shorter than min_length {feature.min_length}", shorter))
    if feature.max_length is not None:
        longer = true_of(pc.greater(kind.arrow_lengths(value), feature.max_length))
        broken.append((f"longer than max_length {feature.max_length}", longer))
    return [(rule, mask) for rule, mask in broken if mask.any()]


def _is_allowed(value: pa.Array, allowed: tuple[bool | int | str, ...]) -> Mask:
    wide = value.cast(pa.int64()) if pa.types.is_integer(value.type) else value
    return true_of(pc.is_in(wide, value_set=pa.array(list(allowed), wide.type)))


def _out_of_bounds(feature: Feature, value: pa.Array) -> list[tuple[str, Mask]]:
    """The bounds that a value breaks. Whole numbers are compared as such: as doubles, 2**53 and 2**53 + 1 are equal."""
    if feature.min is None and feature.max is None:
        return []
    word = feature.type
    wide = value.cast(pa.int64() if word in WHOLE_RANGES else pa.float64())
    is_comparable = kind_of(word).is_arrow_comparable(value)
    broken: list[tuple[str, Mask]] = []
    if feature.min is not None and (least := least_value(word, feature.min)) is not None:
        less = true_of(pc.less(wide, pa.scalar(least, wide.type)))
        broken.append((f"less than min {number_text(feature.min)}", less & is_comparable))
    if feature.max is not None and (greatest := greatest_value(word, feature.max)) is not None:
        more = true_of(pc.greater(wide, pa.scalar(greatest, wide.type)))
        broken.append((f"greater than max {number_text(feature.max)}", more & is_comparable))
    return broken
