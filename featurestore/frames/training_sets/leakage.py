"""Signs of leaks that can be counted in a training set's rows: values from the future, duplicates; and a sample."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.columnar.training_sets.leakage import SAMPLING_SEED
from featurestore.frames.as_of.examples import identity
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.late_spark import Column, DataFrame, F, T

# Of the hash by which rows are held out in comparisons with the label.
ROWS_SEED = 102
_RESOLUTION = 1_000_000
_MICROS_A_SECOND = 1e6
_FIRST, _SECOND, _ROW = "__example_first", "__example_second", "__row"


def overview(
    rows: DataFrame, instants: str, event_timestamps: Sequence[str], features: Sequence[str], label: str | None
) -> DataFrame:
    """One row of counts, from one pass.

    - ``rows``: all rows; ``unlabelled``: those without a label;
    - ``unmatched_i``: rows in which the event timestamp i is null; ``newer_i``: rows in which it is after the row's
      instant; ``seconds_i``: by how much at most, null if it never is;
    - ``missing_i``: rows in which the feature i is null;
    - ``one_label``: whether all labels are equal; null if there are no labels.
    """
    time = F.unix_micros(column(instants))
    ahead = [F.unix_micros(column(name)) - time for name in event_timestamps]
    hashed = F.lit(None).cast("long") if label is None else F.when(column(label).isNotNull(), F.xxhash64(column(label)))
    return rows.agg(
        F.count(F.lit(1)).alias("rows"),
        *(F.count_if(column(name).isNull()).alias(f"unmatched_{i}") for i, name in enumerate(event_timestamps)),
        *(F.count_if(micros > 0).alias(f"newer_{i}") for i, micros in enumerate(ahead)),
        *(
            F.max(F.when(micros > 0, micros / F.lit(_MICROS_A_SECOND))).alias(f"seconds_{i}")
            for i, micros in enumerate(ahead)
        ),
        *(F.count_if(column(name).isNull()).alias(f"missing_{i}") for i, name in enumerate(features)),
        F.count_if(hashed.isNull()).alias("unlabelled"),
        (F.min(hashed) == F.max(hashed)).alias("one_label"),
    )


def doubled(rows: DataFrame, example: Sequence[str], spine: Sequence[str]) -> DataFrame:
    """One row that counts duplicate examples; rows are one example if they agree in ``example``, without nulls.

    ``examples``: examples with more than one row; ``rows``: their rows beyond the first of each; ``copies``: those of
    these rows that are copies of another in all columns of ``spine``. Takes one shuffle of hashes.
    """
    complete = rows.where(F.lit(True) if not example else _all_present(example))
    first, second = identity([column(name) for name in example])
    hashed = complete.select(
        first.alias(_FIRST), second.alias(_SECOND), row_hash([column(name) for name in spine]).alias(_ROW)
    )
    # Nearly all rows differ, so a partial count before the shuffle would gain nothing.
    spread = hashed.repartition(_FIRST, _SECOND)
    different = spread.groupBy(_FIRST, _SECOND, _ROW).agg(F.count(F.lit(1)).alias("n"))
    by_example = different.groupBy(_FIRST, _SECOND).agg(F.sum("n").alias("n"), F.sum(F.col("n") - 1).alias("copies"))
    return by_example.where(F.col("n") > 1).agg(
        F.count(F.lit(1)).alias("examples"),
        F.coalesce(F.sum(F.col("n") - 1), F.lit(0)).alias("rows"),
        F.coalesce(F.sum("copies"), F.lit(0)).alias("copies"),
    )


def _all_present(names: Sequence[str]) -> Column:
    present = column(names[0]).isNotNull()
    for name in names[1:]:
        present = present & column(name).isNotNull()
    return present


def sampled(rows: DataFrame, spine: Sequence[str], size: int, total: int) -> DataFrame:
    """About ``size`` of the ``total`` rows (all if there are fewer), by a hash of their spine columns.

    Every run returns the same rows. There are never more than twice ``size``, even with many copies of one row.
    """
    if total <= size:
        return rows
    threshold = _RESOLUTION * size // total
    chosen = F.pmod(row_hash([column(name) for name in spine], SAMPLING_SEED), F.lit(_RESOLUTION)) < F.lit(threshold)
    return rows.where(chosen).limit(2 * size)


def comparable_values(rows: DataFrame, name: str) -> Column:
    """A column as values that can be compared in memory.

    Numbers, booleans, dates and instants become doubles (a spine's NaN becomes null), all else its xxhash64.
    """
    value, kind = column(name), rows.schema[name].dataType
    if isinstance(kind, T.NumericType):
        number = value.cast("double")
        return F.when(~F.isnan(number), number)
    if isinstance(kind, T.BooleanType):
        return value.cast("int").cast("double")
    if isinstance(kind, T.DateType):
        return F.unix_date(value).cast("double")
    if isinstance(kind, T.TimestampType):
        return F.unix_micros(value).cast("double")
    return F.when(value.isNotNull(), F.xxhash64(value))


def hashed(names: Sequence[str]) -> Column:
    return row_hash([column(name) for name in names], ROWS_SEED)
