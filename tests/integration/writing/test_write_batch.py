"""Writing a batch: what fits is stored once, what does not is kept with its reasons, and nothing is lost."""

from datetime import UTC, date, datetime, timedelta, timezone
from functools import reduce
from pathlib import Path
from typing import Any

import deltalake
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from featurestore import Entity, Feature, FeatureGroup, FeatureStore, OfflineStore, Settings
from featurestore.errors import BatchConflictError, InvalidNameError, InvalidRowsError, NotFoundError, SchemaError
from featurestore.frames.columns import those_present
from featurestore.frames.rows.conform import FAULTS
from featurestore.frames.rows.validation import check_rows, rules
from featurestore.frames.schema import feature_fields

USER = Entity("user", join_keys={"user_id": "string"})
STATS = FeatureGroup(
    "stats",
    USER,
    features=[
        Feature("score", "double", min=0, max=100),
        Feature("visits", "long"),
        Feature("plan", "string", allowed_values=["free", "paid"]),
        Feature("code", "string", pattern="[A-Z]{3}"),
        Feature("tags", "array<string>", max_length=2),
        Feature("text", "embedding(3)"),
    ],
)
TYPES = FeatureGroup(
    "types",
    USER,
    features=[
        Feature("a_double", "double"),
        Feature("a_float", "float"),
        Feature("a_long", "long"),
        Feature("an_int", "int"),
        Feature("a_boolean", "boolean"),
        Feature("a_date", "date"),
        Feature("a_timestamp", "timestamp"),
        Feature("a_json", "json"),
        Feature("doubles", "array<double>"),
    ],
)
MONTHLY = FeatureGroup("monthly", USER, features=[Feature("score", "double")], partition_by="month")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def feature_store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    warehouse = str(tmp_path_factory.mktemp("write_batch") / "warehouse")
    store = FeatureStore.open(Settings(warehouse=warehouse), spark=spark, clock=lambda: NOW)
    store.apply([STATS, TYPES, MONTHLY])
    return store


@pytest.fixture
def acme(feature_store: FeatureStore, request: pytest.FixtureRequest) -> OfflineStore:
    """A tenant of the test's own, so that tests share tables and never rows."""
    return feature_store.tenant(request.node.name.lower().replace("[", "-").replace("]", "")[:60].strip("-_"))


def values(store: OfflineStore, feature_store: FeatureStore, group: str, columns: list[str]) -> pa.Table:
    """The tenant's rows as another reader of Delta tables finds them."""
    table = deltalake.DeltaTable(f"{feature_store.settings.warehouse}/groups/{group}_v1/values")
    return table.to_pyarrow_table(filters=[("tenant_id", "=", store.tenant_id)], columns=columns)


