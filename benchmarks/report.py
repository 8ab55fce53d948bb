"""Summarize the runs per engine: as a table for the terminal and in Markdown, as JSON, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.answers import Answers, differences
from benchmarks.dataset import Options
from benchmarks.engines import ENGINES, OURS
from benchmarks.measure import Measurement
from benchmarks.turns import Run


@dataclass(frozen=True)
class Spread:
    """The median, minimum and maximum over the rounds."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        return cls(median(numbers), min(numbers), max(numbers))


@dataclass(frozen=True)
class EngineSummary:
    """One engine on one data set.

    - ``ratio``: its seconds divided by ours in the same round: 2 is twice as slow as the feature store;
    - ``per_row``: its median seconds per row (of values and spine), divided by those on the first data set;
    - ``answers``: ``same`` as the others', ``differ``, or ``none`` (the floor is not an as-of join);
    - ``failure``: the reason why it has no numbers, or not those of all rounds.
    """

    engine: str
    seconds: Spread | None = None
    ratio: Spread | None = None
    per_row: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    shuffled_bytes: float | None = None
    spilled_bytes: float | None = None
    answers: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class DatasetResult:
    """All runs on one data set; ``left_out``: engine that cannot give these answers -> the reason."""

    options: Options
    runs: list[Run]
    left_out: dict[str, str]

    def measurements(self, engine: str) -> dict[int, Measurement]:
        """Round -> measurement of an engine."""
        return {run.round: run.measurement for run in self.runs if run.engine == engine and run.measurement is not None}

    @property
    def engines(self) -> list[str]:
        names = {run.engine for run in self.runs} | self.left_out.keys()
        return [name for name in ENGINES if name in names]

    @property
    def expected(self) -> Answers:
        """The first as-of join's answers, in the order of the engines."""
        runs = (list(self.measurements(name).values()) for name in self.engines if ENGINES[name].is_as_of_join)
        return next((measurements[0].answers for measurements in runs if measurements), {})

    def differences(self) -> list[str]:
        """One line per run and answer that is not the expected one."""
        return [
            f"{run.engine}, round {run.round}: {difference}"
            for run in self.runs
            if run.measurement is not None and ENGINES[run.engine].is_as_of_join
            for difference in differences(self.expected, run.measurement.answers)
        ]

    def failed(self, engine: str) -> str | None:
        return next((run.failure for run in self.runs if run.engine == engine and run.failure), None)


def summarize(result: DatasetResult, first: DatasetResult) -> list[EngineSummary]:
    """One summary per engine, in their order; ``first`` is the result to compare the time per row with."""
    return [_summary(result, first, engine) for engine in result.engines]


def _summary(result: DatasetResult, first: DatasetResult, engine: str) -> EngineSummary:
    measured = result.measurements(engine)
    failure = result.failed(engine)
    if engine in result.left_out:
        failure = f"left out: {result.left_out[engine]}"
    if not measured:
        return EngineSummary(engine, failure=failure)
    ours = result.measurements(OURS)
    paired = [measured[number].seconds / ours[number].seconds for number in measured if number in ours]
    tasks = [measurement.tasks for measurement in measured.values() if measurement.tasks is not None]
    wrong = any(differences(result.expected, measurement.answers) for measurement in measured.values())
    return EngineSummary(
        engine,
        seconds=Spread.of([measurement.seconds for measurement in measured.values()]),
        ratio=Spread.of(paired) if paired else None,
        per_row=_per_row(result, first, engine),
        cpu_seconds=median(measurement.cpu_seconds for measurement in measured.values()),
        peak_bytes=max(measurement.peak_bytes for measurement in measured.values()),
        shuffled_bytes=median(task.shuffled_bytes for task in tasks) if tasks else None,
        spilled_bytes=median(task.spilled_bytes for task in tasks) if tasks else None,
        answers=("differ" if wrong else "same") if ENGINES[engine].is_as_of_join else "none",
        failure=failure,
    )


def _per_row(result: DatasetResult, first: DatasetResult, engine: str) -> float | None:
    times = [
        median(measurement.seconds for measurement in each.measurements(engine).values()) / each.options.all_rows
        for each in (result, first)
        if each.measurements(engine)
    ]
    return times[0] / times[1] if len(times) == 2 else None


_COLUMNS: dict[str, Callable[[EngineSummary], str]] = {
    "engine": lambda summary: summary.engine,
    "median s": lambda summary: f"{summary.seconds.median:.2f}" if summary.seconds else "",
    "min - max s": lambda summary: f"{summary.seconds.min:.2f} - {summary.seconds.max:.2f}" if summary.seconds else "",
    "x ours": lambda summary: _ratio(summary.ratio),
    "per row": lambda summary: f"{summary.per_row:.2f}" if summary.per_row else "",
    "shuffled": lambda summary: _bytes(summary.shuffled_bytes),
    "spilled": lambda summary: _bytes(summary.spilled_bytes),
    "CPU s": lambda summary: f"{summary.cpu_seconds:.1f}" if summary.cpu_seconds is not None else "",
    "peak memory": lambda summary: _bytes(summary.peak_bytes),
    "answers": lambda summary: "; ".join(filter(None, [summary.answers, summary.failure])),
}


