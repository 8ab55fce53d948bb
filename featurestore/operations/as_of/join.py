"""The as-of join over the store's tables: check what is requested, choose a host, and join there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.columnar.as_of.outputs import put_in_order
from featurestore.frames.as_of.python_tasks import tasks_obstacle
from featurestore.frames.as_of.spine import instant_name
from featurestore.frames.columns import column
from featurestore.late_pandas import pd
from featurestore.late_spark import DataFrame
from featurestore.operations.as_of.by_shuffle import joined_by_shuffle
from featurestore.operations.as_of.derived_columns import with_derived, with_derived_in_tasks
from featurestore.operations.as_of.hosts import Host, HostChoice, JoinFacts, choose_host
from featurestore.operations.as_of.in_process import (
    bounds_of,
    check_local_spine,
    joined_in_process,
    spine_instants,
)
from featurestore.operations.as_of.in_tasks import joined_in_tasks
from featurestore.operations.as_of.lookup_files import JoinFiles, join_files
from featurestore.operations.context import Scope
from featurestore.operations.given_as import Frame, To, exact_pandas, frame_as, given_as
from featurestore.operations.reading.request import AsOfRequest, Spine, check_joinable, local_spine
from featurestore.operations.windows.by_spark import with_windows
from featurestore.stores.arrow import to_spark


def get_point_in_time(scope: Scope, spine: Spine, request: AsOfRequest, *, to: To | None, host: Host | None) -> Frame:
    """The spine with the requested features as of each row's timestamp; see ``as_of_join`` for the rules.

    ``to``: None gives what the spine is. ``host``: None lets the settings, or the spine and the tables, decide. Raises
    SpineError, and InvalidArgumentError for a host that cannot make the join.
    """
    if isinstance(spine, DataFrame):
        return frame_as(point_in_time(scope, spine, request, host), to or "spark")
    to = to or ("pandas" if isinstance(spine, pd.DataFrame) else "arrow")
    local = LocalSpine.of(scope, spine, request)
    choice = local.choose(scope, host)
    scope.progress.host(choice.host)
    if choice.host == "in_process":
        columns = local.columns()
    elif to == "spark":
        return point_in_time(scope, to_spark(scope.spark, local.rows), request, choice.host)
    else:
        columns = with_derived(local.rows, _joined_by_spark(scope, local.rows, request, choice.host), request)
    if to == "pandas" and isinstance(spine, pd.DataFrame):
        return _beside(spine, columns)
    if to == "arrow" and isinstance(spine, pa.Table):
        return _appended(spine, columns)
    return given_as(scope.context, _appended(local.rows, columns), to)


def point_in_time(scope: Scope, spine: DataFrame, request: AsOfRequest, host: Host | None = None) -> DataFrame:
    """The same for a Spark DataFrame; the result has not run yet, and its rows are in no particular order.

    By shuffle, small jobs first find what need not be read. Reads the versions of the tables that are current at the
    call.
    """
    check_joinable(spine, request)
    files = join_files(scope, request, None)
    choice = choose_for_spark(scope, spine, files, host)
    scope.progress.host(choice.host)
    if choice.host == "in_process":
        return to_spark(scope.spark, get_point_in_time(scope, spine.toArrow(), request, to="arrow", host="in_process"))
    looked_up = request.without_derived
    stored, joined = looked_up.of_stored, spine
    if stored.all_lookups and choice.host == "in_tasks":
        joined = joined_in_tasks(scope, spine, stored, files.lookups)
    elif stored.all_lookups:
        joined = joined_by_shuffle(scope, spine, stored)
    if files.windows:
        computed = with_windows(scope, joined, looked_up, files.windows)
        joined = computed.select(*(column(name) for name in (*spine.columns, *looked_up.columns)))
    return with_derived_in_tasks(joined, spine.columns, request)


def _joined_by_spark(scope: Scope, spine: pa.Table, request: AsOfRequest, host: Host) -> dict[str, Any]:
    """The columns of the lookups in the order of the spine.

    Its keys and times alone go to Spark, with the rows' numbers.
    """
    request = request.without_derived
    number = instant_name(spine.column_names)
    keys = (name for lookup in request.all_lookups for name in lookup.keys.values())
    rows = spine.select(list(dict.fromkeys((*keys, request.timestamp_column))))
    numbered = rows.append_column(number, pa.array(np.arange(spine.num_rows)))
    found = point_in_time(scope, to_spark(scope.spark, numbered), request, host).toArrow()
    order = found.column(number).to_numpy()
    return {name: put_in_order(found.column(name), order) for name in request.columns}


def _beside(spine: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """The user's own frame, with its index, and the columns."""
    values = exact_pandas(pa.table(dict(columns))).set_axis(spine.index)
    return pd.concat([spine, values], axis=1)


def _appended(spine: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    for name, values in columns.items():
        spine = spine.append_column(name, values)
    return spine


def as_of_values(scope: Scope, spine: DataFrame, request: AsOfRequest, *, is_local: bool) -> DataFrame:
    """The same as ``point_in_time``; the rows of a spine that ``is_local`` are brought back here, and joined here."""
    if not is_local or _setting(scope) in ("in_tasks", "by_shuffle"):
        return point_in_time(scope, spine, request)
    joined: DataFrame = get_point_in_time(scope, spine.toArrow(), request, to="spark", host=None)
    return joined


@dataclass(frozen=True)
class LocalSpine:
    """A spine in this process in exact Arrow types, its instants, and the files of the values that it may take."""

    rows: pa.Table
    instants: pa.Array
    files: JoinFiles
    request: AsOfRequest

    @classmethod
    def of(cls, scope: Scope, spine: Spine, request: AsOfRequest) -> LocalSpine:
        rows = local_spine(scope.context, spine, request)
        check_local_spine(rows, request)
        instants = spine_instants(rows, request.timestamp_column, scope.settings.timestamp_zone)
        return cls(rows, instants, join_files(scope, request, bounds_of(instants)), request)

    def columns(self) -> dict[str, Any]:
        """The output columns, joined and computed in this process."""
        return with_derived(self.rows, joined_in_process(self.rows, self.instants, self.files), self.request)

    def joined(self) -> pa.Table:
        """The spine's rows followed by the output columns, joined in this process."""
        return _appended(self.rows, self.columns())

    def choose(self, scope: Scope, host: Host | None) -> HostChoice:
        facts = JoinFacts(
            has_local_spine=True,
            obstacles=_obstacles(self.files, None),
            local_bytes=self.rows.nbytes + self.rows.num_rows * self.files.row_bytes + self.files.event_bytes,
            most_local_bytes=scope.settings.local_join_bytes,
        )
        return choose_host(facts, host or _setting(scope))


def choose_for_spark(scope: Scope, spine: DataFrame, files: JoinFiles, host: Host | None) -> HostChoice:
    """Where the join of a Spark DataFrame runs."""
    obstacles = _obstacles(files, tasks_obstacle(spine.schema))
    return choose_host(JoinFacts(False, obstacles, None, scope.settings.local_join_bytes), host or _setting(scope))


def _obstacles(files: JoinFiles, in_tasks: str | None) -> Mapping[Host, str]:
    obstacles: dict[Host, str] = {}
    if files.local_obstacle is not None:
        obstacles["in_process"] = files.local_obstacle
    if files.obstacle is not None or in_tasks is not None:
        obstacles["in_tasks"] = files.obstacle or in_tasks or ""
    return obstacles


def _setting(scope: Scope) -> Host | None:
    setting = scope.settings.as_of_host
    return None if setting == "auto" else setting
