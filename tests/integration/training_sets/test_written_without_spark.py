"""Exports and fine-tuning sets are the same, byte for byte, whether this process writes them or Spark does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyspark.sql import SparkSession

from featurestore import (
    EntitySplit,
    FeatureDataLoader,
    FeatureStore,
    FineTuningSet,
    RandomSplit,
    Settings,
    TimeSplit,
    TrainingSet,
)
from featurestore.columnar.rows.file_layout import FileLimits
from featurestore.columnar.text.csv_lines import CsvOptions
from featurestore.errors import TransformationError
from featurestore.operations.context import Scope
from featurestore.operations.exports.export import export
from featurestore.operations.exports.export_rows import SparkRows
from featurestore.operations.training_sets import examples
from featurestore.stores.arrow import to_spark
from featurestore.stores.files import local_exports
from tests.conftest import Clock
from tests.inputs.rows_of_every_type import FEATURES, hours, loader_in_tasks, spine, write_values
from tests.processes.spark_jobs import Jobs

# Only Spark writes 1e300, which ``score`` has, as text: versions of Java differ in the digits of such numbers.
IN_TEXT = [name for name in FEATURES if name != "stats:score"]
FORMATS = ["parquet", "arrow", "csv", "jsonl"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(warehouse=str(tmp_path_factory.mktemp("written") / "warehouse"))


@pytest.fixture(scope="module")
def loader(spark: SparkSession, settings: Settings) -> FeatureDataLoader:
    """Joins and writes without Spark."""
    fs = FeatureStore.open(settings, spark=spark, clock=Clock(hours(1000)))
    write_values(fs)
    return FeatureDataLoader(fs.tenant("acme"))


@pytest.fixture(scope="module")
def by_spark(spark: SparkSession, settings: Settings, loader: FeatureDataLoader) -> FeatureDataLoader:
    return loader_in_tasks(spark, settings)


@pytest.fixture(scope="module")
def saved(loader: FeatureDataLoader) -> TrainingSet:
    return loader.load_training_data(spine(), IN_TEXT, label="bought", name="saved")


def content_of(folder: Path) -> dict[str, bytes]:
    """The files that hold rows."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("part-*"))}


def exported_by_spark(saved: TrainingSet, folder: Path, format: Any, csv: CsvOptions) -> Path:
    scope = Scope(saved.context, "acme")
    rows = SparkRows(saved.rows.coalesce(1))
    return Path(export(scope, rows, str(folder), format, csv=csv, training_set=saved.manifest))


