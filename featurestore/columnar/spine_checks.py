"""The checks of a spine by names and types alone; each fault has one wording, whoever holds the spine.

Types are in Spark's words, such as ``bigint``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from featurestore.columnar.names import without_case
from featurestore.errors import SpineError, nearest

_WHOLE = ("tinyint", "smallint", "int", "bigint")
# The type of a column of nothing but nulls.
_UNTYPED = "void"
ADD_KEY = "add it, or say which column holds the key with Lookup({group!r}, ..., on={{{key!r}: <column>}})"


def check_timestamp_column(columns: Iterable[str], timestamp_column: str) -> None:
    """Raise SpineError if the spine lacks its timestamp column."""
    names = list(columns)
    if timestamp_column not in names:
        raise SpineError(
            f"spine: it has no timestamp column {timestamp_column!r}; name it with timestamp_column=. "
            f"{nearest(timestamp_column, names)}"
        )


def not_an_instant(timestamp_column: str, word: str) -> SpineError:
    """The error for a timestamp column of a type that cannot be read as an instant; ``word``: of its type."""
    return SpineError(
        f"spine: column {timestamp_column!r} is {word}, not an instant; give timestamps with a time zone, or name the "
        "zone to read them in as timestamp_zone in the settings"
    )


def check_keys(
    words: Mapping[str, str],
    keys: Mapping[str, str],
    expected: Mapping[str, str],
    group: str,
    *,
    what: str = "spine",
    remedy: str = ADD_KEY,
) -> None:
    """Raise SpineError if a key column is missing or has another type.

    - ``words``: column of the rows -> type; ``keys``: join key -> column of the rows; ``expected``: join key -> type;
    - ``what`` names the rows in the error, and ``remedy`` says what to do about a missing column of ``{key}``.
    """
    for key, name in keys.items():
        if name not in words:
            raise SpineError(
                f"{what}: it has no column {name!r}, by which {group!r} is looked up; "
                f"{remedy.format(key=key, group=group)}. {nearest(name, list(words))}"
            )
        actual, wanted = words[name], expected[key]
        both_whole = actual in _WHOLE and wanted in _WHOLE
        if actual != wanted and not both_whole and actual != _UNTYPED:
            raise SpineError(
                f"{what}: column {name!r} is {actual} and join key {key!r} of {group!r} is {wanted}; cast the column"
                f"{_cast_advice(actual, wanted)}"
            )


def _cast_advice(actual: str, wanted: str) -> str:
    if actual.startswith("decimal(") and actual.endswith(",0)") and wanted in _WHOLE:
        return f" (numbers beyond the range of {wanted} are no entity's key: make them null, or leave them out)"
    return ""


def check_outputs(spine_columns: Iterable[str], outputs: Iterable[str]) -> None:
    """Raise SpineError if a feature's column collides with a column of the spine or of another feature."""
    columns = {without_case(name): name for name in spine_columns}
    for name in outputs:
        other = columns.get(without_case(name))
        if other is not None:
            same = "" if other == name else f" (beside {other!r}, which is the same to Spark: it ignores case)"
            raise SpineError(
                f"column {name!r} would stand twice in the output{same}; ask with full_feature_names=True, give the "
                "lookup a prefix (Lookup(..., prefix=...)), or rename the spine's column"
            )
        columns[without_case(name)] = name
