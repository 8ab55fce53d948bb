"""A lookup: which features of a group to join, by which columns of the spine, under which names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.names import Name, parse_reference
from featurestore.errors import InvalidArgumentError, shown


class Lookup(Definition):
    """``Lookup("airport_weather", ["temp"], on={"airport": "dest"}, prefix="dest_")``.

    ``on`` maps join keys of the group to columns of the spine; a key that ``on`` does not name is looked up in the
    spine's column of the same name. ``prefix`` precedes each feature's name in the output. Empty ``features`` means all
    features of the group.
    """

    positional: ClassVar[tuple[str, ...]] = ("group", "features")

    group: Name
    features: tuple[Name, ...] = ()
    on: dict[Name, str] = {}
    prefix: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")

    if TYPE_CHECKING:

        def __init__(
            self,
            group: str,
            features: Sequence[str] = (),
            *,
            on: Mapping[str, str] = {},
            prefix: str | None = None,
        ) -> None: ...

    @field_validator("features", mode="before")
    @classmethod
    def _one_or_many(cls, features: Any) -> Any:
        return (features,) if isinstance(features, str) else features

    @field_validator("features")
    @classmethod
    def _each_once(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        doubled = sorted({name for name in features if features.count(name) > 1})
        if doubled:
            raise ValueError(f"{doubled} are listed twice")
        return features


def listed(features: str | Lookup | Iterable[str | Lookup]) -> list[str | Lookup]:
    """Return one reference or lookup, or several, as a list; raises InvalidArgumentError for any other value."""
    if isinstance(features, Mapping | bytes) or not isinstance(features, str | Lookup | Iterable):
        raise InvalidArgumentError(
            f"features is {shown(features)} ({type(features).__name__}); give references 'group:feature' and Lookups, "
            "one or a list of them"
        )
    return [features] if isinstance(features, str | Lookup) else list(features)


def as_lookups(features: str | Lookup | Iterable[str | Lookup]) -> list[Lookup]:
    """Turn feature references and lookups into lookups, in their order; references of one group become one lookup.

    Raises InvalidNameError for a reference that cannot be read, InvalidArgumentError for what ``listed`` refuses.
    """
    items: dict[int, list[str | Lookup]] = {}
    for place, item in with_places(listed(features)):
        items.setdefault(place, []).append(item)
    return [first if isinstance(first, Lookup) else _of_references([first, *more]) for first, *more in items.values()]


def with_places(features: Sequence[str | Lookup]) -> list[tuple[int, str | Lookup]]:
    """Each item, after the position in ``as_lookups`` of the lookup that it is part of."""
    places: dict[str | int, int] = {}
    groups = [number if isinstance(item, Lookup) else parse_reference(item)[0] for number, item in enumerate(features)]
    return [(places.setdefault(group, len(places)), item) for group, item in zip(groups, features, strict=True)]


def _of_references(references: Iterable[Any]) -> Lookup:
    """One lookup for references that all belong to one group."""
    pairs = [parse_reference(reference) for reference in references]
    return Lookup(pairs[0][0], tuple(feature for _, feature in pairs))
