"""A derived feature: an expression, or a function, over an example's own columns and its looked-up features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import DERIVED, RESERVED_COLUMNS, Name, is_unicode, parse_reference
from featurestore.definitions.transformation import Transformation
from featurestore.definitions.values.types import TypeWord, parse_type
from featurestore.display.description import Display, Table
from featurestore.display.displayed import Displayed
from featurestore.errors import DefinitionError, InvalidNameError, TransformationError

Input = str | Lookup


class DerivedDefinition(Displayed, Definition):
    """What ``DerivedFeature`` declares; see there."""

    positional: ClassVar[tuple[str, ...]] = ("name", "type")

    name: Name
    type: TypeWord
    inputs: tuple[str | Lookup, ...] | dict[str, str | Lookup]
    sql: str | None = None
    function: str | None = Field(default=None, pattern=r"^[\w.]+:[\w.]+$")
    frame: Literal["arrow", "pandas"] = "arrow"
    version: int = Field(default=1, ge=1, le=9999)
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    _callable: Callable[..., Any] | None = PrivateAttr(default=None)

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            type: str,
            *,
            inputs: Sequence[str | Lookup] | Mapping[str, str | Lookup],
            sql: str | None = None,
            function: str | Callable[..., Any] | None = None,
            frame: Literal["arrow", "pandas"] = "arrow",
            version: int = 1,
            description: str = "",
            owner: str = "",
            tags: Sequence[str] = (),
        ) -> None: ...

    @model_validator(mode="wrap")
    @classmethod
    def _with_callable(cls, given: Any, handler: Callable[[Any], Self]) -> Self:
        function = given.get("function") if isinstance(given, Mapping) else None
        if not callable(function) or isinstance(function, str):
            return handler(given)
        name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
        if not name.replace(":", "").replace(".", "").isidentifier():
            raise ValueError(f"function {name!r} has no name to import it by; give a function of a module")
        definition = handler({**given, "function": name})
        definition._callable = function
        return definition

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name in RESERVED_COLUMNS or name.endswith(("__model_version", "__event_timestamp")):
            raise ValueError(f"{name!r} is or ends like a column of the store; give the feature another name")
        return name

    @field_validator("type")
    @classmethod
    def _no_embedding(cls, word: str) -> str:
        if parse_type(word).is_embedding:
            raise ValueError(
                f"a derived feature cannot be {word}; declare array<double>, or write embeddings to a group"
            )
        return word

    @field_validator("inputs", mode="before")
    @classmethod
    def _one_or_many(cls, inputs: Any) -> Any:
        return (inputs,) if isinstance(inputs, str | Lookup) else inputs

    @field_validator("inputs")
    @classmethod
    def _readable(cls, inputs: Any) -> Any:
        for place in inputs.values() if isinstance(inputs, dict) else inputs:
            _check_input(place)
        for name in inputs if isinstance(inputs, dict) else ():
            if not name or not is_unicode(name):
                raise ValueError(f"{name!r} cannot be the name of an input")
        names = [name.lower() for name in _names(inputs)]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(
                f"{doubled} would each name two inputs; give other names with a mapping, as in "
                "inputs={'origin_lat': 'origin:lat', 'dest_lat': 'dest:lat'}, or a Lookup with a prefix"
            )
        return inputs

    @field_validator("sql")
    @classmethod
    def _is_one_expression(cls, sql: str | None, info: ValidationInfo) -> str | None:
        if sql is None or "inputs" not in info.data:
            return sql
        names = _names(info.data["inputs"])
        try:
            unused = sorted(set(names) - set(_expression(sql, names).names))
        except DefinitionError as error:
            raise ValueError(str(error)) from error
        if unused:
            raise ValueError(f"the expression does not use the inputs {unused}; leave them out")
        return sql

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.sql is None) == (self.function is None):
            raise ValueError("give exactly one of 'sql' and 'function'")
        if self.frame != "arrow" and self.function is None:
            raise ValueError("'frame' is for a function; an expression is computed on Arrow columns")
        if self.name in self.derived_inputs:
            raise ValueError(f"inputs: it names itself, {DERIVED}:{self.name}; name what it is computed from")
        if self.function is not None and not self.inputs:
            raise ValueError("inputs: a function needs at least one, which says how many rows there are")
        return self

    @property
    def inputs_by_name(self) -> dict[str, Input]:
        """Each input, by its name in the expression, in the order declared, in which a function takes them."""
        if isinstance(self.inputs, dict):
            return dict(self.inputs)
        return {_own_name(place): place for place in self.inputs}

    @property
    def spine_columns(self) -> list[str]:
        """The columns of the spine that it reads."""
        return [place for place in self.inputs_by_name.values() if isinstance(place, str) and ":" not in place]

    @property
    def references(self) -> list[tuple[str, str]]:
        """The group and feature of each other input; a derived feature is one of the group ``derived``."""
        places = [place for place in self.inputs_by_name.values() if isinstance(place, Lookup) or ":" in place]
        return [
            (place.group, place.features[0]) if isinstance(place, Lookup) else parse_reference(place)
            for place in places
        ]

    @property
    def derived_inputs(self) -> list[str]:
        """The derived features that it reads."""
        return [feature for group, feature in self.references if group == DERIVED]

    @property
    def expression(self) -> Any:
        """The checked expression; raises DefinitionError if it is refused, or if there is none."""
        if self.sql is None:
            raise DefinitionError(f"derived feature {self.name!r} is computed by a function, and has no expression")
        return _expression(self.sql, _names(self.inputs))

    def load(self) -> Callable[..., Any]:
        """The Python function; raises TransformationError if it cannot be imported."""
        if self._callable is not None:
            return self._callable
        try:
            return Transformation(function=self.function).load()
        except TransformationError as error:
            raise TransformationError(
                f"derived feature {self.name!r}: its function {self.function!r} cannot be imported "
                f"({error.__cause__}); install the package that holds it, here and where Spark's tasks run"
            ) from error

    def display(self) -> Display:
        """The feature's type, how it is computed, and its inputs."""
        facts = {
            "type": self.type,
            "sql": self.sql,
            "function": self.function,
            "frame": self.frame if self.function is not None else None,
            "owner": self.owner,
            "tags": ", ".join(self.tags),
        }
        inputs = [(name, input_text(place)) for name, place in self.inputs_by_name.items()]
        return Display(
            title=f"Derived feature {self.name} v{self.version}",
            lines=(self.description,) if self.description else (),
            facts=tuple((name, fact) for name, fact in facts.items() if fact),
            tables=(Table(("input", "is"), tuple(inputs)),),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.type!r}, version={self.version})"


