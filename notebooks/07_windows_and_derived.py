# Databricks notebook source
# MAGIC %md
# MAGIC # 7. Windows and derived features: computed when they are asked for
# MAGIC
# MAGIC Not every feature is a stored value. You will see
# MAGIC
# MAGIC - a windowed feature: the flights of a route that landed in the 24 hours before each example, to the minute,
# MAGIC - the same window on a schedule, as a job would store it, and what the difference costs,
# MAGIC - a derived feature: an expression over an example's own columns and its looked-up features,
# MAGIC - a training set of both, and the same expression for one example, as a service would compute it.

# COMMAND ----------

from datetime import UTC, datetime

import pandas as pd

from featurestore import (
    DerivedFeature,
    Entity,
    Events,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    Settings,
    Source,
    WindowAggregate,
)
from featurestore.demo.flights import flights_between, land_flights
from notebook_setup import Notebook

# COMMAND ----------

# MAGIC %md
# MAGIC The next cell is the same in every notebook of this folder. `notebook_setup.py`, beside it, decides where data is
# MAGIC stored and how results are shown. `warehouse` and `landing` are widgets; on a platform without widgets, set
# MAGIC `NOTEBOOK_WAREHOUSE` and `NOTEBOOK_LANDING` in the environment. By default everything is in a new temporary folder.

# COMMAND ----------

notebook = Notebook(globals())
warehouse, landing, show = notebook.warehouse, notebook.landing, notebook.show

# COMMAND ----------

# MAGIC %md
# MAGIC ## Events
# MAGIC
# MAGIC Each flight that reaches its gate is an event of its route. The flights stay where they landed: a group of events has no
# MAGIC table, and nothing is computed before somebody asks.

# COMMAND ----------

land_flights(landing, "nyc", lambda: flights_between("2013-06-03T00:00:00Z", "2013-06-17T00:00:00Z"))
route = Entity("route", join_keys={"origin": "string", "dest": "string"})
landings = Events(
    Source(path="{landing}/{tenant_id}/flights", format="parquet"),
    event_timestamp="actual_arrival",
    event_id="flight_id",
)
windows = [
    WindowAggregate("landed_24h", "count", window="24h"),
    WindowAggregate("mean_delay_24h", "avg", of="arr_delay", window="24h"),
    WindowAggregate("late_24h", "count", window="24h", where="arr_delay > 15"),
    WindowAggregate("last_delays", "last_n(3)", of="arr_delay"),
]
fs = FeatureStore.open(Settings(warehouse=warehouse, landing=landing), spark=globals().get("spark"))
fs.apply(
    [
        FeatureGroup("route_now", route, features=windows, events=landings),
        FeatureGroup("route_hourly", route, features=windows, events=landings, every="1h"),
    ]
)
store = fs.tenant("nyc")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Each example has its own window
# MAGIC
# MAGIC The spine is every flight from New York to Chicago on 10 June, decided two hours before its departure. At T the flights
# MAGIC count that landed in (T - 24 h, T].

# COMMAND ----------

flights = pd.read_parquet(f"{landing}/nyc/flights")
departs = flights["scheduled_departure"]
chosen = flights[(flights["dest"] == "ORD") & (departs >= "2013-06-10T12:00Z") & (departs < "2013-06-11T00:00Z")]
spine = pd.DataFrame(
    {
        "flight_id": chosen["flight_id"],
        "origin": chosen["origin"],
        "dest": chosen["dest"],
        "event_timestamp": chosen["scheduled_departure"] - pd.Timedelta(hours=2),
        "late": (chosen["arr_delay"] > 15).where(chosen["arr_delay"].notna()),
    }
).sort_values(["event_timestamp", "flight_id"], ignore_index=True)
now = store.get_point_in_time(spine, [f"route_now:{each.name}" for each in windows])
show(now[["origin", "event_timestamp", "landed_24h", "mean_delay_24h", "late_24h", "last_delays"]].head(8))

# COMMAND ----------

# MAGIC %md
# MAGIC ## On a schedule
# MAGIC
# MAGIC With `every="1h"` a job stores the same values at each full hour, and an example sees the last full hour. Of the **41**
# MAGIC examples, **12** see another number of landings than there were at their own moment. At the full hours themselves both ways
# MAGIC give the same bits.

# COMMAND ----------

store.materialize_feature("route_hourly", datetime(2013, 6, 10, tzinfo=UTC), datetime(2013, 6, 11, tzinfo=UTC))
hourly = store.get_point_in_time(spine, "route_hourly:landed_24h")
differs = int((hourly["landed_24h"] != now["landed_24h"]).sum())
full_hours = spine.assign(event_timestamp=spine["event_timestamp"].dt.floor("h"))
names = [each.name for each in windows]
of_events = store.get_point_in_time(full_hours, [f"route_now:{name}" for name in names])
of_table = store.get_point_in_time(full_hours, [f"route_hourly:{name}" for name in names])
same = of_events[names].equals(of_table[names])
show(pd.DataFrame({"examples": [len(spine)], "another count": [differs], "same at full hours": [same]}))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Derived features
# MAGIC
# MAGIC The share of late flights is an expression over two windows. It is declared once, asked for as `derived:late_share`, and
# MAGIC the windows it needs are joined even where nobody asks for them.

# COMMAND ----------

late_share = DerivedFeature(
    "late_share",
    "double",
    inputs=["route_now:late_24h", "route_now:landed_24h"],
    sql="late_24h / nullif(landed_24h, 0)",
)
fs.apply([late_share])
loader = FeatureDataLoader(store)
examples = loader.load_training_data(
    spine, ["route_now:mean_delay_24h", "derived:late_share"], label="late", name="to_chicago"
)
show(examples)
frame = examples.to_pandas()
show(frame.X.describe().round(3))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The same expression in a service
# MAGIC
# MAGIC `compute` takes columns that a service already has. Of 20 landed flights **5** were late, which is a share of **0.25**.

# COMMAND ----------

served = fs.derived_feature("late_share").compute({"late_24h": [5], "landed_24h": [20]})
show(served)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What to take along
# MAGIC
# MAGIC - A windowed feature is exact at each example's moment, and costs nothing until it is asked for.
# MAGIC - `every` stores it, for those who serve stored values: then an example sees the last moment of the schedule.
# MAGIC - A derived feature is written once, and is the same in training sets and in a service.

# COMMAND ----------

assert same
assert served[0].as_py() == 0.25
assert set(frame.X.columns) == {"mean_delay_24h", "late_share"}
