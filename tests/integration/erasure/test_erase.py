"""What is erased is gone to the last byte and does not come back; everything else stays as it was."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from featurestore import (
    Entity,
    ErasureCertificate,
    Events,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    InPlace,
    Lookup,
    OfflineStore,
    Settings,
    Source,
    TrainingSet,
    WindowAggregate,
)
from featurestore.errors import ConfigurationError, ErasureError, InvalidArgumentError, NotFoundError, RebuildError
from featurestore.frames.fingerprint import content_hash
from featurestore.frames.rows.suppression import REASON
from featurestore.stores.small_tables.suppression import SECRET, SuppressionSecret
from tests.byte_search import found_in, holds
from tests.conftest import Clock

USER = Entity("user", join_keys={"user_id": "string"})
ORDER = Entity("order", join_keys={"user_id": "string", "order_id": "long"})
STATS = FeatureGroup(
    "stats",
    USER,
    features=[Feature("score", "double", max=100), Feature("note", "string"), Feature("tags", "array<string>")],
)
ORDERS = FeatureGroup("orders", ORDER, features=[Feature("amount", "double")], partition_by="month")
OUTSIDE = FeatureGroup(
    "outside",
    USER,
    features=[Feature("plan", "string")],
    in_place=InPlace(Source(path="/lake/{tenant_id}/users"), event_timestamp="at"),
)
COUNTED = FeatureGroup(
    "counted",
    USER,
    features=[WindowAggregate("visits", "count", window="7d")],
    events=Events(Source(path="/lake/{tenant_id}/visits"), event_timestamp="at"),
)
SHOPS = FeatureGroup("shops", Entity("shop", join_keys={"shop_id": "long"}), features=[Feature("size", "double")])
START = datetime(2026, 1, 1, tzinfo=UTC)
PERSON, MARKER = {"user_id": "erika-mustermann"}, b"mustermann"
GONE = f"{socket.gethostname()}/{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/4194305/1"
SHOP_ROWS = [{"shop_id": 1, "event_timestamp": START, "size": 1.0}]


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def environment(secret: str = "a secret that nobody guesses") -> dict[str, str]:
    return {SECRET: secret}


def opened(spark: SparkSession, warehouse: Path, environ: dict[str, str]) -> FeatureStore:
    return FeatureStore.open(Settings(warehouse=str(warehouse)), spark=spark, clock=Clock(hours(1000)), environ=environ)


def stats_row(user: str, hour: float, **values: Any) -> dict[str, Any]:
    return {
        "user_id": user,
        "event_timestamp": hours(hour),
        "score": hour,
        "note": f"of {user}",
        "tags": [user],
    } | values


def spine(*users: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "who": users,
            "event_timestamp": [hours(30)] * len(users),
            "late": [index % 2 == 0 for index in range(len(users))],
        }
    )


def lookups() -> list[Lookup]:
    return [Lookup("stats", ["score", "note"], on={"user_id": "who"})]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("erase")


@pytest.fixture(scope="module")
def feature_store(spark: SparkSession, root: Path) -> FeatureStore:
    fs = opened(spark, root / "warehouse", environment())
    fs.apply([STATS, ORDERS, OUTSIDE, COUNTED, SHOPS])
    # So that checkpoints hold what is to be erased.
    for group in (STATS, ORDERS):
        fs.tenant("acme")._scope.context.table(group).values.set_properties({"delta.checkpointInterval": "2"})
    return fs


FIRST_ROWS = [stats_row(user, hour) for user in (PERSON["user_id"], "ann", "bob") for hour in (1, 25)]
ORDER_ROWS = [
    {"user_id": user, "order_id": 7, "event_timestamp": hours(3), "amount": 1.0} for user in (PERSON["user_id"], "ann")
]


@dataclass(frozen=True)
class ErasedPerson:
    """Acme's store after a person was erased, with the training sets as they were saved before."""

    store: OfflineStore
    other: OfflineStore
    certificate: ErasureCertificate
    files_with_person: list[str]
    set_without_person: TrainingSet
    set_of_other: TrainingSet

    @property
    def loader(self) -> FeatureDataLoader:
        return FeatureDataLoader(self.store)


