"""The base of every definition: frozen, and without unknown keys."""

from __future__ import annotations

from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from featurestore.arguments import python_scalar
from featurestore.errors import DefinitionError, shown


class Definition(BaseModel):
    """A frozen value object; equal definitions have equal JSON.

    Callers may pass the first fields by position, in the order of ``positional``.
    Raises DefinitionError, naming each field at fault, if a rule is broken.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    positional: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **fields: Any) -> None:
        if len(args) > len(self.positional):
            raise DefinitionError(
                f"{type(self).__name__} takes {len(self.positional)} values by position {self.positional}, "
                f"got {len(args)}"
            )
        by_position = dict(zip(self.positional, args, strict=False))
        doubled = sorted(by_position.keys() & fields.keys())
        if doubled:
            raise DefinitionError(f"{type(self).__name__} was given {doubled} both by position and by name")
        try:
            super().__init__(**by_position, **fields)
        except ValidationError as error:
            raise DefinitionError(describe(error, {**by_position, **fields}, type(self).__name__)) from error

    # Makes pydantic validate nested definitions in place, so that a fault keeps its full path (as RootModel does).
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """Convert a NumPy scalar to Python's; refuse a boolean where a number is needed, though Python accepts it."""
        value = python_scalar(value)
        if isinstance(value, bool) and not _names(cls.model_fields[str(info.field_name)].annotation, bool):
            raise ValueError(f"{value} is a boolean; give a value of the type")
        return value

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The definition that ``to_json`` wrote; raises DefinitionError for any other text."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DefinitionError(describe(error, {}, cls.__name__)) from error

    def to_json(self) -> str:
        """Canonical JSON: declared order, defaults left out, so that a new default changes no stored state."""
        return self.model_dump_json(exclude_defaults=True, exclude_none=True)


def _names(annotation: Any, kind: type) -> bool:
    """Whether an annotation names a class, at any depth."""
    return annotation in (kind, Any) or any(_names(part, kind) for part in get_args(annotation))


def describe(error: ValidationError, fields: dict[str, Any], kind: str) -> str:
    """One line: which object, then each fault with its field, what was found and what is wrong."""
    name = fields.get("name")
    lines = [f"{kind} {shown(name)}" if isinstance(name, str) and name else kind]
    for fault in error.errors(include_url=False):
        lines.append(f"{field_path(fault['loc'])}: {fault_text(dict(fault))}")
    return "; ".join(lines)


def field_path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "(the whole)"


def fault_text(fault: dict[str, Any]) -> str:
    """Pydantic's message, shortened and in the words of this project."""
    if fault["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    if fault["type"] == "missing":
        return "missing; it must be given"
    return str(fault["msg"]).removeprefix("Value error, ")
