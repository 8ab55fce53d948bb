"""One Spark session for the whole run, in a process whose own time zone is not UTC, so that zone mistakes show."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, Phase, settings
from pyspark.sql import SparkSession
from xdist.scheduler import LoadFileScheduling

from featurestore import FeatureStore, Settings
from featurestore.session import open_session
from tests.processes.quick_spark import QUICK

# MLflow would report what is used of it to its makers.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["TZ"] = "America/New_York"
time.tzset()

SPARK = QUICK | {"spark.master": "local[2]", "spark.log.level": "ERROR"}

# The same examples on every run. An example is big and holds many independent cases, each costs a Spark job: a failing
# test tells the one case that failed, and shrinking would run for minutes to say the same.
settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
settings.load_profile("repeatable")


# No test begins after this instant, in seconds since 1970; see .ci/run.
END_BY = float(os.environ.get("TESTS_END_BY", "inf"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.time() > END_BY:
        pytest.skip("not run: no time was left for it on this machine")


class FilesAndPages(LoadFileScheduling):
    """How tests are split among workers: a whole file, since its tests share a store; but each page of the docs alone.

    By the tests' ids: marks of groups are not seen with this pytest, where xdist writes them into an attribute that ids are no
    longer read from.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return nodeid if scope.endswith("test_readme.py") else scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesAndPages:
    # In the order of their paths, so that the quick unit tests come last, and both workers end together. By their numbers of
    # tests, which is usual, the last would be pages of the docs and files of a few long tests.
    config.option.loadscopereorder = False
    return FilesAndPages(config, log)


class Clock:
    """A clock that shows what the test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def spark_setting(spark: SparkSession, name: str, value: str) -> Iterator[None]:
    """Within it, the session has another value of this setting."""
    before = str(spark.conf.get(name))
    spark.conf.set(name, value)
    try:
        yield
    finally:
        spark.conf.set(name, before)


class OpenFeatureStore(Protocol):
    def __call__(self, clock: Clock, **more_settings: Any) -> FeatureStore: ...


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    warehouse = str(tmp_path_factory.mktemp("session") / "warehouse")
    session = open_session(Settings(warehouse=warehouse, spark=SPARK, spark_log="stderr"))
    yield session
    session.stop()


@pytest.fixture(scope="session")
def gone_runner() -> str:
    """A process that has ended, as the store names processes."""
    code = "from featurestore.stores.runner import this_runner; print(this_runner())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ended.stdout.strip()


@pytest.fixture(scope="session")
def open_feature_store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> OpenFeatureStore:
    """Opens an empty store in a warehouse of its own, each time it is called."""

    def open_store(clock: Clock, **more_settings: Any) -> FeatureStore:
        warehouse = str(tmp_path_factory.mktemp("store") / "warehouse")
        return FeatureStore.open(Settings(warehouse=warehouse, **more_settings), spark=spark, clock=clock)

    return open_store
