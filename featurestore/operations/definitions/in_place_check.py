"""Check the user's table of a group in place against the group's definition, before it is applied."""

from __future__ import annotations

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import NotFoundError
from featurestore.operations.context import Context
from featurestore.stores.outside.tenants import some_tenant


def check_in_place(context: Context, group: FeatureGroup) -> None:
    """Raise SchemaError, with each column at fault, if the table is there for some tenant and does not fit.

    A table that is not there yet passes: each read checks it again. Raises StorageError for one that cannot be read.
    """
    assert group.in_place is not None
    tenant_id = some_tenant(group.in_place.source, context.settings)
    if tenant_id is not None:
        try:
            context.in_place(group).check(tenant_id)
        except NotFoundError:
            return