@pytest.fixture(scope="module")
def erased(feature_store: FeatureStore, root: Path) -> ErasedPerson:
    store, other = feature_store.tenant("acme"), feature_store.tenant("other")
    write_history(feature_store, store, other)
    loader = FeatureDataLoader(store)
    set_without_person = loader.load_training_data(spine("ann", "bob"), lookups(), label="late", name="grown")
    set_with_person = loader.extend("grown", spine("ann", PERSON["user_id"]))
    set_of_other = FeatureDataLoader(other).load_training_data(spine("bob"), lookups(), label="late", name="theirs")
    set_with_person.export(str(root / "with_parquet"))
    set_without_person.export(str(root / "without_csv"), "csv")
    loader.export(store.get_batch_features(["stats:note"], hours(0), hours(9)), str(root / "rows"), "jsonl")
    leave_what_crashes_leave(store, root, set_with_person)
    assert len({Path(name).parts[1] for name in found_in(root, MARKER)}) > 2

    certificate = store.erase("user", PERSON)

    return ErasedPerson(store, other, certificate, found_in(root, MARKER), set_without_person, set_of_other)


def write_history(feature_store: FeatureStore, store: OfflineStore, other: OfflineStore) -> None:
    """Batches with corrections and rejected rows, and two versions of the group of orders."""
    me = PERSON["user_id"]
    store.write_batch("stats", FIRST_ROWS, batch_id="first")
    other.write_batch("stats", [stats_row("bob", 1)])
    store.write_batch("stats", [stats_row(me, 25, note="corrected mustermann"), stats_row(me, 2, score=200.0)])
    store.write_batch("stats", [stats_row("ann", 49)])
    feature_store.apply([ORDERS.model_copy(update={"version": 2})])
    store.write_batch("orders", ORDER_ROWS)


def leave_what_crashes_leave(store: OfflineStore, root: Path, saved: TrainingSet) -> None:
    """A file that no commit names, another that was cut off, and rows of a training set that was never published."""
    folder = root / "warehouse/groups/stats_v1/values/tenant_id=acme/event_date=2026-01-01"
    file = next(file for file in folder.glob("*.parquet") if holds(file, MARKER))
    shutil.copy(file, folder / f"part-00009-{'0' * 8}.c000.snappy.parquet")
    (folder / f"part-00008-{'1' * 8}.c000.snappy.parquet").write_bytes(file.read_bytes()[:900] + MARKER)
    crashed = store._scope.context.training_sets.rows_table("acme", "crashed", 1)
    crashed.append(saved.rows, metadata=GONE)


@pytest.mark.slow
def test_no_file_holds_a_byte_of_an_erased_person(erased: ErasedPerson) -> None:
    assert erased.files_with_person == []


@pytest.mark.slow
def test_the_certificate_counts_the_erased_rows_of_each_table(erased: ErasedPerson) -> None:
    rows = {(table.kind, table.name, table.version): table.rows for table in erased.certificate.tables}

    assert rows == {
        ("values", "orders", 1): 0, ("values", "orders", 2): 1, ("values", "stats", 1): 3, ("rejected", "stats", 1): 1,
        ("training_set", "grown", 1): 0, ("training_set", "grown", 2): 1,
        ("unpublished_training_set", "crashed", 1): 4,
    }  # fmt: skip


@pytest.mark.slow
def test_the_certificate_names_tables_of_others_as_out_of_reach(erased: ErasedPerson) -> None:
    outside = [place for place in erased.certificate.out_of_reach if "not this store's" in place]

    owner = "a table that is not this store's. Whoever writes it has to delete the rows there, and the old versions and"
    assert outside == [
        f"feature group 'outside' v1, which is in place: its values are in /lake/{{tenant_id}}/users, {owner} files that "
        "hold them",
        f"feature group 'counted' v1, which has events: they are in /lake/{{tenant_id}}/visits, {owner} files that hold "
        "them",
    ]


@pytest.mark.slow
def test_the_certificate_reports_the_fate_of_a_table_s_files(erased: ErasedPerson) -> None:
    [values] = [table for table in erased.certificate.tables if (table.kind, table.name) == ("values", "stats")]

    assert values.table_version_after > values.table_version_before
    assert values.files_removed >= 4
    assert values.bytes_removed > 0
    assert values.log_files > 0
    assert erased.certificate.left == ()


@pytest.mark.slow
def test_the_certificate_is_remembered_and_survives_json(erased: ErasedPerson) -> None:
    assert erased.store.erasures() == [erased.certificate]
    assert ErasureCertificate.of(json.loads(erased.certificate.to_json())) == erased.certificate


@pytest.mark.slow
def test_exports_with_an_erased_person_are_deleted_and_others_stay(erased: ErasedPerson, root: Path) -> None:
    assert erased.certificate.exports == (str(root / "rows"), str(root / "with_parquet"))
    assert not (root / "with_parquet").exists()
    assert (root / "without_csv").exists()


