"""A group in place answers as a stored group with the same values: over random tables, of both formats, by each read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, InPlace, OfflineStore, Settings, Source
from featurestore.columnar.as_of import blocks

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", "UTC")
SHOP = Entity("shop", join_keys={"city": "string", "number": "long"})
FEATURES = [Feature("score", "double"), Feature("visits", "long"), Feature("tags", "array<string>")]
# How the user's table names the columns.
NAMES = {"city": "Town", "number": "no.", "score": "Score (mean)", "visits": "visits", "tags": "labels"}
TYPES = pa.schema(
    {
        "Town": pa.string(),
        "no.": pa.int32(),
        "at": INSTANT,
        "loaded": INSTANT,
        "Score (mean)": pa.float32(),
        "visits": pa.int16(),
        "labels": pa.large_list(pa.large_string()),
        "org": pa.string(),
    }
)
OTHER_TENANT = "zeta"


@dataclass(frozen=True)
class Values:
    """Rows of both tenants, in the order of the files, and how the user keeps them."""

    rows: list[dict[str, Any]]
    files: int
    format: Literal["delta", "parquet"]
    by_folder: bool
    has_created: bool
    nulls: Literal["skip", "keep"]
    ttl: timedelta | None

    def write(self, root: Path) -> Source:
        """Write the user's table, and say where it is."""
        if self.by_folder:
            for tenant_id in ("acme", OTHER_TENANT):
                own = [row for row in self.rows if row["org"] == tenant_id]
                self._write(root / tenant_id, own)
            return Source(path=str(root / "{tenant_id}"), format=self.format)
        self._write(root, self.rows)
        return Source(path=str(root), format=self.format, tenant_column="org")

    def _write(self, folder: Path, rows: Sequence[dict[str, Any]]) -> None:
        for number in range(self.files):
            part = pa.Table.from_pylist([_renamed(row) for row in rows[number :: self.files]], TYPES)
            if not self.has_created:
                part = part.drop_columns("loaded")
            if self.format == "delta":
                part = part.set_column(
                    part.schema.get_field_index("labels"), "labels", part["labels"].cast(pa.list_(pa.string()))
                )
                deltalake.write_deltalake(str(folder), part, mode="append")
            else:
                folder.mkdir(parents=True, exist_ok=True)
                pq.write_table(part, folder / f"{number}.parquet", row_group_size=3)

    def stored(self, tenant_id: str) -> list[dict[str, Any]]:
        """The rows that are values, as a writer gives them to the store."""
        return [
            {
                **{name: row[name] for name in NAMES},
                "event_timestamp": row["event"],
                "created_timestamp": (row["created"] if self.has_created else None) or row["event"],
            }
            for row in self.rows
            if row["org"] == tenant_id and None not in (row["city"], row["number"], row["event"])
        ]


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    named = {column: row[name] for name, column in NAMES.items()}
    return {**named, "at": row["event"], "loaded": row["created"], "org": row["org"]}


MOMENTS = st.integers(0, 60).map(lambda hour: START + hour * HOUR)
ROWS = st.fixed_dictionaries(
    {
        "city": st.sampled_from(["ulm", "bonn", "é", None]),
        "number": st.sampled_from([1, 2, None]),
        "event": st.one_of(MOMENTS, MOMENTS, MOMENTS, st.none()),
        "created": st.one_of(MOMENTS, MOMENTS, st.none()),
        "score": st.sampled_from([None, 0.5, -1.0, 2.0]),
        "visits": st.sampled_from([None, 1, 2, 3]),
        "tags": st.sampled_from([None, [], ["a"], ["a", "b"]]),
        "org": st.sampled_from(["acme", "acme", OTHER_TENANT]),
    }
)
VALUES = st.builds(
    Values,
    rows=st.lists(ROWS, min_size=3, max_size=60),
    files=st.integers(1, 4),
    format=st.sampled_from(["delta", "parquet"]),
    by_folder=st.booleans(),
    has_created=st.booleans(),
    nulls=st.sampled_from(["skip", "keep"]),
    ttl=st.sampled_from([None, 10 * HOUR]),
)
SPINE = pa.table(
    {
        "city": [city for city in ("ulm", "bonn", "é", None) for _ in range(14)],
        "number": [1 + number % 2 for _ in range(4) for number in range(14)],
        "event_timestamp": pa.array([START + 5 * hour * HOUR for _ in range(4) for hour in range(14)], INSTANT),
    }
)


