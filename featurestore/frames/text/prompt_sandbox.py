"""What a prompt template can reach while a row is rendered: its columns' values, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from types import ClassMethodDescriptorType
from typing import Any, ClassVar, NoReturn

from jinja2 import StrictUndefined, Undefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from featurestore.frames.text.value_text import json_text

# Bound to a type and not to a value, so that they tell of something else, such as the clock: ``now``, ``today``, ``fromkeys``.
_OF_A_TYPE = (classmethod, staticmethod, ClassMethodDescriptorType)
# Without an argument it answers in the time zone of whichever machine runs it.
_OF_THE_MACHINE = frozenset({"astimezone"})


class Missing:
    """A null in a template: printed, joined or formatted it is an empty text, and ``is none`` is true of it.

    None itself would turn into the text "None" wherever Jinja2 or Python makes a text of it.
    """

    def __str__(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "None"

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Missing)

    def __hash__(self) -> int:
        return hash(None)


MISSING = Missing()


def seen_by_template(value: Any) -> Any:
    """The value with each null in it, at any depth, as ``MISSING``."""
    if value is None:
        return MISSING
    if isinstance(value, list | tuple):
        return [seen_by_template(item) for item in value]
    if isinstance(value, dict):
        return {key: seen_by_template(item) for key, item in value.items()}
    return value


class _Method:
    """A value's method, which can be called and is no text: as text it would show an address in memory."""

    def __init__(self, method: Callable[..., Any], name: str) -> None:
        self._method, self._name = method, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._method(*arguments, **named)

    def __str__(self) -> NoReturn:
        raise SecurityError(f"{self._name!r} is a method, which is no text; call it")

    __repr__ = __str__


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2 without global names, in its sandbox: no attribute that begins with an underscore, no change of a value.

    A template says the same of a row each time: no chance, no clock, no addresses. ``tojson`` writes text as it is, where
    Jinja2's own makes it fit for HTML; ``default`` also stands in for nulls.
    """

    intercepted_binops: ClassVar[frozenset[str]] = frozenset({"+", "-", "*", "/", "//", "**", "%"})  # type: ignore[misc]

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, finalize=_printed)
        self.globals.clear()
        del self.filters["random"]
        default = self.filters["default"]
        own = {"tojson": _json, "default": _default(default), "d": _default(default)}
        self.filters = {name: _listed(filter) for name, filter in (self.filters | own).items()}
        self.tests["none"] = _is_none

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        found = inspect.getattr_static(obj, attr, None)
        if isinstance(found, _OF_A_TYPE) or attr in _OF_THE_MACHINE:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A mapping's key goes before its methods: a field named `items` is that field.
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return _as_method(super().getattr(obj, attribute), attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return _as_method(super().getitem(obj, argument), str(argument))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, str) and operator == "%":
            return super().call_binop(context, operator, left, right)
        return super().call_binop(context, operator, *(None if one is MISSING else one for one in (left, right)))


def _as_method(found: Any, name: str) -> Any:
    is_data = isinstance(found, Undefined) or not callable(found)
    return found if is_data else _Method(found, name)


def _printed(value: Any) -> Any:
    return "" if value is None else value


def _json(value: object, indent: int | None = None) -> str:
    return json_text(_plain(value), indent)


def _plain(value: Any) -> Any:
    """The value with None in place of ``MISSING``."""
    if value is MISSING:
        return None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _default(filter: Callable[..., Any]) -> Callable[..., Any]:
    def default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
        return default_value if value is None or value is MISSING else filter(value, default_value, boolean)

    return default


def _listed(filter: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, whose answer is a list where it was an iterator, which as text is an address in memory."""

    @wraps(filter)
    def listed(*arguments: Any, **named: Any) -> Any:
        answer = filter(*arguments, **named)
        return list(answer) if isinstance(answer, Iterator) else answer

    return listed


def _is_none(value: Any) -> bool:
    return value is None or value is MISSING
