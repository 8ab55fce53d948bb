"""Apply definitions: create and evolve the tables, then record the new states."""

from __future__ import annotations

from featurestore.definitions.collection import Definitions
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.operations.context import Context
from featurestore.operations.definitions.plan import Plan, make_plan


def apply(context: Context, definitions: Definitions) -> Plan:
    """Bring the store in line with the definitions; return what changed.

    Tables come before the registry's row, so that a current definition always has its tables; applying again after a
    crash completes what is missing. Raises IncompatibleChangeError before anything changes.
    """
    plan = make_plan(definitions, context.refresh())
    context.registry.create()
    context.runs.create()
    for group in _changed_groups(plan, definitions):
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
