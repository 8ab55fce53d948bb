"""A store on S3 without Spark: written, read, cleaned up and vacuumed by delta-rs and Arrow, through faults, by many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, NoReturn

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileSelector, FileSystem

from featurestore import Entity, Feature, FeatureDataLoader, FeatureGroup, FeatureStore, Settings
from featurestore.cli.doctor import examine
from featurestore.cli.doctor_checks import Check
from featurestore.errors import ConfigurationError, NotFoundError, StorageError
from featurestore.stores.delta.delta_log import DeltaLog
from featurestore.stores.object_commits import why_not_erased
from tests.conftest import Clock
from tests.processes.s3_server import S3Server, s3_server
from tests.processes.waiting import wait_for

START, HOUR, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
STATS = FeatureGroup(
    "stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("score", "double", min=0), Feature("tags", "array<string>")],
    ttl=timedelta(days=3),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as started:
        yield started


@pytest.fixture(autouse=True)
def _found(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield
    server.fail("busy", "PUT", "", times=0)


@pytest.fixture
def bucket(server: S3Server, tmp_path: Path) -> str:
    name = f"bucket-{abs(hash(tmp_path))}"
    server.make_bucket(name)
    return name


def no_spark(*_: Any) -> NoReturn:
    raise AssertionError("Spark was started")


@pytest.fixture
def clock() -> Clock:
    return Clock(START + 30 * DAY)


@pytest.fixture
def fs(bucket: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    monkeypatch.setattr("featurestore.feature_store.open_session", no_spark)
    opened = FeatureStore.open(Settings(warehouse=f"s3a://{bucket}/a warehouse/100%"), clock=clock)
    opened.apply([STATS])
    return opened


def rows(count: int, score: float = 0.0) -> list[dict[str, Any]]:
    return [
        {"user_id": f"u{n % 3}", "event_timestamp": START + n * 7 * HOUR, "score": score + n, "tags": ["a"]}
        for n in range(count)
    ]


SPINE = pa.table(
    {
        "user_id": ["u0", "u1", "u2", "nobody"],
        "event_timestamp": pa.array([START + 2 * DAY] * 4, pa.timestamp("us", "UTC")),
        "label": [0, 1, 0, 1],
    }
)


FORMATS: dict[str, Callable[[pa.NativeFile], Any]] = {
    "parquet": lambda file: pq.read_table(file).to_pylist(),
    "arrow": lambda file: pa.ipc.open_file(file).read_all().to_pylist(),
    "csv": lambda file: file.read(),
    "jsonl": lambda file: file.read(),
}


def test_the_path_of_a_store_on_a_disk(
    fs: FeatureStore, bucket: str, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same operations on a disk give the same answers."""
    monkeypatch.setattr("featurestore.feature_store.open_session", no_spark)
    disk = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")), clock=clock)
    disk.apply([STATS])

    assert path_of(fs, clock, f"s3a://{bucket}/exports") == path_of(disk, clock, str(tmp_path / "exports"))


def path_of(fs: FeatureStore, clock: Clock, exports: str) -> list[Any]:
    clock.now = START + 30 * DAY
    store, found = fs.tenant("acme"), []
    for batch in ("1", "1", "2"):
        written = store.write_batch("stats", rows(10, float(batch)), batch_id=batch)
        found.append((written.written, written.duplicate))
        clock.now += HOUR
    found.append(store.write_batch("stats", [rows(1, -9.0)[0]], batch_id="bad").failed)
    found.append(store.rejected("stats", to="arrow").num_rows)
    found.append(store.get_point_in_time(SPINE, ["stats:score", "stats:tags"]).to_pylist())
    found.append(store.get_feature_at_time("stats:score", {"user_id": "u1"}, START + DAY))
    history = store.get_feature_history("stats:score", {"user_id": "u1"}, START, clock.now, to="arrow")
    found.append(history.column("score").to_pylist())
    made = FeatureDataLoader(store).load_training_data(SPINE, ["stats:score"], label="label", name="set")
    found.append((made.manifest.row_count, made.manifest.content_hash))
    found.append(made.to_pandas().X["score"].fillna(-1).tolist())
    for format, read in FORMATS.items():
        system, folder = FileSystem.from_uri(made.export(f"{exports}/{format}", format).replace("s3a:", "s3:"))
        names = sorted(each.base_name for each in system.get_file_info(FileSelector(folder)))
        with system.open_input_file(f"{folder}/{names[-1]}") as file:
            found.append((names, read(file)))
        assert made.export(f"{exports}/{format}", format).is_up_to_date
    found.append([(each.files_before, each.files_after) for each in store.optimize()])
    found.append([each.rows for each in store.get_stats()])
    clock.now += 500 * DAY
    found.append([each.deleted_rows for each in store.cleanup(retention_days=499)])
    found.append(store.runs(to="arrow").column("state").to_pylist())
    return found


