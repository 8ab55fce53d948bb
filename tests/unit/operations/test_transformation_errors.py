"""What is quiet while a user's SQL runs speaks again afterwards."""

import logging

import pytest
from pyspark.logger import PySparkLogger

from featurestore.operations.jobs.transformation_errors import sql_that_runs

NAMES = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")


def test_pysparks_loggers_are_quiet_meanwhile_and_of_its_own_class_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        # As before the first access: the first access decides its class.
        monkeypatch.delitem(logging.Logger.manager.loggerDict, name, raising=False)

    with sql_that_runs("SELECT 1", "SELECT 1"):
        meanwhile = [logging.getLogger(name).level for name in NAMES]

    assert meanwhile == [logging.CRITICAL, logging.CRITICAL]
    assert all(logging.getLogger(name).isEnabledFor(logging.ERROR) for name in NAMES)
    assert all(isinstance(logging.getLogger(name), PySparkLogger) for name in NAMES)
