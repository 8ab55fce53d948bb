"""A user's own table, Delta or Parquet, as one tenant reads it, without Spark."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.columnar.as_of.join import as_of_join
from featurestore.columnar.as_of.rules import AsOfRules
from featurestore.columnar.as_of.spine_keys import SpineRows
from featurestore.config import Settings
from featurestore.definitions.source import Source
from featurestore.errors import FeatureStoreError, NotFoundError, SchemaError, StorageError
from featurestore.stores.files.named import NamedFiles
from featurestore.stores.outside.pins import FilePin, SourcePin
from featurestore.stores.outside.rows import WantedColumn
from featurestore.stores.outside.table import OutsideTable
from featurestore.stores.training_sets.manifests import GroupSnapshot

INSTANT = pa.timestamp("us", "UTC")


def at(day: int, hour: int = 0, micro: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, microsecond=micro, tzinfo=UTC)


def no_spark() -> NamedFiles:
    raise AssertionError("Spark was started")


def outside(folder: Path, *, tenant: str = "acme", zone: str | None = None, pinned: SourcePin | None = None,
            only_spark: str | None = None, **source: Any) -> OutsideTable:  # fmt: skip
    source = {"path": str(folder), "format": "parquet", "shared": True} | source
    if source.get("tenant_column") or "{tenant_id}" in source["path"]:
        source.pop("shared")
    settings = Settings(warehouse=str(folder.parent / "warehouse"), timestamp_zone=zone)
    return OutsideTable.of(
        settings, "spending", Source(**source), tenant, named=no_spark, only_spark=only_spark, pinned=pinned
    )


def same(*names: str) -> dict[str, WantedColumn]:
    return {name: WantedColumn(name) for name in names}


def write(path: Path, rows: Mapping[str, Any] | pa.Table, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows if isinstance(rows, pa.Table) else pa.table(dict(rows)), path, **options)
    return path


def by_parquet(folder: Path, parts: list[pa.Table]) -> str:
    for number, part in enumerate(parts):
        write(folder / f"part-{number}.parquet", part)
    return "parquet"


def by_delta(folder: Path, parts: list[pa.Table]) -> str:
    for part in parts:
        deltalake.write_deltalake(str(folder), part, mode="append")
    return "delta"


BOTH = pytest.mark.parametrize("write_parts", [by_parquet, by_delta])
WriteParts = Callable[[Path, list[pa.Table]], str]


@BOTH
def test_rows_come_renamed_and_cast_from_all_files(write_parts: WriteParts, tmp_path: Path) -> None:
    first = pa.table({"uid": ["b", "a"], "n": pa.array([1, None], pa.int32()), "at": pa.array([at(2), at(1)], INSTANT)})
    second = pa.table({"uid": ["c"], "n": pa.array([3], pa.int32()), "at": pa.array([at(3)], INSTANT)})
    kind = write_parts(tmp_path / "t", [first, second])
    table = outside(tmp_path / "t", format=kind)
    columns = {"user_id": WantedColumn("uid"), "n": WantedColumn("n", pa.int64()), "event": WantedColumn("at")}

    rows = table.read(columns)

    assert rows.schema == pa.schema([("user_id", pa.string()), ("n", pa.int64()), ("event", INSTANT)])
    assert sorted(rows.to_pylist(), key=lambda row: row["user_id"]) == [
        {"user_id": "a", "n": None, "event": at(1)},
        {"user_id": "b", "n": 1, "event": at(2)},
        {"user_id": "c", "n": 3, "event": at(3)},
    ]
    assert table.schema.field("n").type == pa.int32()
    assert table.obstacle is None


@BOTH
def test_only_rows_of_the_tenant_and_with_required_values_are_read(write_parts: WriteParts, tmp_path: Path) -> None:
    rows = pa.table(
        {
            "who": ["acme", "other", "acme", None, "acme"],
            "uid": ["a", "b", None, "d", "e"],
            "at": pa.array([at(1), at(1), at(1), at(1), None], INSTANT),
            "n": [1, 2, 3, 4, 5],
        }
    )
    others = pa.table({"who": ["zeta"], "uid": ["z"], "at": pa.array([at(1)], INSTANT), "n": [9]})
    kind = write_parts(tmp_path / "t", [rows, others])
    table = outside(tmp_path / "t", format=kind, tenant_column="who")

    assert table.read(same("n"), required=["n"])["n"].to_pylist() == [1, 3, 5]
    assert table.read(same("uid", "at", "n"), required=["uid", "at"])["n"].to_pylist() == [1]
    if kind == "parquet":
        write(tmp_path / "t" / "of-nobody.parquet", rows.drop_columns("who"))
        assert outside(tmp_path / "t", tenant_column="who").read(same("n"))["n"].to_pylist() == [1, 3, 5]
    # The file of another tenant is not even opened.
    assert len(table.files(same("n")).files) == 1


def test_a_tenant_is_a_folder_or_a_partition_or_a_number(tmp_path: Path) -> None:
    write(tmp_path / "acme" / "x.parquet", {"n": [1]})
    write(tmp_path / "zeta" / "x.parquet", {"n": [2]})
    by_folder = outside(tmp_path, path=str(tmp_path / "{tenant_id}"))
    assert by_folder.read(same("n"))["n"].to_pylist() == [1]

    rows = pa.table({"who": ["acme", "zeta", "acme"], "n": [1, 2, 3]})
    deltalake.write_deltalake(str(tmp_path / "d"), rows, partition_by=["who"])
    partitioned = outside(tmp_path / "d", format="delta", tenant_column="who")
    assert sorted(partitioned.read(same("n", "who"))["n"].to_pylist()) == [1, 3]

    write(tmp_path / "p" / "who=acme" / "x.parquet", {"n": [1]})
    write(tmp_path / "p" / "who=zeta" / "x.parquet", {"n": [2]})
    assert outside(tmp_path / "p", tenant_column="who").read(same("n"))["n"].to_pylist() == [1]

    write(tmp_path / "q" / "x.parquet", {"who": [7, 70, 7], "n": [1, 2, 3]})
    assert outside(tmp_path / "q", tenant="7", tenant_column="who").read(same("n"))["n"].to_pylist() == [1, 3]


def test_names_of_folders_are_read_as_the_type_that_is_wanted(tmp_path: Path) -> None:
    write(tmp_path / "t" / "day=2026-11-02" / "uid=007" / "a.parquet", {"n": [1, 2]})
    write(tmp_path / "t" / "day=__HIVE_DEFAULT_PARTITION__" / "uid=a%2Fb" / "b.parquet", {"n": [3]})
    table = outside(tmp_path / "t", zone="America/New_York")
    columns = {"uid": WantedColumn("uid", pa.string()), "day": WantedColumn("day", pa.date32()), **same("n")}

    assert table.read(columns).to_pylist() == [
        {"uid": "007", "day": date(2026, 11, 2), "n": 1},
        {"uid": "007", "day": date(2026, 11, 2), "n": 2},
        {"uid": "a/b", "day": None, "n": 3},
    ]
    event = {"event": WantedColumn("day", INSTANT)}
    assert table.read(event, required=["event"])["event"].to_pylist() == [at(2, 5), at(2, 5)]
    with pytest.raises(SchemaError, match=r"the folder uid=a/b holds no int64"):
        table.read({"uid": WantedColumn("uid", pa.int64())})


@pytest.mark.parametrize(
    ("values", "kind", "wanted", "read"),
    [
        ([1], pa.uint8(), pa.int64(), [1]),
        ([2**31], pa.uint32(), pa.int64(), [2**31]),
        ([5], pa.int16(), pa.float64(), [5.0]),
        ([0.5], pa.float32(), pa.float64(), [0.5]),
        ([Decimal("0.10")], pa.decimal128(15, 2), pa.float64(), [0.1]),
        ([Decimal(12)], pa.decimal128(9, 0), pa.int32(), [12]),
        (["x"], pa.large_string(), pa.string(), ["x"]),
        (["x", None], pa.dictionary(pa.int8(), pa.string()), pa.string(), ["x", None]),
        ([[0.1]], pa.list_(pa.float64()), pa.list_(pa.field("element", pa.float32())), [[0.10000000149011612]]),
        ([[1, 2]], pa.list_(pa.int32(), 2), pa.list_(pa.field("element", pa.float64())), [[1.0, 2.0]]),
        ([date(2026, 11, 1)], pa.date64(), pa.date32(), [date(2026, 11, 1)]),
        ([at(1)], pa.timestamp("s", "Europe/Berlin"), INSTANT, [at(1)]),
        ([at(1)], pa.timestamp("ms", "UTC"), INSTANT, [at(1)]),
        ([1_000_000_001], pa.timestamp("ns", "UTC"), INSTANT, [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]),
        ([None], pa.null(), pa.list_(pa.field("element", pa.float32())), [None]),
    ],
)
def test_casts_that_lose_nothing(values: list[Any], kind: pa.DataType, wanted: pa.DataType, read: list[Any],
                                 tmp_path: Path) -> None:  # fmt: skip
    write(tmp_path / "t.parquet", {"v": pa.array(values, kind)})

    rows = outside(tmp_path / "t.parquet").read({"v": WantedColumn("v", wanted)})

    assert rows.schema.types == [wanted]
    assert rows["v"].to_pylist() == read


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (pa.int64(), pa.int32()),
        (pa.uint64(), pa.int64()),
        (pa.int64(), pa.float64()),
        (pa.float64(), pa.float32()),
        (pa.float64(), pa.int64()),
        (pa.decimal128(16, 2), pa.float64()),
        (pa.decimal128(19, 0), pa.int64()),
        (pa.int64(), pa.string()),
        (pa.string(), pa.int64()),
        (pa.string(), INSTANT),
        (pa.bool_(), pa.int64()),
        (INSTANT, pa.date32()),
        (pa.list_(pa.int64()), pa.list_(pa.float64())),
        (pa.binary(), pa.string()),
    ],
)
def test_casts_that_may_lose_a_value_are_refused(kind: pa.DataType, wanted: pa.DataType, tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", {"v": pa.array([], kind)})

    with pytest.raises(SchemaError, match=r"column 'v' \(for 'score'\): .* without loss; cast it in the table"):
        outside(tmp_path / "t.parquet").read({"score": WantedColumn("v", wanted)})


def test_times_without_a_zone_need_the_setting(tmp_path: Path) -> None:
    naive = at(1, 1).replace(minute=30, tzinfo=None)
    write(tmp_path / "t.parquet", {"at": pa.array([naive, None], pa.timestamp("us")), "day": [date(2026, 11, 1)] * 2})
    columns = {"at": WantedColumn("at", INSTANT), "day": WantedColumn("day", INSTANT)}

    assert outside(tmp_path / "t.parquet", zone="America/New_York").read(columns).to_pylist() == [
        {"at": at(1, 5).replace(minute=30), "day": at(1, 4)},
        {"at": None, "day": at(1, 4)},
    ]
    with pytest.raises(SchemaError, match=r"column 'at': .* has no time zone; name the zone .*column 'day'"):
        outside(tmp_path / "t.parquet").read(columns)
    # As they are, they need none.
    assert outside(tmp_path / "t.parquet").read(same("at"))["at"].to_pylist() == [naive, None]


def test_nanoseconds_are_rounded_to_where_nothing_is_visible_too_early(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", {"at": pa.array([1_001, 1_000, -1_001], pa.timestamp("ns", "UTC"))})
    columns = {"down": WantedColumn("at", INSTANT), "up": WantedColumn("at", INSTANT, rounded_up=True)}

    rows = outside(tmp_path / "t.parquet").read(columns)

    assert rows["down"].cast(pa.int64()).to_pylist() == [1, 1, -2]
    assert rows["up"].cast(pa.int64()).to_pylist() == [2, 1, -1]


def test_int96_is_an_instant(tmp_path: Path) -> None:
    rows = pa.table({"at": pa.array([at(1, 3), None], pa.timestamp("us"))})
    write(tmp_path / "t.parquet", rows, use_deprecated_int96_timestamps=True)

    table = outside(tmp_path / "t.parquet", zone="America/New_York")

    assert table.schema.field("at").type == INSTANT
    assert table.read({"at": WantedColumn("at", INSTANT)})["at"].to_pylist() == [at(1, 3), None]


def test_files_of_one_folder_may_differ_as_long_as_one_type_holds_all(tmp_path: Path) -> None:
    write(tmp_path / "t" / "a.parquet", {"n": pa.array([1], pa.int32()), "old": ["x"]})
    write(tmp_path / "t" / "sub" / "b.parquet", {"n": pa.array([2**40]), "new": [True]})
    write(tmp_path / "t" / "_SUCCESS", {"n": ["hidden"]})
    table = outside(tmp_path / "t")

    assert table.read(same("n", "old", "new")).to_pylist() == [
        {"n": 1, "old": "x", "new": None},
        {"n": 2**40, "old": None, "new": True},
    ]
    write(tmp_path / "t" / "c.parquet", {"n": ["three"]})
    with pytest.raises(SchemaError, match=r"column 'n' of .* is int32 in a.parquet and string in c.parquet"):
        _ = outside(tmp_path / "t").schema


def test_what_is_not_there_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "t" / "x.parquet", {"uid": ["a"], "n": [1]})
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.csv").write_text("n\n1\n")

    def message(kind: type[FeatureStoreError], call: Callable[[], Any]) -> str:
        with pytest.raises(kind) as caught:
            call()
        return str(caught.value)

    for place in ("none", "empty"):
        assert "there is no file of Parquet at" in message(NotFoundError, lambda: outside(tmp_path / place).schema)  # noqa: B023
        delta = outside(tmp_path / place, format="delta")
        assert "there is no Delta table at" in message(NotFoundError, lambda: delta.schema)  # noqa: B023
    assert not (tmp_path / "none").exists()
    table = outside(tmp_path / "t", tenant_column="who")
    assert message(SchemaError, lambda: table.read(same("user_id", "n"))) == (
        f"source 'spending': {tmp_path / 't'}: there is no column 'user_id'. Did you mean 'uid'?; tenant_column: there "
        "is no column 'who'. Known: n, uid."
    )
    assert "a.csv of" in message(SchemaError, lambda: outside(tmp_path / "text").schema)


def test_what_only_spark_reads_is_said(tmp_path: Path) -> None:
    deltalake.write_deltalake(str(tmp_path / "d"), pa.table({"n": [1]}))
    vectors = {"delta.enableDeletionVectors": "true"}
    deltalake.DeltaTable(str(tmp_path / "d")).alter.set_table_properties(vectors)

    assert "deletion vectors" in str(outside(tmp_path / "d", format="delta").obstacle)
    assert outside(tmp_path / "d", format="csv").obstacle == "only Spark reads csv"
    assert "options" in str(outside(tmp_path / "d", options={"mergeSchema": "true"}).obstacle)
    assert outside(tmp_path / "d", only_spark="Spark Connect").obstacle == "Spark Connect"


def test_a_delta_table_is_read_in_its_pinned_version(tmp_path: Path) -> None:
    place = tmp_path / "d"
    deltalake.write_deltalake(str(place), pa.table({"n": [1]}))
    pin = outside(place, format="delta").pin
    deltalake.write_deltalake(str(place), pa.table({"n": [2]}), mode="append")
    now = outside(place, format="delta")

    assert (pin.kind, pin.version) == ("delta", 0)
    assert outside(place, format="delta", pinned=pin).read(same("n"))["n"].to_pylist() == [1]
    assert sorted(now.read(same("n"))["n"].to_pylist()) == [1, 2]
    assert pin.changes_to(now.pin) == "it was version 0, and is version 1"
    assert SourcePin.model_validate_json(pin.model_dump_json()) == pin
    another = pin.model_copy(update={"table_id": "another"})
    with pytest.raises(StorageError, match="is another table"):
        outside(place, format="delta", pinned=another).read(same("n"))
    with pytest.raises(StorageError, match="version 7 cannot be read"):
        outside(place, format="delta", pinned=pin.model_copy(update={"version": 7})).read(same("n"))


def test_exactly_the_pinned_files_are_read_or_none(tmp_path: Path) -> None:
    place = tmp_path / "t"
    kept = write(place / "a.parquet", {"n": [1]})
    write(place / "b.parquet", {"n": [2]})
    pin = outside(place).pin
    assert [file.path for file in pin.files] == ["a.parquet", "b.parquet"]
    write(place / "c.parquet", {"n": ["of another type"]})

    assert outside(place, pinned=pin).read(same("n"))["n"].to_pylist() == [1, 2]

    os.utime(kept, ns=(1, 1))
    (place / "b.parquet").unlink()
    with pytest.raises(StorageError, match=r"2 files of .* cannot be read again: gone: b.parquet; changed: a.parquet$"):
        outside(place, pinned=pin).read(same("n"))


def test_a_file_that_changes_between_the_listing_and_the_read_is_no_silent_mixture(tmp_path: Path) -> None:
    place = write(tmp_path / "t" / "a.parquet", {"n": [1]})
    table = outside(tmp_path / "t")
    files = table.files(same("n"))
    write(tmp_path / "t" / "b.parquet", {"n": [2]})
    # What comes later is not read.
    assert files.read()["n"].to_pylist() == [1]

    write(place, {"n": [3, 4]})
    with pytest.raises(StorageError, match=r"a.parquet: it was changed or removed while the source was read; run it"):
        files.read()
    place.unlink()
    with pytest.raises(StorageError, match=r"a.parquet: it was changed or removed"):
        files.read()


def test_changes_of_a_pin_name_a_few_files() -> None:
    files = tuple(FilePin(path=f"{number}.parquet", bytes=1, modified=1) for number in range(6))
    pin = SourcePin(kind="parquet", place="p", files=files)

    assert pin.changes_to(pin) is None
    assert pin.changes_to(pin.model_copy(update={"files": files[:1]})) == (
        "gone: 1.parquet, 2.parquet, 3.parquet and 2 more"
    )
    unknown = SourcePin(kind="table", place="c.t")
    assert unknown.changes_to(unknown) == "c.t is a table of a catalog, whose state is not known"


@BOTH
def test_ranges_and_keys_leave_out_files_row_groups_and_rows(write_parts: WriteParts, tmp_path: Path) -> None:
    days = [pa.table({"uid": ["a", "b"], "at": pa.array([at(day), at(day, 12)], INSTANT)}) for day in range(1, 6)]
    kind = write_parts(tmp_path / "t", days)
    table = outside(tmp_path / "t", format=kind)
    columns = {"user": WantedColumn("uid"), "event": WantedColumn("at")}
    ranges = {"event": (at(2, 12), at(4))}

    rows = table.read(columns, ranges=ranges)
    assert sorted(rows["event"].to_pylist()) == [at(2, 12), at(3), at(3, 12), at(4)]
    assert len(table.files(columns, ranges=ranges).files) == 3
    of_key = table.read(columns, ranges=ranges, keys=pa.table({"user": ["b", "z"]}))
    assert sorted(of_key["event"].to_pylist()) == [at(2, 12), at(3, 12)]

    rows = pa.table({"uid": ["a", "b", "c", "d"], "n": [1, 2, 3, 4]})
    write(tmp_path / "groups.parquet", rows, row_group_size=1)
    [file] = outside(tmp_path / "groups.parquet").files(same("uid", "n")).files
    assert file.read(["uid"], {"n": (2, 3)})["uid"].to_pylist() == ["b", "c"]
    assert outside(tmp_path / "groups.parquet").read(same("uid", "n"), ranges={"n": (9, None)}).num_rows == 0


@BOTH
def test_the_kernel_joins_values_of_unsorted_files(write_parts: WriteParts, tmp_path: Path) -> None:
    parts = [
        pa.table({"uid": ["b", "a", None], "at": pa.array([at(3), at(1), at(1)], INSTANT), "n": [30, 1, 0]}),
        pa.table({"uid": ["a", "b", "a"], "at": pa.array([at(2), at(1), None], INSTANT), "n": [2, 10, 0]}),
    ]
    kind = write_parts(tmp_path / "t", parts)
    columns = {
        "user": WantedColumn("uid", pa.string()),
        "event_timestamp": WantedColumn("at", INSTANT),
        "created_timestamp": WantedColumn("at", INSTANT),
        "n": WantedColumn("n", pa.int64()),
    }
    table = outside(tmp_path / "t", format=kind)
    partitions = table.partitions(columns, keys=["user"], event="event_timestamp", created="created_timestamp")
    spine = SpineRows.of([pa.array(["a", "b", "a", "b", "c"])], pa.array([at(1), at(2), at(5), at(5), at(5)], INSTANT))

    taken = as_of_join(spine, partitions, AsOfRules(("user",), ("n",)), {"n": pa.int64()})

    assert taken.features["n"].to_pylist() == [1, 10, 2, 30, None]


@pytest.mark.parametrize("kind", ["delta", "folders", "a file without the key"])
def test_a_key_may_be_a_partition_a_folder_or_missing_in_a_file(kind: str, tmp_path: Path) -> None:
    place, moments = tmp_path / "t", pa.array([at(1), at(1), at(2)], INSTANT)
    rows = pa.table({"uid": ["a", "b", "a"], "at": moments, "n": [1, 2, 3]})
    if kind == "delta":
        deltalake.write_deltalake(str(place), rows, partition_by=["uid"])
    elif kind == "folders":
        pq.write_to_dataset(rows, place, partition_cols=["uid"])
    else:
        write(place / "a.parquet", rows)
        write(place / "b.parquet", rows.drop_columns("uid"))
    columns = {"user": WantedColumn("uid", pa.string()), "e": WantedColumn("at", INSTANT), "n": WantedColumn("n")}
    table = outside(place, format="delta" if kind == "delta" else "parquet")
    partitions = table.partitions(
        {
            "event_timestamp": columns["e"],
            "created_timestamp": columns["e"],
            "user": columns["user"],
            "n": columns["n"],
        },
        keys=["user"],
        event="event_timestamp",
        created="created_timestamp",
    )
    spine = SpineRows.of([pa.array(["a", "b", "c"])], pa.array([at(3)] * 3, INSTANT))

    taken = as_of_join(spine, partitions, AsOfRules(("user",), ("n",)), {"n": pa.int64()})

    assert taken.features["n"].to_pylist() == [3, 2, None]


def test_files_are_partitions_only_where_their_times_are_provably_apart(tmp_path: Path) -> None:
    def days(name: str, first: int, last: int, kind: pa.DataType = INSTANT, **options: Any) -> None:
        moments = [at(first).replace(tzinfo=None), at(last).replace(tzinfo=None)]
        write(tmp_path / "t" / name, {"uid": ["a", "b"], "at": pa.array(moments, kind)}, **options)

    def spans() -> list[list[str]]:
        columns = {"u": WantedColumn("uid", pa.string()), "e": WantedColumn("at", INSTANT)}
        table = outside(tmp_path / "t", zone="UTC")
        found = table.partitions(columns, keys=["u"], event="e", created="e")
        return [sorted(Path(file.path).stem for file in each.files) for each in found]  # type: ignore[attr-defined]

    days("c.parquet", 8, 9)
    days("a.parquet", 1, 3)
    days("b.parquet", 3, 4)
    assert spans() == [["a", "b"], ["c"]]

    days("d.parquet", 20, 21, write_statistics=False)
    assert spans() == [["a", "b", "c", "d"]]

    for name in ("a", "b", "c", "d"):
        (tmp_path / "t" / f"{name}.parquet").unlink()
    # Without a zone, the instants are known to the day.
    days("a.parquet", 1, 3, pa.timestamp("us"))
    days("b.parquet", 4, 5, pa.timestamp("us"))
    days("c.parquet", 9, 10, pa.timestamp("us"))
    assert spans() == [["a", "b"], ["c"]]


def test_a_snapshot_in_a_manifest_of_an_earlier_release_has_no_pin() -> None:
    stored = '{"name":"g","version":1,"revision":2,"table":"w/g_v1","table_version":5,"definition":"{}"}'
    pin = SourcePin(kind="parquet", place="p", files=(FilePin(path="a", bytes=1, modified=2),))

    snapshot = GroupSnapshot.model_validate_json(stored)
    pinned = snapshot.model_copy(update={"pin": pin})

    assert (snapshot.pin, snapshot.state, snapshot.state_text) == (None, 5, "table version 5")
    assert GroupSnapshot.model_validate_json(pinned.model_dump_json()).state == pin
    assert pinned.state_text == "1 file of p"