@pytest.mark.parametrize(
    ("format", "options"),
    [*((format, CsvOptions()) for format in FORMATS), ("csv", CsvOptions(null="NaN", guard_formulas=False))],
)
def test_an_export_is_the_one_that_spark_writes(
    saved: TrainingSet, spark: SparkSession, tmp_path: Path, format: Any, options: CsvOptions
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    written = {"null": options.null, "guard_formulas": options.guard_formulas}

    assert Jobs(spark).of(lambda: saved.export(str(here), format, **written)) == 0
    exported_by_spark(saved, there, format, options)

    notes = [json.loads((folder / "_export.json").read_text()) for folder in (here, there)]
    files = [note.pop("files") for note in notes]
    assert notes[0] == notes[1]
    assert (here / "_manifest.json").read_text() == (there / "_manifest.json").read_text()
    assert files[0] == {file.name: file.stat().st_size for file in here.iterdir() if file.name != "_export.json"}
    if format in ("csv", "jsonl"):
        assert content_of(here) == content_of(there)
        return
    tables = [ds.dataset(folder, format={"arrow": "ipc"}.get(format, format)).to_table() for folder in (here, there)]
    assert tables[0].schema.equals(tables[1].schema)
    assert str(tables[0].to_pylist()) == str(tables[1].to_pylist())
    if format == "parquet":
        schemas = [spark.read.parquet(str(folder)).schema for folder in (here, there)]
        assert schemas[0] == schemas[1]


def test_numbers_that_only_spark_writes_as_text_are_written_by_spark(
    loader: FeatureDataLoader, spark: SparkSession, tmp_path: Path
) -> None:
    saved = loader.load_training_data(spine(), FEATURES, name="large")

    assert Jobs(spark).of(lambda: saved.export(str(tmp_path / "here"), "jsonl")) > 0
    exported_by_spark(saved, tmp_path / "there", "jsonl", CsvOptions())

    lines = [sorted(b"".join(content_of(tmp_path / name).values()).splitlines()) for name in ("here", "there")]
    assert lines[0] == lines[1]
    assert any(b'"score":1.0E300' in line for line in lines[0])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["here", "there"]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are encoded a few at a time."""
    for format in (local_exports.ParquetFiles, local_exports.ArrowFiles, local_exports.TextFiles):
        monkeypatch.setattr(format, "limits", FileLimits(group_rows=7))


@pytest.fixture(scope="module")
def grown(loader: FeatureDataLoader) -> TrainingSet:
    """A set of several files."""
    loader.load_training_data(spine(50), IN_TEXT, label="bought", name="grown")
    return loader.extend("grown", spine(30))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("format", FORMATS)
def test_a_set_of_several_files_is_exported_to_as_many_in_pieces(
    grown: TrainingSet, tmp_path: Path, format: Any
) -> None:
    folder = Path(grown.export(str(tmp_path / "out"), format))

    names = [file.name for file in sorted(folder.glob("part-*"))]
    assert len(names) > 1
    assert names == [f"part-{number:05d}.{format}" for number in range(len(names))]
    note = json.loads((folder / "_export.json").read_text())
    assert note["content_hash"] == grown.manifest.content_hash
    assert grown.export(str(folder), format).is_up_to_date


@pytest.fixture(scope="module")
def empty(loader: FeatureDataLoader) -> TrainingSet:
    return loader.load_training_data(spine(0), IN_TEXT, label="bought", name="empty")


@pytest.mark.parametrize("format", FORMATS)
def test_a_set_without_rows_is_one_file(empty: TrainingSet, tmp_path: Path, format: Any) -> None:
    folder = Path(empty.export(str(tmp_path / "here"), format))
    there = exported_by_spark(empty, tmp_path / "there", format, CsvOptions())

    assert list(content_of(folder)) == [f"part-00000.{format}"]
    if format in ("csv", "jsonl"):
        assert content_of(folder) == content_of(there)
    else:
        tables = [ds.dataset(each, format={"arrow": "ipc"}.get(format, format)) for each in (folder, there)]
        assert tables[0].count_rows() == 0
        assert tables[0].schema.equals(tables[1].schema)


def test_arrow_rows_are_exported_without_spark(loader: FeatureDataLoader, spark: SparkSession, tmp_path: Path) -> None:
    rows = spine(20).append_column("ints", pa.array([[1, None]] * 20))

    assert Jobs(spark).of(lambda: loader.export(rows.drop_columns("ints"), str(tmp_path / "here"), "csv")) == 0
    loader.export(to_spark(spark, rows.drop_columns("ints")).coalesce(1), str(tmp_path / "there"), "csv")
    assert content_of(tmp_path / "here") == content_of(tmp_path / "there")
    assert loader.export(rows.drop_columns("ints"), str(tmp_path / "there"), "csv").is_up_to_date

    # Spark alone knows how some types are written.
    assert Jobs(spark).of(lambda: loader.export(rows, str(tmp_path / "ints"), "jsonl")) > 0
    lines = b"".join(content_of(tmp_path / "ints").values()).splitlines()
    assert [json.loads(line)["ints"] for line in lines] == [[1, None]] * 20


def function() -> Callable[[dict[str, Any]], Any]:
    """A function that the executors get by value; it fails for some rows, and gives no messages for others."""

    def conversation(row: dict[str, Any]) -> Any:
        if row["tiny"] == -128:
            return []
        1 // (row["whole"] - 1)
        return f"{sorted(row.items())!r}".replace("zoneinfo.ZoneInfo(key='UTC')", "<UTC>")

    return conversation


TEMPLATE = "{{ plan }} {{ share }} {{ single }} {{ event_timestamp.hour }} {{ recent }} {{ labels|join('\u2028') }}"
OPTIONS: dict[str, dict[str, Any]] = {
    "a line per input": {},
    "a template": {"template": TEMPLATE, "system": "It is {{ day }}, {{ local }}.", "on_invalid": "skip"},
    "a function": {"format_fn": function(), "on_invalid": "skip", "shards": 2},
    "parts by time": {
        "split": TimeSplit(test_from=hours(200), validation_from=hours(130), embargo="5h"),
        "shards": 5,
        "seed": 3,
    },
    "parts by shares of time": {"split": TimeSplit(test=0.21, validation=0.13)},
    # More shards than a part has rows.
    "parts by chance": {"rows": spine(80), "split": RandomSplit(test=0.3, validation=0.2), "shards": 50},
    "parts by entity": {"split": EntitySplit(test=0.3, validation=0.2)},
    "a sample": {"sample_size": 57, "seed": 5, "known_at": hours(150)},
    "a sample of each class": {"sample_size": 101, "stratify_by": ["bought", "number"], "full_feature_names": True},
    "an output that comes later": {"output_feature": "outcome:won", "output_offset": "1h"},
    "an output of floats": {"output_feature": "single"},
    "no rows": {"rows": spine(0), "split": RandomSplit(test=0.3)},
}


def tuned(loader: FeatureDataLoader, folder: Path, rows: Any = None, **options: Any) -> FineTuningSet:
    options = {"output_feature": "bought"} | options
    return loader.load_for_fine_tuning(spine() if rows is None else rows, FEATURES, path=str(folder), **options)


def facts(written: FineTuningSet) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((Path(written.path) / "_manifest.json").read_text())
    return {name: fact for name, fact in manifest.items() if name != "created_at"} | {"samples": written.samples}


@pytest.mark.parametrize("what", OPTIONS)
def test_a_fine_tuning_set_is_the_one_that_spark_writes(
    loader: FeatureDataLoader, by_spark: FeatureDataLoader, spark: SparkSession, tmp_path: Path, what: str
) -> None:
    written: list[FineTuningSet] = []
    assert Jobs(spark).of(lambda: written.append(tuned(loader, tmp_path / "here", **OPTIONS[what]))) == 0
    expected = tuned(by_spark, tmp_path / "there", **OPTIONS[what])

    assert facts(written[0]) == facts(expected)
    assert content_of(tmp_path / "here") == content_of(tmp_path / "there")
    assert sum(written[0].parts.values()) == expected.row_count


def frames(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    yield "fetched", to_spark(spark, spine())
    monkeypatch.setattr(examples, "MOST_FETCHED", 0)
    yield "in tasks", to_spark(spark, spine())


def test_a_frame_of_spark_gives_the_set_of_its_rows(
    loader: FeatureDataLoader, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = OPTIONS["a sample of each class"]
    expected = tuned(loader, tmp_path / "local", **options)

    for name, frame in frames(spark, monkeypatch):
        assert facts(tuned(loader, tmp_path / name, frame, **options)) == facts(expected)
        assert content_of(tmp_path / name) == content_of(tmp_path / "local")


def test_floats_of_which_only_spark_knows_the_digits_are_shown_by_spark(
    loader: FeatureDataLoader, by_spark: FeatureDataLoader, spark: SparkSession, tmp_path: Path
) -> None:
    rows = spine(20).append_column("large", pa.array([24099999744.0] * 20, pa.float32()))
    options = {"template": "{{ large }}", "on_invalid": "skip"}

    assert Jobs(spark).of(lambda: tuned(loader, tmp_path / "here", rows, **options)) > 0
    tuned(by_spark, tmp_path / "there", rows, **options)

    assert content_of(tmp_path / "here") == content_of(tmp_path / "there")


@pytest.mark.parametrize("what", ["a template", "a function"])
def test_rows_without_messages_fail_the_call_with_the_same_words(
    loader: FeatureDataLoader, by_spark: FeatureDataLoader, tmp_path: Path, what: str
) -> None:
    messages = []
    for each in (loader, by_spark):
        with pytest.raises(TransformationError) as failed:
            tuned(each, tmp_path / "out", **OPTIONS[what] | {"on_invalid": "fail"})
        messages.append(str(failed.value))

    assert messages[0] == messages[1]
    assert list(tmp_path.iterdir()) == []