@pytest.mark.slow
def test_other_entities_keep_their_values(erased: ErasedPerson) -> None:
    left = erased.store.get_batch_features(["stats:score", "stats:tags"], hours(0), hours(99)).rows

    assert sorted((row["user_id"], row["score"]) for row in left.collect()) == [
        ("ann", 1.0), ("ann", 25.0), ("ann", 49.0), ("bob", 1.0), ("bob", 25.0),
    ]  # fmt: skip


@pytest.mark.slow
def test_another_tenant_rebuilds_its_set_from_old_versions(erased: ErasedPerson) -> None:
    rebuilt = FeatureDataLoader(erased.other).rebuild("theirs")

    assert rebuilt.manifest.content_hash == erased.set_of_other.manifest.content_hash


@pytest.mark.slow
def test_a_set_without_the_person_is_unchanged_and_cannot_be_rebuilt(erased: ErasedPerson) -> None:
    assert erased.loader.get("grown", 1).manifest == erased.set_without_person.manifest
    with pytest.raises(
        RebuildError, match=r"'grown' v1 cannot be built again: \d of \d files of version \d of .*stats_v1"
    ):
        erased.loader.rebuild("grown", 1)


@pytest.mark.slow
def test_a_set_with_the_person_loses_those_rows_and_cannot_be_rebuilt(erased: ErasedPerson) -> None:
    saved = erased.loader.get("grown", 2)

    assert (saved.manifest.row_count, [part.row_count for part in saved.manifest.parts]) == (3, [2, 1])
    assert sorted(saved.to_pandas().entity_ids["who"]) == ["ann", "ann", "bob"]
    assert [note.rows for note in saved.manifest.erasures] == [1]
    assert saved.manifest.content_hash == content_hash(saved.rows)
    with pytest.raises(RebuildError, match=r"'grown' v2 cannot be built again: 1 of its rows were erased"):
        erased.loader.rebuild("grown", 2)


@pytest.mark.slow
def test_an_erased_person_does_not_come_back(erased: ErasedPerson, root: Path) -> None:
    store = erased.store

    # The log still knows batches from before the erasure.
    again = store.write_batch("stats", FIRST_ROWS, batch_id="first")
    assert (again.duplicate, again.written, again.failed) == (True, 6, 0)
    with_person = [*FIRST_ROWS, stats_row(PERSON["user_id"], 3, score=999.0)]
    fresh = store.write_batch("stats", with_person, batch_id="fresh")
    assert (fresh.written, fresh.failed, fresh.errors, fresh.samples) == (4, 3, {REASON: 3}, {})
    by_order = store.write_batch("orders", ORDER_ROWS, on_invalid="fail")
    assert (by_order.written, by_order.failed) == (1, 1)
    grown = erased.loader.extend("grown", spine(PERSON["user_id"], "bob"), version=2)
    assert (grown.manifest.row_count, grown.manifest.rows_suppressed) == (4, 1)

    assert found_in(root, MARKER) == []


@pytest.mark.slow
def test_an_erasure_that_stops_at_any_step_is_finished_by_the_next(spark: SparkSession, tmp_path: Path) -> None:
    fs = opened(spark, tmp_path / "warehouse", environment())
    fs.apply([FeatureGroup("stats", USER, features=[Feature("score", "double", max=100), Feature("note", "string")])])
    store = fs.tenant("acme")
    loader = FeatureDataLoader(store)
    rows = [("anna-stoppt", 1, 1.0), ("ann", 1, 1.0), ("anna-stoppt", 2, 200.0)]
    store.write_batch(
        "stats", [{"user_id": user, "event_timestamp": hours(hour), "score": x} for user, hour, x in rows]
    )
    built = loader.load_training_data(spine("anna-stoppt", "ann"), lookups(), label="late", name="set")
    built.export(str(tmp_path / "out"))
    steps = ["suppressed", "exports", "rows", "files", "log", "manifest"]
    for step in steps:

        def stop(done: str, at: str = f"erase.{step}") -> None:
            if done == at:
                raise OSError("the power is cut, with anna-stoppt in the message")

        store._scope.context.step = stop
        with pytest.raises(ErasureError, match=r"1 of 'user' stopped before its end \(OSError\); erase again"):
            store.erase("user", {"user_id": "anna-stoppt"})
    store._scope.context.step = lambda done: None

    certificate = store.erase("user", {"user_id": "anna-stoppt"})

    assert found_in(tmp_path, b"anna-stoppt") == []
    assert {table.kind: table.rows for table in certificate.tables} == {"values": 1, "rejected": 1, "training_set": 1}
    # Of the values, the file with the row and the change file of its deletion; of each table, also the empty files that
    # a deletion leaves behind.
    files = {table.kind: table.files_removed for table in certificate.tables}
    assert all(files[kind] >= least for kind, least in {"values": 2, "rejected": 1, "training_set": 1}.items())
    assert certificate.exports == (str(tmp_path / "out"),)
    states = [row["state"] for row in store.runs().where("job = 'erase'").collect()]
    assert sorted(states) == ["failed"] * len(steps) + ["succeeded"]
    repeated = store.erase("user", {"user_id": "anna-stoppt"})
    assert (repeated.rows, repeated.key_hashes) == (0, certificate.key_hashes)


