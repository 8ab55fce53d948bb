"""The names of PySpark, Delta and Py4J that this package uses, imported when one is first used.

Values are written, read and joined, definitions checked and commands explained without Spark, even where it is not
installed; what needs it raises RuntimeSetupError there. Errors are names of their modules, as in ``except
spark_errors.AnalysisException``: Python evaluates that only once something was raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.late import INSTALL_SPARK, LateClass, LateErrors, LateModule

__all__ = [
    "INSTALL_SPARK",
    "ArrayType",
    "BooleanType",
    "CapturedException",
    "Column",
    "DataFrame",
    "DataFrameReader",
    "DataType",
    "DateType",
    "DoubleType",
    "F",
    "IntegerType",
    "NullType",
    "NumericType",
    "Observation",
    "PySparkLogger",
    "Row",
    "SparkFiles",
    "SparkSession",
    "StringType",
    "StructField",
    "StructType",
    "T",
    "TaskContext",
    "TimestampType",
    "W",
    "Window",
    "WindowSpec",
    "delta_exceptions",
    "delta_tables",
    "from_arrow_schema",
    "from_arrow_type",
    "is_remote",
    "py4j_errors",
    "spark_errors",
    "to_arrow_schema",
]

if TYPE_CHECKING:
    import py4j.protocol as py4j_errors  # type: ignore[import-untyped]
    from delta import exceptions as delta_exceptions
    from delta import tables as delta_tables
    from pyspark import SparkFiles, TaskContext
    from pyspark import errors as spark_errors
    from pyspark.errors.exceptions.captured import CapturedException
    from pyspark.logger import PySparkLogger
    from pyspark.sql import Column, DataFrame, DataFrameReader, Observation, Row, SparkSession, Window, WindowSpec
    from pyspark.sql import Window as W
    from pyspark.sql import functions as F
    from pyspark.sql import types as T
    from pyspark.sql.pandas.types import from_arrow_schema, from_arrow_type, to_arrow_schema
    from pyspark.sql.types import (
        ArrayType,
        BooleanType,
        DataType,
        DateType,
        DoubleType,
        IntegerType,
        NullType,
        NumericType,
        StringType,
        StructField,
        StructType,
        TimestampType,
    )
    from pyspark.sql.utils import is_remote
else:
    F = LateModule("pyspark.sql.functions")
    T = LateModule("pyspark.sql.types")
    spark_errors = LateErrors("pyspark.errors")
    py4j_errors = LateErrors("py4j.protocol")
    delta_exceptions = LateModule("delta.exceptions")
    delta_tables = LateModule("delta.tables")

    SparkFiles = LateClass("pyspark", "SparkFiles")
    TaskContext = LateClass("pyspark", "TaskContext")
    CapturedException = LateClass("pyspark.errors.exceptions.captured", "CapturedException")
    PySparkLogger = LateClass("pyspark.logger", "PySparkLogger")
    Column = LateClass("pyspark.sql", "Column")
    DataFrame = LateClass("pyspark.sql", "DataFrame")
    DataFrameReader = LateClass("pyspark.sql", "DataFrameReader")
    Observation = LateClass("pyspark.sql", "Observation")
    Row = LateClass("pyspark.sql", "Row")
    SparkSession = LateClass("pyspark.sql", "SparkSession")
    W = Window = LateClass("pyspark.sql", "Window")
    WindowSpec = LateClass("pyspark.sql", "WindowSpec")
    from_arrow_schema = LateClass("pyspark.sql.pandas.types", "from_arrow_schema")
    from_arrow_type = LateClass("pyspark.sql.pandas.types", "from_arrow_type")
    to_arrow_schema = LateClass("pyspark.sql.pandas.types", "to_arrow_schema")
    is_remote = LateClass("pyspark.sql.utils", "is_remote")

    ArrayType = LateClass("pyspark.sql.types", "ArrayType")
    BooleanType = LateClass("pyspark.sql.types", "BooleanType")
    DataType = LateClass("pyspark.sql.types", "DataType")
    DateType = LateClass("pyspark.sql.types", "DateType")
    DoubleType = LateClass("pyspark.sql.types", "DoubleType")
    IntegerType = LateClass("pyspark.sql.types", "IntegerType")
    NullType = LateClass("pyspark.sql.types", "NullType")
    NumericType = LateClass("pyspark.sql.types", "NumericType")
    StringType = LateClass("pyspark.sql.types", "StringType")
    StructField = LateClass("pyspark.sql.types", "StructField")
    StructType = LateClass("pyspark.sql.types", "StructType")
    TimestampType = LateClass("pyspark.sql.types", "TimestampType")
