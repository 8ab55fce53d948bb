"""Run the demo, from files to an evaluated model; every step is a call that a user would make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from featurestore import FeatureDataLoader, FeatureStore, OfflineStore, Settings, TrainingSet
from featurestore.definitions.values.durations import spoken
from featurestore.definitions.values.time_window import to_instant
from featurestore.demo.airports import LIKE, PROFILE, AirportsAlike, airports_alike, alike_picture
from featurestore.demo.flights import flight_tables, land_flights
from featurestore.demo.model import Score, compare_joins
from featurestore.demo.tracking import INSTALL, is_installed, log_demo
from featurestore.reports.training_set_numbers import TrainingSetNumbers
from featurestore.reports.training_set_report import training_set_report

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TENANT = "nyc"
TRAINING_SET = "departure_delays"
GROUPS = ("airport_weather", "carrier_delays", "route_delays", "aircraft_activity")
WINDOWS = "route_windows"
PROFILES = "airport_profiles"
# The year as New York counts it.
START, END = "2013-01-01T00:00:00-05:00", "2014-01-01T00:00:00-05:00"


@dataclass
class Step:
    """One step of the demo: the lines that it reports at its end, and its duration."""

    name: str
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def report(self, line: str) -> None:
        self.lines.append(line)


class Steps:
    """Run steps one after the other; show each from its start, and time it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.done: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        step = Step(name)
        started = perf_counter()
        if not self.console.is_terminal:
            self.console.print(f"... {escape(name)}", highlight=False)
        with self._running() as progress:
            progress.add_task(escape(name), total=None)
            yield step
        step.seconds = perf_counter() - started
        self.done.append(step)
        self.console.print(f"[green]done[/] {escape(name)} [dim]{step.seconds:.1f} s[/]", highlight=False)
        for line in step.lines:
            self.console.print(f"     {escape(line)}", style="dim", highlight=False)

    def _running(self) -> Progress:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)


@dataclass(frozen=True)
class DemoResult:
    """The results of the demo and their paths; ``run_id``: of the run of MLflow that recorded them, if any."""

    training_set: TrainingSet
    numbers: TrainingSetNumbers
    scores: list[Score]
    alike: AirportsAlike
    steps: list[Step]
    export: Path
    report: Path
    run_id: str | None = None


def run_demo(
    source: Settings | Path,
    definitions: Path,
    console: Console,
    spark: SparkSession | None = None,
    read_tables: Callable[[], Mapping[str, pd.DataFrame]] = flight_tables,
    tracking_uri: str | None = None,
) -> DemoResult:
    """Land the flights, apply the definitions, materialize the year, build, export, report, train, and sum up.

    Safe to run again: it skips landed tables and finished windows, and builds no training set that is up to date.
    ``read_tables`` gives the tables to land (the whole year by default). With ``tracking_uri``, a new run of MLflow
    there records the training set and the scores.
    """
    steps = Steps(console)
    with steps.step("Open the store"):
        fs = FeatureStore.open(source, spark=spark)
    output = Path(fs.settings.output)
    with steps.step("Land the year's flights") as step:
        for table in land_flights(fs.settings.landing, TENANT, read_tables):
            step.report(f"{table.name}: {table.rows:,} rows{'' if table.new else ', landed earlier'}")
    with steps.step("Apply the definitions") as step:
        plan = fs.apply(definitions)
        changes = [change for change in plan.changes if change.action != "unchanged"]
        for change in changes:
            step.report(f"{change.action} {change.kind.replace('_', ' ')} {change.name}")
        step.report(f"{len(plan.changes) - len(changes)} unchanged")
    store = fs.tenant(TENANT)
    for group in (*GROUPS, PROFILES):
        _materialize(steps, store, group)
    with steps.step("Sync the airports' profiles to PostgreSQL") as step:
        synced = store.sync_embeddings(PROFILE)
        step.report(f"{synced.rows_upserted:,} vectors written, {synced.rows:,} in all")
    with steps.step(f"Find airports that behave like {LIKE}"):
        alike = airports_alike(store, to_instant(END))
    with steps.step("Build the training set") as step:
        training_set = FeatureDataLoader(store).build(TRAINING_SET)
        manifest = training_set.manifest
        step.report(
            f"{manifest.name} v{manifest.version}{' is up to date' if training_set.is_up_to_date else ''}: "
            f"{manifest.row_count:,} rows, {len(manifest.columns)} columns"
        )
    with steps.step("Export the training set"):
        folder = output / "training_sets" / manifest.name / f"v{manifest.version}-{manifest.content_hash[:12]}"
        export = Path(training_set.export(str(folder)))
    with steps.step("Measure it, write the report"):
        numbers = TrainingSetNumbers.of(training_set)
        report = training_set_report(
            training_set,
            output / "reports" / f"{manifest.name}_v{manifest.version}.html",
            numbers,
            more=[alike_picture(alike)],
        )
    with steps.step("Train one model per join"):
        scores = compare_joins(fs, training_set)
    run_id = None if tracking_uri is None else _record(steps, tracking_uri, training_set, scores)
    result = DemoResult(training_set, numbers, scores, alike, steps.done, export, report, run_id)
    _sum_up(console, result)
    return result


