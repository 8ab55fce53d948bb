"""Metrics of a tenant's jobs and groups, as a file in Prometheus text format."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from featurestore.definitions.values.time_window import to_micros
from featurestore.errors import ExportError
from featurestore.operations.context import Scope
from featurestore.operations.statistics.drift import DRIFT
from featurestore.operations.statistics.stats import GroupStats, get_stats
from featurestore.stores.files.local import write_whole
from featurestore.stores.small_tables.rows import UnreadableRow, read_text, warn_of

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

_ENDED = ("succeeded", "failed", "abandoned")
_MICROS = 1_000_000

Sample = tuple[dict[str, str], float]
Family: TypeAlias = "GaugeMetricFamily | CounterMetricFamily"


@dataclass(frozen=True)
class Metric:
    """One metric family. Its samples have the same label names; names and units follow the Prometheus conventions."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    samples: tuple[Sample, ...]


def write_metrics(scope: Scope, path: str | Path) -> Path:
    """Write the tenant's metrics to a local file, replacing an existing one; returns the path.

    The file is for the node exporter's textfile collector: its name ends in ``.prom``, and each tenant has its own. It
    appears only when it is complete. Raises
    ExportError for another name or a path that cannot be written.
    """
    if "://" in str(path) or Path(path).suffix != ".prom":
        raise ExportError(f"the metrics file must be a local path that ends in .prom; got {path}")
    # The collector reads every .prom file of the folder, so an incomplete file has another name.
    return write_whole(path, exposition([*_of_jobs(scope), *_of_groups(scope)]))


def exposition(metrics: Iterable[Metric]) -> str:
    """The metrics in the Prometheus text exposition format, version 0.0.4, without families that have no samples."""
    from prometheus_client import generate_latest
    from prometheus_client.registry import Collector

    families = [_family(metric) for metric in metrics if metric.samples]

    class Families(Collector):
        def collect(self) -> list[Family]:
            return families

    return generate_latest(Families()).decode()


def _family(metric: Metric) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    [names, *_] = [list(labels) for labels, _ in metric.samples]
    kind = GaugeMetricFamily if metric.type == "gauge" else CounterMetricFamily
    family = kind(metric.name, metric.help, labels=names)
    for labels, value in metric.samples:
        family.add_metric([labels[name] for name in names], value)
    return family


def _of_jobs(scope: Scope) -> list[Metric]:
    rows = _ledger(scope)

    def samples(value: str, **labels: str) -> tuple[Sample, ...]:
        named = [
            ({"tenant": scope.tenant_id, "job": row["job"], "group": row["feature_group"]} | labels, row[value])
            for row in rows
        ]
        return tuple((sample_labels, float(number)) for sample_labels, number in named if number is not None)

    ended = tuple(sample for state in _ENDED for sample in samples(state, state=state))
    drifts = {
        row["feature_group"]: details
        for row in rows
        if row["job"] == DRIFT and row["last_details"] and (details := _details(scope.tenant_id, row)) is not None
    }
    drifted = [
        ({"tenant": scope.tenant_id, "group": group, "status": status}, float(len(comparison[status])))
        for group, comparison in drifts.items()
        for status in ("drifted", "warning")
    ]
    return [
        Metric("featurestore_job_runs_total", "counter", "Runs that ended, by how.", ended),
        Metric("featurestore_job_running", "gauge", "Runs that began and have not ended.", samples("running")),
        Metric(
            "featurestore_job_last_success_timestamp_seconds",
            "gauge",
            "When a run last succeeded.",
            samples("last_success"),
        ),
        Metric(
            "featurestore_job_last_failure_timestamp_seconds",
            "gauge",
            "When a run last failed or was given up.",
            samples("last_failure"),
        ),
        Metric(
            "featurestore_job_last_run_duration_seconds",
            "gauge",
            "Of the last run that ended.",
            samples("last_seconds"),
        ),
        Metric("featurestore_job_rows_written_total", "counter", "Rows that runs wrote.", samples("rows_written")),
        Metric("featurestore_job_rows_rejected_total", "counter", "Rows that runs rejected.", samples("rows_failed")),
        Metric(
            "featurestore_drifted_features",
            "gauge",
            "Features that drifted, or are about to, in the last comparison.",
            tuple(drifted),
        ),
    ]


