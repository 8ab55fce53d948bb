"""Airflow: one DAG per tenant, one run per day of data: materialize, profile, sync embeddings, apply retention.

It needs Airflow 3 with the standard provider, which comes with it. Copy this file and ``daily_commands.py``, where
places, tenants and retries are named, to the folder of DAGs; docs/airflow.md goes through it from an empty environment.

Backfill, one run per day, the last day included; windows that are done are skipped. A backfill does not heed the DAG's
limit of one run at a time, so name it:

    airflow backfill create --dag-id featurestore_daily_acme --from-date 2026-10-01 --to-date 2026-10-31 \
        --max-active-runs 1

Tested: whole days, a backfill and failing tasks, with Airflow 3.3.2 on one machine. Not tested: Airflow on several
machines.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from daily_commands import (
    DAILY,
    FIRST_DAY,
    HOME,
    POOL,
    RETRIED,
    RETRIES,
    RETRY_DELAY,
    RUN_JOB,
    TENANTS,
    arguments,
    exit_code,
)


class FeaturestoreOperator(BaseOperator):
    """Runs one command; its exit code decides whether a failed task is retried.

    Not a BashOperator, which tries again whatever the code was.
    """

    template_fields = ("words",)

    def __init__(self, *, words: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words

    @cached_property
    def process(self) -> SubprocessHook:
        return SubprocessHook()

    def execute(self, context: Any) -> None:
        code = exit_code(self.process.run_command([*RUN_JOB, *self.words], cwd=HOME).exit_code)
        if code in RETRIED:
            raise AirflowException(f"{self.words[0]} ended with exit code {code}, which may pass: it is retried")
        if code:
            raise AirflowFailException(
                f"{self.words[0]} ended with exit code {code}, which needs a person: the log above and docs/runbook.md "
                "say what to do; then clear the task"
            )

    def on_kill(self) -> None:
        self.process.send_sigterm()


def daily(tenant: str) -> DAG:
    with DAG(
        dag_id=f"featurestore_daily_{tenant}",
        description=f"Features of {tenant}: materialize, profile, sync, retention",
        # Not "@daily": since Airflow 3, the start and the end of its data interval are the same moment.
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
        start_date=FIRST_DAY,
        catchup=True,
        # Days run in order, so that a day sees the corrections of the day before.
        max_active_runs=1,
        default_args={
            "pool": POOL,
            "retries": RETRIES,
            "retry_delay": RETRY_DELAY,
            # The factor by which the delay grows; True would count as 1.
            "retry_exponential_backoff": 2.0,
            "execution_timeout": timedelta(hours=6),
            # In a backfill without that limit, too, no two days compute the same step at once.
            "max_active_tis_per_dag": 1,
        },
        tags=["featurestore"],
    ) as dag:
        previous = None
        for step in DAILY:
            task = FeaturestoreOperator(
                task_id=step.command.replace("-", "_"), words=arguments(step, tenant, f"{HOME}/conf")
            )
            if previous is not None:
                previous >> task
            previous = task
    return dag


for name in TENANTS:
    globals()[f"featurestore_daily_{name}"] = daily(name)
