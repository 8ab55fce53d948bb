"""Erase from the run ledger: replace messages of failed runs that quote an entity's keys."""

from __future__ import annotations

from featurestore.frames.rows.rejected_rows import mentions_of_any
from featurestore.frames.rows.rows_of_entity import by_columns
from featurestore.late_spark import F, StringType, StructField, StructType
from featurestore.operations.erasure.erasing import ErasedTable, Erasing
from featurestore.operations.erasure.sweep import Sweep

RUNS = "runs"
# This replaces such a message; the run itself stays, with its state and counts.
ERASED_ERROR = "this message quoted an entity that was erased"


def erase_run_errors(erasing: Erasing) -> list[ErasedTable]:
    """Replace messages that contain all join keys of an entity: Spark and databases quote values that they refuse."""
    ledger = erasing.context.layout.runs
    entities = erasing.keys.toArrow().to_pylist()
    errors = Sweep(
        ledger,
        erasing.keys,
        by_columns([{"error": "error"}]),
        StructType([StructField("error", StringType())]),
        erasing.of_tenant,
        replaced={"error": F.lit(ERASED_ERROR)},
        compared_with=lambda rows: mentions_of_any(
            rows.where(F.col("error") != F.lit(ERASED_ERROR)), "error", entities
        ),
    )
    swept = erasing.sweep(RUNS, RUNS, 1, errors)
    # A certificate names the ledger if this attempt or an earlier one found such a message.
    return [swept] if swept.rows or swept.table_version_after != swept.table_version_before else []