def test_a_vacuum_removes_what_no_version_needs(fs: FeatureStore, server: S3Server, bucket: str) -> None:
    store = fs.tenant("acme")
    for score in (0.0, 100.0):
        store.write_batch("stats", rows(4, score), batch_id=str(score))
    store.optimize()
    before = {key for key in server.keys(bucket) if "stats_v1/values/tenant_id" in key}

    # A file must be older than a second.
    def are_old() -> bool:
        return fs.vacuum(older_than="1s", force=True, dry_run=True)[0].files == 2

    wait_for("files that are old enough", are_old, lambda: "")
    removed = fs.vacuum(older_than="1s", force=True)[0].files

    left = {key for key in server.keys(bucket) if "stats_v1/values/tenant_id" in key}
    assert (len(before), removed, len(left)) == (3, 2, 1)
    assert store.get_point_in_time(SPINE, ["stats:score"]).column("score").to_pylist() == [103.0, 101.0, 102.0, None]


def test_writers_at_once_lose_no_commit(fs: FeatureStore) -> None:
    store = fs.tenant("acme")

    def write(number: int) -> None:
        store.write_batch("stats", rows(1, float(number)), batch_id=str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))

    assert store.get_stats()[0].rows == 8


@pytest.mark.parametrize(
    ("kind", "method", "match"),
    [
        ("busy", "PUT", "part-"),
        ("busy", "PUT", "_delta_log"),
        ("lost", "PUT", "stats_v1/values/_delta_log"),
        ("busy", "GET", "_delta_log"),
        ("cut", "GET", "parquet"),
        ("slow", "GET", "parquet"),
    ],
)
def test_a_fault_that_passes_is_not_seen(
    fs: FeatureStore, server: S3Server, kind: str, method: str, match: str
) -> None:
    store = fs.tenant("acme")
    store.write_batch("stats", rows(3), batch_id="1")
    server.fail(kind, method, match, times=2)

    assert store.write_batch("stats", rows(3, 5.0), batch_id="2").written == 3
    found = store.get_point_in_time(SPINE, ["stats:score"]).column("score").to_pylist()

    assert found == [5.0, 6.0, 7.0, None]
    assert store.get_stats()[0].rows == 6


def test_a_fault_that_stays_is_said_and_nothing_is_written(fs: FeatureStore, server: S3Server) -> None:
    store = fs.tenant("acme")
    server.fail("busy", "PUT", "part-", times=10_000)
    with pytest.raises(StorageError, match=r"stats_v1/values.*the store refused or did not answer") as error:
        store.write_batch("stats", rows(3), batch_id="1")
    server.fail("busy", "PUT", "part-", times=0)

    assert server.environment["AWS_SECRET_ACCESS_KEY"] not in str(error.value)
    assert store.get_stats()[0].rows == 0
    assert store.write_batch("stats", rows(3), batch_id="1").written == 3


def test_a_store_that_replaces_objects_is_not_written(server: S3Server, bucket: str) -> None:
    server.fail("careless", "PUT", "", times=10_000)
    settings = Settings(warehouse=f"s3a://{bucket}/warehouse")
    fs = FeatureStore.open(settings)

    for write in (
        lambda: fs.apply([STATS]),
        # A session of Spark is asked the same before it writes.
        lambda: fs._context.layout.runs.writing().__enter__(),
    ):
        with pytest.raises(ConfigurationError, match=rf"s3a://{bucket}/warehouse: the store replaces .* nothing was w"):
            write()

    assert {key.partition("@")[0] for key in server.keys(bucket)} == {"warehouse/_store/put_once.txt"}
    server.fail("careless", "PUT", "", times=0)
    assert fs.apply([STATS]).has_changes