def stored(store: OfflineStore, feature_store: FeatureStore, group: str, columns: list[str]) -> list[tuple]:
    rows = values(store, feature_store, group, columns).to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def rejected(store: OfflineStore, batch_id: str | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.rejected("stats", batch_id=batch_id, to="arrow").to_pylist()
    return rows


def test_one_row_of_each_fault_among_a_thousand_good_ones(acme: OfflineStore, feature_store: FeatureStore) -> None:
    good = [{"user_id": f"u{i}", "event_timestamp": NOON, "score": i % 100} for i in range(1000)]
    bad = {
        "user_id: missing": {"user_id": None, "event_timestamp": NOON, "score": 1.0},
        "event_timestamp: missing": {"user_id": "u", "score": 1.0},
        "event_timestamp: timestamp without a time zone": {"event_timestamp": datetime(2026, 11, 1)},  # noqa: DTZ001
        "event_timestamp: a date without a time": {"event_timestamp": date(2026, 11, 1)},
        "event_timestamp: not readable as timestamp": {"event_timestamp": "yesterday"},
        "event_timestamp: expected timestamp, found int": {"event_timestamp": 1_700_000_000},
        "user_id: expected string, found int": {"user_id": 7},
        "score: expected double, found str": {"score": "high"},
        "score: expected double, found bool": {"score": True},
        "score: not a finite number": {"score": float("nan")},
        "score: less than min 0": {"score": -0.5},
        "score: greater than max 100": {"score": 100.5},
        "visits: not a whole number, for long": {"visits": 2.5},
        "visits: beyond the range of long": {"visits": 2**63},
        "plan: not among allowed_values": {"plan": "gold"},
        "code: does not match pattern": {"code": "ABCD"},
        "tags: longer than max_length 2": {"tags": ["a", "b", "c"]},
        "tags: expected array<string>, found str": {"tags": "a"},
        "text: not of 3 dims": {"text": [1.0, 2.0]},
        "text: holds a number that is missing or not finite": {"text": [1.0, None, 2.0]},
        "scor: not a column of the group. Did you mean 'score'?": {"scor": 1.0},
        "tenant_id: not the tenant of this store": {"tenant_id": "other"},
    }
    usual = {"user_id": "u", "event_timestamp": NOON}
    rows = good[:500] + [row if "missing" in reason[:24] else usual | row for reason, row in bad.items()] + good[500:]

    result = acme.write_batch("stats", [*rows, "not a row"], batch_id="hostile")  # type: ignore[list-item]

    assert (result.written, result.failed) == (1000, len(bad) + 1)
    found = {tuple(row["reasons"]) for row in rejected(acme, "hostile")}
    no_row = ("not a mapping of column names to values but str", "user_id: missing", "event_timestamp: missing")
    assert found == {(reason,) for reason in bad} | {no_row}
    assert len(stored(acme, feature_store, "stats", ["user_id"])) == 1000


BIG = 2**53
# Feature type, bounds, a value, and the reason why it is rejected ("": it is not).
BOUNDED: list[tuple[str, dict[str, Any], Any, str]] = [
    ("long", {"max": BIG}, BIG, ""),
    ("long", {"max": BIG}, BIG + 1, "greater than max 9007199254740992"),
    ("long", {"min": BIG + 1}, BIG, "less than min 9007199254740993"),
    ("long", {"min": BIG + 1}, BIG + 1, ""),
    ("long", {"min": -(2**63), "max": 2**63 - 1}, 2**63 - 1, ""),
    ("long", {"min": -(10**30), "max": 10**30}, -(2**63), ""),
    ("long", {"min": 0.5}, 0, "less than min 0.5"),
    ("long", {"min": 0.5}, 1, ""),
    ("long", {"max": -0.5}, 0, "greater than max -0.5"),
    ("long", {"max": 123456789}, 123456790, "greater than max 123456789"),
    ("int", {"max": 2**31}, 2**31 - 1, ""),
    ("int", {"max": 7.0}, 8, "greater than max 7"),
    ("double", {"max": BIG}, BIG + 2.0, "greater than max 9007199254740992"),
    ("double", {"min": 0.1 + 0.2}, 0.3, "less than min 0.30000000000000004"),
    ("float", {"min": 0.1, "max": 0.1}, 0.1, ""),
    ("float", {"max": 0.1}, 0.10000001, "greater than max 0.1"),
    ("long", {"allowed_values": [BIG]}, BIG + 1, "not among allowed_values"),
    ("int", {"allowed_values": [2**40, 3]}, 3, ""),
]


def test_a_bound_is_compared_exactly_however_large(spark: SparkSession) -> None:
    features = [Feature(f"f{i}", kind, **bounds) for i, (kind, bounds, _, _) in enumerate(BOUNDED)]
    fields = [feature_fields(feature)[0] for feature in features]
    frame = spark.createDataFrame([tuple(value for _, _, value, _ in BOUNDED)], StructType(fields))

    broken = {feature.name: those_present([F.when(rule, F.lit(text)) for text, rule in rules(feature)])
              for feature in features}  # fmt: skip
    [row] = frame.select(*(reasons.alias(name) for name, reasons in broken.items())).collect()

    assert list(row) == [[reason] if reason else [] for _, _, _, reason in BOUNDED]


def test_a_rejected_row_keeps_every_reason_and_itself(acme: OfflineStore) -> None:
    frame = pd.DataFrame({"user_id": ["u1"], "event_timestamp": [NOON], "score": [-1.0], "plan": ["gold"]})

    result = acme.write_batch("stats", frame)

    assert (result.written, result.failed) == (0, 1)
    assert result.errors == {"plan: not among allowed_values": 1, "score: less than min 0": 1}
    [row] = rejected(acme, result.batch_id)
    assert row["row"] == ('{"user_id":"u1","event_timestamp":"2026-11-01T12:00:00.000000Z","score":-1.0,"plan":"gold"}')


def test_the_same_rows_from_spark_pandas_pyarrow_and_dicts(acme: OfflineStore, feature_store: FeatureStore) -> None:
    frame = pd.DataFrame(
        {"user_id": ["u1", "u2"], "event_timestamp": [NOON, NOON], "score": [1.5, None], "visits": [1, 2]}
    )
    table = pa.Table.from_pandas(frame)

    of_spark = feature_store.spark.createDataFrame(table)
    for rows in (frame, table, of_spark, frame.to_dict("records")[:1]):
        assert acme.write_batch("stats", rows).failed == 0  # type: ignore[arg-type]
    assert by_executors(feature_store, acme.tenant_id).write_batch("stats", of_spark).failed == 0

    result = stored(acme, feature_store, "stats", ["user_id", "score", "visits"])
    assert result == sorted([("u1", 1.5, 1)] * 5 + [("u2", None, 2)] * 4, key=repr)


def by_executors(feature_store: FeatureStore, tenant_id: str, spark: SparkSession | None = None) -> OfflineStore:
    """A store in which executors write every frame, as they write those that are too large for this process."""
    settings = feature_store.settings.model_copy(update={"local_batch_rows": 0})
    return FeatureStore.open(settings, spark=spark or feature_store.spark, clock=lambda: NOW).tenant(tenant_id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="user_id"), "columns \\['user_id'\\] are missing"),
        (lambda f: f.drop(columns="event_timestamp"), "columns \\['event_timestamp'\\] are missing"),
        (lambda f: f.rename(columns={"score": "scor"}), "Did you mean 'score'"),
        (lambda f: f.drop(columns="score"), "none of its features"),
        (lambda f: pd.concat([f, f[["score"]]], axis=1), "come twice"),
        (lambda f: f.assign(event_timestamp=f.event_timestamp.dt.tz_localize(None)), "no time zone"),
        (lambda f: f.assign(score=["1.5"]).convert_dtypes(), "'score' is string"),
        (lambda f: f.assign(visits=[True]), "'visits' is boolean"),
    ],
)
def test_columns_that_can_never_fit_are_refused_before_anything_is_written(
    acme: OfflineStore, feature_store: FeatureStore, change: object, message: str
) -> None:
    frame = pd.DataFrame({"user_id": ["u1"], "event_timestamp": [NOON], "score": [1.5]})
    with pytest.raises(SchemaError, match=message):
        acme.write_batch("stats", change(frame))  # type: ignore[operator]


