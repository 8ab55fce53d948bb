"""Fine-tuning sets: joined as of each row's moment, written as chat messages, counted to the last row."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from featurestore import (
    Entity,
    Feature,
    FeatureDataLoader,
    FeatureGroup,
    FeatureStore,
    FineTuningSet,
    Settings,
    TimeSplit,
)
from featurestore.errors import ExportError, InvalidArgumentError, NotFoundError, SpineError, TransformationError
from featurestore.operations.training_sets import examples
from featurestore.stores.training_sets.fine_tuning_sets import FineTuningManifest

START = datetime(2026, 11, 1, tzinfo=UTC)
AWKWARD = 'Why "so"?\n{"role": "system"} {{ not_a_template }} ünïcødé 🎉 \u2028\\'
# Conversation -> question and answer; three of ten have no answer.
CHATS: dict[str, tuple[str, str | None]] = {f"c{i}": (f"{AWKWARD} {i}", f"Because {i}.\n{AWKWARD}") for i in range(7)}
CHATS |= {"c7": ("unanswered", None), "c8": ("blank", " \n"), "c9": ("late", None)}


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


@pytest.fixture(scope="module")
def loader(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> FeatureDataLoader:
    """One question per hour; its answer comes a minute later, but the answer of c9 comes a day late."""
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path_factory.mktemp("tuning") / "warehouse")), spark=spark)
    conversation = Entity("conversation", join_keys={"conversation_id": "string"})
    text = [
        Feature("question", "string"),
        Feature("answer", "string"),
        Feature("mood", "float"),
        Feature("note", "string"),
    ]
    fs.apply([FeatureGroup("chats", conversation, features=text)])
    written = []
    for number, (name, (question, answer)) in enumerate(CHATS.items()):
        row = {"conversation_id": name, "event_timestamp": hours(number), "question": question, "mood": 0.1}
        written += [row, {"conversation_id": name, "event_timestamp": hours(number + 1 / 60), "answer": answer}]
    written.append({"conversation_id": "c9", "event_timestamp": hours(33), "answer": "too late"})
    fs.tenant("acme").write_batch("chats", written)
    return FeatureDataLoader(fs.tenant("acme"))


@pytest.fixture(scope="module")
def spine() -> pd.DataFrame:
    names = list(CHATS)
    return pd.DataFrame({"conversation_id": names, "event_timestamp": [hours(i + 0.5) for i in range(len(names))]})


def lines(files: Iterable[Path]) -> list[list[dict[str, str]]]:
    """The messages of each line, in order; every line is a JSON object of messages alone."""
    read = [json.loads(line) for file in sorted(files) for line in file.read_text(encoding="utf-8").splitlines()]
    assert all(list(line) == ["messages"] for line in read)
    return [line["messages"] for line in read]


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.jsonl"))}


def test_a_template_makes_a_line_of_each_row_that_has_an_output(
    loader: FeatureDataLoader, spine: pd.DataFrame, tmp_path: Path
) -> None:
    made = loader.load_for_fine_tuning(
        spine,
        ["chats:question", "chats:mood"],
        "chats:answer",
        path=str(tmp_path / "made"),
        system="You are in a mood of {{ mood }}.",
        template="{{ question }} ({{ event_timestamp.hour }})",
    )

    assert (made.row_count, made.left_out, made.parts) == (7, {"the output is missing": 3}, {"all": 7})
    assert made.missing_inputs == {}
    assert [(file.path, file.rows) for file in made.files] == [("part-00000.jsonl", 7)]
    messages = lines((tmp_path / "made").glob("*.jsonl"))
    assert sorted(messages, key=str) == sorted(
        (
            [
                {"role": "system", "content": "You are in a mood of 0.1."},
                {"role": "user", "content": f"{AWKWARD} {i} ({i})"},
                {"role": "assistant", "content": f"Because {i}.\n{AWKWARD}"},
            ]
            for i in range(7)
        ),
        key=str,
    )
    assert (tmp_path / "made" / "part-00000.jsonl").read_text(encoding="utf-8").count("\n") == 7
    manifest = FineTuningManifest.model_validate_json((tmp_path / "made" / "_manifest.json").read_text())
    assert (manifest.row_count, manifest.output, manifest.files) == (7, "answer", made.files)
    assert [(group.name, group.table_version) for group in manifest.groups] == [("chats", 1)]
    assert sorted(row["messages"][1]["content"] for row in made.rows.collect()) == sorted(
        m[1]["content"] for m in messages
    )
    csv = pd.concat(pd.read_csv(file) for file in Path(loader.export_to_csv(made, str(tmp_path / "csv"))).glob("*.csv"))
    assert sorted(json.loads(cell)[1]["content"] for cell in csv["messages"]) == sorted(
        m[1]["content"] for m in messages
    )


def test_the_same_call_writes_the_same_files_however_the_spine_is_partitioned(
    loader: FeatureDataLoader, spine: pd.DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    def written(name: str, partitions: int) -> FineTuningSet:
        shuffled = spark.createDataFrame(spine.sample(frac=1, random_state=partitions)).repartition(partitions)
        options: dict[str, Any] = {"shards": 3, "seed": 1, "split": TimeSplit(test_from=hours(4))}
        return loader.load_for_fine_tuning(
            shuffled, ["chats:question"], "chats:answer", path=str(tmp_path / name), **options
        )

    first = written("first", 1)
    written("second", 5)

    assert (first.row_count, first.left_out, first.parts) == (7, {"the output is missing": 3}, {"train": 4, "test": 3})
    once = content_of(tmp_path / "first")
    assert set(once) == {file.path for file in first.files}
    assert {name.split("/")[0] for name in once} == {"train", "test"}
    assert once == content_of(tmp_path / "second")
    prompts = {m[0]["content"] for m in lines((tmp_path / "first" / "train").glob("*.jsonl"))}
    assert prompts == {f"question: {AWKWARD} {i}" for i in range(4)}
    assert {row["part"] for row in first.rows.collect()} == {"train", "test"}


def test_a_set_that_is_there_is_not_written_again(
    loader: FeatureDataLoader, spine: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def written(rows: pd.DataFrame = spine, **changes: Any) -> FineTuningSet:
        options: dict[str, Any] = {"template": "{{ question }}", "split": TimeSplit(test_from=hours(4))} | changes
        return loader.load_for_fine_tuning(rows, ["chats:question"], "chats:answer", path=str(out), **options)

    first = written()
    content = content_of(out)
    again = written(spine.sample(frac=1, random_state=1))

    assert (first.is_up_to_date, again.is_up_to_date) == (False, True)
    assert replace(again, is_up_to_date=False) == first
    assert "It is up to date; nothing was written." in str(again.display())
    assert content_of(out) == content
    for rows, changes in (
        (spine[:9], {}),
        (spine, {"template": "{{ question }}?"}),
        (spine, {"system": "Answer."}),
        (spine, {"seed": 1}),
        (spine, {"shards": 2}),
        (spine, {"split": None}),
        (spine, {"on_invalid": "skip"}),
    ):
        with pytest.raises(ExportError, match=r"out is there already, and is another set: its request"):
            written(rows, **changes)
    with pytest.raises(ExportError, match="cannot be compared with a set by format_fn"):
        written(template=None, format_fn=str)
    (out / "train" / "part-00000.jsonl").write_text("{}\n")
    with pytest.raises(ExportError, match=r"its file train/part-00000\.jsonl has 3 bytes and was written with"):
        written()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_set_is_another_one_after_its_values_changed(spark: SparkSession, tmp_path: Path) -> None:
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")), spark=spark)
    note = Entity("note", join_keys={"note_id": "string"})
    fs.apply([FeatureGroup("notes", note, features=[Feature("text", "string"), Feature("answer", "string")])])
    row = {"note_id": "n1", "event_timestamp": START, "text": "a", "answer": "b"}
    fs.tenant("acme").write_batch("notes", [row])
    spine = pd.DataFrame({"note_id": ["n1"], "event_timestamp": [START]})

    def written() -> FineTuningSet:
        loader = FeatureDataLoader(fs.tenant("acme"))
        return loader.load_for_fine_tuning(spine, ["notes:text"], "notes:answer", path=str(tmp_path / "out"))

    assert not written().is_up_to_date
    fs.tenant("other").write_batch("notes", [row])
    assert written().is_up_to_date
    fs.tenant("acme").write_batch("notes", [row | {"answer": "c"}])
    with pytest.raises(ExportError, match="values of its groups were written since"):
        written()


def test_an_output_may_come_later_or_be_in_the_spine(
    loader: FeatureDataLoader, spine: pd.DataFrame, tmp_path: Path
) -> None:
    late = loader.load_for_fine_tuning(
        spine, ["chats:question", "chats:note"], "chats:answer", path=str(tmp_path / "late"), output_offset="1d"
    )
    assert (late.row_count, late.left_out) == (8, {"the output is missing": 2})
    manifest = FineTuningManifest.model_validate_json((tmp_path / "late" / "_manifest.json").read_text())
    assert late.missing_inputs == manifest.missing_inputs == {"note": 8}

    rated = spine.assign(rating=[float(i) for i in range(8)] + [None, None])
    ratings = loader.load_for_fine_tuning(
        rated, ["chats:question"], "rating", path=str(tmp_path / "rated"), sample_size=9, seed=3
    )
    assert ratings.row_count + ratings.left_out["the output is missing"] == 9
    messages = lines((tmp_path / "rated").glob("*.jsonl"))
    assert {m[1]["content"] for m in messages} <= {str(float(i)) for i in range(8)}


def test_rows_without_messages_fail_the_call_or_are_counted(
    loader: FeatureDataLoader, spine: pd.DataFrame, tmp_path: Path
) -> None:
    def two_turns(row: dict[str, Any]) -> list[dict[str, str]]:
        number = int(row["conversation_id"][1:])
        first = "" if number == 2 else f"question {1 // number}"
        turns = [("user", first), ("assistant", "Go on."), ("user", row["question"]), ("assistant", row["answer"])]
        return [{"role": role, "content": content} for role, content in turns]

    options: dict[str, Any] = {
        "input_features": "chats:question",
        "output_feature": "chats:answer",
        "system": "Be kind.",
    }
    with pytest.raises(TransformationError) as failed:
        loader.load_for_fine_tuning(spine, **options, format_fn=two_turns, path=str(tmp_path / "made"))
    message = str(failed.value)
    assert (
        "2 of 10 rows give no messages, and nothing was written (format_fn failed: 1; not valid messages: 1)" in message
    )
    assert "conversation_id=c0, event_timestamp=2026-11-01T00:30:00Z: ZeroDivisionError" in message
    assert "message 2: the user's content is blank" in message
    assert list(tmp_path.iterdir()) == []

    made = loader.load_for_fine_tuning(
        spine, **options, format_fn=two_turns, path=str(tmp_path / "made"), on_invalid="skip"
    )
    assert (made.row_count, made.left_out) == (
        5,
        {"format_fn failed": 1, "not valid messages": 1, "the output is missing": 3},
    )
    assert len(made.samples) == 2
    roles = {tuple(m["role"] for m in messages) for messages in lines((tmp_path / "made").glob("*.jsonl"))}
    assert roles == {("system", "user", "assistant", "user", "assistant")}

    with pytest.raises(TransformationError, match="the sandbox refused the template: 7"):
        loader.load_for_fine_tuning(
            spine,
            "chats:question",
            "chats:answer",
            template="{{ question|attr('_' ~ '_class__') }}",
            path=str(tmp_path / "out"),
            on_invalid="skip",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_no_rows_are_an_empty_file_in_each_part(loader: FeatureDataLoader, spine: pd.DataFrame, tmp_path: Path) -> None:
    split = TimeSplit(validation_from=hours(1), test_from=hours(2))
    made = loader.load_for_fine_tuning(
        spine.iloc[:0], "chats:question", "chats:answer", path=str(tmp_path / "none"), split=split
    )

    assert (made.row_count, made.left_out, made.parts) == (0, {}, {"train": 0, "validation": 0, "test": 0})
    assert content_of(tmp_path / "none") == {file.path: b"" for file in made.files}
    assert made.rows.count() == 0


def test_a_function_that_the_executors_cannot_have_is_refused(
    loader: FeatureDataLoader, spine: pd.DataFrame, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock()
    options: dict[str, Any] = {"format_fn": lambda row: f"{row['question']} {lock.locked()}"}
    arguments = (["chats:question"], "chats:answer")
    # This process can call it.
    assert loader.load_for_fine_tuning(spine, *arguments, path=str(tmp_path / "here"), **options).row_count == 7

    monkeypatch.setattr(examples, "MOST_FETCHED", 0)
    with pytest.raises(TransformationError, match="format_fn cannot be sent to the executors"):
        loader.load_for_fine_tuning(spark.createDataFrame(spine), *arguments, path=str(tmp_path / "out"), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_wrong_request_is_refused_before_any_job(
    loader: FeatureDataLoader, spine: pd.DataFrame, tmp_path: Path
) -> None:
    def asked(output: str = "chats:answer", inputs: str = "chats:question", **options: Any) -> None:
        loader.load_for_fine_tuning(spine, inputs, output, **({"path": str(tmp_path / "out")} | options))

    with pytest.raises(TransformationError, match=r"template: 'qestion' is not a column .*Did you mean 'question'"):
        asked(template="{{ qestion }}")
    with pytest.raises(TransformationError, match="system: 'answer' is the output"):
        asked(system="Say {{ answer }}")
    with pytest.raises(TransformationError, match="template: 'range' is not a column"):
        asked(template="{{ question }} {{ range(3) }}")
    with pytest.raises(TransformationError, match=r"reads '__.*', which the sandbox refuses"):
        asked(template="{{ ''.__class__.__mro__ }}")
    with pytest.raises(InvalidArgumentError, match="give one of them"):
        asked(template="{{ question }}", format_fn=str)
    with pytest.raises(InvalidArgumentError, match="template is ' '; give a Jinja2 text"):
        asked(template=" ")
    with pytest.raises(InvalidArgumentError, match="shards is 0"):
        asked(shards=0)
    with pytest.raises(InvalidArgumentError, match="on_invalid is 'drop'; possible: 'fail', 'skip'"):
        asked(on_invalid="drop")
    with pytest.raises(SpineError, match="output_feature 'anwser' is not a column of the spine"):
        asked(output="anwser")
    with pytest.raises(NotFoundError, match="Did you mean 'answer'"):
        asked(output="chats:anwser")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ExportError, match="is there already"):
        asked(path=str(tmp_path / "taken"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"cannot be written: .*[Nn]ot a directory"):
        asked(path=str(tmp_path / "file" / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]
