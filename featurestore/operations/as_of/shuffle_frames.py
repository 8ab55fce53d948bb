"""The as-of join by a Spark shuffle: open the tables as frames and join them by the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from featurestore.frames.as_of.examples import joined_by_example
from featurestore.frames.as_of.hot_keys import hot_table
from featurestore.frames.as_of.join_keys import key_names
from featurestore.frames.as_of.join_rules import JoinedValues
from featurestore.frames.as_of.key_filter import spine_keys, with_bloom_filter, with_broadcast_keys, with_keys
from featurestore.frames.as_of.point_in_time import point_in_time_joins
from featurestore.frames.as_of.spine import guarded
from featurestore.frames.columns import column
from featurestore.late_spark import DataFrame
from featurestore.operations.as_of.shuffle_plan import AsOfPlan, KeyedScans, Scan
from featurestore.operations.context import Scope
from featurestore.stores.arrow import to_spark
from featurestore.stores.group_table import ROW_IDENTITY


@dataclass(frozen=True)
class ShuffleInputs:
    """The spine with its instants, and the values of each scan, in the order of the request's lookups."""

    spine: DataFrame
    values: tuple[DataFrame, ...]

    def lookup(self, scan: Scan) -> JoinedValues:
        values = self.values[scan.lookup]
        identity = ROW_IDENTITY if ROW_IDENTITY in values.columns else None
        return JoinedValues(values, replace(scan.join, row_identity=identity))


def open_inputs(scope: Scope, spine: DataFrame, plan: AsOfPlan) -> ShuffleInputs:
    """Frames over the current versions of the tables; their rows are read when the join runs."""
    return ShuffleInputs(
        spine,
        tuple(scope.read_values(scan.group, list(scan.columns), scan.dates, scan.table_version) for scan in plan.scans),
    )


def joined(inputs: ShuffleInputs, plan: AsOfPlan) -> DataFrame:
    """The spine's own columns followed by the plan's outputs; lazy."""

    def looked_up(rows: DataFrame) -> DataFrame:
        for keyed in plan.keyed_scans:
            lookups = filtered_lookups(inputs, keyed)
            rows = point_in_time_joins(rows, lookups, _hot_keys(rows, lookups, keyed))
        return rows

    rows = guarded(inputs.spine, plan.spine.instants, plan.spine.bounds)
    if plan.examples_once:
        rows = joined_by_example(rows, plan.example_columns, looked_up, plan.outputs)
    else:
        rows = looked_up(rows)
    return rows.select(*(column(name) for name in (*plan.spine.columns, *plan.outputs)))


def filtered_lookups(inputs: ShuffleInputs, keyed: KeyedScans) -> list[JoinedValues]:
    """The values of each scan, restricted to the keys that it keeps."""

    @cache
    def known_keys() -> DataFrame:
        return to_spark(inputs.spine.sparkSession, keyed.known_keys)

    def filtered(scan: Scan, lookup: JoinedValues) -> DataFrame:
        values, names = lookup.values, list(scan.join.keys)
        if scan.key_filter == "known":
            assert keyed.known_keys is not None
            known = keyed.known_keys.rename_columns(names)
            return with_keys(
                values, known, known.num_rows, lambda rows: with_broadcast_keys(rows, known_keys().toDF(*names))
            )
        if scan.key_filter == "none":
            return values
        keys = spine_keys(inputs.spine, scan.join.keys, values)
        if scan.key_filter == "broadcast":
            return with_broadcast_keys(values, keys)
        return with_bloom_filter(values, keys, keyed.spine_keys)

    lookups = [(scan, inputs.lookup(scan)) for scan in keyed.scans]
    return [replace(lookup, values=filtered(scan, lookup)) for scan, lookup in lookups]


def _hot_keys(rows: DataFrame, lookups: Sequence[JoinedValues], keyed: KeyedScans) -> DataFrame | None:
    if not keyed.hot_keys:
        return None
    return to_spark(rows.sparkSession, hot_table(keyed.hot_keys, key_names(lookups[0].key_types)))