def test_a_batch_is_written_once_however_often_it_is_retried(acme: OfflineStore, feature_store: FeatureStore) -> None:
    rows = [{"user_id": "u1", "event_timestamp": NOON, "score": s} for s in (1.0, -1.0)]

    first = acme.write_batch("stats", rows, batch_id="b")
    again = [acme.write_batch("stats", rows, batch_id="b") for _ in range(2)]

    assert (first.written, first.failed, first.duplicate) == (1, 1, False)
    assert {(r.written, r.failed, r.duplicate, r.table_version) for r in again} == {(1, 1, True, first.table_version)}
    assert len(stored(acme, feature_store, "stats", ["user_id"])) == 1
    assert len(rejected(acme, "b")) == 1

    for other in ([rows[0] | {"score": 2.0}], [rows[1] | {"score": -2.0}]):
        with pytest.raises(BatchConflictError, match="was used before"):
            acme.write_batch("stats", other, batch_id="b")
    assert len(stored(acme, feature_store, "stats", ["user_id"])) == 1
    assert len(rejected(acme, "b")) == 1

    other_tenant = feature_store.tenant("another")
    assert other_tenant.write_batch("stats", rows, batch_id="b").duplicate is False


def test_on_invalid_fail_writes_nothing(acme: OfflineStore, feature_store: FeatureStore) -> None:
    rows = [{"user_id": "u1", "event_timestamp": NOON, "score": s} for s in (1.0, -1.0)]
    with pytest.raises(InvalidRowsError, match=r"1 of 2 rows .* score: less than min 0 \(1\)"):
        acme.write_batch("stats", rows, on_invalid="fail")
    assert stored(acme, feature_store, "stats", ["user_id"]) == []
    assert rejected(acme) == []


