"""One entity's feature values as of an instant, by the rules of the as-of join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from featurestore.columnar.values.latest_order import (
    CREATED,
    EVENT,
    Nulls,
    is_valid,
    latest_last,
    micros,
    model_column,
)
from featurestore.definitions.values.durations import microseconds
from featurestore.definitions.values.time_window import in_utc, to_micros


@dataclass(frozen=True)
class ValueAt:
    """A value in Python, with the event and created timestamp of its row, both in UTC.

    ``value`` is None only with ``nulls="keep"``. ``model_version``: of an embedding; None for any other feature.
    """

    value: Any
    event_timestamp: datetime
    created_timestamp: datetime
    model_version: str | None


def values_at(
    rows: pa.Table,
    features: Sequence[str],
    *,
    at: datetime,
    ttl: timedelta | None,
    nulls: Nulls,
    known_at: datetime | Literal["event"] | None = None,
) -> dict[str, ValueAt | None]:
    """Feature -> its value valid at ``at``, or None, from the rows of one entity.

    - A row matches if ``at - ttl <= event_timestamp <= at``, both ends included, exact to the microsecond.
    - ``nulls="skip"``: each feature has its latest non-null value; ``"keep"``: all have those of the latest row.
    - Rows are in the order of the as-of join; ``features`` must be in the order in which the group declares them.
    - ``known_at``: an instant K keeps the rows created at or before K; ``"event"`` keeps those at or before ``at``.

    ``rows`` has ``event_timestamp`` and ``created_timestamp``, never null, the features, and an embedding's
    ``<feature>__model_version``.
    """
    matching = rows.filter(pa.array(_matches(rows, to_micros(at), ttl, known_at)))
    order = latest_last(matching, None, features)
    found: dict[str, ValueAt | None] = {}
    for name in features:
        candidates = order if nulls == "keep" else order[is_valid(matching.column(name))[order]]
        found[name] = _value(matching, name, int(candidates[-1])) if len(candidates) else None
    return found


def _matches(rows: pa.Table, at: int, ttl: timedelta | None, known_at: datetime | Literal["event"] | None) -> Any:
    event = micros(rows, EVENT)
    matches = event <= at
    if ttl is not None:
        # In Python's integers, because the difference may be beyond 64 bits.
        matches &= event >= max(at - microseconds(ttl), np.iinfo(np.int64).min)
    if known_at is not None:
        matches &= micros(rows, CREATED) <= (at if known_at == "event" else to_micros(known_at))
    return matches


def _value(rows: pa.Table, feature: str, row: int) -> ValueAt:
    model = model_column(feature)
    return ValueAt(
        value=in_utc(rows.column(feature)[row].as_py()),
        event_timestamp=in_utc(rows.column(EVENT)[row].as_py()),
        created_timestamp=in_utc(rows.column(CREATED)[row].as_py()),
        model_version=rows.column(model)[row].as_py() if model in rows.column_names else None,
    )
