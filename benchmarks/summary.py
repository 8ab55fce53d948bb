"""Summarize the runs of each engine on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.answers import Answers, differences
from benchmarks.dataset import Options
from benchmarks.engines import ENGINES
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

    - ``ratio``: its seconds divided by the baseline's in the same round: 2 is twice as slow;
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


def paired(result: DatasetResult, engine: str, others: Sequence[str]) -> Spread | None:
    """The engine's seconds divided by those of the fastest of the others in the same round; None without both."""
    measured = result.measurements(engine)
    rivals = [result.measurements(other) for other in others]
    ratios = [
        measured[number].seconds / min(rival[number].seconds for rival in rivals if number in rival)
        for number in measured
        if any(number in rival for rival in rivals)
    ]
    return Spread.of(ratios) if ratios else None


def summarize(result: DatasetResult, first: DatasetResult, baseline: str) -> list[EngineSummary]:
    """One summary per engine, in their order.

    ``first`` is the result to compare the time per row with, ``baseline`` the engine to compare the seconds with.
    """
    return [_summary(result, first, baseline, engine) for engine in result.engines]


def _summary(result: DatasetResult, first: DatasetResult, baseline: str, engine: str) -> EngineSummary:
    measured = result.measurements(engine)
    failure = result.failed(engine)
    if engine in result.left_out:
        failure = f"left out: {result.left_out[engine]}"
    if not measured:
        return EngineSummary(engine, failure=failure)
    tasks = [measurement.tasks for measurement in measured.values() if measurement.tasks is not None]
    wrong = any(differences(result.expected, measurement.answers) for measurement in measured.values())
    return EngineSummary(
        engine,
        seconds=Spread.of([measurement.seconds for measurement in measured.values()]),
        ratio=paired(result, engine, [baseline]),
        per_row=per_row(result, first, engine),
        cpu_seconds=median(measurement.cost.cpu_seconds for measurement in measured.values()),
        peak_bytes=max(measurement.cost.peak_bytes for measurement in measured.values()),
        shuffled_bytes=median(task.shuffled_bytes for task in tasks) if tasks else None,
        spilled_bytes=median(task.spilled_bytes for task in tasks) if tasks else None,
        answers=("differ" if wrong else "same") if ENGINES[engine].is_as_of_join else "none",
        failure=failure,
    )


def per_row(result: DatasetResult, first: DatasetResult, engine: str) -> float | None:
    """The engine's median seconds per row, divided by those on the first data set; None without both."""
    times = [
        median(measurement.seconds for measurement in each.measurements(engine).values()) / each.options.all_rows
        for each in (result, first)
        if each.measurements(engine)
    ]
    return times[0] / times[1] if len(times) == 2 else None