def test_an_empty_batch_changes_nothing(acme: OfflineStore) -> None:
    frame = pd.DataFrame({"user_id": ["u1"], "event_timestamp": [NOON], "score": [1.5]}).iloc[:0]
    for rows in (frame, []):
        result = acme.write_batch("stats", rows)
        assert (result.written, result.failed, result.table_version) == (0, 0, None)


def test_timestamps_of_any_offset_and_century_are_stored_as_the_instant_they_are(
    acme: OfflineStore, feature_store: FeatureStore
) -> None:
    moments = {
        "offset": "2026-11-01T01:30:00+02:00",
        "before_1970": "1969-12-31T23:59:59.999999Z",
        "first": datetime(1, 1, 1, tzinfo=UTC),
        "last": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "east": datetime(2026, 11, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    }
    rows = [{"user_id": name, "event_timestamp": moment, "score": 1.0} for name, moment in moments.items()]

    assert acme.write_batch("stats", rows).written == 5
    assert acme.write_batch("monthly", rows).written == 5

    instants = {}
    for group in ("stats", "monthly"):
        table = values(acme, feature_store, group, ["user_id", "event_date", "event_timestamp"])
        micros = table.column("event_timestamp").cast(pa.int64()).to_pylist()
        for row, moment in zip(table.select(["user_id", "event_date"]).to_pylist(), micros, strict=True):
            instants[group, row["user_id"]] = (row["event_date"].isoformat(), moment)
    assert instants["stats", "offset"] == ("2026-10-31", 1793489400000000)
    assert instants["stats", "before_1970"] == ("1969-12-31", -1)
    assert instants["stats", "first"] == ("0001-01-01", -62135596800000000)
    assert instants["stats", "last"] == ("9999-12-31", 253402300799999999)
    assert instants["stats", "east"] == ("2026-10-31", 1793474100000000)
    assert {name: day for (group, name), (day, _) in instants.items() if group == "monthly"} == {
        "offset": "2026-10-01", "before_1970": "1969-12-01", "first": "0001-01-01", "last": "9999-12-01", "east": "2026-10-01",
    }  # fmt: skip


def test_a_timestamp_after_the_year_9999_is_rejected(acme: OfflineStore, feature_store: FeatureStore) -> None:
    frame = feature_store.spark.sql(
        "SELECT 'u1' AS user_id, timestamp_micros(253402300800000000) AS event_timestamp, 1.0D AS score"
    )
    assert acme.write_batch("stats", frame).errors == {"event_timestamp: timestamp outside the years 1 to 9999": 1}


def test_only_lossless_casts(spark: SparkSession) -> None:
    readable = {
        "a_double": ["1.5F", "1", "9007199254740992L", "1.10BD", "cast(null as double)"],
        "a_float": ["1.5D", "16777216", "1S"],
        "a_long": ["1", "3.0D", "9223372036854775807L", "4.0BD"],
        "an_int": ["2147483647L", "1Y", "-5.0D"],
        "a_json": ["'{\"a\": 1}'", "named_struct('a', 1)"],
        "a_date": ["date'2026-01-01'", "'2026-01-01'"],
        "a_timestamp": ["timestamp'2026-01-01 00:00:00Z'", "'2026-01-01T00:00:00.5+01:00'"],
        "doubles": ["array(1, 2)", "array(1.5F)"],
    }
    lossy = {
        "a_double": ["9007199254740993L", "9223372036854775807L"],
        "a_float": ["16777217", "1e300D"],
        "a_long": ["2.5D", "9.3e18D", "1.5BD"],
        "an_int": ["2147483648L", "0.5D"],
        "a_json": ["'{not json'"],
        "a_date": ["'2026-02-30'", "'1st of May'"],
        "a_timestamp": ["'2026-01-01T00:00:00'", "'noon'"],
        "doubles": ["array(9007199254740993L)"],
    }

    # A query for the first value of each feature, another for the second, and so on; one job, since each value costs none.
    cases = {feature: readable[feature] + lossy.get(feature, []) for feature in readable}
    found = set()
    frames = []
    for place in range(max(map(len, cases.values()))):
        columns = [f"{values[place]} AS {feature}" for feature, values in cases.items() if place < len(values)]
        row = spark.sql(f"SELECT 'u1' user_id, timestamp'2026-11-01 12:00:00Z' event_timestamp, {', '.join(columns)}")
        frames.append(check_rows(row, TYPES, "acme").select(F.lit(place).alias("place"), FAULTS))
    for row in reduce(DataFrame.union, frames).collect():
        for fault in row[FAULTS]:
            feature, _, _ = fault.partition(":")
            found.add((feature, cases[feature][row["place"]]))

    assert found == {(feature, value) for feature, values in lossy.items() for value in values}


def test_naive_timestamps_are_read_in_the_zone_that_the_settings_name(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings(warehouse=str(tmp_path / "warehouse"), timestamp_zone="America/New_York")
    fs = FeatureStore.open(settings, spark=spark)
    fs.apply([STATS])
    naive = datetime(2026, 7, 1, 12)  # noqa: DTZ001
    frame = pd.DataFrame({"user_id": ["pandas"], "event_timestamp": [pd.Timestamp(naive)], "score": [1.0]})
    store = fs.tenant("acme")

    store.write_batch("stats", frame)
    store.write_batch("stats", [{"user_id": "dict", "event_timestamp": naive, "score": 1.0}])
    store.write_batch("stats", [{"user_id": "day", "event_timestamp": date(2026, 7, 1), "score": 1.0}])

    noon_in_new_york = datetime(2026, 7, 1, 16, tzinfo=UTC)
    assert dict(stored(store, fs, "stats", ["user_id", "event_timestamp"])) == {
        "pandas": noon_in_new_york,
        "dict": noon_in_new_york,
        "day": noon_in_new_york - timedelta(hours=12),
    }


@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_each_date_is_one_file_sorted_by_key_and_time_with_and_without_adaptive_execution(
    feature_store: FeatureStore, adaptive: str
) -> None:
    session = feature_store.spark.newSession()
    session.conf.set("spark.sql.adaptive.enabled", adaptive)
    acme = by_executors(feature_store, f"adaptive-{adaptive}", session)
    rows = pd.DataFrame(
        {"user_id": f"u{i * 7 % 50:02}", "event_timestamp": NOON + timedelta(hours=i * 5 % 60), "score": 1.0}
        for i in range(200)
    )
    acme.write_batch("stats", session.createDataFrame(pa.Table.from_pandas(rows)).repartition(5))

    folder = Path(feature_store.settings.warehouse) / "groups/stats_v1/values" / f"tenant_id={acme.tenant_id}"
    files = sorted(folder.glob("*/*.parquet"))
    assert [file.parent.name for file in files] == [f"event_date=2026-11-0{day}" for day in (1, 2, 3)]
    for file in files:
        order = ds.dataset(file).to_table(columns=["user_id", "event_timestamp"]).to_pylist()
        assert [tuple(row.values()) for row in order] == sorted(tuple(row.values()) for row in order)


def test_an_embedding_carries_its_model_version(acme: OfflineStore, feature_store: FeatureStore) -> None:
    rows = [
        {"user_id": "u1", "event_timestamp": NOON, "text": [1, 2, 3]},
        {"user_id": "u2", "event_timestamp": NOON, "text": [1.0, 2.0, 3.0], "text__model_version": "my-model"},
        {"user_id": "u3", "event_timestamp": NOON, "score": 1.0},
    ]
    acme.write_batch("stats", rows)
    assert stored(acme, feature_store, "stats", ["user_id", "text", "text__model_version"]) == [
        ("u1", [1.0, 2.0, 3.0], "text-embedding-3-small"),
        ("u2", [1.0, 2.0, 3.0], "my-model"),
        ("u3", None, None),
    ]


@pytest.mark.parametrize("tenant", ["..", "a/b", "", "A", "../acme", "a" * 64, "a b", "ä", "-a", None, "acme\n"])
def test_a_hostile_tenant_id_is_refused(feature_store: FeatureStore, tenant: str) -> None:
    with pytest.raises(InvalidNameError, match="tenant id"):
        feature_store.tenant(tenant)


def test_an_unknown_group_is_named_with_its_nearest(acme: OfflineStore) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'stats'"):
        acme.write_batch("stat", [])
