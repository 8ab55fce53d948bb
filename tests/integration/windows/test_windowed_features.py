"""Windowed features as users ask for them, without Spark: the events are read where they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    Entity,
    Events,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    OfflineStore,
    Settings,
    Source,
    TrainingSet,
)
from featurestore import WindowAggregate as Window
from featurestore.errors import DefinitionError, InvalidArgumentError, NotFoundError, SchemaError

USER = Entity("user", join_keys={"user_id": "string"})
PAYMENTS = Source(path="{landing}/{tenant_id}/payments", format="parquet")
NOW = datetime(2026, 11, 10, tzinfo=UTC)
PAYMENT_ROWS = [
    # payer, paid_at, loaded_at, payment_id, amount, kind
    ("ann", "2026-11-01 10:00", "2026-11-01 10:00", "p1", 10.0, "card"),
    ("ann", "2026-11-01 11:00", "2026-11-01 12:30", "p2", 20.0, "card"),  # known late
    ("ann", "2026-11-01 12:00", "2026-11-01 12:00", "p3", None, "cash"),
    ("bob", "2026-11-01 10:00", "2026-11-01 10:00", "p4", 7.0, "cash"),
    # p4 was ann's, and more.
    ("ann", "2026-11-01 10:00", "2026-11-02 00:00", "p4", 8.0, "cash"),
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def payments(rows: list[tuple[Any, ...]] = PAYMENT_ROWS) -> pa.Table:
    payer, paid, loaded, number, amount, kind = zip(*rows, strict=True)
    return pa.table(
        {
            "payer": pa.array(payer),
            "paid_at": pa.array(map(at, paid), pa.timestamp("us", "UTC")),
            "loaded_at": pa.array(map(at, loaded), pa.timestamp("us", "UTC")),
            "payment_id": pa.array(number),
            "amount": pa.array(amount, pa.float64()),
            "kind": pa.array(kind),
        }
    )


def spine(*rows: tuple[str | None, str]) -> pa.Table:
    users, times = zip(*rows, strict=True)
    instants = pa.array(map(at, times), pa.timestamp("us", "UTC"))
    return pa.table({"user_id": pa.array(users, pa.string()), "event_timestamp": instants})


def events(**settings: Any) -> Events:
    usual = {"event_timestamp": "paid_at", "created_timestamp": "loaded_at", "event_id": "payment_id"}
    return Events(**({"source": PAYMENTS, "columns": {"user_id": "payer"}} | usual | settings))


def group(*features: Window, name: str = "spending", **settings: Any) -> FeatureGroup:
    return FeatureGroup(name, USER, features=features, **({"events": events()} | settings))


@pytest.fixture
def fs(tmp_path: Path) -> FeatureStore:
    folder = tmp_path / "landing" / "acme" / "payments"
    folder.mkdir(parents=True)
    pq.write_table(payments(PAYMENT_ROWS[:2]), folder / "a.parquet")
    pq.write_table(payments(PAYMENT_ROWS[2:]), folder / "b.parquet")
    settings = Settings(warehouse=str(tmp_path / "warehouse"), landing=str(tmp_path / "landing"))
    return FeatureStore.open(settings, clock=lambda: NOW)


@pytest.fixture
def ask(fs: FeatureStore) -> Callable[..., dict[str, list[Any]]]:
    """Apply a group of these features, and return their values for a spine of ann at noon and a day later, and bob."""

    def values(*features: Window, **options: Any) -> dict[str, list[Any]]:
        fs.apply([group(*features)])
        rows = spine(("ann", "2026-11-01 12:00"), ("ann", "2026-11-02 12:00"), ("bob", "2026-11-01 12:00"))
        joined = fs.tenant("acme").get_point_in_time(rows, [f"spending:{each.name}" for each in features], **options)
        return {each.name: joined.column(each.name).to_pylist() for each in features}

    return values


def test_each_function_over_its_own_window(ask: Callable[..., dict[str, list[Any]]]) -> None:
    found = ask(
        Window("spend_2h", "sum", of="amount", window="2h"),
        Window("spend", "sum", of="amount"),
        Window("payments_1d", "count", window="1d"),
        Window("amounts_1d", "count", of="amount", window="1d"),
        Window("mean", "avg", of="amount"),
        Window("least", "min", of="amount"),
        Window("most", "max", of="amount"),
        Window("spread", "stddev", of="amount"),
        Window("first_kind", "first", of="kind", type="string"),
        Window("last_kind", "last", of="kind", type="string"),
        Window("last_two", "last_n(2)", of="amount"),
        Window("kinds", "count_distinct", of="kind"),
        Window("median", "approx_percentile(0.5)", of="amount"),
        Window("by_card", "sum", of="amount", where="kind = 'card' AND amount >= 10"),
    )

    assert found == {
        # Of ann's payments the one at 10:00 is exactly two hours old at noon, so it is no longer in (T - 2h, T].
        "spend_2h": [20.0, None, None],
        "spend": [38.0, 38.0, None],
        # A day later, at noon, the payment at noon is exactly a day old.
        "payments_1d": [4, 0, 0],
        "amounts_1d": [3, 0, 0],
        "mean": [38.0 / 3, 38.0 / 3, None],
        "least": [8.0, 8.0, None],
        "most": [20.0, 20.0, None],
        "spread": [pytest.approx(6.429100507328637, rel=1e-15)] * 2 + [None],
        "first_kind": ["card", "card", None],
        "last_kind": ["cash", "cash", None],
        # Of two events of one moment the one that was created later is the newer.
        "last_two": [[20.0, 8.0], [20.0, 8.0], None],
        "kinds": [2, 2, 0],
        "median": [10.0, 10.0, None],
        "by_card": [30.0, 30.0, None],
    }


@pytest.mark.parametrize(
    ("known_at", "expected"),
    [
        # p4 is ann's since the correction, whenever it came.
        (None, [38.0, 38.0, None]),
        # At 12:10 p2 was not known, and p4 was bob's.
        (at("2026-11-01 12:10"), [10.0, 10.0, 7.0]),
        # At noon the same; a day later everything was known.
        ("event", [10.0, 38.0, 7.0]),
    ],
)
def test_known_at_decides_which_versions_of_events_count(
    ask: Callable[..., dict[str, list[Any]]], known_at: Any, expected: list[float | None]
) -> None:
    assert ask(Window("spend", "sum", of="amount"), known_at=known_at)["spend"] == expected


@pytest.mark.parametrize("users", [["ann"], ["bob"], ["ann", "bob"], ["aaa", "zoe"], [None]])
def test_events_without_an_id_count_each_whichever_keys_are_asked_for(
    fs: FeatureStore, users: list[str | None]
) -> None:
    fs.apply([group(Window("spend", "sum", of="amount", window="1d"), events=events(event_id=None))])
    rows = spine(*((user, "2026-11-01 12:00") for user in users))

    found = fs.tenant("acme").get_point_in_time(rows, "spending:spend").column("spend").to_pylist()

    assert found == [{"ann": 38.0, "bob": 7.0}.get(user or "") for user in users]


def test_windowed_and_stored_features_are_joined_together(fs: FeatureStore) -> None:
    stored = FeatureGroup("profile", USER, features=[Feature("age", "int")])
    fs.apply([group(Window("spend", "sum", of="amount")), stored])
    store = fs.tenant("acme")
    store.write_batch("profile", [{"user_id": "ann", "age": 30, "event_timestamp": at("2026-10-01 00:00")}])
    rows = spine(("ann", "2026-11-01 10:30"), (None, "2026-11-01 10:30"), ("ann", "2026-11-01 09:00"))

    joined = store.get_point_in_time(rows, ["spending:spend", "profile:age"], with_timestamps=True)

    assert joined.select([*joined.column_names[2:]]).to_pylist() == [
        {
            "spend": 18.0,
            "spending__event_timestamp": at("2026-11-01 10:00"),
            "age": 30,
            "profile__event_timestamp": at("2026-10-01 00:00"),
        },
        {"spend": None, "spending__event_timestamp": None, "age": None, "profile__event_timestamp": None},
        {
            "spend": None,
            "spending__event_timestamp": None,
            "age": 30,
            "profile__event_timestamp": at("2026-10-01 00:00"),
        },
    ]


def test_an_explanation_says_what_is_read_of_the_events(fs: FeatureStore) -> None:
    fs.apply([group(Window("spend", "sum", of="amount"))])

    explained = fs.tenant("acme").explain_point_in_time(spine(("ann", "2026-11-01 12:00")), "spending:spend")

    [read] = explained.reads
    assert (explained.host, read.group, read.features, read.files, read.rows) == (
        "in_process",
        "spending",
        ("spend",),
        2,
        5,
    )


def test_one_entity_is_asked_at_a_moment(fs: FeatureStore) -> None:
    fs.apply([group(Window("spend", "sum", of="amount"), Window("payments", "count"))])

    found = fs.tenant("acme").get_features_at_time(
        ["spending:spend", "spending:payments"], {"user_id": "ann"}, at("2026-11-01 11:00")
    )

    assert {name: value and value.value for name, value in found.items()} == {
        "spending:spend": 38.0,
        "spending:payments": 3,
    }


def test_events_of_a_feature_group_are_its_corrected_values(fs: FeatureStore) -> None:
    visits = FeatureGroup("visits", USER, features=[Feature("pages", "int"), Feature("shop", "string")])
    counted = FeatureGroup(
        "browsing",
        USER,
        events=Events(Source(group="visits")),
        features=[Window("pages", "sum", of="pages", type="long"), Window("visits", "count")],
    )
    fs.apply([visits, counted])
    store = fs.tenant("acme")
    store.write_batch(
        "visits", [{"user_id": "ann", "pages": 3, "shop": "a", "event_timestamp": at("2026-11-01 10:00")}]
    )
    # A correction of one feature leaves the other as it was.
    store.write_batch("visits", [{"user_id": "ann", "shop": "b", "event_timestamp": at("2026-11-01 10:00")}])
    store.write_batch("visits", [{"user_id": "ann", "pages": 4, "event_timestamp": at("2026-11-02 10:00")}])

    joined = store.get_point_in_time(
        spine(("ann", "2026-11-01 10:00"), ("ann", "2026-11-03 00:00")), ["browsing:pages", "browsing:visits"]
    )

    assert joined.column("pages").to_pylist() == [3, 7]
    assert joined.column("visits").to_pylist() == [1, 2]


def test_values_on_a_schedule_are_those_that_the_events_give_at_its_moments(fs: FeatureStore) -> None:
    features = [
        Window("spend_3h", "sum", of="amount", window="3h"),
        Window("payments_90m", "count", window="90m"),
        Window("payments", "count"),
    ]
    fs.apply([group(*features), group(*features, name="hourly", every="1h")])
    store = fs.tenant("acme")

    first = store.materialize_feature("hourly", at("2026-11-01 09:00"), at("2026-11-01 16:00"))

    assert first.state == "succeeded"
    moments = [f"2026-11-01 {hour:02}:00" for hour in range(8, 17)]
    rows = spine(*((user, moment) for user in ("ann", "bob") for moment in moments))
    names = [feature.name for feature in features]
    computed = store.get_point_in_time(rows, [f"spending:{name}" for name in names])
    stored = store.get_point_in_time(rows, [f"hourly:{name}" for name in names])
    # Before ann's first event there is no row; then every moment has its own values, to the bit.
    present = [index for index, value in enumerate(computed.column("payments").to_pylist()) if value]
    assert stored.take(present) == computed.take(present)
    assert len(present) == 7


def test_a_schedule_runs_again_for_events_that_came_late(fs: FeatureStore, tmp_path: Path) -> None:
    fs.apply([group(Window("spend", "sum", of="amount"), name="hourly", every="1h")])
    store = fs.tenant("acme")
    window = (at("2026-11-01 09:00"), at("2026-11-01 16:00"))
    store.materialize_feature("hourly", *window)
    late = [("ann", "2026-11-01 13:00", "2026-11-05 00:00", "p9", 100.0, "card")]
    pq.write_table(payments(late), tmp_path / "landing" / "acme" / "payments" / "c.parquet")

    again = store.materialize_feature("hourly", *window, rerun=True)

    assert again.written == 1
    assert store.materialize_feature("hourly", *window, rerun=True).written == 0
    joined = store.get_point_in_time(spine(("ann", "2026-11-01 12:59"), ("ann", "2026-11-01 13:00")), "hourly:spend")
    assert joined.column("spend").to_pylist() == [38.0, 138.0]


def test_a_training_set_is_up_to_date_until_the_events_change(fs: FeatureStore, tmp_path: Path) -> None:
    fs.apply([group(Window("spend", "sum", of="amount"), Window("payments", "count"))])
    loader = FeatureDataLoader(fs.tenant("acme"))
    rows = spine(("ann", "2026-11-01 12:00"), ("bob", "2026-11-01 12:00"))
    rows = rows.append_column("left", pa.array([True, False]))

    def build() -> TrainingSet:
        return loader.load_training_data(rows, ["spending:spend", "spending:payments"], label="left", name="churn")

    built, again = build(), build()
    late = [("ann", "2026-11-01 11:30", "2026-11-05 00:00", "p9", 100.0, "card")]
    pq.write_table(payments(late), tmp_path / "landing" / "acme" / "payments" / "c.parquet")
    changed = build()

    [snapshot] = built.manifest.groups
    assert snapshot.pin is not None
    assert [file.path for file in snapshot.pin.files] == ["a.parquet", "b.parquet"]
    assert again.is_up_to_date
    assert [each.manifest.version for each in (built, again, changed)] == [1, 1, 2]
    assert changed.to_pandas().X["spend"].dropna().tolist() == [138.0]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (group(Window("a", "sum", of="amont")), r"no column 'amont', which features aggregate.*Did you mean 'amount'"),
        (group(Window("a", "sum", of="kind")), r"sum of 'kind' gives double, and the events' column is string"),
        (group(Window("a", "sum", of="amount", type="long")), r"sum of 'amount' gives long.*whole numbers of up to 64"),
        (group(Window("a", "last", of="kind", type="date")), r"last of 'kind' gives date.*possible: dates"),
        (
            group(Window("a", "count"), events=events(event_timestamp="paid")),
            r"no column 'paid', which is the event timestamp.*Did you mean 'paid_at'",
        ),
        (
            group(Window("a", "count"), events=events(event_timestamp="kind")),
            r"'kind'.*string",
        ),
        (
            group(Window("a", "count"), events=events(event_id="number")),
            r"no column 'number', which identifies an event",
        ),
        (group(Window("a", "count"), events=events(columns={})), r"no column 'user_id', which holds a join key"),
    ],
)
def test_what_the_source_cannot_give_is_refused_at_apply(
    fs: FeatureStore, declared: FeatureGroup, message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        fs.apply([declared])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("amont > 1", r"spending:a: where: .*'amont' is not among.*Did you mean 'amount'"),
        ("amount >", r"cannot be read"),
        ("amount > (SELECT 1)", r"subquery is not allowed"),
        ("random() > 0.5", r"random"),
        ("amount + 1", r"gives DOUBLE; give an expression that is true or false"),
    ],
)
def test_a_condition_is_one_boolean_expression_over_the_events_columns(
    fs: FeatureStore, condition: str, message: str
) -> None:
    with pytest.raises((DefinitionError, SchemaError), match=message):
        fs.apply([group(Window("a", "count", where=condition))])


def test_a_source_may_come_after_its_definition(fs: FeatureStore) -> None:
    fs.apply(
        [group(Window("a", "count"), events=events(source=Source(path="{landing}/{tenant_id}/none", format="parquet")))]
    )

    with pytest.raises(NotFoundError, match=r"events of spending.*no file of Parquet at"):
        fs.tenant("acme").get_point_in_time(spine(("ann", "2026-11-01 12:00")), "spending:a")


def test_a_source_that_changed_its_schema_is_refused_when_it_is_read(fs: FeatureStore, tmp_path: Path) -> None:
    fs.apply([group(Window("spend", "sum", of="amount"))])
    for name in ("a.parquet", "b.parquet"):
        file = tmp_path / "landing" / "acme" / "payments" / name
        rows = pq.read_table(file)
        pq.write_table(rows.set_column(4, "amount", rows.column("amount").cast(pa.string())), file)

    with pytest.raises(SchemaError, match=r"sum of 'amount' gives double, and the events' column is string"):
        fs.tenant("acme").get_point_in_time(spine(("ann", "2026-11-01 12:00")), "spending:spend")


def test_events_in_the_future_are_refused(fs: FeatureStore, tmp_path: Path) -> None:
    fs.apply([group(Window("a", "count"))])
    late = [("ann", "2027-01-01 00:00", "2026-11-05 00:00", "p9", 1.0, "card")]
    pq.write_table(payments(late), tmp_path / "landing" / "acme" / "payments" / "c.parquet")

    with pytest.raises(SchemaError, match=r"1 of 6 events lie in the future, up to 2027-01-01"):
        fs.tenant("acme").get_point_in_time(spine(("ann", "2026-11-01 12:00")), "spending:a")


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.write_batch("spending", [{"user_id": "ann", "a": 1, "event_timestamp": NOW}]),
        lambda store: store.get_batch_features("spending:a", at("2026-11-01 00:00"), NOW),
        lambda store: store.get_feature_history("spending:a", {"user_id": "ann"}, at("2026-11-01 00:00"), NOW),
        lambda store: store.materialize_feature("spending", at("2026-11-01 00:00"), NOW),
        lambda store: store.aggregate_feature("spending:a", "avg", start=at("2026-11-01 00:00"), end=NOW),
        lambda store: store.profile(groups=["spending"]),
    ],
)
def test_stored_values_of_a_group_without_any_are_refused(
    fs: FeatureStore, call: Callable[[OfflineStore], object]
) -> None:
    fs.apply([group(Window("a", "count"))])

    with pytest.raises(InvalidArgumentError, match=r"'spending' stores no values.*give the group every="):
        call(fs.tenant("acme"))


def test_what_goes_through_all_groups_leaves_out_those_without_stored_values(fs: FeatureStore) -> None:
    fs.apply([group(Window("a", "count"))])
    store = fs.tenant("acme")

    assert store.get_stats() == []
    assert store.cleanup() is not None
    assert store.optimize() is not None
    assert [each.name for each in fs.feature_groups()] == ["spending"]


def test_values_that_are_stored_cannot_become_computed_ones(fs: FeatureStore) -> None:
    fs.apply([group(Window("a", "count"), every="1h")])

    with pytest.raises(Exception, match=r"it stores values.*raise its version to 2"):
        fs.apply([group(Window("a", "count"))])


@pytest.mark.parametrize("window", [timedelta(microseconds=1), timedelta(days=36500)])
def test_windows_are_exact_to_the_microsecond(fs: FeatureStore, window: timedelta) -> None:
    fs.apply([group(Window("a", "count", window=window))])
    edge = at("2026-11-01 12:00")
    times = [edge - timedelta(microseconds=1), edge, edge + window - timedelta(microseconds=1), edge + window]
    rows = pa.table({"user_id": ["ann"] * 4, "event_timestamp": pa.array(times, pa.timestamp("us", "UTC"))})

    counts = fs.tenant("acme").get_point_in_time(rows, "spending:a").column("a").to_pylist()

    before = 0 if window < timedelta(hours=1) else 3
    assert counts == [before, before + 1, 1, 0]
