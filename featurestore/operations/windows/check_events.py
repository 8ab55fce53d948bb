"""Check, when a group is applied, that its events can give its features."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.columnar.events.event_columns import EventColumns
from featurestore.columnar.schema import values_schema
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import NotFoundError
from featurestore.operations.context import Context, Scope
from featurestore.operations.windows.event_tables import OutsideEvents, check_features, names_of_group, open_events
from featurestore.stores.outside.tenants import some_tenant


def check_events(context: Context, group: FeatureGroup, groups: Mapping[str, FeatureGroup]) -> None:
    """Raise SchemaError or DefinitionError if the columns of a group's events cannot give its features.

    ``groups``: all groups, by name, as they will be. A source that is not there yet, or that only Spark reads, is
    checked when it is first read.
    """
    assert group.events is not None
    source = group.events.source
    if source.group is not None:
        names = names_of_group(groups[source.group])
        EventColumns.of(group, group.aggregates, names)
        schema = values_schema(groups[source.group])
        check_features(group, group.aggregates, {name: schema.field(name).type for name in names})
        return
    tenant = some_tenant(source, context.settings)
    if tenant is None or source.table is not None:
        return
    try:
        events = open_events(Scope(context, tenant), group, group.aggregates)
    except NotFoundError:
        return
    assert isinstance(events, OutsideEvents)
    events.check(group, group.aggregates)