def _ratio(ratio: Spread | None) -> str:
    return f"{_short(ratio.median)} ({_short(ratio.min)} - {_short(ratio.max)})" if ratio else ""


def _short(ratio: float) -> str:
    """Two decimals, and more if these would be zeros."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _bytes(count: float | None) -> str:
    if count is None:
        return ""
    if not count:
        return "0"
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def described(options: Options) -> str:
    """A data set in one line."""
    groups = f"{options.groups} groups, each of " if options.groups > 1 else ""
    parts = [
        f"{groups}{options.rows:,} value rows x {options.columns} doubles",
        f"{options.spine:,} spine rows",
        f"{options.keys:,} {options.key_type} keys",
        f"TTL {options.ttl or 'none'}",
    ]
    if options.skew:
        parts.append(f"{options.skew:.0%} of all rows on one key")
    if options.null_share:
        parts.append(f"{options.null_share:.0%} nulls, nulls: {options.nulls}")
    return ", ".join(parts)


def terminal_table(result: DatasetResult, first: DatasetResult) -> Table:
    table = Table(*_COLUMNS, title=described(result.options))
    for summary in summarize(result, first):
        table.add_row(*(cell(summary) for cell in _COLUMNS.values()))
    return table


def write_report(results: list[DatasetResult], settings: Mapping[str, Any], folder: Path) -> None:
    """Write ``point_in_time.json``, ``.md`` and ``.png`` to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(results, settings), indent=1) + "\n"
    (folder / "point_in_time.json").write_text(text, encoding="utf-8")
    (folder / "point_in_time.md").write_text(_markdown(results, settings), encoding="utf-8")
    ratio_picture(results).savefig(folder / "point_in_time.png", dpi=150)


def as_json(results: list[DatasetResult], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings; per data set its options, summaries, runs, and the answers, which are the same on every machine."""
    datasets = [
        {
            "options": asdict(result.options),
            "summaries": [asdict(summary) for summary in summarize(result, results[0])],
            "runs": [_without_answers(run) for run in result.runs],
            "differences": result.differences(),
            "answers": result.expected,
        }
        for result in results
    ]
    return {"settings": dict(settings), "datasets": datasets}


def _without_answers(run: Run) -> dict[str, Any]:
    fields = asdict(run)
    if fields["measurement"] is not None:
        del fields["measurement"]["answers"]
    return fields


def _markdown(results: list[DatasetResult], settings: Mapping[str, Any]) -> str:
    lines = [", ".join(f"{name} {value}" for name, value in settings.items()), ""]
    for result in results:
        lines += [f"**{described(result.options)}**", "", f"| {' | '.join(_COLUMNS)} |", "| --- " * len(_COLUMNS) + "|"]
        for summary in summarize(result, results[0]):
            lines.append(f"| {' | '.join(cell(summary) for cell in _COLUMNS.values())} |")
        lines.append("")
    return "\n".join(lines)


def ratio_picture(results: list[DatasetResult]) -> Figure:
    """Each engine's seconds divided by ours: a point for the median, a line from the minimum to the maximum."""
    engines = [name for name in ENGINES if any(name in result.engines for result in results)]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(engines) * (1 + len(results) / 2)), layout="constrained")
    axes = figure.subplots()
    for index, result in enumerate(results):
        measured = [summary for summary in summarize(result, results[0]) if summary.ratio is not None]
        heights = [engines.index(summary.engine) + 0.6 * (index + 0.5) / len(results) - 0.3 for summary in measured]
        ratios = [summary.ratio for summary in measured if summary.ratio is not None]
        medians = [ratio.median for ratio in ratios]
        spread = [[ratio.median - ratio.min for ratio in ratios], [ratio.max - ratio.median for ratio in ratios]]
        axes.errorbar(medians, heights, xerr=spread, fmt="o", capsize=3, label=described(result.options))
        for height, ratio in zip(heights, ratios, strict=True):
            axes.annotate(_short(ratio.median), (ratio.max, height), (6, 0), textcoords="offset points", va="center")
    axes.axvline(1, color="0.6", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.1)
    axes.set_yticks(range(len(engines)), engines)
    axes.set_ylim(len(engines) - 0.5, -0.5)
    axes.set_xlabel(
        "seconds, divided by the feature store's in the same round (median, minimum to maximum; more is slower)"
    )
    figure.legend(loc="outside upper left", frameon=False, fontsize="small")
    return figure
