"""The state of a user's table: what must be the same for its rows to be the same."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

# So many files are named where a pin differs.
_NAMED = 3


class FilePin(BaseModel):
    """A file: its path below the source's folder, its bytes, and when it was last changed, in ns since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    bytes: int
    modified: int


class SourcePin(BaseModel):
    """The state of a user's table at one moment.

    - ``place``: its path with the placeholders filled in, or its name in the catalog;
    - ``table_id`` and ``version``: of a Delta table; its log has earlier versions until they are cleaned up;
    - ``files``: of a folder of Parquet files, all files of the tenant. Earlier states of these are nowhere.

    A table of a catalog that is not Delta has neither: its state cannot be told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["delta", "parquet", "table"]
    place: str
    table_id: str | None = None
    version: int | None = None
    files: tuple[FilePin, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether equal pins mean equal rows."""
        return self.kind != "table"

    def __str__(self) -> str:
        if self.kind == "delta":
            return f"version {self.version} of {self.place}"
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        return f"{files} of {self.place}" if self.kind == "parquet" else self.place

    def changes_to(self, now: SourcePin) -> str | None:
        """What differs in ``now``, in words; None if it is the same state."""
        if (self.kind, self.place) != (now.kind, now.place):
            return f"it was {self.kind} at {self.place}, and is {now.kind} at {now.place}"
        if not self.is_known:
            return f"{self.place} is a table of a catalog, whose state is not known"
        if self.table_id != now.table_id:
            return f"{self.place} is another table (its id was {self.table_id}, and is {now.table_id})"
        if self.version != now.version:
            return f"it was version {self.version}, and is version {now.version}"
        was, are = ({file.path: file for file in pin.files} for pin in (self, now))
        changed = [path for path, file in was.items() if path in are and are[path] != file]
        parts = (
            ("gone", [path for path in was if path not in are]),
            ("changed", changed),
            ("new", [path for path in are if path not in was]),
        )
        return "; ".join(_named(word, paths) for word, paths in parts if paths) or None


def _named(word: str, paths: list[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{word}: {', '.join(sorted(paths)[:_NAMED])}{more}"
