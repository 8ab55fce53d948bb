# Databricks notebook source
# MAGIC %md
# MAGIC # 3. Backfill and corrections: what did we know then?
# MAGIC
# MAGIC A value has two times: when it became true, and when the store learned it. You will see
# MAGIC
# MAGIC - a backfill that computes the missing days of a range, and no day twice,
# MAGIC - reports that arrive three days late, and the correction that they cause,
# MAGIC - the same read with three different values of `known_at`,
# MAGIC - a training set that was built before the correction, and is built again exactly as it was.

# COMMAND ----------

from datetime import UTC, datetime
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings, Source
from featurestore.demo.flights import flights_between, land_flights
from notebook_setup import BLUE, ORANGE, Notebook

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
# MAGIC ## Reports that come in
# MAGIC
# MAGIC The airlines report which of their flights landed. Of ExpressJet's (EV) flights that landed on 7 June, those that were more
# MAGIC than an hour late are missing at first; their report arrives on 10 June. The data is real, but the late arrival is made up.
# MAGIC So is the store's clock: this notebook sets it by hand, to give the same results each time it runs.

# COMMAND ----------

land_flights(landing, "nyc", lambda: flights_between("2013-06-03T00:00:00Z", "2013-06-17T00:00:00Z"))
flights = pd.read_parquet(f"{landing}/nyc/flights", columns=["carrier", "actual_arrival", "arr_delay"])
arrived = flights["actual_arrival"]
until_7_june = (arrived >= "2013-06-05T00:00Z") & (arrived < "2013-06-08T00:00Z")
late_report = (
    until_7_june & (arrived >= "2013-06-07T00:00Z") & (flights["carrier"] == "EV") & (flights["arr_delay"] > 60)
)
reports = Path(f"{warehouse}-reports/nyc/flights")
reports.mkdir(parents=True, exist_ok=True)
flights[until_7_june & ~late_report].to_parquet(reports / "first.parquet", coerce_timestamps="us")
print(late_report.sum(), "flights will be reported late")

# COMMAND ----------

carrier_days = FeatureGroup(
    "carrier_days",
    Entity("carrier", join_keys={"carrier": "string"}),
    features=[Feature("landed", "long", not_null=True), Feature("mean_delay", "double")],
    partition_by="month",
    sources={"flights": Source(path="{landing}/{tenant_id}/flights", format="parquet")},
    transformation="""
        SELECT carrier, count(*) AS landed, avg(arr_delay) AS mean_delay FROM flights
        WHERE actual_arrival >= :start_time AND actual_arrival < :end_time
        GROUP BY carrier
    """,
)


def june(day: int, hour: int = 0) -> datetime:
    return datetime(2013, 6, day, hour, tzinfo=UTC)


now = june(8, 6)
settings = Settings(warehouse=warehouse, landing=f"{warehouse}-reports")
fs = FeatureStore.open(settings, spark=globals().get("spark"), clock=lambda: now)
fs.apply([carrier_days])
store = fs.tenant("nyc")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Backfill
# MAGIC
# MAGIC It is 8 June, 6:00. One day was computed before; the backfill of three days computes the other **two**. A row has the end of
# MAGIC its day as event timestamp, because only then was all of the day known.

# COMMAND ----------

store.materialize_feature("carrier_days", june(5), june(6))
planned = store.plan_backfill("carrier_days", june(5), june(8), every="1d")
show(pd.DataFrame({"from": [one.window.start for one in planned], "state": [one.state for one in planned]}))

# COMMAND ----------

backfilled = store.backfill("carrier_days", june(5), june(8), every="1d")
show(backfilled)

# COMMAND ----------

# MAGIC %md
# MAGIC Somebody builds a training set from the values that exist now.

# COMMAND ----------

loader = FeatureDataLoader(store)
carriers = sorted(flights["carrier"][until_7_june].unique())
spine = pd.DataFrame(
    [{"carrier": carrier, "event_timestamp": june(day, 12)} for carrier in carriers for day in (6, 7, 8)]
)
features = ["carrier_days:landed", "carrier_days:mean_delay"]
before = loader.load_training_data(spine, features, name="carriers")
show(before)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The late report, and a correction
# MAGIC
# MAGIC It is 10 June, 6:00, and the rest of ExpressJet's report has arrived. We compute the day again (`rerun`). Of all carriers'
# MAGIC rows only **one** differs. It is appended as a correction, with the same key, the same event timestamp, and a later created
# MAGIC timestamp. Nothing is overwritten.

# COMMAND ----------

now = june(10, 6)
flights[late_report].to_parquet(reports / "late.parquet", coerce_timestamps="us")
corrected = store.materialize_feature("carrier_days", june(7), june(8), rerun=True)
show(corrected)

# COMMAND ----------

history = (
    store.get_feature_history("carrier_days:mean_delay", {"carrier": "EV"}, june(5), june(9), all_versions=True)
    .toArrow()
    .to_pandas()
)
show(history)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What did we know then?
# MAGIC
# MAGIC How late was ExpressJet, as of 8 June, 12:00?
# MAGIC
# MAGIC | `known_at` | which rows count | mean delay |
# MAGIC | --- | --- | --- |
# MAGIC | `None` | all, corrections included | **12.0** minutes |
# MAGIC | 9 June | those that the store had on 9 June | **3.3** minutes |
# MAGIC | `"event"` | those that it had at each example's own moment, which is what serving saw | **3.3** minutes |

# COMMAND ----------

asked = pd.DataFrame({"carrier": ["EV"], "event_timestamp": [june(8, 12)]})
answers = {}
for known_at in (None, june(9), "event"):
    joined = store.get_point_in_time(asked, "carrier_days:mean_delay", known_at=known_at)
    answers[str(known_at)] = joined.mean_delay[0]
show(pd.DataFrame({"mean delay": answers}).rename_axis("known_at").round(1))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The training set, built again
# MAGIC
# MAGIC `rebuild` makes version 1 again from its manifest. It reads the tables as they were, so the content is the same to the last
# MAGIC bit. A new build would include the correction.

# COMMAND ----------

rebuilt = loader.rebuild("carriers", version=1)
print("rebuilt the same:", rebuilt.manifest.content_hash == before.manifest.content_hash)
show(rebuilt)

# COMMAND ----------

figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained", num="corrections")
history["day"] = history["event_timestamp"] - pd.Timedelta(days=1)
for created, known in history.groupby("created_timestamp"):
    late = created > june(9)
    axes.plot(
        known["day"],
        known["mean_delay"],
        "D" if late else "o-",
        color=ORANGE if late else BLUE,
        markersize=9 if late else 6,
        label=f"learned on {created:%-d June, %H:%M}",
    )
    for at, delay in zip(known["day"], known["mean_delay"], strict=True):
        axes.annotate(f"{delay:.1f}", (at, delay), xytext=(8, 6), textcoords="offset points", fontsize=9)
days = sorted(history["day"].unique())
axes.set_xticks(days, [f"{day:%-d June}" for day in days])
axes.margins(x=0.08, y=0.2)
axes.set_title("ExpressJet's mean delay at arrival in minutes, by day (UTC)", loc="left", fontsize=10)
axes.legend(frameon=False, loc="upper center")
show(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Checks of the statements above

# COMMAND ----------

assert [one.state for one in planned] == ["done", "missing", "missing"]
assert (len(backfilled.results), backfilled.done_before) == (2, 1)
assert corrected.written == 1
assert answers["None"] > answers[str(june(9))] == answers["event"]
assert rebuilt.manifest.content_hash == before.manifest.content_hash
