"""Apply definitions: create and evolve the tables, then record the new states."""

from __future__ import annotations

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.sets.collection import Definitions
from featurestore.operations.context import Context
from featurestore.operations.definitions.in_place_check import check_in_place
from featurestore.operations.definitions.plan import Plan, make_plan
from featurestore.operations.windows.check_events import check_events


def apply(context: Context, definitions: Definitions) -> Plan:
    """Bring the store in line with the definitions; return what changed.

    Tables come before the registry's row, so that a current definition always has its tables; applying again after a
    crash completes what is missing. A group in place has no table here, nor has one that computes its values; their
    sources are checked if they can be found. Raises IncompatibleChangeError, and SchemaError for a source that does not
    fit, before anything changes.
    """
    state = context.refresh()
    plan = make_plan(definitions, state)
    changed_groups = _changed_groups(plan, definitions)
    groups = {group.name: group for group in (*state.feature_groups(), *definitions.feature_groups)}
    for group in changed_groups:
        if group.events is not None:
            check_events(context, group, groups)
        if group.in_place is not None:
            check_in_place(context, group)
    context.registry.create()
    context.runs.create()
    for group in changed_groups:
        if group.in_place is None and not group.is_computed:
            context.table(group).make()
    changed = [change.entry for change in plan.changes if change.action != "unchanged"]
    context.registry.record(changed, context.clock(), context.code_version)
    context.refresh()
    return plan


def _changed_groups(plan: Plan, definitions: Definitions) -> list[FeatureGroup]:
    changed = {
        (change.name, change.version)
        for change in plan.changes
        if change.kind == "feature_group" and change.action != "unchanged"
    }
    return [group for group in definitions.feature_groups if (group.name, group.version) in changed]
