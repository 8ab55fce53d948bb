"""Whether the tables of groups still have the rows that something was made from."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.operations.context import Scope
from featurestore.operations.windows.event_tables import holder_of
from featurestore.stores.training_sets.manifests import GroupSnapshot


def are_unchanged(scope: Scope, before: Sequence[GroupSnapshot], now: Sequence[GroupSnapshot]) -> bool:
    """Whether no commit between the two changed a row of the tenant; rewritten files, as by ``optimize``, do not count.

    Both name the same groups in the same order. Reads the commits in between, where the versions differ.
    """
    return all(_is_unchanged(scope, was, group) for was, group in zip(before, now, strict=True))


def _is_unchanged(scope: Scope, was: GroupSnapshot, now: GroupSnapshot) -> bool:
    if now.pin is not None or was.pin is not None:
        return now.pin == was.pin and now.pin is not None and now.pin.is_known
    if was.table_version >= now.table_version:
        # A table with fewer versions than it had is another one.
        return was.table_version == now.table_version
    table = scope.table(holder_of(scope.context, now.group))
    return table.changed_dates(scope.tenant_id, was.table_version, now.table_version) == frozenset()
