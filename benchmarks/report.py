"""Summarize the runs per engine: as a table for the terminal and in Markdown, as JSON, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.dataset import Options
from benchmarks.engines import ENGINES
from benchmarks.goals import GOAL_COLUMNS, Goal, as_of_goals, short, shown_bytes, shown_spread
from benchmarks.summary import DatasetResult, EngineSummary, summarize
from benchmarks.turns import Run


@dataclass(frozen=True)
class Report:
    """The results of data sets, the engine that ratios are to, the settings, and the goal for memory in bytes."""

    results: list[DatasetResult]
    baseline: str
    settings: Mapping[str, Any]
    memory_limit: int | None = None

    def summaries(self, result: DatasetResult) -> list[EngineSummary]:
        return summarize(result, self.results[0], self.baseline)

    def goals(self, result: DatasetResult) -> list[Goal]:
        return as_of_goals(result, self.results[0], self.memory_limit)

    @property
    def columns(self) -> list[str]:
        return [name.format(baseline=self.baseline) for name in _COLUMNS]


_COLUMNS: dict[str, Callable[[EngineSummary], str]] = {
    "engine": lambda summary: summary.engine,
    "median s": lambda summary: f"{summary.seconds.median:.2f}" if summary.seconds else "",
    "min - max s": lambda summary: f"{summary.seconds.min:.2f} - {summary.seconds.max:.2f}" if summary.seconds else "",
    "x {baseline}": lambda summary: shown_spread(summary.ratio, short),
    "per row": lambda summary: f"{summary.per_row:.2f}" if summary.per_row else "",
    "shuffled": lambda summary: shown_bytes(summary.shuffled_bytes),
    "spilled": lambda summary: shown_bytes(summary.spilled_bytes),
    "CPU s": lambda summary: f"{summary.cpu_seconds:.1f}" if summary.cpu_seconds is not None else "",
    "peak memory": lambda summary: shown_bytes(summary.peak_bytes),
    "answers": lambda summary: "; ".join(filter(None, [summary.answers, summary.failure])),
}


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
    if options.batches is not None:
        parts.append(f"{options.batches:,} overlapping batches")
    if options.late:
        parts.append(f"{options.late:.0%} of the values late")
    if options.known_at != "none":
        parts.append(f"known_at: {options.known_at}")
    return ", ".join(parts)


def terminal_tables(report: Report) -> list[Table]:
    """Each data set's engines, then all goals."""
    tables = []
    for result in report.results:
        table = Table(*report.columns, title=described(result.options))
        for summary in report.summaries(result):
            table.add_row(*_cells(summary))
        tables.append(table)
    goals = Table("data", *GOAL_COLUMNS, title="goals")
    for result in report.results:
        for goal in report.goals(result):
            goals.add_row(_rows(result.options), *goal.cells)
    return [*tables, goals] if goals.row_count else tables


def _cells(summary: EngineSummary) -> list[str]:
    return [cell(summary) for cell in _COLUMNS.values()]


def _rows(options: Options) -> str:
    return f"{options.rows:,} values, {options.spine:,} spine rows"


def write_report(report: Report, folder: Path) -> None:
    """Write ``point_in_time.json``, ``.md`` and ``.png`` to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(report), indent=1) + "\n"
    (folder / "point_in_time.json").write_text(text, encoding="utf-8")
    (folder / "point_in_time.md").write_text(_markdown(report), encoding="utf-8")
    ratio_picture(report).savefig(folder / "point_in_time.png", dpi=150)


def as_json(report: Report) -> dict[str, Any]:
    """The settings; per data set its options, summaries, goals, runs, and the answers.

    The answers are the same on every machine.
    """
    datasets = [
        {
            "options": asdict(result.options),
            "summaries": [asdict(summary) for summary in report.summaries(result)],
            "goals": [goal.as_json() for goal in report.goals(result)],
            "runs": [_without_answers(run) for run in result.runs],
            "differences": result.differences(),
            "answers": result.expected,
        }
        for result in report.results
    ]
    return {"settings": dict(report.settings), "baseline": report.baseline, "datasets": datasets}


def _without_answers(run: Run) -> dict[str, Any]:
    fields = asdict(run)
    if fields["measurement"] is not None:
        del fields["measurement"]["answers"]
    return fields


def _markdown(report: Report) -> str:
    lines = [", ".join(f"{name} {value}" for name, value in report.settings.items()), ""]
    for result in report.results:
        rows = [_cells(summary) for summary in report.summaries(result)]
        lines += [f"**{described(result.options)}**", "", *markdown_table(report.columns, rows), ""]
        if goals := report.goals(result):
            lines += [*markdown_table(GOAL_COLUMNS, [goal.cells for goal in goals]), ""]
    return "\n".join(lines)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def ratio_picture(report: Report) -> Figure:
    """Each engine's seconds divided by the baseline's: a point for the median, a line from minimum to maximum."""
    results = report.results
    engines = [name for name in ENGINES if any(name in result.engines for result in results)]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(engines) * (1 + len(results) / 2)), layout="constrained")
    axes = figure.subplots()
    for index, result in enumerate(results):
        measured = [summary for summary in report.summaries(result) if summary.ratio is not None]
        heights = [engines.index(summary.engine) + 0.6 * (index + 0.5) / len(results) - 0.3 for summary in measured]
        ratios = [summary.ratio for summary in measured if summary.ratio is not None]
        medians = [ratio.median for ratio in ratios]
        spread = [[ratio.median - ratio.min for ratio in ratios], [ratio.max - ratio.median for ratio in ratios]]
        axes.errorbar(medians, heights, xerr=spread, fmt="o", capsize=3, label=described(result.options))
        for height, ratio in zip(heights, ratios, strict=True):
            axes.annotate(short(ratio.median), (ratio.max, height), (6, 0), textcoords="offset points", va="center")
    axes.axvline(1, color="0.6", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.1)
    axes.set_yticks(range(len(engines)), engines)
    axes.set_ylim(len(engines) - 0.5, -0.5)
    axes.set_xlabel(
        f"seconds, divided by those of {report.baseline} in the same round (median, minimum to maximum; more is slower)"
    )
    figure.legend(loc="outside upper left", frameon=False, fontsize="small")
    return figure
