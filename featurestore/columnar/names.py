"""The rules for names of a user's columns: text, and different in more than case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from featurestore.errors import FeatureStoreError, SpineError


def without_case(name: str) -> str:
    """The name in the form that Spark compares: each character in upper and then in lower case."""
    return "".join(_one_case(letter) for letter in name)


def _one_case(letter: str) -> str:
    upper = letter.upper()
    # Java maps one character to one character. Python maps a capital I with a dot to two.
    return (upper if len(upper) == 1 else letter).lower()[0]


def same_to_spark(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that are the same to Spark: equal, or different only in case."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(without_case(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def check_names(names: Sequence[object], what: str, error: type[FeatureStoreError] = SpineError) -> list[str]:
    """The names as text; ``what`` names their frame in errors.

    Raises ``error`` for names that are not Unicode text, that come twice, or that differ only in case.
    """
    other = [name for name in names if not isinstance(name, str)]
    if other:
        raise error(
            f"{what}: column names {other[:5]} are {type(other[0]).__name__}, and names are text; rename the columns, "
            "as with .columns.map(str)"
        )
    texts = [str(name) for name in names]
    broken = [ascii(name) for name in texts if not _is_unicode(name)]
    if broken:
        raise error(f"{what}: column names {', '.join(broken)} are not valid Unicode text; rename the columns")
    check_distinct(texts, what, error)
    return texts


def check_distinct(names: Sequence[str], what: str, error: type[FeatureStoreError] = SpineError) -> None:
    """Raise ``error`` if two names are equal, or differ only in case, which Spark ignores."""
    for group in same_to_spark(names):
        if len(set(group)) == 1:
            raise error(f"{what}: columns {group[:1]} come twice; rename or drop one of each")
        raise error(f"{what}: columns {group} differ only in case, and Spark ignores case; rename or drop all but one")


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
