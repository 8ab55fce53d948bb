"""The plan of an as-of join before it reads anything: the scans, with their dates and columns, joined together."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import types as T

from featurestore import Entity, Feature, FeatureGroup, Lookup
from featurestore.frames.as_of.spine import SpineBounds
from featurestore.operations.as_of.shuffle_plan import AsOfPlan, plan_as_of
from featurestore.operations.reading.request import AsOfRequest, ResolvedLookup, resolve_lookup

USER = Entity("user", join_keys={"user_id": "long"})
STATS = FeatureGroup("stats", USER, features=[Feature("score", "double"), Feature("visits", "long")])
FRESH = FeatureGroup("fresh", USER, features=[Feature("level", "long")], ttl=timedelta(days=2))
MONTHLY = FeatureGroup(
    "monthly", USER, features=[Feature("plan", "string")], ttl=timedelta(days=2), partition_by="month"
)
SPINE = T.StructType().add("sender", T.LongType()).add("receiver", T.LongType()).add("at", T.TimestampType())
FROM_SENDER = {
    "stats": resolve_lookup(STATS, Lookup("stats", ["visits", "score"], on={"user_id": "sender"}), False),
    "fresh": resolve_lookup(FRESH, Lookup("fresh", on={"user_id": "sender"}), False),
    "monthly": resolve_lookup(MONTHLY, Lookup("monthly", on={"user_id": "sender"}), False),
}
OF_RECEIVER = resolve_lookup(FRESH, Lookup("fresh", on={"user_id": "receiver"}, prefix="receiver_"), False)
LABEL = replace(
    resolve_lookup(STATS, Lookup("stats", ["score"], on={"user_id": "sender"}, prefix="label_"), False),
    offset=timedelta(days=7),
)
BOUNDS = SpineBounds(
    rows=50_000,
    earliest=datetime(2026, 3, 5, 12, tzinfo=UTC),
    latest=datetime(2026, 3, 20, 18, tzinfo=UTC),
    keys={("sender",): 40_000, ("receiver",): 300},
    examples=50_000,
)


def plan_of(request: AsOfRequest, bounds: SpineBounds = BOUNDS, schema: T.StructType = SPINE) -> AsOfPlan:
    return plan_as_of(request, schema, "__instant", bounds)


def test_lookups_by_the_same_columns_and_time_share_a_shuffle_of_the_spine() -> None:
    lookups = (FROM_SENDER["stats"], OF_RECEIVER, FROM_SENDER["fresh"])
    plan = plan_of(AsOfRequest(lookups, timestamp_column="at", label=LABEL))

    keyed = [(part.key_columns, part.timestamp_column, [s.lookup for s in part.scans]) for part in plan.keyed_scans]
    assert keyed == [
        (("sender",), "__instant", [0, 2]),
        (("receiver",), "__instant", [1]),
        (("sender",), "__instant_later", [3]),
    ]
    assert [part.spine_keys for part in plan.keyed_scans] == [40_000, 300, 40_000]
    assert [scan.group.name for scan in plan.scans] == ["stats", "fresh", "fresh", "stats"]
    assert plan.example_columns == ["__instant", "__instant_later", "sender", "receiver"]
    assert plan.outputs == ("visits", "score", "receiver_level", "level", "label_score")


@pytest.mark.parametrize(
    ("lookup", "first", "last"),
    [
        (FROM_SENDER["stats"], None, date(2026, 3, 20)),
        (FROM_SENDER["fresh"], date(2026, 3, 3), date(2026, 3, 20)),
        (FROM_SENDER["monthly"], date(2026, 3, 1), date(2026, 3, 20)),
        (LABEL, None, date(2026, 3, 27)),
    ],
    ids=["without a TTL", "with a TTL", "in partitions of months", "a later label"],
)
def test_a_scan_reads_the_partitions_that_can_hold_a_value(
    lookup: ResolvedLookup, first: date | None, last: date
) -> None:
    [scan] = plan_of(AsOfRequest((lookup,))).scans
    assert scan.dates == (first, last)


def test_a_scan_reads_nothing_for_a_spine_without_timestamps() -> None:
    bounds = replace(BOUNDS, earliest=None, latest=None)
    [scan] = plan_of(AsOfRequest((FROM_SENDER["stats"],)), bounds).scans
    first, last = scan.dates
    assert first is not None
    assert first > last


def test_a_scan_reads_the_requested_features_of_the_requested_version() -> None:
    request = AsOfRequest((FROM_SENDER["stats"], FROM_SENDER["fresh"]), table_versions={("stats", 1): 7})
    stats, fresh = plan_of(request).scans
    assert stats.columns == ("user_id", "event_timestamp", "created_timestamp", "score", "visits")
    assert (stats.table_version, fresh.table_version) == (7, None)


@pytest.mark.parametrize(
    ("rows", "examples", "document", "once"),
    [
        (50_000, 50_000, None, False),
        (50_000, 25_000, None, True),
        (50_000, 50_000, T.StringType(), False),
        (50_000, 50_000, T.ArrayType(T.StringType()), True),
        (1_000, 10, T.ArrayType(T.StringType()), False),
    ],
    ids=["distinct examples", "repeated examples", "a short column", "a wide column", "a small spine"],
)
def test_examples_are_looked_up_once_where_a_spine_repeats_them_or_is_wide(
    rows: int, examples: int, document: T.DataType | None, once: bool
) -> None:
    schema = SPINE if document is None else T.StructType([*SPINE, T.StructField("document", document)])
    bounds = replace(BOUNDS, rows=rows, examples=examples)
    assert plan_of(AsOfRequest((FROM_SENDER["stats"],)), bounds, schema).examples_once == once
