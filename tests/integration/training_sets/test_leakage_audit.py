"""The leakage audit: each fault, put into real tables, is found and nothing else is; a clean set is left alone."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, TrainingSet
from featurestore.definitions.finding import Finding
from featurestore.operations.auditing.audit import audit
from featurestore.operations.context import Scope
from tests.conftest import Clock, OpenFeatureStore

START = datetime(2026, 1, 1, tzinfo=UTC)
USERS, VISITS = 120, 2
USER = Entity("user", join_keys={"user_id": "string"})


def days(count: float) -> datetime:
    return START + timedelta(days=count)


def is_late(row: int) -> bool:
    """The label: by no order that a feature could follow."""
    return row * 2654435761 % 997 < 400


# Feature -> its type, and its value in a row; is_late returns the row's label.
HONEST: dict[str, tuple[str, Callable[[int], Any]]] = {
    "strong": ("boolean", lambda row: is_late(row) ^ (row % 11 == 0)),
    "noise": ("double", lambda row: row * 40503 % 65536 / 65536),
    "unique": ("long", lambda row: row * 7919),
    "token": ("string", lambda row: f"token {row}"),
    "signup": ("timestamp", lambda row: days(-(row // VISITS) - 1)),
    "vector": ("embedding(2)", lambda row: [float(row), 1.0]),
}
LEAKING: dict[str, tuple[str, Callable[[int], Any]]] = {
    "copied": ("boolean", is_late),
    "as_text": ("string", lambda row: "late" if is_late(row) else "on time"),
    "only_if": ("double", lambda row: float(row) if is_late(row) else None),
}


def group(name: str, features: dict[str, Any], **more: Any) -> FeatureGroup:
    return FeatureGroup(name, USER, features=[Feature(n, kind) for n, (kind, _) in features.items()], **more)


def values(
    features: dict[str, Any], at: Callable[[int], datetime], created: Callable[[int], datetime]
) -> Iterable[dict[str, Any]]:
    for row in range(USERS * VISITS):
        named = {name: value(row) for name, (_, value) in features.items()}
        yield {
            "user_id": f"u{row // VISITS}",
            "event_timestamp": at(row),
            "created_timestamp": created(row),
            **named,
        }


def when(row: int) -> datetime:
    """Of an example: the visits of a user are a week apart."""
    return days(10 + 7 * (row % VISITS) + row / 1000)


def before(hours: float) -> Callable[[int], datetime]:
    return lambda row: when(row) - timedelta(hours=hours)


SPINE = pd.DataFrame(
    {
        "user_id": [f"u{row // VISITS}" for row in range(USERS * VISITS)],
        "event_timestamp": [when(row) for row in range(USERS * VISITS)],
        "late": [is_late(row) for row in range(USERS * VISITS)],
    }
)
SCORE = {"score": ("double", float)}
NEVER = {"never": ("double", float)}


@pytest.fixture(scope="module")
def feature_store(open_feature_store: OpenFeatureStore) -> FeatureStore:
    """``honest`` and ``leaking`` are written as they come true; ``backfilled`` a day after the examples; ``brief`` is valid
    for an hour, and written five hours before the examples."""
    fs = open_feature_store(Clock(days(100)))
    fs.apply(
        [
            group("honest", HONEST),
            group("leaking", LEAKING, nulls="keep"),
            group("backfilled", SCORE),
            group("brief", SCORE, ttl=timedelta(hours=1)),
            group("empty", NEVER),
        ]
    )
    store = fs.tenant("acme")
    store.write_batch("honest", list(values(HONEST, before(1), before(1))))
    store.write_batch("leaking", list(values(LEAKING, before(1), before(1))))
    store.write_batch("backfilled", list(values(SCORE, before(1), before(-24))))
    store.write_batch("brief", list(values(SCORE, before(5), before(5))))
    return fs


@pytest.fixture(scope="module")
def loader(feature_store: FeatureStore) -> FeatureDataLoader:
    return FeatureDataLoader(feature_store.tenant("acme"))


@pytest.fixture(scope="module")
def built(loader: FeatureDataLoader) -> TrainingSet:
    """All groups joined, each feature named after its group."""
    every = [
        *(f"honest:{name}" for name in HONEST),
        *(f"leaking:{name}" for name in LEAKING),
        *("backfilled:score", "brief:score", "empty:never"),
    ]
    return loader.load_training_data(SPINE, every, label="late", name="faults", full_feature_names=True)


def summary(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.check, finding.subject) for finding in findings]


def audited(built: TrainingSet, *groups: str, rows: DataFrame | None = None, **changed: Any) -> tuple[Finding, ...]:
    """The audit of the saved rows, or of others of the same columns, as if only these groups had been joined."""
    manifest = built.manifest
    only = {
        "features": tuple(lookup for lookup in manifest.features if lookup.group in groups),
        "feature_columns": tuple(name for name in manifest.feature_columns if name.split("__")[0] in groups),
        "event_timestamp_columns": tuple(f"{name}__event_timestamp" for name in groups),
    }
    return audit(
        Scope(built.context, "acme"), built.rows if rows is None else rows, manifest.model_copy(update=only | changed)
    )


def test_a_clean_set_is_left_alone(built: TrainingSet) -> None:
    """Although a feature is right in ten rows of eleven, some are different in every row, and one in every user."""
    assert audited(built, "honest") == ()


def test_every_fault_is_found_when_the_set_is_built_and_again(loader: FeatureDataLoader, built: TrainingSet) -> None:
    findings = built.manifest.audit

    assert summary(findings) == [
        ("error", "equals_label", "leaking__copied"),
        ("error", "tells_label", "leaking__as_text"),
        ("error", "tells_label", "leaking__only_if"),
        ("warning", "always_missing", "brief__score"),
        ("warning", "always_missing", "empty__never"),
        ("warning", "known_later", "backfilled"),
        ("warning", "ttl_too_short", "brief"),
    ]
    assert loader.audit("faults") == findings
    assert loader.get("faults").manifest.audit == findings


def test_a_finding_shows_by_numbers_which_feature_knows_the_label(built: TrainingSet) -> None:
    copied, as_text, only_if = audited(built, "leaking")

    assert copied.message == "leaking__copied equals the label late in 100.0% of the 240 sampled rows that have both"
    assert copied.measured == {"rows": 240, "equal": 240, "equal_share": 1.0}
    assert "leave the feature out" in copied.advice
    assert "leaking__as_text alone tells the label late: guessed from it, 100.0% of " in as_text.message
    assert only_if.measured["errors"] == 0


def test_a_finding_about_later_knowledge_shows_what_serving_would_have_seen(built: TrainingSet) -> None:
    """Of a user's two visits the first found nothing, the second the value of the first."""
    [finding] = audited(built, "backfilled")

    assert summary([finding]) == [("warning", "known_later", "backfilled")]
    assert finding.measured == {"rows": 240, "other": 240, "nothing": 120, "share": 1.0}
    assert "serving would have seen nothing in 120 of them and other values in 120" in finding.message
    assert 'known_at="event"' in finding.advice


