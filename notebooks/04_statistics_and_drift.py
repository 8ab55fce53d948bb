# Databricks notebook source
# MAGIC %md
# MAGIC # 4. Statistics and drift
# MAGIC
# MAGIC On 13 June 2013 a line of storms crossed the East Coast. You will see
# MAGIC
# MAGIC - statistics of each feature by day, computed only for days with changed rows,
# MAGIC - two days of storms compared with the ten days before: which features changed their distribution, and which did not,
# MAGIC - that only the delays drifted, not distances and airports.

# COMMAND ----------


import matplotlib.pyplot as plt
import pandas as pd

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings
from featurestore.demo.flights import flights_between, land_flights
from notebook_setup import BLUE, GREY, ORANGE, Notebook

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
# MAGIC ## The outcomes of two weeks of flights
# MAGIC
# MAGIC There is one row per flight, **13,191** in all, each at the moment when its outcome was known. Cancelled and diverted
# MAGIC flights have no delay.

# COMMAND ----------

land_flights(landing, "nyc", lambda: flights_between("2013-06-03T00:00:00Z", "2013-06-17T00:00:00Z"))
flights = pd.read_parquet(f"{landing}/nyc/flights")
outcomes = FeatureGroup(
    "flight_outcomes",
    Entity("flight", join_keys={"flight_id": "string"}),
    features=[
        Feature("dep_delay", "long", description="Minutes late at departure"),
        Feature("arr_delay", "long", description="Minutes late at arrival; none where it never arrived"),
        Feature("distance", "long", description="Miles"),
        Feature("origin", "string", allowed_values=["EWR", "JFK", "LGA"]),
        Feature("carrier", "string"),
    ],
)
fs = FeatureStore.open(Settings(warehouse=warehouse, landing=landing), spark=globals().get("spark"))
fs.apply([outcomes])
store = fs.tenant("nyc")
rows = flights[["flight_id", "dep_delay", "arr_delay", "distance", "origin", "carrier"]].assign(
    event_timestamp=flights["actual_arrival"].fillna(flights["scheduled_departure"])
)
written = store.write_batch("flight_outcomes", rows, batch_id="two-weeks")
show(written)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Profile
# MAGIC
# MAGIC `profile` reads the dates that changed since the last profile; a second call reads none.

# COMMAND ----------

first = store.profile("flight_outcomes")
second = store.profile("flight_outcomes")
print(first)
print(second)

# COMMAND ----------

overall = store.get_statistics("flight_outcomes")
show(
    pd.DataFrame(
        {
            "feature": one.feature,
            "rows": one.rows,
            "missing": f"{one.null_share:.1%}",
            "distinct": one.distinct,
            "mean": None if one.measure != "value" else round(one.mean, 1),
            "median": None if one.measure != "value" else one.quantiles[0.5],
            "most frequent": ", ".join(f"{value} {count:,}" for value, count in one.top[:3]),
        }
        for one in overall
    )
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## By day
# MAGIC
# MAGIC The line is the median delay at arrival, and the band holds nine of ten flights. On **13 June** the median was about **14**
# MAGIC minutes; quantiles are estimates, within 0.3 % of a rank.

# COMMAND ----------

by_day = [
    one
    for one in store.get_statistics("flight_outcomes", "2013-06-03T00:00:00Z", "2013-06-17T00:00:00Z", by_date=True)
    if one.feature == "arr_delay"
]
medians = pd.Series({one.date: one.quantiles[0.5] for one in by_day})
worst = medians.idxmax()
figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained", num="delays_by_day")
low, high = ([one.quantiles[share] for one in by_day] for share in (0.05, 0.95))
axes.fill_between(medians.index, low, high, color=BLUE, alpha=0.2, linewidth=0, label="nine of ten flights")
axes.plot(medians.index, medians, "o-", color=BLUE, label="median")
axes.axhline(0, color=GREY, linewidth=0.8)
axes.set_xticks(medians.index[::2], [f"{day:%-d June}" for day in medians.index[::2]])
axes.set_title("Delay at arrival in minutes, by day (UTC)", loc="left", fontsize=10)
axes.legend(frameon=False, loc="upper left")
show(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Drift
# MAGIC
# MAGIC `drift` compares the ten days before with 13 and 14 June. A measure counts only if it is above its threshold, and above what
# MAGIC chance alone would give. **arr_delay** drifted, **dep_delay** is near its thresholds, and distance, origin and carrier kept
# MAGIC their distributions.

# COMMAND ----------

drift = store.drift("flight_outcomes", baseline="2013-06-03/2013-06-13", current="2013-06-13/2013-06-15")
show(drift)

# COMMAND ----------

table = drift.to_pandas().set_index("feature")
show(table[["status", "psi", "kolmogorov_smirnov", "null_share_before", "null_share_now"]].round(3))

# COMMAND ----------

figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained", num="drift")
colours = [ORANGE if status == "drifted" else GREY for status in table["status"]]
axes.barh(table.index, table["psi"], color=colours)
for place, value in enumerate(table["psi"]):
    axes.annotate(f"{value:.3f}", (value, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
axes.axvline(drift.thresholds.psi, color="black", linewidth=1)
axes.invert_yaxis()
axes.set_title("Population stability index; the line is the threshold", loc="left", fontsize=10)
show(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC A scheduled job calls `drift.require_none()`, which raises an error on drift. Or it runs `featurestore drift`, which ends with
# MAGIC an exit code of its own and writes the comparison as an HTML page.

# COMMAND ----------

# MAGIC %md
# MAGIC ## Checks of the statements above

# COMMAND ----------

assert (written.written, written.failed) == (13_191, 0)
assert str(second) == "flight_outcomes: 0 dates profiled, 0 rows"
assert f"{worst}" == "2013-06-13"
assert (drift.drifted, drift.of_status("warning")) == (["arr_delay"], ["dep_delay"])
assert drift.of_status("ok") == ["carrier", "distance", "origin"]