def test_doctor_says_whether_the_store_is_reached(
    server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(warehouse=f"s3a://{bucket}/warehouse")

    def checked() -> dict[str, Check]:
        """The checks that need no Spark."""
        return {check.name: check for check in takewhile(lambda check: check.name != "Java", examine(settings, {}))}

    found = checked()
    assert found["warehouse"].found == f"s3a://{bucket}/warehouse (an object store; reached, and it replaces no object)"
    assert f"written and read in s3a://{bucket}/warehouse/.doctor-" in found["table without Spark"].found
    assert found["own tables"].ok
    assert {key.partition("@")[0] for key in server.keys(bucket)} == {"warehouse/_store/put_once.txt"}

    server.fail("careless", "PUT", "other", times=10)
    settings = Settings(warehouse=f"s3a://{bucket}/other")
    found = checked()
    assert "replaces an object although the request forbids it" in found["warehouse"].found
    assert "table without Spark" not in found

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = checked()
    assert found["warehouse"].found.startswith(f"only Spark reads s3a://{bucket}/other (")
    assert "own tables" not in found


def test_what_a_call_asks_of_the_store(fs: FeatureStore, server: S3Server) -> None:
    """A table stays open, and its log is short."""
    store = fs.tenant("acme")
    for number in range(25):
        store.write_batch("stats", rows(1, float(number)))
    store.optimize()
    one = SPINE.slice(0, 1)
    calls: dict[str, tuple[int, Callable[[], Any]]] = {
        # One asks for newer commits, and two read each of the two files.
        "join": (5, lambda: store.get_point_in_time(one, ["stats:score"])),
        "lookup": (5, lambda: store.get_feature_at_time("stats:score", {"user_id": "u0"}, START + DAY)),
        # Most of these read the log of the written version, which has nine commits since its last checkpoint.
        "write": (75, lambda: store.write_batch("stats", rows(1, 50.0))),
    }
    calls["join"][1]()
    calls["write"][1]()

    asked = {}
    for name, (_, call) in calls.items():
        before = len(server.requests())
        call()
        asked[name] = len(server.requests()) - before

    assert {name: count for name, count in asked.items() if count > calls[name][0]} == {}


def test_what_others_wrote_meanwhile_is_read(bucket: str) -> None:
    """A table that is open: newer, older, and removed and made anew with as many commits."""
    uri = f"s3://{bucket}/a%20table"
    log = DeltaLog(uri)

    def write(score: float, mode: Literal["append", "error"]) -> None:
        deltalake.write_deltalake(uri, pa.table({"score": [score]}), mode=mode)

    def scores(version: int | None = None) -> list[float]:
        found = log.snapshot(version)
        parts = [log.read_data(file, found.schema) for file in found.files]
        return sorted(pa.concat_tables(parts).column("score").to_pylist())

    write(1.0, "error")
    assert scores() == scores() == [1.0]
    write(2.0, "append")
    assert (scores(), scores(0), scores(1), scores()) == ([1.0, 2.0], [1.0], [1.0, 2.0], [1.0, 2.0])

    system, folder = FileSystem.from_uri(uri)
    system.delete_dir_contents(folder)
    with pytest.raises(NotFoundError, match="does not exist"):
        scores()
    write(3.0, "error")
    write(4.0, "append")

    assert (scores(), scores(1), scores(0)) == ([3.0, 4.0], [3.0, 4.0], [3.0])


@pytest.mark.parametrize("is_opened_before", [True, False])
def test_a_checkpoint_takes_the_place_of_commits_that_go(bucket: str, is_opened_before: bool) -> None:
    """Another process makes it of the version that is open here, and removes what is older than it keeps."""
    uri = f"s3://{bucket}/table"
    log = DeltaLog(uri)
    for number in range(3):
        deltalake.write_deltalake(uri, pa.table({"score": [float(number)]}), mode="append")
    before = log.open() if is_opened_before else None
    deltalake.DeltaTable(uri).create_checkpoint()
    opened = log.open()
    assert opened is not before
    # The first time it is not known whether it was opened by the checkpoint.
    assert (log.open() is opened) is is_opened_before
    assert log.open() is log.open()
    system, folder = FileSystem.from_uri(uri)
    for version in range(2):
        system.delete_file(f"{folder}/_delta_log/{version:020}.json")

    assert log.open().transaction_version("nobody's") is None
    assert len(log.snapshot().files) == 3


def test_a_commit_leaves_a_table_that_others_have_open_at_its_version(fs: FeatureStore) -> None:
    store = fs.tenant("acme")
    store.write_batch("stats", rows(1))
    log = store._scope.table(STATS).values.log
    assert log is not None
    opened = log.open()
    assert log.open() is opened
    version = opened.version()

    store.write_batch("stats", rows(1, 5.0))

    assert opened.version() == version
    assert len(log.files_of(opened)) == 1
    assert log.open().version() == version + 1


def test_a_bucket_that_keeps_versions_is_known(server: S3Server, bucket: str) -> None:
    assert why_not_erased(f"s3a://{bucket}/warehouse") is None

    server.keep_versions(bucket)

    assert "keeps older versions of objects" in str(why_not_erased(f"s3a://{bucket}/a warehouse"))


def test_a_store_that_does_not_answer_is_refused_where_it_must(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    settings = Settings(warehouse=f"s3a://{bucket}/warehouse", small_tables="native")

    with pytest.raises(ConfigurationError, match="small_tables is 'native', and only Spark reads"):
        FeatureStore.open(settings).tenant("acme").get_stats()


def test_no_credential_is_in_an_object(fs: FeatureStore, server: S3Server, bucket: str) -> None:
    fs.tenant("acme").write_batch("stats", rows(3), batch_id="1")

    secret = server.environment["AWS_SECRET_ACCESS_KEY"].encode()
    assert not [key for key, content in server.keys(bucket).items() if secret in content]