def _materialize(steps: Steps, store: OfflineStore, group: str) -> None:
    with steps.step(f"Materialize {group}") as step:
        result = store.materialize_feature(group, START, END)
        if result.state == "skipped":
            step.report("done in an earlier run: skipped")
            return
        step.report(f"{result.written:,} rows written")
        for reason, count in result.errors.items():
            step.report(f"{count:,} rejected, kept with the reason: {reason}")


def _record(steps: Steps, tracking_uri: str, training_set: TrainingSet, scores: list[Score]) -> str | None:
    with steps.step("Record the training set in MLflow") as step:
        if not is_installed():
            step.report(f"MLFLOW_TRACKING_URI is set, but MLflow is not installed; install it with: {INSTALL}")
            return None
        run_id = log_demo(tracking_uri, training_set, scores)
        step.report(f"run {run_id}")
        return run_id


def _sum_up(console: Console, result: DemoResult) -> None:
    total = result.numbers.total
    assert total is not None, "the spine has rows"
    rate = "no labels" if total.label_rate is None else f"label rate {total.label_rate:.1%}"
    console.print()
    console.print(_features(result.numbers))
    console.print(
        f"[bold]{total.rows:,} rows[/], {rate}. {total.rows - total.labelled:,} flights were cancelled or diverted: "
        "they stay in, without a label."
    )
    console.print()
    console.print(_scores(result.scores))
    console.print(
        "One small model per join, trained on the same flights and tested on the same later ones. [bold]Windows[/]: "
        "the routes' delays computed for each flight, not stored at full hours. [bold]Offline[/]: the score that its "
        "author sees. [bold]Served[/]: with the values that exist two hours before departure."
    )
    console.print()
    console.print(_alike(result.alike))
    console.print(
        f"Flights from New York to these airports are late at the same hours and in the same weather as to {LIKE}: "
        "vectors from a materialization, searched in PostgreSQL."
    )
    console.print()
    console.print(_steps(result.steps))
    for name, path in (
        ("Training set", result.training_set.manifest.location),
        ("Parquet", result.export),
        ("Report", result.report),
    ):
        console.print(f"{name + ':':14}{path}", soft_wrap=True, highlight=False, markup=False)


def _features(numbers: TrainingSetNumbers) -> Table:
    table = Table("Feature", title="Features", title_justify="left")
    table.add_column("Found", justify="right")
    table.add_column("Median age", justify="right")
    for feature in numbers.features:
        share = "-" if feature.value_share is None else f"{feature.value_share:.1%}"
        table.add_row(feature.name, share, spoken(feature.age_median))
    return table


def _scores(scores: list[Score]) -> Table:
    table = Table("Features joined", title="What a wrong join costs", title_justify="left")
    table.add_column("Offline AUC", justify="right")
    table.add_column("Served AUC", justify="right")
    for score in scores:
        table.add_row(score.join, f"{score.offline:.3f}", f"{score.served:.3f}")
    return table


def _alike(alike: AirportsAlike) -> Table:
    table = Table("Airport", title=f"Airports that behave like {alike.airport}", title_justify="left")
    table.add_column("Similarity", justify="right")
    table.add_column("Flights", justify="right")
    for match in alike.matches:
        table.add_row(match.entity["airport"], f"{match.similarity:.3f}", f"{match.filters['flights']:,}")
    return table


def _steps(steps: list[Step]) -> Table:
    table = Table("Step", title="Time", title_justify="left", show_footer=True)
    table.columns[0].footer = "Total"
    table.add_column("Seconds", justify="right", footer=f"{sum(step.seconds for step in steps):.1f}")
    for step in steps:
        table.add_row(step.name, f"{step.seconds:.1f}")
    return table
