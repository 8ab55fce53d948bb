"""How a group's values, or a spine, are computed: one SELECT, or a Python function."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, ClassVar, Self, cast

from pydantic import Field, PrivateAttr, model_validator

from featurestore.definitions.base import Definition
from featurestore.errors import TransformationError


class Transformation(Definition):
    """``Transformation(sql="SELECT ...")`` or ``Transformation(function="package.module:name")``.

    SQL may use the named parameters ``:tenant_id``, ``:start_time`` and ``:end_time``. A function is called
    ``(sources: dict[str, DataFrame], window: TimeWindow) -> DataFrame``; given as a callable, it must be importable by
    name wherever a scheduled job is to run it.
    """

    positional: ClassVar[tuple[str, ...]] = ("sql",)

    sql: str | None = None
    function: str | None = Field(default=None, pattern=r"^[\w.]+:[\w.<>]+$")
    _callable: Callable[..., Any] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.sql is None) == (self.function is None):
            raise ValueError("give exactly one of 'sql' and 'function'")
        return self

    @classmethod
    def of(cls, value: Any) -> Any:
        """Read the short forms of a transformation: a text is SQL, a callable is a function."""
        if isinstance(value, str):
            return cls(sql=value)
        if callable(value):
            transformation = cls(function=f"{value.__module__}:{value.__qualname__}")
            transformation._callable = value
            return transformation
        return value

    def load(self) -> Callable[..., Any]:
        """Return the Python function; raises TransformationError if it cannot be imported."""
        if self._callable is not None:
            return self._callable
        assert self.function is not None
        module_name, _, qualified_name = self.function.partition(":")
        try:
            function: Any = importlib.import_module(module_name)
            for part in qualified_name.split("."):
                function = getattr(function, part)
        except (ImportError, AttributeError) as error:
            raise TransformationError(
                f"transformation function {self.function!r} cannot be imported ({error}); "
                "install the package that holds it where the job runs, or apply the group again from there"
            ) from error
        return cast(Callable[..., Any], function)
