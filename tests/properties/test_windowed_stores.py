"""Windowed features as the store gives them, from files of events, against the naive reference on random histories.

The kernel has its own property tests; here files, names, types, conditions, versions and the groups' settings count.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, Events, FeatureGroup, FeatureStore, Settings, Source, WindowAggregate
from featurestore.columnar.windows.rules import WindowRules
from featurestore.definitions.values.time_window import to_micros
from tests.reference.windows import windowed

NOW, START = datetime(2026, 11, 10, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
SHOPPER = Entity("shopper", join_keys={"shop": "int", "user_id": "string"})
INSTANT = pa.timestamp("us", "UTC")
FUNCTIONS = [
    ("sum", "amount", {}),
    ("sum", "pieces", {"type": "long"}),
    ("count", None, {}),
    ("count", "kind", {}),
    ("min", "amount", {}),
    ("max", "pieces", {"type": "long"}),
    ("first", "kind", {"type": "string"}),
    ("last", "amount", {}),
    ("last_n(2)", "amount", {}),
    ("count_distinct", "kind", {}),
    ("approx_percentile(0.5)", "amount", {}),
]
# Conditions in SQL and in Python.
CONDITIONS: dict[str, Any] = {
    "kind = 'card'": lambda row: row["kind"] == "card",
    "coalesce(pieces, 0) > 1": lambda row: (row["pieces"] or 0) > 1,
}


def moment(dice: Random) -> datetime:
    """One of few, so that many are equal, or lie at an edge of a window or a microsecond beside it."""
    return START + timedelta(hours=dice.randrange(24), microseconds=dice.choice([0, 0, 1, -1]))


def history(dice: Random) -> list[dict[str, Any]]:
    rows = []
    for number in range(dice.randrange(1, 50)):
        at = moment(dice)
        rows.append(
            {
                "shop_no": dice.choice([1, 2, None]),
                "user_id": dice.choice(["ann", "bob", "cy"]),
                "at": at if dice.random() < 0.95 else None,
                # No two are equal, so that no tie of versions is decided by content, which the kernel's tests compare.
                "known": at + timedelta(hours=dice.choice([0, 0, 3, 7, -2]), milliseconds=number),
                "number": dice.choice([None, *range(8)]),
                "amount": dice.choice([None, 0.1, 0.2, 1e16, -1e16, 3.5, float("nan")]),
                "kind": dice.choice(["card", "gift", None]),
                "pieces": dice.choice([None, 1, 2, 2**40]),
            }
        )
    return rows


def aggregates(dice: Random) -> list[WindowAggregate]:
    return [
        WindowAggregate(
            f"f{place}",
            function,
            of=of,
            window=dice.choice([None, "1h", "5h", "1d"]),
            where=dice.choice([None, None, *CONDITIONS]),
            **more,
        )
        for place, (function, of, more) in enumerate(dice.sample(FUNCTIONS, 5))
    ]


def landed(rows: list[dict[str, Any]], folder: Path, dice: Random) -> None:
    """The rows in two files of several row groups."""
    folder.mkdir(parents=True)
    types = {"shop_no": pa.int32(), "at": INSTANT, "known": INSTANT, "number": pa.int64(), "pieces": pa.int64()}
    texts, table = ("user_id", "kind"), {}
    for name in rows[0]:
        kind = pa.string() if name in texts else types.get(name, pa.float64())
        table[name] = pa.array([row[name] for row in rows], kind)
    cut = dice.randrange(len(rows) + 1)
    for name, part in (("a", pa.table(table).slice(0, cut)), ("b", pa.table(table).slice(cut))):
        pq.write_table(part, folder / f"{name}.parquet", row_group_size=7)


def expected(
    rows: list[dict[str, Any]],
    spine: list[tuple[Any, ...]],
    features: list[WindowAggregate],
    known_at: Any,
    has_id: bool,
) -> list[dict[str, Any]]:
    events = [
        {
            "key": (row["shop_no"], row["user_id"]),
            "time": to_micros(row["at"]),
            "created": to_micros(row["known"]),
            "id": row["number"] if has_id else None,
            **{name: row[name] for name in ("amount", "kind", "pieces")},
            **{condition: bool(holds(row)) for condition, holds in CONDITIONS.items()},
        }
        for row in rows
        if row["at"] is not None and row["shop_no"] is not None
    ]
    rules = [
        WindowRules(
            name=each.name,
            function=each.word,
            of=each.of,
            window=None if each.window is None else each.window // timedelta(microseconds=1),
            where=each.where,
            n=each.n,
            p=each.p,
            type=pa.null(),
        )
        for each in features
    ]
    known = to_micros(known_at) if isinstance(known_at, datetime) else known_at
    return windowed([((shop, user), to_micros(at)) for shop, user, at in spine], events, rules, known)


@pytest.mark.parametrize("seed", range(5))
def test_the_store_agrees_with_the_reference(seed: int, tmp_path: Path) -> None:
    """A seed stands for ten histories."""
    for number in range(10 * seed, 10 * seed + 10):
        dice, place = Random(number), tmp_path / str(number)
        rows, features, has_id = history(dice), aggregates(dice), dice.random() < 0.7
        landed(rows, place / "landing" / "acme", dice)
        events = Events(
            Source(path="{landing}/{tenant_id}", format="parquet"),
            event_timestamp="at",
            created_timestamp="known",
            event_id="number" if has_id else None,
            columns={"shop": "shop_no"},
        )
        settings = Settings(warehouse=str(place / "warehouse"), landing=str(place / "landing"))
        fs = FeatureStore.open(settings, clock=lambda: NOW)
        fs.apply([FeatureGroup("shopping", SHOPPER, features=features, events=events)])
        spine = [
            (
                dice.choice([1, 2, 3]),
                dice.choice(["ann", "bob", "nobody"]),
                moment(dice) + timedelta(hours=dice.choice([0, 5, 24])),
            )
            for _ in range(20)
        ]
        shops, users, moments = zip(*spine, strict=True)
        known_at = dice.choice([None, "event", START + timedelta(hours=12)])

        found = fs.tenant("acme").get_point_in_time(
            pa.table({"shop": shops, "user_id": users, "event_timestamp": pa.array(moments, INSTANT)}),
            [f"shopping:{each.name}" for each in features],
            known_at=known_at,
        )

        names = [each.name for each in features]
        wanted = expected(rows, spine, features, known_at, has_id)
        assert found.select(names).to_pylist() == wanted, f"history {number}, known_at {known_at}"
