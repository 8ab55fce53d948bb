"""Rows about entities that were erased: found among rows that come, and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import ConfigurationError
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.rejected_rows import may_be_about
from featurestore.frames.rows.suppression import SUPPRESSED, without_suppressed
from featurestore.operations.context import Scope
from featurestore.stores.arrow import to_spark
from featurestore.stores.small_tables.suppression import SECRET, Suppression, SuppressionList, SuppressionSecret

# A way in which rows tell an entity: its join keys -> the columns that hold them.
Lookups = Sequence[Mapping[str, str]]
_TEXT = "__text_of_erased"


def suppressions(scope: Scope) -> list[Suppression]:
    """What was erased of the tenant; the one check that every write makes, and cheap where nothing was."""
    return SuppressionList(scope.layout.suppressed).of_tenant(scope.spark, scope.tenant_id)


def of_group(found: Sequence[Suppression], group: FeatureGroup) -> list[Suppression]:
    """Those whose join keys are among the group's: of its own entity, or of one that is part of it."""
    return [one for one in found if set(one.join_keys) <= set(group.join_keys)]


def with_mark(scope: Scope, rows: DataFrame, found: Sequence[Suppression], lookups: Lookups) -> DataFrame:
    """The rows with the column ``SUPPRESSED``, where any suppression can apply to them at all.

    ``lookups`` name columns of the rows. Raises ConfigurationError where the hashes cannot be compared.
    """
    applying = [
        (suppression, {key: column(lookup[key]) for key in suppression.join_keys})
        for suppression in found
        for lookup in _distinct(lookups, suppression)
    ]
    if not applying:
        return rows
    secret = checked_secret(scope, found)
    return SuppressionList(scope.layout.suppressed).mark(rows, scope.tenant_id, applying, secret)


def with_rejected_marked(
    scope: Scope, checked: DataFrame, found: Sequence[Suppression], group: FeatureGroup
) -> DataFrame:
    """Checked rows with ``SUPPRESSED`` also where a rejected row's text may be about an erased entity.

    Its key may be in a list, or be spelled otherwise, and could not be read; its text would be kept. Runs a job for each
    suppression.
    """
    if SUPPRESSED not in checked.columns:
        return checked
    secret = checked_secret(scope, found)
    for suppression in found:
        texts = _texts_about(scope, checked.where(~column(SUPPRESSED)), suppression, group, secret)
        if texts.num_rows:
            erased = F.broadcast(to_spark(scope.spark, texts))
            met = checked.join(erased, column(ROW) == column(_TEXT), "left")
            checked = met.withColumn(SUPPRESSED, column(SUPPRESSED) | column(_TEXT).isNotNull()).drop(_TEXT)
    return checked


def _texts_about(
    scope: Scope,
    checked: DataFrame,
    suppression: Suppression,
    group: FeatureGroup,
    secret: SuppressionSecret,
) -> pa.Table:
    kinds = {key: group.entity.join_keys[key] for key in suppression.join_keys}
    keys = {key: column(key) for key in kinds}
    listed = SuppressionList(scope.layout.suppressed)
    marked = listed.mark(may_be_about(checked, ROW, FAULTS, kinds), scope.tenant_id, [(suppression, keys)], secret)
    return marked.where(column(SUPPRESSED)).select(column("text").alias(_TEXT)).distinct().toArrow()


def _distinct(lookups: Lookups, suppression: Suppression) -> list[Mapping[str, str]]:
    """The ways in which the rows tell this entity, each once."""
    ways: dict[tuple[str, ...], Mapping[str, str]] = {}
    for lookup in lookups:
        if set(suppression.join_keys) <= lookup.keys():
            ways.setdefault(tuple(lookup[key] for key in suppression.join_keys), lookup)
    return list(ways.values())


def checked_secret(scope: Scope, found: Sequence[Suppression]) -> SuppressionSecret:
    """The secret by which the tenant's suppressions were made; raises ConfigurationError where it is not that one."""
    why = f"entities of tenant {scope.tenant_id!r} were erased, whom writes must recognise by it"
    secret = SuppressionSecret.of(scope.context.environ, why)
    if any(one.secret_check != secret.check for one in found):
        raise ConfigurationError(
            f"{SECRET} is not the one by which entities of tenant {scope.tenant_id!r} were erased; set that one again: with another "
            "they would not be recognised, and come back. Nothing was written"
        )
    return secret


def left_after_suppression(scope: Scope, rows: DataFrame, lookups: Lookups) -> tuple[DataFrame, int]:
    """The rows of all but erased entities, and how many were left out; the rows themselves where nobody was erased."""
    found = suppressions(scope)
    if not found:
        return rows, 0
    marked = with_mark(scope, rows, found, lookups)
    if SUPPRESSED not in marked.columns:
        return rows, 0
    return without_suppressed(marked), marked.where(column(SUPPRESSED)).count()


def suppressed_keys(scope: Scope, rows: DataFrame, suppression: Suppression, lookup: Mapping[str, str]) -> pa.Table:
    """The join keys of those entities among the rows that are on the list."""
    marked = with_mark(scope, rows, [suppression], [lookup])
    named: list[Column] = [column(lookup[key]).alias(key) for key in suppression.join_keys]
    return marked.where(column(SUPPRESSED)).select(*named).distinct().toArrow()