def _details(tenant_id: str, row: dict[str, Any]) -> dict[str, Any] | None:
    """The details of the group's last comparison; None, with a warning, if they cannot be read."""
    subject = f"what the last {DRIFT} run of {row['feature_group']!r} of tenant {tenant_id!r} said"
    details = read_text(json.loads, row["last_details"], subject, f"run {DRIFT} again")
    if isinstance(details, UnreadableRow):
        warn_of(details)
        return None
    return dict(details)


def _ledger(scope: Scope) -> list[dict[str, Any]]:
    """One row per job and group, from the states of all runs; times are in seconds since 1970."""
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for state in scope.runs.states(scope.tenant_id).to_pylist():
        runs[state["run_id"]].append(state)
    jobs: dict[tuple[str, str], list[_LedgerRun]] = defaultdict(list)
    for states in runs.values():
        run = _LedgerRun.of(states)
        jobs[(run.newest["job"], run.newest["feature_group"])].append(run)
    return [_of_job(job, group, jobs[job, group]) for job, group in sorted(jobs)]


@dataclass(frozen=True)
class _LedgerRun:
    """A run's newest state, and the seconds since 1970 of its first and its last state."""

    newest: dict[str, Any]
    began: float
    ended: float

    @classmethod
    def of(cls, states: list[dict[str, Any]]) -> _LedgerRun:
        times = [to_micros(state["recorded_at"]) / _MICROS for state in states]
        return cls(max(states, key=lambda state: int(state["sequence"])), min(times), max(times))


def _of_job(job: str, group: str, runs: Sequence[_LedgerRun]) -> dict[str, Any]:
    def in_state(*states: str) -> list[_LedgerRun]:
        return sorted((run for run in runs if run.newest["state"] in states), key=lambda run: run.ended)

    def total(name: str) -> int | None:
        numbers = [run.newest[name] for run in runs if run.newest[name] is not None]
        return sum(numbers) if numbers else None

    succeeded, failed = in_state("succeeded"), in_state("failed", "abandoned")
    finished = in_state("succeeded", "failed")
    return {
        "job": job,
        "feature_group": group,
        **{state: len(in_state(state)) for state in (*_ENDED, "running")},
        "last_success": succeeded[-1].ended if succeeded else None,
        "last_failure": failed[-1].ended if failed else None,
        "last_seconds": finished[-1].ended - finished[-1].began if finished else None,
        "rows_written": total("rows_written"),
        "rows_failed": total("rows_failed"),
        "last_details": succeeded[-1].newest["details"] if succeeded else None,
    }


def _of_groups(scope: Scope) -> list[Metric]:
    stats = get_stats(scope, entities=False)
    now = to_micros(scope.now())

    def samples(value: Any) -> tuple[Sample, ...]:
        named = [({"tenant": scope.tenant_id, "group": group.group}, value(group)) for group in stats]
        return tuple((labels, number) for labels, number in named if number is not None)

    def newest(group: GroupStats) -> float | None:
        return None if group.newest is None else to_micros(group.newest) / _MICROS

    def age(group: GroupStats) -> float | None:
        return None if group.newest is None else (now - to_micros(group.newest)) / _MICROS

    return [
        Metric(
            "featurestore_group_rows", "gauge", "Rows as written, corrections too.", samples(lambda group: group.rows)
        ),
        Metric(
            "featurestore_group_files",
            "gauge",
            "Files of the newest table version.",
            samples(lambda group: group.files),
        ),
        Metric("featurestore_group_bytes", "gauge", "Bytes of these files.", samples(lambda group: group.bytes)),
        Metric(
            "featurestore_group_newest_event_timestamp_seconds", "gauge", "The newest event timestamp.", samples(newest)
        ),
        Metric(
            "featurestore_group_freshness_seconds",
            "gauge",
            "Age of the newest event timestamp when this was written.",
            samples(age),
        ),
    ]
