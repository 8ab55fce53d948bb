# Databricks notebook source
# MAGIC %md
# MAGIC # 6. A set for fine-tuning a language model
# MAGIC
# MAGIC Chat messages are made from features that are joined as of each example's moment, as in a training set. You will see
# MAGIC
# MAGIC - a question about a flight, with the weather and its aircraft's last delay as known two hours before departure,
# MAGIC - the answer, which becomes known only later,
# MAGIC - files of JSON lines that any trainer can read, split by time, the same on every run,
# MAGIC - a template with a misspelt name, refused before anything is written.

# COMMAND ----------

import json
from datetime import timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Lookup, Settings, TimeSplit
from featurestore.demo.flights import flights_between, land_flights
from featurestore.errors import TransformationError
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
# MAGIC ## Features

# COMMAND ----------

land_flights(landing, "nyc", lambda: flights_between("2013-06-03T00:00:00Z", "2013-06-17T00:00:00Z"))
flights = pd.read_parquet(f"{landing}/nyc/flights")
weather = pd.read_parquet(f"{landing}/nyc/weather")
airport_weather = FeatureGroup(
    "airport_weather",
    Entity("airport", join_keys={"airport": "string"}),
    features=[Feature("temp", "double"), Feature("wind_speed", "double"), Feature("visib", "double")],
    ttl=timedelta(hours=4),
    partition_by="month",
)
aircraft_delays = FeatureGroup(
    "aircraft_delays",
    Entity("aircraft", join_keys={"tailnum": "string"}),
    features=[Feature("last_delay", "long", description="Minutes, at the gate")],
    ttl=timedelta(hours=12),
    partition_by="month",
)
fs = FeatureStore.open(Settings(warehouse=warehouse, landing=landing), spark=globals().get("spark"))
fs.apply([airport_weather, aircraft_delays])
store = fs.tenant("nyc")
store.write_batch(
    "airport_weather",
    weather[["temp", "wind_speed", "visib"]].assign(
        airport=weather["origin"], event_timestamp=weather["time_hour"] + timedelta(hours=1)
    ),
)
landed = flights[flights["actual_arrival"].notna() & flights["tailnum"].notna()]
store.write_batch(
    "aircraft_delays",
    landed[["tailnum"]].assign(event_timestamp=landed["actual_arrival"], last_delay=landed["arr_delay"]),
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Examples
# MAGIC
# MAGIC The examples are the **563** flights to San Francisco. The answer is a column of the spine, and is never among the inputs.
# MAGIC Flights that were cancelled or diverted have no answer.

# COMMAND ----------


def answer(delay: float) -> str | None:
    if pd.isna(delay):
        return None
    return f"Yes, by about {5 * round(delay / 5)} minutes." if delay > 15 else "No."


to_san_francisco = flights[flights["dest"] == "SFO"]
spine = pd.DataFrame(
    {
        "flight_id": to_san_francisco["flight_id"],
        "tailnum": to_san_francisco["tailnum"],
        "origin": to_san_francisco["origin"],
        "event_timestamp": to_san_francisco["scheduled_departure"] - timedelta(hours=2),
        "answer": [answer(delay) for delay in to_san_francisco["arr_delay"].astype("float64")],
    }
)
show(spine[["flight_id", "event_timestamp", "answer"]].head())

# COMMAND ----------

# MAGIC %md
# MAGIC ## Messages
# MAGIC
# MAGIC The template is Jinja2, in a sandbox. It sees the spine's columns and the inputs, and never the output. Flights from 13 June
# MAGIC on are the test part.

# COMMAND ----------

loader = FeatureDataLoader(store)
inputs = [
    Lookup("airport_weather", ["temp", "wind_speed", "visib"], on={"airport": "origin"}),
    "aircraft_delays:last_delay",
]
template = """\
Flight {{ flight_id.split('-')[0] }} from {{ origin }} to San Francisco leaves in two hours. \
{% if temp is not none %}It is {{ temp | round | int }} degrees, with a wind of {{ wind_speed | round | int }} miles an hour \
and a view of {{ visib | round | int }} miles. {% endif %}\
{% if last_delay is not none %}Its aircraft landed {{ last_delay }} minutes late on its last flight. \
{% endif %}Will it come more than 15 minutes late?"""
folder = f"{warehouse}-chats"
chats = loader.load_for_fine_tuning(
    spine,
    inputs,
    "answer",
    path=folder,
    system="You tell whether flights will be late. Answer in one sentence.",
    template=template,
    split=TimeSplit(test_from="2013-06-13T00:00:00Z"),
)
show(chats)

# COMMAND ----------

# MAGIC %md
# MAGIC The files have **557** lines. **6** flights were left out, and are counted with the reason. This is one of the lines:

# COMMAND ----------

print(chats.row_count, "lines:", chats.parts, "| left out:", chats.left_out)
examples = Path(folder, "train/part-00000.jsonl").read_text(encoding="utf-8").splitlines()
example = next(line for line in examples if "degrees" in line and "aircraft" in line)
print(json.dumps(json.loads(example), indent=2))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The same again
# MAGIC
# MAGIC A hash of the seed and the row decides the place of each line, so another run writes the same files. A folder appears only
# MAGIC when everything in it is written.

# COMMAND ----------

same = loader.load_for_fine_tuning(
    spine.sample(frac=1, random_state=1),
    inputs,
    "answer",
    path=f"{folder}-again",
    system="You tell whether flights will be late. Answer in one sentence.",
    template=template,
    split=TimeSplit(test_from="2013-06-13T00:00:00Z"),
)
files = [[Path(made.path, file.path).read_bytes() for file in made.files] for made in (chats, same)]
print("the same files:", files[0] == files[1])

# COMMAND ----------

# MAGIC %md
# MAGIC ## A misspelt name
# MAGIC
# MAGIC A template is checked before any job runs.

# COMMAND ----------

try:
    loader.load_for_fine_tuning(spine, inputs, "answer", path=f"{folder}-wrong", template="{{ orign }}")
except TransformationError as error:
    refused = str(error)
print(refused)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What the answers are
# MAGIC
# MAGIC In the training part **19 %** of the flights were late; in the test part, with the storms of 13 June, **47 %**. A model that
# MAGIC always says "No." fails there.

# COMMAND ----------

lines = chats.rows.toArrow().to_pandas()
lines["late"] = [messages[-1]["content"].startswith("Yes") for messages in lines["messages"]]
late_share = lines.groupby("part")["late"].mean()
figure, axes = plt.subplots(figsize=(9, 2.4), layout="constrained", num="answers")
for place, part in enumerate(("train", "test")):
    axes.barh(place, late_share[part], color=ORANGE)
    axes.barh(place, 1 - late_share[part], left=late_share[part], color=BLUE)
    axes.annotate(f"late {late_share[part]:.0%}", (0.01, place), va="center", color="white")
axes.set_yticks([0, 1], [f"{part}\n{chats.parts[part]} lines" for part in ("train", "test")])
axes.invert_yaxis()
axes.xaxis.set_major_formatter("{x:.0%}")
axes.set_title("Share of flights to San Francisco that came more than 15 minutes late", loc="left", fontsize=10)
show(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Checks of the statements above

# COMMAND ----------

assert chats.row_count + sum(chats.left_out.values()) == len(spine) == 563
assert chats.row_count == sum(chats.parts.values()) == len(lines)
assert files[0] == files[1]
assert refused == "template: 'orign' is not a column of the rows. Did you mean 'origin'?"
assert not Path(f"{folder}-wrong").exists()
assert late_share["test"] > late_share["train"]
assert all(
    [message["role"] for message in messages] == ["system", "user", "assistant"] for messages in lines["messages"]
)
