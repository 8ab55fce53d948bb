"""The as-of join by a Spark shuffle of spine and values: for tables whose files only Spark reaches."""

from __future__ import annotations

from datetime import timedelta

from featurestore.definitions.values.durations import microseconds
from featurestore.frames.as_of.spine import instant_column, spine_bounds, with_instants
from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F
from featurestore.operations.as_of.shuffle_frames import joined, open_inputs
from featurestore.operations.as_of.shuffle_keys import with_key_plans
from featurestore.operations.as_of.shuffle_plan import moment_column, plan_as_of
from featurestore.operations.context import Scope
from featurestore.operations.reading.request import AsOfRequest


def joined_by_shuffle(scope: Scope, spine: DataFrame, request: AsOfRequest) -> DataFrame:
    """The spine's own columns followed by the lookups'.

    Runs small jobs over the timestamps and keys of the spine and the tables, to find what need not be read. The rest is
    lazy.
    """
    instants = instant_column(spine)
    timed = _with_moments(spine, request, instants, scope.settings.timestamp_zone)
    bounds = spine_bounds(timed, instants, request.spine_keys)
    plan = plan_as_of(request, spine.schema, instants, bounds)
    inputs = open_inputs(scope, timed, plan)
    return joined(inputs, with_key_plans(plan, inputs, scope.settings.hot_key_rows))


def _with_moments(spine: DataFrame, request: AsOfRequest, instants: str, zone: str | None) -> DataFrame:
    """The spine with its instants, and with the later instants at which a label is looked up."""
    timed = with_instants(spine, request.timestamp_column, zone, instants)
    for offset in {lookup.offset for lookup in request.all_lookups if lookup.offset}:
        timed = timed.withColumn(moment_column(instants, offset), _later(instants, offset))
    return timed


def _later(instants: str, offset: timedelta) -> Column:
    return F.timestamp_micros(F.unix_micros(column(instants)) + F.lit(microseconds(offset)))
