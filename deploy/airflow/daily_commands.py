"""The daily commands of a tenant, in order: jobs of ``featurestore`` whose arguments contain Airflow's templates.

This module does not import Airflow, so that tests/unit/project/test_deployment.py can pass every command to the real
command line.
"""

from __future__ import annotations

from dataclasses import dataclass

TENANTS = ("acme",)

START, END = "{{ data_interval_start | ts }}", "{{ data_interval_end | ts }}"


@dataclass(frozen=True)
class Step:
    """A task: the name of a file in ``jobs/`` without its suffix, and the job's arguments."""

    job: str
    words: tuple[str, ...] = ()


# Each step is safe to repeat: a window is computed once, and the other steps find nothing to do.
DAILY = (
    # Every group, after the groups that it reads; late rows of the previous two days become corrections.
    Step("materialize", ("--all", "--start", START, "--end", END, "--lookback", "2d")),
    # Without dates, because a value of the day begins at its end, and corrections belong to earlier days. The job finds
    # the changed dates itself.
    Step("profile_features"),
    Step("sync_embeddings", ("--all",)),
    Step("cleanup"),
)


def arguments(step: Step, tenant: str, conf: str) -> list[str]:
    return ["--conf", conf, "--profile", "prod", "--tenant", tenant, "--log", "json", *step.words]