@pytest.fixture(scope="module")
def small_store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """One group of users, because an erasure looks into each; and one of others."""
    fs = opened(spark, tmp_path_factory.mktemp("small") / "warehouse", environment())
    fs.apply([STATS, SHOPS])
    return fs


def test_rows_written_while_their_entity_is_erased_are_removed_again(
    small_store: FeatureStore, spark: SparkSession
) -> None:
    warehouse = Path(small_store.settings.warehouse)
    eraser = small_store.tenant("raced")
    writer = opened(spark, warehouse, environment()).tenant("raced")
    eraser.write_batch("stats", [stats_row("ann", 1)])

    def erase_now(done: str) -> None:
        # After the writer looked for erased entities, and before its rows are there.
        if done == "write.rejected":
            assert eraser.erase("user", {"user_id": "zoe-wettlauf"}).rows == 1

    writer._scope.context.step = erase_now
    result = writer.write_batch("stats", [stats_row("zoe-wettlauf", 1), stats_row("zoe-wettlauf", 2, score=101.0)])

    assert (result.written, result.failed) == (1, 1)
    assert found_in(warehouse, b"zoe-wettlauf") == []
    assert eraser.get_batch_features(["stats:score"], hours(0), hours(9), to="arrow").rows.num_rows == 1


def test_without_the_secret_nothing_is_erased_and_no_erased_entity_is_written(
    small_store: FeatureStore, spark: SparkSession
) -> None:
    warehouse = Path(small_store.settings.warehouse)
    store = small_store.tenant("careful")
    store.write_batch("stats", [stats_row("ann", 1), stats_row("bob", 1)])
    bare = opened(spark, warehouse, {}).tenant("careful")
    with pytest.raises(ConfigurationError, match=f"{SECRET} is not set, and an erasure is remembered"):
        bare.erase("user", {"user_id": "bob"})
    with pytest.raises(ConfigurationError, match="has 5 characters"):
        opened(spark, warehouse, environment("short")).tenant("careful").erase("user", {"user_id": "bob"})
    assert bare.write_batch("stats", [stats_row("ann", 2)]).written == 1
    for keys, error, match in (
        ({"user_id": None}, InvalidArgumentError, "are missing"),
        ([], InvalidArgumentError, "no keys of 'user' are given"),
        ("bob", InvalidArgumentError, "give a mapping of the join keys"),
    ):
        with pytest.raises(error, match=match):
            store.erase("user", keys)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="Did you mean 'user'"):
        store.erase("usr", {"user_id": "bob"})
    assert store.erasures() == []

    store.erase("user", [{"user_id": "bob"}, {"user_id": "never-there"}])

    for environ in ({}, environment("another secret, as long")):
        with pytest.raises(ConfigurationError, match=SECRET):
            opened(spark, warehouse, environ).tenant("careful").write_batch("stats", [stats_row("cid", 1)])
    assert store.write_batch("stats", [stats_row("cid", 1)]).written == 1
    assert opened(spark, warehouse, {}).tenant("careful").write_batch("shops", SHOP_ROWS).written == 1


def test_hashes_are_hmacs_of_the_entity_and_no_plan_shows_the_secret(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    for secret in (b"a secret that nobody guesses", b"longer than a block of the hash: " * 4):
        keys = spark.createDataFrame([('Zoë "Z"', 5)], "user_id string, order_id long")
        message = '{"tenant":"acme","entity":"order","key":{"user_id":"Zoë \\"Z\\"","order_id":5}}'
        hashed = SuppressionSecret(secret)
        assert hashed.hashes(keys, "acme", "order") == [hmac.new(secret, message.encode(), "sha256").hexdigest()]

        named = {name: keys[name] for name in keys.columns}
        hashed.with_hash(keys, "acme", "order", named).explain("extended")
        plan = capsys.readouterr().out.lower()
        key = secret if len(secret) <= 64 else hashlib.sha256(secret).digest()
        for pad in (0x00, 0x36, 0x5C):
            fragment = bytes(byte ^ pad for byte in key)[:6]
            assert fragment.hex() not in plan
            assert repr(fragment)[2:-1].lower() not in plan