def group(name: str, values: Values, source: Source | None) -> FeatureGroup:
    in_place = None
    if source is not None:
        created = "loaded" if values.has_created else None
        in_place = InPlace(source, event_timestamp="at", created_timestamp=created, columns=NAMES)
    return FeatureGroup(name, SHOP, features=FEATURES, nulls=values.nulls, ttl=values.ttl, in_place=in_place)


def rows_of(table: pa.Table) -> list[str]:
    return sorted(map(str, table.to_pylist()))


def answers(store: OfflineStore, name: str) -> dict[str, Any]:
    """What every read answers of a group."""
    references = [f"{name}:{feature.name}" for feature in FEATURES]
    found: dict[str, Any] = {}
    for known_at in (None, "event", START + 20 * HOUR):
        joined = store.get_point_in_time(SPINE, references, known_at=known_at, with_timestamps=True)
        found[f"as of, {known_at}"] = joined.rename_columns([each.replace(name, "g") for each in joined.column_names])
    shop, later = {"city": "ulm", "number": 1}, START + 30 * HOUR
    at_time = store.get_features_at_time(references, shop, later, known_at="event")
    found["at a time"] = [
        None if value is None else (value.value, value.event_timestamp, value.created_timestamp)
        for value in at_time.values()
    ]
    history = store.get_feature_history(f"{name}:visits", shop, START, later, all_versions=True, to="arrow")
    found["history"] = rows_of(history)
    batch = store.get_batch_features(references, START + HOUR, later, to="arrow")
    found["batch"] = rows_of(batch.rows)
    stats = next(each for each in store.get_stats() if each.group == name)
    found["stats"] = (stats.rows, stats.entities, stats.oldest, stats.newest)
    return found


NO_VALUES = Values(
    [dict.fromkeys(("city", "number", "event", "created", "score", "visits", "tags")) | {"org": "acme"}] * 3,
    *(2, "parquet", False, True, "skip", None),
)


def _row(hour: int, created: int | None) -> dict[str, Any]:
    moment = None if created is None else START + created * HOUR
    of_shop = {"city": "ulm", "number": 1, "score": 0.5, "visits": hour, "tags": None, "org": "acme"}
    return of_shop | {"event": START + hour * HOUR, "created": moment}


# The one created timestamp that the file tells of is later than the moment at which values are to be known.
ONE_CREATED = Values([_row(1, None), _row(2, 50)], 1, "parquet", False, True, "skip", None)


@settings(max_examples=30)
@given(VALUES)
@example(NO_VALUES)
@example(ONE_CREATED)
def test_in_place_is_as_if_it_were_stored(values: Values) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        # Otherwise the kernel would read the files of so few rows together, whatever spans of time they are said to hold.
        patch.setattr(blocks, "_FEW_ROWS", 0)
        fs = FeatureStore.open(Settings(warehouse=f"{folder}/warehouse"))
        source = values.write(Path(folder, "table"))
        fs.apply([SHOP, group("stored", values, None), group("outside", values, source)])
        store = fs.tenant("acme")
        if rows := values.stored("acme"):
            result = store.write_batch("stored", rows)
            assert result.failed == 0

        stored, outside = answers(store, "stored"), answers(store, "outside")

        assert outside == stored
        assert not Path(folder, "warehouse", "groups", "outside_v1").exists()
