"""The sandbox of prompt templates: a template can reach the values of a row's columns, and nothing else."""

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

# Bound to a type and not to a value, so they return something else, such as the time: ``now``, ``today``, ``fromkeys``.
_OF_A_TYPE = (classmethod, staticmethod, ClassMethodDescriptorType)
# Without an argument, its result is in the time zone of the machine that runs it.
_OF_THE_MACHINE = frozenset({"astimezone"})


class Missing:
    """A null in a template: an empty text when it is printed, joined or formatted; ``is none`` is true for it.

    Wherever Jinja2 or Python makes a text, None itself would become the text "None".
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
    """The value with ``MISSING`` in place of each null, at any depth."""
    if value is None:
        return MISSING
    if isinstance(value, list | tuple):
        return [seen_by_template(item) for item in value]
    if isinstance(value, dict):
        return {key: seen_by_template(item) for key, item in value.items()}
    return value


class _Method:
    """A value's method, which can be called but not printed: as text it would show an address in memory."""

    def __init__(self, method: Callable[..., Any], name: str) -> None:
        self._method, self._name = method, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._method(*arguments, **named)

    def __str__(self) -> NoReturn:
        raise SecurityError(f"{self._name!r} is a method, not a text; call it")

    __repr__ = __str__


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, without global names: no attribute that begins with an underscore, no change of a value.

    A template always renders a row to the same text: no chance, no clock, no addresses. ``tojson`` writes text as it
    is, while Jinja2's own escapes it for HTML; ``default`` also replaces nulls.
    """

    intercepted_binops: ClassVar = frozenset({"+", "-", "*", "/", "//", "**", "%"})  # type: ignore[misc]

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, finalize=_printed)
        self.globals.clear()
        del self.filters["random"]
        default = self.filters["default"]
        own = {"tojson": _json, "default": _default(default), "d": _default(default)}
        self.filters = {name: _listed(filter) for name, filter in (self.filters | own).items()}
        self.tests["none"] = _is_none

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        static = inspect.getattr_static(obj, attr, None)
        if isinstance(static, _OF_A_TYPE) or attr in _OF_THE_MACHINE:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A mapping's keys take precedence over its methods: a field named `items` is that field.
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return _as_method(super().getattr(obj, attribute), attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return _as_method(super().getitem(obj, argument), str(argument))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, str) and operator == "%":
            return super().call_binop(context, operator, left, right)
        operands = (None if operand is MISSING else operand for operand in (left, right))
        return super().call_binop(context, operator, *operands)


def _as_method(value: Any, name: str) -> Any:
    is_data = isinstance(value, Undefined) or not callable(value)
    return value if is_data else _Method(value, name)


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
    """The filter with a list in place of an iterator, which as text would show an address in memory."""

    @wraps(filter)
    def listed(*arguments: Any, **named: Any) -> Any:
        result = filter(*arguments, **named)
        return list(result) if isinstance(result, Iterator) else result

    return listed


def _is_none(value: Any) -> bool:
    return value is None or value is MISSING
