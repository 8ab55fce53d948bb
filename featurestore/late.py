"""Stand-ins for modules and classes of other packages that are imported when they are first used.

Spark and pandas take longer to import than this whole package, and many commands and programs need neither.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Union

from featurestore.errors import RuntimeSetupError

__all__ = ["INSTALL_SPARK", "LateClass", "LateErrors", "LateModule"]

INSTALL_SPARK = "pip install 'offline-feature-store[spark]'"
_OF_SPARK = ("delta", "py4j", "pyspark")


class LateModule:
    """A module that is imported once a name of it is looked up.

    Its names are the module's own, except those in ``classes`` while the package is not loaded: they are LateClasses,
    so that annotations and ``isinstance`` load nothing.
    """

    def __init__(self, module: str, *classes: str) -> None:
        self._late_module = module
        self._late_classes = {name: LateClass(module, name) for name in classes}

    def __getattr__(self, name: str) -> Any:
        if _is_own(name):
            raise AttributeError(f"{self!r} does not pass {name} on")
        if name in self._late_classes and not _is_loaded(self._late_module):
            return self._late_classes[name]
        found = getattr(_imported(self._late_module), name)
        # The next look-up costs what it costs in the module itself.
        self.__dict__[name] = found
        return found

    def __repr__(self) -> str:
        return f"<late module {self._late_module}>"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """As the module itself: a function that is sent to another process needs no stand-in there."""
        return import_module, (self._late_module,)


class LateErrors(LateModule):
    """A module of errors: what is not loaded has raised nothing, so until then each of its names is NeverRaisedError.

    An ``except`` therefore loads nothing, and hides no other error where the package is not even installed.
    """

    def __getattr__(self, name: str) -> Any:
        if not _is_own(name) and not _is_loaded(self._late_module):
            return NeverRaisedError
        return super().__getattr__(name)


class NeverRaisedError(Exception):
    """Stands for errors of a package that is not loaded."""


class LateClass:
    """A class, or a function, that is imported once it is called or an attribute of it is looked up.

    It serves as a class in ``isinstance``, ``issubclass``, annotations and unions, but not in ``except`` and not as a
    base: Python itself needs the real class there. Nothing can be an instance of a class whose package is not loaded.
    """

    def __init__(self, module: str, name: str) -> None:
        self._late_module = module
        self._late_name = name

    def _late_class(self) -> Any:
        return getattr(_imported(self._late_module), self._late_name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._late_class()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if _is_own(name):
            raise AttributeError(f"{self!r} does not pass {name} on")
        return getattr(self._late_class(), name)

    def __instancecheck__(self, instance: object) -> bool:
        return _is_loaded(self._late_module) and isinstance(instance, self._late_class())

    def __subclasscheck__(self, subclass: type) -> bool:
        return _is_loaded(self._late_module) and issubclass(subclass, self._late_class())

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007 - no class of Python's own

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007

    def __repr__(self) -> str:
        return f"{self._late_module}.{self._late_name}"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """As the class itself: a function that is sent to another process needs no stand-in there."""
        return getattr, (LateModule(self._late_module), self._late_name)


def _is_own(name: str) -> bool:
    """Whether a name is the stand-in's own: what copying, pickling, inspection and typing look for loads nothing."""
    return name.startswith("_late_") or (name.startswith("__") and name.endswith("__"))


def _is_loaded(module: str) -> bool:
    return module.partition(".")[0] in sys.modules


def _imported(module: str) -> ModuleType:
    """The module; raises RuntimeSetupError, which names the extra, for one of Spark where Spark is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OF_SPARK:
            raise
        raise RuntimeSetupError(
            f"this needs Spark, and the package {missing} is not installed; install it with: {INSTALL_SPARK}"
        ) from error
