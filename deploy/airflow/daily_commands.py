"""What runs every day for a tenant, in order: commands of ``featurestore`` with the words of Airflow's templates in them.

Without Airflow, so that a test reads it: tests/unit/project/test_deployment.py gives every command to the real command line.
"""

from __future__ import annotations

from dataclasses import dataclass

TENANTS = ("acme",)

START, END = "{{ data_interval_start | ts }}", "{{ data_interval_end | ts }}"


@dataclass(frozen=True)
class Step:
    """A task: the file in ``jobs/`` without its ending, and the words that follow its name."""

    job: str
    words: tuple[str, ...] = ()


# Each is safe to repeat: a window is computed once, and the others find nothing to do.
DAILY = (
    # Every group, after those that it reads; late rows of the two days before are picked up as corrections.
    Step("materialize", ("--all", "--start", START, "--end", END, "--lookback", "2d")),
    # Without dates: a value of the day begins at its end, and corrections are of earlier days. It finds what changed by itself.
    Step("profile_features"),
    Step("sync_embeddings", ("--all",)),
    Step("cleanup"),
)


def arguments(step: Step, tenant: str, conf: str) -> list[str]:
    return ["--conf", conf, "--profile", "prod", "--tenant", tenant, "--log", "json", *step.words]
