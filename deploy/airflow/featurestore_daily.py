"""Airflow: one DAG per tenant, one run per day of data: materialize, profile, sync embeddings, apply retention.

It needs Airflow 2.10 or newer, or 3, with ``apache-airflow-providers-apache-spark``. Copy this file and
``daily_commands.py`` to the folder of DAGs. The connection ``spark_default`` names the master and the deploy mode.

Backfill, one run per day; finished days are skipped:

    airflow backfill create --dag-id featurestore_daily_acme --from-date 2026-10-01 --to-date 2026-11-01
    airflow dags backfill -s 2026-10-01 -e 2026-11-01 featurestore_daily_acme  # Airflow 2

Tested: import and rendering with Airflow 3.3.2 and version 6.3.4 of the provider. Not tested: Airflow 2, and a run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow import DAG
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.timetables.interval import CronDataIntervalTimetable
from daily_commands import DAILY, TENANTS, Step, arguments

HOME = "/opt/featurestore"


def task(step: Step, tenant: str) -> SparkSubmitOperator:
    return SparkSubmitOperator(
        task_id=step.job,
        name=f"featurestore {step.job} {tenant}",
        application=f"{HOME}/jobs/{step.job}.py",
        application_args=arguments(step, tenant, f"{HOME}/conf"),
        properties_file=f"{HOME}/conf/spark-defaults.conf",
        conn_id="spark_default",
    )


def daily(tenant: str) -> DAG:
    with DAG(
        dag_id=f"featurestore_daily_{tenant}",
        description=f"Features of {tenant}: materialize, profile, sync, retention",
        # Not "@daily": since Airflow 3, the start and the end of its data interval are the same moment.
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=True,
        # Days run in order, so that a day sees the corrections of the day before.
        max_active_runs=1,
        default_args={
            "retries": 2,
            "retry_delay": timedelta(minutes=5),
            "retry_exponential_backoff": True,
            "execution_timeout": timedelta(hours=6),
        },
        tags=["featurestore"],
    ) as dag:
        previous = None
        for step in DAILY:
            operator = task(step, tenant)
            if previous is not None:
                previous >> operator
            previous = operator
    return dag


for name in TENANTS:
    globals()[f"featurestore_daily_{name}"] = daily(name)
