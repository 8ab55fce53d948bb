"""The history of one feature of one entity: every value, newest first."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from featurestore.columnar.values.corrections import latest_values
from featurestore.columnar.values.latest_order import CREATED, EVENT, Nulls, is_valid, latest_last, with_companions


def history(
    rows: pa.Table,
    keys: Sequence[str],
    feature: str,
    nulls: Nulls,
    *,
    all_versions: bool = False,
    limit: int | None = None,
) -> pa.Table:
    """One row per event timestamp, newest first, with the latest corrected value, from the rows of one entity.

    Columns: the join keys, ``event_timestamp``, ``created_timestamp``, the feature, and an embedding's
    ``<feature>__model_version``. ``all_versions`` returns every row instead, corrections before the rows that they
    correct. ``nulls="skip"`` leaves nulls out. ``limit``: at most so many rows, None for all.
    """
    versions = rows.select([*keys, EVENT, CREATED, *with_companions(rows, [feature])])
    if nulls == "skip":
        versions = versions.filter(pa.array(is_valid(versions.column(feature))))
    if not all_versions:
        versions = latest_values(versions, keys, [feature], nulls)
    newest_first = latest_last(versions, None, [feature])[::-1]
    return versions.take(pa.array(newest_first[:limit]))
