"""Results that display themselves: by rich in a terminal, as HTML in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from featurestore.display.description import Display

if TYPE_CHECKING:
    from rich.console import RenderableType

Item = TypeVar("Item")


class Displayed:
    """Mixin for a result: rich and notebooks show what its ``display()`` returns."""

    __slots__ = ()

    def display(self) -> Display:
        raise NotImplementedError

    def __str__(self) -> str:
        # A base class such as pydantic's would print every field.
        return repr(self)

    def __rich__(self) -> RenderableType:
        from featurestore.display.terminal import as_rich

        return as_rich(self.display())

    def _repr_html_(self) -> str:
        from featurestore.display.html import as_html

        return as_html(self.display())


class Listing(list[Item], Displayed):
    """A list that displays itself with ``describe``."""

    def __init__(self, items: Iterable[Item], describe: Callable[[Sequence[Item]], Display]) -> None:
        super().__init__(items)
        self._describe = describe

    def display(self) -> Display:
        return self._describe(self)
