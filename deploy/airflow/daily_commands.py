"""The daily commands of a tenant, in order, and what an exit code means: all that is to be changed is here.

This module does not import Airflow, so that tests/unit/project/test_deployment.py can pass every command to the real
command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HOME = "/opt/featurestore"
TENANTS = ("acme",)
# The first day of data. Airflow marks a run of an earlier day as successful without running any task.
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
# What runs each command: this package in an environment of its own, since Airflow pins what this package needs in other
# versions. Or a script that takes the same words, as deploy/kubernetes/submit.sh.
RUN_JOB = (f"{HOME}/.venv/bin/featurestore",)

# The pool whose slots the tasks take. Where Spark alone writes a store on S3 (`small_tables: spark`), only one driver
# may write at a time: make a pool of one slot, `airflow pools set featurestore 1 "writes to the store"`, and name it.
POOL = "default_pool"
RETRIES = 2
RETRY_DELAY = timedelta(minutes=5)
# Exit codes (docs/cli.md) of faults that may be gone the next time: a part failed, an erasure, PostgreSQL, a sync,
# storage, a busy table, and a process that was killed. Any other code needs a person: a task that ends with it fails at
# once.
RETRIED = frozenset({21, 23, 24, 25, 26, 27, 137})

START, END = "{{ data_interval_start | ts }}", "{{ data_interval_end | ts }}"


@dataclass(frozen=True)
class Step:
    """A task: a command of ``featurestore``, and its arguments, which may contain Airflow's templates."""

    command: str
    words: tuple[str, ...] = ()


# Each step is safe to repeat: a window is computed once, and the other steps find nothing to do.
DAILY = (
    # Every group, after the groups that it reads; late rows of the previous two days become corrections.
    Step("materialize", ("--all", "--start", START, "--end", END, "--lookback", "2d")),
    # Without dates, because a value of the day begins at its end, and corrections belong to earlier days. The command
    # finds the changed dates itself.
    Step("profile"),
    Step("sync-embeddings", ("--all",)),
    Step("cleanup"),
)


def arguments(step: Step, tenant: str, conf: str) -> list[str]:
    return [step.command, *step.words, "--conf", conf, "--profile", "prod", "--tenant", tenant, "--log", "json"]


def exit_code(returned: int) -> int:
    """The exit code as a shell has it: Python gives a process that a signal ended the signal's negative number."""
    return 128 - returned if returned < 0 else returned
