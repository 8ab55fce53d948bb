"""The as-of join is tested as it runs in production: with queries compiled by Spark."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

COMPILED = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}


@pytest.fixture(autouse=True, scope="module")
def compiled_queries(spark: SparkSession) -> Iterator[None]:
    before = {name: spark.conf.get(name) for name in COMPILED}
    for name, value in COMPILED.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)
