"""Check the arguments of public functions against their annotations.

Texts, whole numbers, numbers, booleans, literals, lists of names and this package's own objects are checked here,
before anything else runs. Values that are read by their content (moments, durations, entities, vectors, frames) have
readers of their own.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, Strict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from featurestore.errors import InvalidArgumentError, shown

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

_NAMES = (Sequence, Iterable)
# By name, so that NumPy need not be loaded.
_NUMPY_SCALARS = frozenset(
    ["bool", "bool_", *(f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64))]
)
# pydantic's kind of fault -> what is possible; braces take values from the fault's context.
_POSSIBLE = {
    "string_type": "a text",
    "string_unicode": "a text without halves of surrogate pairs",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "True or False",
    "path_type": "a path",
    "callable_type": "a function",
    "is_instance_of": "{class}",
    "literal_error": "{expected}",
    "greater_than_equal": "a number from {ge} on",
    "less_than_equal": "a number up to {le}",
    "greater_than": "a number greater than {gt}",
    "less_than": "a number less than {lt}",
    "names": "a list of texts",
    "characters": "a text without NUL characters and halves of surrogate pairs",
}


class ByContent:
    """Mark the annotation of an argument that has its own reader and its own class of error."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function so that it reads its arguments by their annotations.

    The wrapper raises InvalidArgumentError, which names the argument. It costs microseconds a call and copies only
    lists of names. Python itself reports a call with the wrong number of arguments. Annotations are resolved at the
    first call.
    """
    names = tuple(inspect.signature(function).parameters)
    readers = functools.cache(lambda: dict(_readers(function)))

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        known = readers()
        positional = [
            *(read(name, value, known) for name, value in zip(names, args, strict=False)),
            *args[len(names) :],
        ]
        named = {name: read(name, value, known) for name, value in kwargs.items()}
        return function(*positional, **named)

    return wrapper


def checked_arguments(kind: C) -> C:
    """Decorate a class: its public functions, and its own ``__init__``, become ``checked``."""
    for name, member in list(vars(kind).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, classmethod | staticmethod):
            setattr(kind, name, type(member)(checked(member.__func__)))
        elif inspect.isfunction(member):
            setattr(kind, name, checked(member))
    return kind


def python_scalar(value: Any) -> Any:
    """Convert a NumPy number or boolean to Python's; return any other value as it is."""
    return value.item() if type(value).__module__ == "numpy" and type(value).__name__ in _NUMPY_SCALARS else value


def read(name: str, value: Any, readers: Mapping[str, TypeAdapter[Any]]) -> Any:
    """The value of an argument by its reader; a NumPy scalar becomes Python's."""
    reader = readers.get(name)
    if reader is None:
        return value
    try:
        return reader.validate_python(python_scalar(value))
    except ValidationError as error:
        raise InvalidArgumentError(_message(name, error, reader.core_schema["type"] == "nullable")) from None


def _message(name: str, error: ValidationError, or_none: bool) -> str:
    """A message such as ``limit is 0 (int); give a number from 1 on``, with all that the annotation allows."""
    faults = error.errors(include_url=False)
    places = [part for part in faults[-1]["loc"] if isinstance(part, int)]
    possible: dict[str, None] = dict.fromkeys(_possible(fault) for fault in faults)
    possible |= {"None": None} if or_none else {}
    where = name + "".join(f"[{place}]" for place in places)
    value = faults[-1]["input"]
    return f"{where} is {shown(value)} ({type(value).__name__}); give {' or '.join(possible)}"


def _possible(fault: Any) -> str:
    words = _POSSIBLE.get(fault["type"])
    return cast(str, fault["msg"]) if words is None else words.format_map(fault.get("ctx", {}))


def _readers(function: Callable[..., Any]) -> Iterator[tuple[str, TypeAdapter[Any]]]:
    """Each argument that its annotation alone can check, with its reader."""
    names = vars(sys.modules[function.__module__])
    for parameter in inspect.signature(function).parameters.values():
        hint = parameter.annotation
        rule = _rule(eval(hint, dict(names)) if isinstance(hint, str) else hint)
        if rule is not None:
            yield parameter.name, TypeAdapter(rule)


def _rule(hint: Any) -> Any:
    """The annotation in pydantic's terms; None if a part of it is read by its content."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        parts = [_rule(part) for part in get_args(hint)]
        return None if None in parts else functools.reduce(operator.or_, parts)
    if origin is Annotated:
        if ByContent in hint.__metadata__:
            return None
        inner = _rule(hint.__origin__)
        return None if inner is None else Annotated[(inner, *hint.__metadata__)]
    if origin in _NAMES:
        return _TEXTS if get_args(hint) == (str,) else None
    if origin is Mapping:
        return InstanceOf[Mapping[Any, Any]] if get_args(hint) == (str, str) else None
    if origin is MutableMapping:
        return InstanceOf[MutableMapping[Any, Any]]
    if origin in (Literal, Callable):
        return hint
    is_ours = inspect.isclass(hint) and hint.__module__.startswith("featurestore.")
    return InstanceOf[hint] if is_ours else None  # type: ignore[misc]


def _storable(text: Any) -> Any:
    """The same text, once it is one that every file system, PostgreSQL and UTF-8 can hold."""
    try:
        is_whole = b"\0" not in str(text).encode()
    except UnicodeEncodeError:
        is_whole = False
    if not is_whole:
        raise PydanticCustomError("characters", "the text holds a NUL character or half of a surrogate pair")
    return text


def _number(value: Any) -> Any:
    """The same value if it is a number; pydantic would call ``__float__`` of any object, as of a one-row column."""
    if not isinstance(value, int | float):
        raise PydanticCustomError("float_type", "not a number")
    return value


def _as_tuple(value: Any) -> Any:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise PydanticCustomError("names", "not a list of texts")
    return tuple(value)


_TEXT = Annotated[str, Strict(), AfterValidator(_storable)]
_TEXTS = Annotated[tuple[_TEXT, ...], BeforeValidator(_as_tuple)]
# Every number goes to Java, Arrow or JSON, which hold at most 64 bits.
_SCALARS: dict[Any, Any] = {
    str: _TEXT,
    int: Annotated[int, Strict(), Field(ge=-(2**63), le=2**63 - 1)],
    float: Annotated[float, Strict(), Field(allow_inf_nan=False), BeforeValidator(_number)],
    bool: Annotated[bool, Strict()],
    type(None): type(None),
    Path: Annotated[InstanceOf[Path], AfterValidator(_storable)],
}
