"""The as-of join over the store's tables: check what is requested, bound the spine, plan, execute."""

from __future__ import annotations

from datetime import timedelta

from featurestore.definitions.values.durations import microseconds
from featurestore.frames.as_of.spine import instant_column, spine_bounds, with_instants
from featurestore.frames.columns import column
from featurestore.late_spark import Column, DataFrame, F
from featurestore.operations.context import Scope
from featurestore.operations.reading.as_of_plan import moment_column, plan_as_of
from featurestore.operations.reading.by_shuffle import joined_by_shuffle, open_inputs
from featurestore.operations.reading.key_plan import with_key_plans
from featurestore.operations.reading.request import AsOfRequest, check_joinable


def point_in_time(scope: Scope, spine: DataFrame, request: AsOfRequest) -> DataFrame:
    """The spine with the requested features as of each row's timestamp; see ``point_in_time_join`` for the rules.

    Runs small jobs over the timestamps and keys of the spine and the tables, to find what need not be read. The rest is
    lazy. Reads the versions of the tables that are current at the call. Raises SpineError.
    """
    check_joinable(spine, request)
    instants = instant_column(spine)
    timed = _with_moments(spine, request, instants, scope.settings.timestamp_zone)
    bounds = spine_bounds(timed, instants, request.spine_keys)
    plan = plan_as_of(request, spine.schema, instants, bounds)
    inputs = open_inputs(scope, timed, plan)
    plan = with_key_plans(plan, inputs, scope.settings.hot_key_rows)
    return joined_by_shuffle(inputs, plan)


def _with_moments(spine: DataFrame, request: AsOfRequest, instants: str, zone: str | None) -> DataFrame:
    """The spine with its instants, and with the later instants at which a label is looked up."""
    timed = with_instants(spine, request.timestamp_column, zone, instants)
    for offset in {lookup.offset for lookup in request.all_lookups if lookup.offset}:
        timed = timed.withColumn(moment_column(instants, offset), _later(instants, offset))
    return timed


def _later(instants: str, offset: timedelta) -> Column:
    return F.timestamp_micros(F.unix_micros(column(instants)) + F.lit(microseconds(offset)))