def input_text(place: Input) -> str:
    """An input in words: a column of the spine, or a feature and by which columns it is looked up."""
    if isinstance(place, str):
        return place if ":" in place else f"column {place} of the spine"
    on = ", ".join(f"{key} = {column}" for key, column in place.on.items())
    return f"{place.group}:{place.features[0]}" + (f" on {on}" if on else "")


def describe_derived(features: Sequence[DerivedDefinition]) -> Display:
    """One line per derived feature."""
    if not features:
        return Display("There are no derived features yet; write definitions and apply them.")
    columns = ("derived feature", "version", "type", "inputs", "computed by", "owner")
    rows = [
        (
            feature.name,
            feature.version,
            feature.type,
            ", ".join(input_text(place) for place in feature.inputs_by_name.values()),
            feature.sql or feature.function,
            feature.owner,
        )
        for feature in features
    ]
    return Display(tables=(Table(columns, tuple(rows)),))


def _names(inputs: tuple[Input, ...] | dict[str, Input]) -> list[str]:
    return list(inputs) if isinstance(inputs, dict) else [_own_name(place) for place in inputs]


def _expression(sql: str, names: list[str]) -> Any:
    from featurestore.definitions.sql.scalar_expression import scalar_expression

    return scalar_expression(sql, names)


def _own_name(place: Input) -> str:
    if isinstance(place, Lookup):
        return f"{place.prefix or ''}{place.features[0]}"
    return place.rpartition(":")[2]


def _check_input(place: Input) -> None:
    if isinstance(place, Lookup):
        if len(place.features) != 1:
            raise ValueError(
                f"Lookup({place.group!r}, {list(place.features)}) names {len(place.features)} features; "
                "an input is one, so give one Lookup for each"
            )
        if place.group == DERIVED and place.on:
            raise ValueError("a Lookup of a derived feature takes no on=; its own inputs say how they are looked up")
    elif ":" in place:
        try:
            parse_reference(place)
        except InvalidNameError as error:
            raise ValueError(str(error)) from error
    elif not place or not is_unicode(place):
        raise ValueError(f"{place!r} cannot be a column of a spine")
