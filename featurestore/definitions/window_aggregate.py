"""A windowed feature: an aggregate of a group's events over a window that ends at each example's own time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast, get_args

from pydantic import Field, field_validator, model_validator

from featurestore.definitions.feature import Feature
from featurestore.definitions.values.durations import Duration, format_duration
from featurestore.errors import nearest

AggregateFunction = Literal[
    "sum", "avg", "count", "min", "max", "stddev", "first", "last", "last_n", "count_distinct", "approx_percentile"
]
_FUNCTIONS: tuple[str, ...] = get_args(AggregateFunction)
_CALL = re.compile(r"\s*([a-z_]+)\s*(?:\(\s*([^()]*?)\s*\))?\s*")
_MOST_LAST = 1_000
_ORDERED = ("double", "float", "long", "int", "string", "boolean", "date", "timestamp")
# The types that a function can give, its default first.
_TYPES: dict[str, tuple[str, ...]] = {
    "sum": ("double", "long"),
    "avg": ("double",),
    "count": ("long",),
    "min": _ORDERED,
    "max": _ORDERED,
    "stddev": ("double",),
    "first": _ORDERED,
    "last": _ORDERED,
    "last_n": ("array<double>", "array<string>"),
    "count_distinct": ("long",),
    "approx_percentile": ("double", "float", "long", "int"),
}
_RULES = ("not_null", "min", "max", "allowed_values", "pattern", "min_length", "max_length", "model_version", "index")


class WindowAggregate(Feature):
    """``WindowAggregate("spend_7d", "sum", of="amount", window="7d")``.

    The aggregate, at an example's time T, of its entity's events with ``T - window < event_timestamp <= T``, exact to
    the microsecond.

    - ``function``: ``sum``, ``avg``, ``count``, ``min``, ``max``, ``stddev`` (of the sample; null below two values),
      ``first``, ``last`` (by event timestamp), ``last_n(n)`` (the last n values, newest first), ``count_distinct``,
      ``approx_percentile(p)`` (the smallest value with at least the share p of the values at or below it);
    - ``of``: the events' column; nulls, NaN and infinities in it are left out. ``count`` without it counts events;
    - ``window``: its length; None for all events up to T;
    - ``where``: an SQL expression over the event's own columns; events for which it is not true are left out;
    - ``type``: of the result; by default double, long for counts, and array<double> for ``last_n``.

    Without an event the result is 0 for ``count`` and ``count_distinct``, and null otherwise.
    """

    positional: ClassVar[tuple[str, ...]] = ("name", "function")

    function: str
    of: str | None = Field(default=None, min_length=1)
    window: Duration | None = None
    where: str | None = Field(default=None, min_length=1)

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            function: str,
            *,
            of: str | None = None,
            window: timedelta | str | None = None,
            where: str | None = None,
            type: str | None = None,
            description: str = "",
            tags: Sequence[str] = (),
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _usual_type(cls, fields: Any) -> Any:
        """The fields with the function's usual type, if none is given."""
        if not isinstance(fields, Mapping) or fields.get("type") is not None:
            return fields
        match = _CALL.fullmatch(fields["function"]) if isinstance(fields.get("function"), str) else None
        # The type of an unknown function does not matter: the function is refused.
        return {**fields, "type": _TYPES.get(match[1] if match else "", ("double",))[0]}

    @field_validator("function")
    @classmethod
    def _known_function(cls, function: str) -> str:
        match = _CALL.fullmatch(function)
        name, argument = (match[1], match[2]) if match else (function, None)
        if name not in _FUNCTIONS:
            raise ValueError(f"{function!r} is not a function of windows. {nearest(name, _FUNCTIONS)}")
        if name == "last_n":
            values = int(argument) if argument and re.fullmatch(r"[0-9]{1,4}", argument) else 0
            if not 1 <= values <= _MOST_LAST:
                raise ValueError(f"{function!r}: write how many values, from 1 to {_MOST_LAST}, as in 'last_n(5)'")
            return f"last_n({values})"
        if name == "approx_percentile":
            share = _share(argument)
            if share is None:
                raise ValueError(f"{function!r}: write a share from 0 to 1, as in 'approx_percentile(0.9)'")
            return f"approx_percentile({share})"
        if argument is not None:
            raise ValueError(f"{function!r}: {name} takes no number; write {name!r}, and the column as of=")
        return name

    @model_validator(mode="after")
    def _of_and_type_fit(self) -> Self:
        if self.of is None and self.word != "count":
            raise ValueError(f"{self.word} needs the column of the events that it aggregates; give of=")
        possible = _TYPES[self.word]
        if self.type not in possible:
            raise ValueError(f"{self.word} cannot give {self.type}; possible types: {', '.join(possible)}")
        fields = type(self).model_fields
        rules = [name for name in _RULES if getattr(self, name) != fields[name].get_default()]
        if rules:
            raise ValueError(f"{rules} are rules of values that are written, and this one is computed; remove them")
        return self

    @property
    def word(self) -> AggregateFunction:
        """The function without its number."""
        return cast(AggregateFunction, self.function.partition("(")[0])

    @property
    def n(self) -> int | None:
        """How many values ``last_n`` gives."""
        return int(self._number) if self.word == "last_n" else None

    @property
    def p(self) -> float | None:
        """The share of ``approx_percentile``."""
        return float(self._number) if self.word == "approx_percentile" else None

    @property
    def _number(self) -> str:
        return self.function.partition("(")[2].removesuffix(")")

    @property
    def rules(self) -> tuple[str, ...]:
        """How the value is computed, each part as one line."""
        over = "all events" if self.window is None else f"the last {format_duration(self.window)}"
        what = self.function if self.of is None else f"{self.function} of {self.of}"
        return (f"{what} over {over}", *([f"where {self.where}"] if self.where is not None else []))


def _share(text: str | None) -> float | None:
    try:
        share = float(text or "")
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def feature_of(value: Any) -> Any:
    """Read a mapping with a function as a windowed feature."""
    if isinstance(value, Mapping) and "function" in value:
        return WindowAggregate.model_validate(value)
    return value