def test_knowledge_up_to_a_requested_instant_is_no_leak(built: TrainingSet) -> None:
    assert summary(audited(built, "backfilled", known_at=days(50))) == [("info", "known_later", "backfilled")]
    assert audited(built, "backfilled", known_at="event") == ()


def test_a_finding_about_a_short_ttl_names_a_sufficient_one(built: TrainingSet) -> None:
    missing, short = audited(built, "brief")

    assert summary([missing, short]) == [
        ("warning", "always_missing", "brief__score"),
        ("warning", "ttl_too_short", "brief"),
    ]
    assert short.measured == {
        "rows": 240,
        "missing": 240,
        "older": 240,
        "ttl_seconds": 3600.0,
        "age_median": 18000.0,
        "age_90": 18000.0,
    }
    assert "no score within the TTL of 1h; 240 of them have an older one, of age 5 h in the median" in short.message
    assert "A TTL of 6h would fill nine in ten of these" in short.advice


def test_filled_values_are_still_missing(built: TrainingSet) -> None:
    filled = built.rows.fillna({"brief__score": -1.0, "honest__noise": -1.0})

    assert [finding.check for finding in audited(built, "brief", rows=filled, missing={"brief__score": -1.0})] == [
        "always_missing",
        "ttl_too_short",
    ]
    assert audited(built, "honest", rows=filled, missing={"honest__noise": -1.0}) == ()


