"""The benchmark of fixed costs: each operation runs, without Spark."""

from pathlib import Path

from benchmarks.fixed_costs import FLOOR, GOALS, measure_commands, measure_operations


def test_every_operation_and_command_runs_without_spark(tmp_path: Path) -> None:
    operations = measure_operations(tmp_path, calls=1, spark_calls=0)
    commands = measure_commands(tmp_path, processes=1)

    names = [cost.name for cost in operations + commands]
    assert len(set(names)) == len(names) == 16
    assert set(GOALS) < set(names)
    assert all(cost.first is not None and cost.by_spark is None and cost.warm.min > 0 for cost in operations)
    assert [cost.name for cost in commands if cost.goal is None] == [FLOOR]
