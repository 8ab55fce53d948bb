"""The goals of the as-of join, each as a number that is at most its limit, and whether they are met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.summary import DatasetResult, Spread, paired, per_row

Unit = Literal["ratio", "bytes", "ms"]

# A join in Spark's tasks beside the best one on Spark, and one in this process beside the best on one machine: the
# seconds of one divided by those of the other.
_RIVALS = {"in_tasks": ["tempo"], "in_process": ["duckdb", "polars"]}
# By engine: up to so many value rows, and above.
_RATIO_LIMITS = {"in_tasks": (1_000_000, 0.7, 0.5), "in_process": (10_000_000, 1.0, 1.2)}
# Seconds per row, divided by those at the first size.
_GROWTH_LIMIT = 1.1

GOAL_COLUMNS = ("goal", "at most", "measured", "met")


@dataclass(frozen=True)
class Goal:
    """``measured`` over rounds or calls, of which the median counts; None if there is no number, which is not met."""

    name: str
    limit: float
    measured: Spread | None
    unit: Unit = "ratio"

    @property
    def is_met(self) -> bool:
        return self.measured is not None and self.measured.median <= self.limit

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """One cell per column of ``GOAL_COLUMNS``."""
        show = _SHOWN[self.unit]
        measured = shown_spread(self.measured, show) if self.measured else "failed"
        return (self.name, show(self.limit), measured, "met" if self.is_met else "not met")

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"met": self.is_met}


def as_of_goals(result: DatasetResult, first: DatasetResult, memory_limit: int | None) -> list[Goal]:
    """The goals that the engines of a data set allow to judge; ``first`` is the result of the first size.

    ``memory_limit``: bytes that a process of ``in_process`` may take; None for no such goal.
    """
    ours = [engine for engine in _RIVALS if result.measurements(engine) or result.failed(engine)]
    goals = [goal for engine in ours for goal in (_ratio(result, engine), _growth(result, first, engine)) if goal]
    if memory_limit is not None and "in_process" in ours:
        goals.append(_memory(result, memory_limit))
    return goals


def _ratio(result: DatasetResult, engine: str) -> Goal | None:
    rivals = [rival for rival in _RIVALS[engine] if result.measurements(rival)]
    if not rivals:
        return None
    name = rivals[0] if len(rivals) == 1 else f"the faster of {' and '.join(rivals)}"
    rows, up_to, above = _RATIO_LIMITS[engine]
    limit = up_to if result.options.rows <= rows else above
    return Goal(f"{engine} / {name}", limit, paired(result, engine, rivals))


def _growth(result: DatasetResult, first: DatasetResult, engine: str) -> Goal | None:
    if result is first or not first.measurements(engine):
        return None
    growth = per_row(result, first, engine)
    measured = None if growth is None else Spread.of([growth])
    return Goal(f"{engine}: time per row / that of {first.options.rows:,} values", _GROWTH_LIMIT, measured)


def _memory(result: DatasetResult, limit: int) -> Goal:
    """Of the run that took the most, because a limit is for each."""
    peaks = [measurement.cost.peak_bytes for measurement in result.measurements("in_process").values()]
    return Goal("in_process: peak memory", limit, Spread.of([max(peaks)]) if peaks else None, "bytes")


def shown_spread(spread: Spread | None, show: Callable[[float], str]) -> str:
    """The median, and in parentheses the range if there is one; empty without numbers."""
    if spread is None:
        return ""
    if spread.min == spread.max:
        return show(spread.median)
    return f"{show(spread.median)} ({show(spread.min)} - {show(spread.max)})"


def short(ratio: float) -> str:
    """Two decimals, and more if these would be zeros."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def shown_bytes(count: float | None) -> str:
    if count is None:
        return ""
    if not count:
        return "0"
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def milliseconds(count: float) -> str:
    return f"{count:.3g} ms" if count < 1000 else f"{count / 1000:.1f} s"


_SHOWN: dict[Unit, Callable[[float], str]] = {"ratio": short, "bytes": shown_bytes, "ms": milliseconds}
