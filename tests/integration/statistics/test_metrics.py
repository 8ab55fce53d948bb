"""The metrics file: the text format read back by a small parser, and the numbers against the ledger and the tables."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from featurestore import Entity, Feature, FeatureGroup, OfflineStore
from featurestore.errors import ExportError
from featurestore.operations.context import Scope
from featurestore.operations.job_run import recorded_run
from featurestore.operations.statistics.metrics import Metric, exposition, write_metrics
from tests.conftest import Clock, OpenFeatureStore

STATS = FeatureGroup(
    "stats", Entity("user", join_keys={"user_id": "string"}), features=[Feature("score", "double", max=1)]
)
NOW = datetime(2026, 12, 1, tzinfo=UTC)

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SAMPLE = re.compile(rf'({_NAME})\{{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\}} (\S+)')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')
_UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Every sample by name and labels; objects to whatever the text format does not allow."""
    assert text == "" or text.endswith("\n")
    types: dict[str, str] = {}
    samples: Samples = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            assert re.fullmatch(rf"# HELP {_NAME} .+", line)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types
            assert kind in ("gauge", "counter")
            assert (kind == "counter") == name.endswith("_total")
            types[name] = kind
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert list(types)[-1] == match[1]
            labels = {
                name: re.sub(r"\\.", lambda part: _UNESCAPED[part[0]], value)
                for name, value in _LABEL.findall(match[2])
            }
            key = (match[1], frozenset(labels.items()))
            assert key not in samples
            samples[key] = float(match[3])
    return samples


def test_label_values_are_escaped_and_empty_families_left_out() -> None:
    odd = 'a "quoted"\nback\\slash'

    text = exposition(
        [Metric("x_total", "counter", "Of x.", (({"name": odd}, 3.0),)), Metric("y", "gauge", "Of y.", ())]
    )

    assert text == '# HELP x_total Of x.\n# TYPE x_total counter\nx_total{name="a \\"quoted\\"\\nback\\\\slash"} 3.0\n'
    assert parsed(text) == {("x_total", frozenset({("name", odd)})): 3.0}


@pytest.fixture(scope="module")
def store(open_feature_store: OpenFeatureStore) -> OfflineStore:
    clock = Clock(NOW)
    fs = open_feature_store(clock)
    fs.apply([STATS])
    store = fs.tenant("acme")
    at = datetime(2026, 11, 30, tzinfo=UTC) + timedelta(microseconds=250_000)
    store.write_batch("stats", [{"user_id": "ann", "event_timestamp": at, "score": score} for score in (0.5, 7.0)])
    fs.tenant("other").write_batch("stats", [{"user_id": "bob", "event_timestamp": NOW, "score": 0.1}])
    with recorded_run(Scope(store._scope.context, "acme"), "copy", STATS) as job:
        job.report({}, rows_written=10, rows_failed=2)
        clock.now = NOW + timedelta(seconds=90)
    clock.now = NOW + timedelta(hours=1)
    with suppress(ZeroDivisionError), recorded_run(Scope(store._scope.context, "acme"), "copy", STATS):
        clock.now += timedelta(seconds=5)
        raise ZeroDivisionError
    with recorded_run(Scope(store._scope.context, "acme"), "drift", STATS) as job:
        job.report({"drifted": ["score"], "warning": []})
    with recorded_run(Scope(store._scope.context, "other"), "copy", STATS):
        pass
    clock.now = NOW + timedelta(hours=2)
    return store


def test_the_file_has_only_jobs_and_groups_of_the_tenant(store: OfflineStore, tmp_path: Path) -> None:
    file = write_metrics(Scope(store._scope.context, "acme"), tmp_path / "textfile" / "featurestore_acme.prom")

    samples = parsed(file.read_text(encoding="utf-8"))
    assert {dict(labels)["tenant"] for _, labels in samples} == {"acme"}
    of_copy = {
        (name.removeprefix("featurestore_job_"), dict(labels).get("state")): value
        for (name, labels), value in samples.items()
        if dict(labels).get("job") == "copy"
    }
    success, failure = NOW + timedelta(seconds=90), NOW + timedelta(hours=1, seconds=5)
    assert of_copy == {
        ("runs_total", "succeeded"): 1,
        ("runs_total", "failed"): 1,
        ("runs_total", "abandoned"): 0,
        ("running", None): 0,
        ("last_success_timestamp_seconds", None): success.timestamp(),
        ("last_failure_timestamp_seconds", None): failure.timestamp(),
        ("last_run_duration_seconds", None): 5,
        ("rows_written_total", None): 10,
        ("rows_rejected_total", None): 2,
    }
    of_group = {
        name.removeprefix("featurestore_group_"): value
        for (name, labels), value in samples.items()
        if name.startswith("featurestore_group_")
    }
    [statistics] = store.get_stats(entities=False)
    newest = datetime(2026, 11, 30, tzinfo=UTC).timestamp() + 0.25
    assert of_group == {
        "rows": 1,
        "files": statistics.files,
        "bytes": statistics.bytes,
        "newest_event_timestamp_seconds": newest,
        "freshness_seconds": NOW.timestamp() + 7200 - newest,
    }
    drifted = frozenset({("tenant", "acme"), ("group", "stats"), ("status", "drifted")})
    assert samples["featurestore_drifted_features", drifted] == 1


def test_the_file_is_replaced_whole_and_its_name_is_checked(store: OfflineStore, tmp_path: Path) -> None:
    file = tmp_path / "acme.prom"
    write_metrics(Scope(store._scope.context, "acme"), file)
    later = replace(store._scope.context, clock=Clock(NOW + timedelta(days=1)))

    write_metrics(Scope(later, "acme"), file)

    [age] = [
        value
        for (name, _), value in parsed(file.read_text(encoding="utf-8")).items()
        if name.endswith("freshness_seconds")
    ]
    assert age == pytest.approx(2 * 86_400 - 0.25)
    assert [path.name for path in tmp_path.iterdir()] == ["acme.prom"]
    for wrong in ("s3://bucket/acme.prom", tmp_path / "acme.txt"):
        with pytest.raises(ExportError, match=r"ends in \.prom"):
            write_metrics(Scope(store._scope.context, "acme"), wrong)
    with pytest.raises(ExportError, match="cannot be written"):
        write_metrics(Scope(store._scope.context, "acme"), file / "below.prom")
