"""Importing the package loads neither Spark nor pandas; what stands in for them until they are used behaves alike."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import types as T

from featurestore.late import LateClass, LateErrors, LateModule, NeverRaisedError
from featurestore.late_pandas import is_missing_in_pandas

HEAVY = ("pyspark", "py4j", "delta", "pandas", "matplotlib", "psycopg", "feast")
# Of other packages, what only some commands and calls need.
ALSO_NOT_IN_THE_STORE = ("jinja2", "sqlglot", "duckdb", "prometheus_client", "tenacity", "structlog")
# The demonstration and the reports draw and compute when they run, and what Feast imports needs Feast; nobody imports
# them for anything else.
ALL_MODULES = """
import importlib, pkgutil, featurestore
for module in pkgutil.walk_packages(featurestore.__path__, "featurestore."):
    if not module.name.startswith(
        ("featurestore.demo", "featurestore.feast.", "featurestore.reports", "featurestore.project_template")
    ):
        importlib.import_module(module.name)
"""
UNIONS = """
from featurestore.late_pandas import pd
from featurestore.late_spark import Column, DataFrame
import pyarrow as pa
Rows = DataFrame | pd.DataFrame | pa.Table | None
assert isinstance(pa.table({}), Rows) and isinstance(None, DataFrame | None)
assert not isinstance([], Rows) and not issubclass(list, None | Column)
assert not isinstance(1, DataFrame | Column) and not isinstance(1, (pd.Series, Column))
"""
LOOKED_AT = """
import inspect, pickle
from featurestore import late_pandas, late_spark
from featurestore.late import LateClass, LateErrors, LateModule, NeverRaisedError
stand_ins = [x for of in (late_pandas, late_spark) for x in vars(of).values() if isinstance(x, LateClass | LateModule)]
assert len(stand_ins) > 20
for one in stand_ins:
    pickle.dumps(one), repr(one), inspect.unwrap(one), inspect.isclass(one), hasattr(one, "__iter__"), hash(one)
"""


WITHOUT_SPARK = """
import sys
from importlib.abc import MetaPathFinder
class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("delta", "py4j", "pyspark"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NotInstalled())

from featurestore import FeatureStore, Settings
from featurestore.errors import RuntimeSetupError
from featurestore.late_spark import F, py4j_errors, spark_errors
fs = FeatureStore.open(Settings(warehouse=sys.argv[1]))
for used in (lambda: fs.spark, lambda: F.col("a")):
    try:
        used()
    except (spark_errors.PySparkException, py4j_errors.Py4JError):
        print("an error of Spark")
    except RuntimeSetupError as error:
        print(error)
"""


def loaded_after(code: str, *packages: str) -> str:
    """Those of the packages that are loaded once the code has run in a process of its own."""
    code += f"\nimport sys; print([package for package in {packages!r} if package in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import featurestore",
        "from featurestore import *",
        "import featurestore.cli",
        "from featurestore.cli import run; run(['definitely', '--no'])",
        ALL_MODULES,
        UNIONS,
        LOOKED_AT,
    ],
    ids=["package", "names", "cli", "refused command", "every module", "unions", "looked at"],
)
def test_neither_spark_nor_pandas_is_loaded(code: str) -> None:
    assert loaded_after(code, *HEAVY) == "[]"


def test_the_store_loads_what_other_calls_need_when_they_are_made() -> None:
    assert loaded_after("from featurestore import FeatureStore", *HEAVY, *ALSO_NOT_IN_THE_STORE) == "[]"


def test_the_arguments_of_the_store_are_checked_without_spark_and_pandas() -> None:
    code = """
import inspect
from featurestore import FeatureDataLoader, FeatureStore, OfflineStore
from featurestore.arguments import _readers
for kind in (FeatureDataLoader, FeatureStore, OfflineStore):
    for member in vars(kind).values():
        function = inspect.unwrap(getattr(member, "__func__", member))
        if inspect.isfunction(function) and not function.__name__.startswith("_"):
            dict(_readers(function))
"""
    assert loaded_after(code, *HEAVY) == "[]"


Late: Any = LateModule("pandas", "DataFrame")
LateFrame: Any = LateClass("pandas", "DataFrame")
LateType: Any = LateClass("pyspark.sql.types", "DataType")


def test_a_late_module_has_the_names_of_the_module() -> None:
    assert Late.Series is pd.Series
    assert Late.DataFrame is pd.DataFrame
    with pytest.raises(AttributeError, match="pandas"):
        _ = Late.nothing_of_this_name


def test_a_late_class_is_called_and_asked_like_the_class() -> None:
    frame = LateFrame({"a": [1]})

    assert type(frame) is pd.DataFrame
    assert isinstance(frame, LateFrame)
    assert isinstance(frame, LateType | LateFrame | pa.Table)
    assert isinstance(frame, (LateType, LateFrame))
    assert not isinstance(frame["a"], LateFrame)
    assert isinstance(T.StringType(), LateFrame | LateType)
    assert issubclass(T.StringType, LateType)
    assert not issubclass(pd.DataFrame, LateType)
    assert LateFrame.from_dict({"a": [1]}).equals(frame)


def test_errors_of_a_package_that_is_not_loaded_are_never_raised() -> None:
    nowhere: Any = LateErrors("nothing_of_this_name.errors")
    here: Any = LateErrors("pandas.errors")

    assert nowhere.SomeError is NeverRaisedError
    assert here.EmptyDataError is pd.errors.EmptyDataError


def test_without_pyspark_what_needs_it_names_the_extra(tmp_path: Path) -> None:
    code = [sys.executable, "-c", WITHOUT_SPARK, str(tmp_path)]

    printed = subprocess.run(code, check=True, capture_output=True, text=True).stdout

    assert printed.splitlines() == 2 * [
        "this needs Spark, and the package pyspark is not installed; "
        "install it with: pip install 'offline-feature-store[spark]'"
    ]


def test_other_processes_get_the_real_module_and_class() -> None:
    assert pickle.loads(pickle.dumps(Late)) is pd
    assert pickle.loads(pickle.dumps(LateFrame)) is pd.DataFrame
    assert copy.deepcopy(LateFrame) is pd.DataFrame
    sent = pickle.loads(cloudpickle.dumps(lambda: (Late, LateFrame)))
    assert sent() == (pd, pd.DataFrame)


def test_functions_are_sent_to_processes_that_have_no_feature_store() -> None:
    late, frame = Late, LateFrame
    sent = cloudpickle.dumps(lambda: isinstance(frame({"a": [1]}), late.DataFrame))
    code = "import pickle, sys; sys.modules['featurestore'] = None; print(pickle.load(sys.stdin.buffer)())"

    answer = subprocess.run([sys.executable, "-c", code], input=sent, check=True, capture_output=True)
    assert answer.stdout.decode().strip() == "True"


@pytest.mark.parametrize("late", [Late, LateFrame])
def test_what_looks_at_a_stand_in_finds_no_wrapped_function(late: Any) -> None:
    assert inspect.unwrap(late) is late
    assert not hasattr(late, "__wrapped__")
    assert "pandas" in repr(late)


@pytest.mark.parametrize(("value", "missing"), [(pd.NA, True), (pd.NaT, True), (None, False), (float("nan"), False)])
def test_values_that_pandas_calls_missing(value: Any, missing: bool) -> None:
    assert is_missing_in_pandas(value) is missing
