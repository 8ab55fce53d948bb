"""Where a transformation's input comes from, and how it is limited to one tenant."""

from __future__ import annotations

import string
from typing import Literal, Self

from pydantic import Field, model_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.names import Name

PLACEHOLDERS = frozenset({"tenant_id", "landing", "warehouse"})


class Source(Definition):
    """A table or folder of files that a transformation may read.

    Give exactly one of ``path``, ``table`` and ``group``. ``path`` may contain ``{tenant_id}``, ``{landing}`` and
    ``{warehouse}``. ``group`` is another feature group of the same tenant: its values, corrected, with event timestamps
    up to the end of the window that is materialized, that end included; join keys, both timestamps and all features.
    A path or table must say how it is limited to one tenant: by ``{tenant_id}`` in the path, by ``tenant_column`` (rows
    of other tenants are filtered out before the transformation sees them), or by ``shared: true`` for reference data
    that belongs to no tenant.
    """

    path: str | None = None
    group: Name | None = None
    table: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,2}$")
    format: Literal["delta", "parquet", "csv", "json"] = "delta"
    options: dict[str, str] = {}
    tenant_column: Name | None = None
    shared: bool = False

    @model_validator(mode="after")
    def _one_place_one_tenant(self) -> Self:
        if sum(place is not None for place in (self.path, self.table, self.group)) != 1:
            raise ValueError("give exactly one of 'path', 'table' and 'group'")
        if self.path is None and self.format != "delta":
            raise ValueError("'format' is only for 'path'; a table and a group have their own; remove it")
        unknown = sorted(self._placeholders() - PLACEHOLDERS)
        if unknown:
            raise ValueError(f"path {self.path!r}: unknown placeholders {unknown}; possible: {sorted(PLACEHOLDERS)}")
        ways = [self.by_path, self.tenant_column is not None, self.shared]
        if self.group is not None:
            if any(ways):
                raise ValueError("a group always belongs to the tenant; remove 'tenant_column' and 'shared'")
            return self
        if sum(ways) != 1:
            raise ValueError(
                "limit it to one tenant in exactly one way: '{tenant_id}' in the path, 'tenant_column', or "
                "'shared: true'"
            )
        return self

    def _placeholders(self) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(self.path or "") if name is not None}

    @property
    def by_path(self) -> bool:
        return "tenant_id" in self._placeholders()
