"""Parts of a manifest: the groups that a training set is built from, its split, its lookups, and a hash of them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.training_set import EntitySplit, TimeSplit
from featurestore.frames.as_of.spine import instant_column, with_instants
from featurestore.frames.training_sets.splits import hash_cuts, split_by_hash, split_by_time, time_boundaries
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context, Scope, State
from featurestore.operations.training_sets.recorded import asked_lookups, derived_snapshots, lookup_of
from featurestore.operations.training_sets.request import ExamplesPlan
from featurestore.operations.windows.event_tables import holder_of, open_events
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.training_sets.manifests import GroupSnapshot, SplitCuts


def group_snapshots(
    scope: Scope, plan: ExamplesPlan, pinned: Mapping[tuple[str, int], State]
) -> tuple[GroupSnapshot, ...]:
    """Each group once, with the current version of its table, or the version in ``pinned`` for a repeated build."""
    context = scope.context
    snapshots: dict[tuple[str, int], GroupSnapshot] = {}
    for lookup in plan.join.all_lookups:
        group = lookup.group
        key = (group.name, group.version)
        if key in snapshots:
            continue
        state = pinned[key] if key in pinned else _newest_state(scope, group)
        pin = state if isinstance(state, SourcePin) else None
        snapshots[key] = GroupSnapshot(
            name=group.name,
            version=group.version,
            revision=context.state.feature_group_entry(group.name, group.version).revision,
            table=str(context.table(holder_of(context, group)).values) if pin is None else pin.place,
            table_version=state if isinstance(state, int) else state.version or 0,
            definition=group.to_json(),
            pin=pin,
        )
    return tuple(snapshots.values())


def _newest_state(scope: Scope, group: FeatureGroup) -> State:
    if group.is_computed:
        return open_events(scope, group, group.aggregates).state
    if group.in_place is not None:
        return scope.context.in_place(group).pin(scope.tenant_id)
    return scope.table(group).values.version()


def with_split(
    context: Context, spine: DataFrame, joined: DataFrame, plan: ExamplesPlan
) -> tuple[DataFrame, SplitCuts | None]:
    """The joined rows with the column ``split``, and the cuts; without a split, the unchanged rows and None."""
    if plan.request.split is None:
        return joined, None
    split = plan.request.split
    cuts = split if isinstance(split, SplitCuts) else _cuts(context, spine, plan)
    if cuts.kind != "time":
        return split_by_hash(joined, cuts.columns, plan.request.seed, cuts.until_test, cuts.until_validation), cuts
    assert cuts.test_from is not None
    instants = instant_column(joined)
    timed = with_instants(joined, plan.join.timestamp_column, context.settings.timestamp_zone, instants)
    divided = split_by_time(timed, instants, cuts.validation_from, cuts.test_from, cuts.embargo)
    return divided.drop(instants), cuts


def _cuts(context: Context, spine: DataFrame, plan: ExamplesPlan) -> SplitCuts:
    """The cuts of the plan's split in this spine."""
    split = plan.request.split
    if isinstance(split, TimeSplit):
        instants = instant_column(spine)
        timed = with_instants(spine, plan.join.timestamp_column, context.settings.timestamp_zone, instants)
        validation_from, test_from = time_boundaries(timed, instants, split)
        return SplitCuts(validation_from=validation_from, test_from=test_from, embargo=split.embargo)
    assert split is not None
    assert not isinstance(split, SplitCuts)
    if isinstance(split, EntitySplit):
        columns = split.by or plan.key_columns
    else:
        columns = tuple(sorted(spine.columns))
    until_test, until_validation = hash_cuts(spine, columns, split, plan.request.seed)
    return SplitCuts(kind=split.kind, columns=columns, until_test=until_test, until_validation=until_validation)


def made_from(context: Context, plan: ExamplesPlan, spine: Mapping[str, Any], groups: Sequence[GroupSnapshot]) -> str:
    """A hash of everything that decides what is made, except the versions of the groups' tables.

    ``spine`` has the columns with their types, and the fingerprint of the rows. The code's version counts because
    another one may compute differently, and the time zone because naive timestamps are read in it.
    """
    request, join = plan.request, plan.join
    document: dict[str, Any] = {
        "lookups": [lookup_of(lookup).model_dump(mode="json") for lookup in join.lookups],
        "label": plan.label,
        "label_lookup": None if join.label is None else lookup_of(join.label).model_dump(mode="json"),
        "label_offset": None if join.label is None else join.label.offset,
        "timestamp_column": join.timestamp_column,
        "timestamp_zone": context.settings.timestamp_zone,
        "known_at": join.known_at,
        "full_feature_names": request.full_feature_names,
        "sample_size": request.sample_size,
        "stratify_by": request.strata,
        "seed": request.seed,
        "split": None if request.split is None else request.split.model_dump(mode="json"),
        "options": request.options,
        "spine": spine,
        "groups": [(group.name, group.version, group.table, group.definition) for group in groups],
        "code_version": context.code_version,
    }
    if join.derived.columns:
        document["derived"] = [
            *(lookup.model_dump(mode="json") for lookup in asked_lookups(join)),
            *((each.name, each.version, each.code_hash) for each in derived_snapshots(join)),
        ]
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