def test_doubled_rows_are_counted(built: TrainingSet) -> None:
    some = built.rows.where(F.col("user_id").isin("u0", "u1", "u2"))
    other = built.rows.where(F.col("user_id").isin("u3", "u4")).withColumn("late", ~F.col("late"))

    [finding] = audited(built, "honest", rows=built.rows.union(some).union(other))

    assert summary([finding]) == [("warning", "doubled_rows", "spine")]
    assert finding.measured == {"rows": 250, "doubled": 10, "copies": 6, "examples": 10}
    assert "6 are copies of it, 4 differ in other columns of the spine" in finding.message


def test_rows_of_one_example_that_spine_columns_separate_are_only_mentioned(built: TrainingSet) -> None:
    some = built.rows.where(F.col("user_id").isin("u0", "u1", "u2"))
    items = built.rows.withColumn("item", F.lit(1)).union(some.withColumn("item", F.lit(2)))

    findings = audited(built, "honest", rows=items, spine_columns=(*built.manifest.spine_columns, "item"))

    assert summary(findings) == [("info", "doubled_rows", "spine")]


def test_a_value_from_the_future_is_an_error(built: TrainingSet) -> None:
    """No join of this store makes one: it is put into the rows."""
    event, time = F.col("honest__event_timestamp"), F.col("event_timestamp")
    later = F.when(F.col("user_id").isin("u0", "u1", "u2"), F.timestamp_micros(F.unix_micros(time) + 90_000_000))
    spoiled = built.rows.withColumn("honest__event_timestamp", F.coalesce(later, event))

    [finding] = audited(built, "honest", rows=spoiled)

    assert summary([finding]) == [("error", "newer_than_spine", "honest")]
    assert finding.message == "6 of 240 rows have a value of honest from after their own time, by up to 1.5 min"


def test_labels_that_teach_nothing_are_mentioned(built: TrainingSet) -> None:
    seldom = built.rows.withColumn("late", F.when(F.col("late"), True))
    unlabelled = sum(not is_late(row) for row in range(USERS * VISITS))

    missing, constant = audited(built, "honest", rows=seldom)

    assert summary([missing, constant]) == [("info", "label_missing", "late"), ("info", "label_constant", "late")]
    assert missing.message == f"the label late is missing in {unlabelled} of 240 rows ({unlabelled / 240:.1%})"

    few = built.rows.where(F.col("user_id").isin("u0", "u1", "u2")).withColumn("late", F.col("user_id") == "u0")
    assert summary(audited(built, "honest", rows=few)) == [("info", "not_compared", "late")]
    assert audited(built, "honest", "leaking", rows=few.limit(0)) == ()


def test_only_the_newest_part_of_an_extended_set_is_joined_again(
    feature_store: FeatureStore, loader: FeatureDataLoader
) -> None:
    """A value that came between the parts is not what the first part would have seen."""
    first, second = SPINE[:100], SPINE[100:]
    loader.load_training_data(first, ["honest:noise"], label="late", name="grown")
    late_comers = [
        {
            "user_id": f"u{row // VISITS}",
            "event_timestamp": before(0.5)(row),
            "created_timestamp": before(0.5)(row),
            "noise": 0.5,
        }
        for row in range(100)
    ]
    feature_store.tenant("acme").write_batch("honest", late_comers)

    grown = loader.extend("grown", second)

    assert grown.manifest.audit == ()
    assert loader.audit("grown", 2) == ()
    assert summary(audit(Scope(grown.context, "acme"), grown.rows, grown.manifest)) == [
        ("warning", "known_later", "honest")
    ]
