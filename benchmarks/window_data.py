"""The data of ``windowed_features.py``: payments in the order in which they land, and examples of the same users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HOUR = 3_600_000_000
DAY = 24 * HOUR
WINDOWS = {"1h": HOUR, "7d": 7 * DAY, "90d": 90 * DAY}
_START, _YEAR = 1_735_689_600_000_000, 365 * DAY
_INSTANT = pa.timestamp("us", "UTC")
_FILES = 8


@dataclass(frozen=True)
class WindowData:
    """``events``: a glob of Parquet files; ``spine``: a Parquet file."""

    folder: Path

    @property
    def events(self) -> str:
        return str(self.folder / "events")

    @property
    def spine(self) -> str:
        return str(self.folder / "spine.parquet")

    def files(self) -> list[str]:
        return [*map(str, (self.folder / "events").iterdir()), self.spine]

    @classmethod
    def make(cls, rows: int, spine: int, keys: int, seed: int, folder: Path) -> WindowData:
        """Write the files unless they exist.

        Amounts are cents, so that doubles must round. A tenth of the examples are at an event's own microsecond, and
        another one where an event of theirs is exactly one window old.
        """
        data = cls(folder / f"windows-{rows}-{spine}-{keys}-{seed}")
        if (data.folder / "spine.parquet").exists():
            return data
        random = np.random.default_rng(seed)
        events = data.folder / "events"
        events.mkdir(parents=True, exist_ok=True)
        users, times = random.integers(0, keys, rows), np.sort(random.integers(0, _YEAR, rows)) + _START
        amounts = random.integers(1, 1_000_000, rows) / 100
        for number, part in enumerate(np.array_split(np.arange(rows), _FILES)):
            columns = {"user_id": users[part], "at": pa.array(times[part], _INSTANT), "amount": amounts[part]}
            pq.write_table(pa.table(columns), events / f"{number}.parquet", row_group_size=1 << 17)
        of, at = random.integers(0, keys, spine), random.integers(0, _YEAR, spine) + _START
        for place, shift in enumerate([0, *WINDOWS.values()]):
            chosen = np.arange(place, spine, 40)
            picked = random.integers(0, rows, len(chosen))
            of[chosen], at[chosen] = users[picked], times[picked] + shift
        pq.write_table(pa.table({"id": np.arange(spine), "user_id": of, "at": pa.array(at, _INSTANT)}), data.spine)
        return data
