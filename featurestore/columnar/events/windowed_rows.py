"""Windowed features of a spine's rows, from events as they were read: here, or in a task of Spark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.columnar.events.event_columns import CREATED, EVENT, ID, UNTIL, condition, key_name, value_name
from featurestore.columnar.fixed_width import as_arrow, as_numpy
from featurestore.columnar.ranks import one_array
from featurestore.columnar.schema import feature_fields
from featurestore.columnar.windows.event_rows import EventRows, superseded_at
from featurestore.columnar.windows.join import windowed
from featurestore.columnar.windows.rules import WindowRules
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.sql.checked_expression import ScalarExpression
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.window_aggregate import WindowAggregate
from featurestore.errors import SchemaError

_INSTANT = pa.timestamp("us", "UTC")
# The result that has each row's newest event. Features have names of their own, which never begin so.
_NEWEST = "__newest"


@dataclass(frozen=True)
class WindowedFeatures:
    """Features of one group, with what decides on their values.

    - ``conditions``: by the name of a column of booleans, the condition that makes it;
    - ``present``: no event may be later, in microseconds since 1970;
    - ``with_event``: whether each row's newest event timestamp in any of the windows is a result, too.
    """

    group: str
    rules: tuple[WindowRules, ...]
    conditions: dict[str, ScalarExpression]
    known_at: int | Literal["event"] | None
    present: int
    with_event: bool

    @classmethod
    def of(
        cls,
        group: FeatureGroup,
        features: Sequence[WindowAggregate],
        columns: Iterable[str],
        *,
        known_at: int | Literal["event"] | None,
        present: int,
        with_event: bool,
    ) -> WindowedFeatures:
        """``columns``: the names that conditions may use. Raises DefinitionError for a condition."""
        names = list(columns)
        conditions = {
            f"where {feature.where}": condition(group, feature, names) for feature in features if feature.where
        }
        rules = tuple(_rules(feature) for feature in features)
        return cls(group.name, rules, conditions, known_at, present, with_event)

    def of_rows(self, spine: SpineRows, events: pa.Table, threads: int = 1) -> dict[str, Any]:
        """By feature its values in the order of the spine; ``events``: with the columns that EventColumns names.

        The newest event timestamps, if they are wanted, have the name EVENT.
        """
        self._check_past(events)
        codes = spine.keys.find([one_array(events.column(key_name(place))) for place in range(len(spine.keys.columns))])
        asked = codes >= 0
        if not asked.all():
            events, codes = events.filter(as_arrow(asked)), codes[asked]
        times = as_numpy(one_array(events.column(EVENT)))
        columns: dict[str, Any] = {name: events.column(name) for name in events.column_names}
        columns |= {name: self._mask(condition, events) for name, condition in self.conditions.items()}
        rows = EventRows(
            codes=codes,
            times=times,
            created=_longs(events, CREATED),
            until=_longs(events, UNTIL),
            columns=columns,
        )
        rules = (*self.rules, self._newest) if self.with_event else self.rules
        found = windowed(spine, rows, rules, known_at=self.known_at, threads=threads)
        return {EVENT if name == _NEWEST else name: values for name, values in found.items()}

    @property
    def longest(self) -> int | None:
        """The longest of the windows, in microseconds; None if one has no end."""
        windows = [rules.window for rules in self.rules]
        return None if None in windows else max(window for window in windows if window is not None)

    @property
    def _newest(self) -> WindowRules:
        """The newest event within the longest window."""
        longest = self.longest
        return WindowRules(name=_NEWEST, function="max", of=EVENT, window=longest, type=_INSTANT)

    def _mask(self, condition: ScalarExpression, events: pa.Table) -> pa.Array:
        """For each event, whether the condition is true of it."""
        from featurestore.columnar.expressions.evaluation import RowFaultError, evaluate

        columns = {name: events.column(value_name(name)) for name in condition.names}
        try:
            return evaluate(condition, columns, events.num_rows).fill_null(False)
        except RowFaultError as error:
            of_row = "" if error.row is None else f" for the event of {_shown(events, error.row)}"
            raise SchemaError(
                f"events of feature group {self.group!r}: the condition {condition.sql!r} cannot be computed{of_row}: "
                f"{error.reason}. Correct where=, or the events"
            ) from error

    def _check_past(self, events: pa.Table) -> None:
        times = as_numpy(one_array(events.column(EVENT)))
        later = int((times > self.present).sum())
        if later:
            newest = as_arrow(times.max(keepdims=True), kind=_INSTANT)[0].as_py()
            raise SchemaError(
                f"events of feature group {self.group!r}: {later} of {len(times)} events lie in the future, up to "
                f"{newest.isoformat()}; an event has happened. Correct the source, or name another column as "
                "event_timestamp"
            )


def known(events: pa.Table) -> pa.Table:
    """The events; one without a created timestamp was known when it happened."""
    if CREATED not in events.column_names or not events.column(CREATED).null_count:
        return events
    created = pc.coalesce(events.column(CREATED), events.column(EVENT))
    return events.set_column(events.column_names.index(CREATED), CREATED, created)


def versioned(events: pa.Table) -> pa.Table:
    """The events with the column UNTIL: when another with the same id superseded each; ``events``: all of a tenant."""
    content = [one_array(events.column(name)) for name in events.column_names if name not in (ID, CREATED, EVENT)]
    times = as_numpy(one_array(events.column(EVENT)))
    created = _longs(events, CREATED)
    until = superseded_at(one_array(events.column(ID)), times if created is None else created, times, content)
    return events.append_column(UNTIL, as_arrow(until)).drop_columns([ID])


def _rules(feature: WindowAggregate) -> WindowRules:
    return WindowRules(
        name=feature.name,
        function=feature.word,
        of=None if feature.of is None else value_name(feature.of),
        window=None if feature.window is None else microseconds(feature.window),
        where=None if feature.where is None else f"where {feature.where}",
        n=feature.n,
        p=feature.p,
        type=feature_fields(feature)[0].type,
    )


def _shown(events: pa.Table, row: int) -> str:
    """The key and the event timestamp of an event, for a message."""
    names = [name for name in events.column_names if name.startswith(key_name(0)[:-1])]
    key = ", ".join(str(events.column(name)[row].as_py()) for name in names)
    return f"{key} at {events.column(EVENT)[row].as_py().isoformat()}"


def _longs(events: pa.Table, name: str) -> NDArray[np.int64] | None:
    return as_numpy(one_array(events.column(name))) if name in events.column_names else None
