"""Everything at once on one feature group, for a minute: writers, readers, optimize, retention, vacuum and erasure."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings
from featurestore.frames.fingerprint import content_hash
from featurestore.stores.small_tables.suppression import SECRET

pytestmark = pytest.mark.slow

SECONDS = 60
USERS = 8
SCORES = FeatureGroup(
    "scores",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("score", "double")],
    retention=timedelta(days=30),
)
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def batch(writer: str, number: int) -> list[dict[str, Any]]:
    """A row of each user, two days ago, and one that is too old to be kept."""
    at = NOW - timedelta(days=2) + timedelta(seconds=number)
    rows = [{"user_id": f"{writer}{user}", "event_timestamp": at, "score": float(number)} for user in range(USERS)]
    return [*rows, {"user_id": f"{writer}0", "event_timestamp": NOW - timedelta(days=100), "score": float(number)}]


class Loops:
    """Loops that run side by side until the time is over; what any of them raises ends the test."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._failed = threading.Event()
        self.rounds: Counter[str] = Counter()

    def run(self, **loops: Callable[[int], object]) -> None:
        with ThreadPoolExecutor(len(loops)) as pool:
            for future in [pool.submit(self._loop, name, loop) for name, loop in loops.items()]:
                future.result()

    def _loop(self, name: str, loop: Callable[[int], object]) -> None:
        number = 0
        try:
            while time.monotonic() < self._until and not self._failed.is_set():
                loop(number)
                number += 1
                self.rounds[name] = number
        except BaseException:
            self._failed.set()
            raise


def test_a_minute_of_everything_at_once_loses_and_doubles_no_row(spark: SparkSession, tmp_path: Path) -> None:
    fs = FeatureStore.open(
        Settings(warehouse=str(tmp_path / "warehouse")), spark=spark, environ={SECRET: "kept with the other secrets"}
    )
    fs.apply([SCORES])
    acme, other = fs.tenant("acme"), fs.tenant("other")
    table = acme._scope.context.table(SCORES)
    # So that erasures meet many checkpoints, which others read meanwhile.
    table.values.set_properties({"delta.checkpointInterval": "2"})
    other.write_batch("scores", batch("x", 0))
    pinned = table.values.version()
    erased: list[str] = []

    def of_other(version: int | None) -> DataFrame:
        rows = table.values.read(version).where("tenant_id = 'other'")
        return rows.select("user_id", "event_timestamp", "score").where(F.col("score") == 0)

    as_pinned = content_hash(of_other(pinned))

    def write(writer: str) -> Callable[[int], object]:
        def loop(number: int) -> None:
            result = acme.write_batch("scores", batch(writer, number), batch_id=f"{writer}{number}")
            assert result.written + result.failed == USERS + 1
            # A retry of what is there, as after a lost answer.
            assert acme.write_batch("scores", batch(writer, number), batch_id=f"{writer}{number}").duplicate

        return loop

    def read_pinned(number: int) -> None:
        assert content_hash(of_other(pinned)) == as_pinned

    def read_newest(number: int) -> None:
        # One version, whatever others do meanwhile: every batch of a user who is not erased is there whole, or not at all.
        rows = table.values.read(table.values.version()).where("tenant_id = 'acme' AND event_timestamp > '2000'")
        recent = rows.where(F.col("event_timestamp") > F.lit(NOW - timedelta(days=50)))
        doubled = recent.groupBy("user_id", "event_timestamp").count().where("count > 1")
        assert doubled.isEmpty()

    def erase(number: int) -> None:
        if number < 3:
            user = f"b{number}"
            acme.erase("user", {"user_id": user})
            erased.append(user)
        time.sleep(1)

    loops = Loops(SECONDS)
    loops.run(
        writer=write("a"),
        other_writer=write("b"),
        pinned_reader=read_pinned,
        optimize=lambda number: [acme.optimize(), other.optimize()],
        retention=lambda number: acme.cleanup(),
        erase=erase,
    )

    acme.cleanup()
    left = Counter(
        (row["user_id"], row["score"])
        for row in acme.get_batch_features("scores:score", NOW - timedelta(days=200), NOW).rows.collect()
    )
    stored = table.values.read().where("tenant_id = 'acme'").count()
    written = {"a": loops.rounds["writer"], "b": loops.rounds["other_writer"]}
    expected = Counter(
        (f"{writer}{user}", float(number))
        for writer, count in written.items()
        for number in range(count)
        for user in range(USERS)
        if f"{writer}{user}" not in erased
    )
    print(f"rounds: {dict(loops.rounds)}, erased: {erased}")
    assert min(loops.rounds.values()) >= 1
    assert erased
    assert left == expected
    assert stored == left.total()
