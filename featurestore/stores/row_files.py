"""Files of rows for a feature group: CSV, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import NotFoundError, SchemaError
from featurestore.frames.conform import check_column_names
from featurestore.frames.text_rows import rows_from_cells, rows_from_json_lines
from featurestore.stores.delta import quote

FileFormat = Literal["csv", "jsonl", "parquet"]

_SUFFIXES: dict[str, FileFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate")
# A quote within quotes is doubled, and a quoted cell may hold line ends (RFC 4180).
_CSV = {"escape": '"', "multiLine": "true"}
_MALFORMED = "__malformed"


def file_format(path: str) -> FileFormat:
    """The format that a file's or folder's name tells; raises SchemaError where it tells none."""
    suffixes = [suffix for suffix in Path(path).suffixes if suffix not in _COMPRESSED]
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    raise SchemaError(f"{path}: its name does not tell the format; name one of csv, jsonl, parquet")


def read_rows(
    spark: SparkSession, path: str, group: FeatureGroup, tenant_id: str, format: FileFormat | None = None
) -> DataFrame:
    """A file's (or folder's) rows as ``write_batch`` takes them; a value that cannot be read is a fault of its row.

    A CSV file has a header. Raises NotFoundError, and SchemaError for columns the group does not have.
    """
    chosen = format or file_format(path)
    with _explained(path, chosen):
        if chosen == "csv":
            return _read_csv(spark, path, group)
        if chosen == "jsonl":
            return rows_from_json_lines(spark.read.text(path), group, tenant_id)
        return spark.read.parquet(path)


def read_parquet(spark: SparkSession, path: str) -> DataFrame:
    """A file or folder as it is; raises NotFoundError, and SchemaError for what is not Parquet that Spark can read."""
    with _explained(path, "parquet"):
        return spark.read.parquet(path)


@contextmanager
def _explained(path: str, format: FileFormat) -> Iterator[None]:
    """What Spark says of a file that it cannot read, as errors for people."""
    try:
        yield
    except AnalysisException as error:
        if error.getCondition() == "PATH_NOT_FOUND":
            raise NotFoundError(f"{path}: there is no such file or folder") from error
        if error.getCondition() == "PARQUET_TYPE_ILLEGAL":
            raise SchemaError(
                f"{path} holds a type that Spark cannot read ({str(error).splitlines()[0]}); timestamps must be in "
                "microseconds (pandas: to_parquet(..., coerce_timestamps='us'))"
            ) from error
        raise
    except Exception as error:
        # Spark hands this one on as it came from Java, without a class of its own.
        if "CANNOT_READ_FILE_FOOTER" in str(error):
            raise SchemaError(f"{path} is not {format}; mend the file, or name its format") from error
        raise


def _read_csv(spark: SparkSession, path: str, group: FeatureGroup) -> DataFrame:
    header = spark.read.options(**_CSV).csv(path).limit(1).collect()
    if not header:
        raise SchemaError(f"{path} is empty; its first line must name the columns")
    names = [(name or "").removeprefix("\ufeff").strip() for name in header[0]]
    check_column_names(names, group)
    schema = ", ".join(f"{quote(name)} string" for name in (*names, _MALFORMED))
    reader = spark.read.schema(schema).options(header="true", columnNameOfCorruptRecord=_MALFORMED, **_CSV)
    return rows_from_cells(reader.csv(path), group, _MALFORMED)
