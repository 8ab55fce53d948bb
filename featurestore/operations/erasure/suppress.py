"""Find rows of erased entities among incoming rows, and leave them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.erased.identities import ErasedEntities, with_suppressed
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import ConfigurationError
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW
from featurestore.frames.rows.rejected_rows import may_be_about
from featurestore.frames.rows.suppression import SUPPRESSED, without_suppressed
from featurestore.late_spark import Column, DataFrame, F
from featurestore.operations.context import Scope
from featurestore.stores.arrow import to_spark
from featurestore.stores.small_tables.suppression import SECRET, Suppression, SuppressionSecret

# Each mapping is one way in which rows identify an entity: its join keys -> the columns that hold them.
Lookups = Sequence[Mapping[str, str]]
_TEXT = "__text_of_erased"


def suppressions(scope: Scope) -> list[Suppression]:
    """The tenant's suppressions. Every write makes this check; it is cheap if nothing was ever erased."""
    return scope.context.suppressed.of_tenant(scope.tenant_id)


def of_group(suppressed: Sequence[Suppression], group: FeatureGroup) -> list[Suppression]:
    """The suppressions with join keys among the group's: of its own entity, or of an entity that is part of it."""
    return [suppression for suppression in suppressed if set(suppression.join_keys) <= set(group.join_keys)]


def with_mark(scope: Scope, rows: DataFrame, suppressed: Sequence[Suppression], lookups: Lookups) -> DataFrame:
    """Add the column ``SUPPRESSED`` to the rows if any suppression can apply to them.

    ``lookups`` name columns of the rows. Raises ConfigurationError if the secret is missing or is not the earlier one.
    """
    applying = [
        (suppression, {key: column(lookup[key]) for key in suppression.join_keys})
        for suppression in suppressed
        for lookup in _distinct(lookups, suppression)
    ]
    if not applying:
        return rows
    secret = checked_secret(scope, suppressed)
    return scope.context.suppressed.mark(rows, scope.tenant_id, applying, secret)


def with_rejected_marked(
    scope: Scope, checked: DataFrame, suppressed: Sequence[Suppression], group: FeatureGroup
) -> DataFrame:
    """Set ``SUPPRESSED`` also for rejected rows with a text that may be about an erased entity.

    The key of such a row could not be read, because it is in a list or spelled differently, but the row's text would be
    stored. Runs one Spark job per suppression.
    """
    if SUPPRESSED not in checked.columns:
        return checked
    secret = checked_secret(scope, suppressed)
    for suppression in suppressed:
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
    listed = scope.context.suppressed
    marked = listed.mark(may_be_about(checked, ROW, FAULTS, kinds), scope.tenant_id, [(suppression, keys)], secret)
    return marked.where(column(SUPPRESSED)).select(column("text").alias(_TEXT)).distinct().toArrow()


def _distinct(lookups: Lookups, suppression: Suppression) -> list[Mapping[str, str]]:
    """The distinct ways in which the rows identify this entity."""
    ways: dict[tuple[str, ...], Mapping[str, str]] = {}
    for lookup in lookups:
        if set(suppression.join_keys) <= lookup.keys():
            ways.setdefault(tuple(lookup[key] for key in suppression.join_keys), lookup)
    return list(ways.values())


def checked_secret(scope: Scope, suppressed: Sequence[Suppression]) -> SuppressionSecret:
    """The secret that keyed the tenant's suppressions; raises ConfigurationError if the environment has another."""
    purpose = f"entities of tenant {scope.tenant_id!r} were erased, and writes need it to recognise them"
    secret = SuppressionSecret.of(scope.context.environ, purpose)
    if any(suppression.secret_check != secret.check for suppression in suppressed):
        raise ConfigurationError(
            f"{SECRET} is not the secret with which entities of tenant {scope.tenant_id!r} were erased; set that "
            "secret again: without it the store would not recognise these entities, and they would come back. "
            "Nothing was written"
        )
    return secret


def without_erased_entities(scope: Scope, rows: DataFrame, lookups: Lookups) -> tuple[DataFrame, int]:
    """The rows without those of erased entities, and how many were left out; the same rows if nothing was erased."""
    suppressed = suppressions(scope)
    if not suppressed:
        return rows, 0
    marked = with_mark(scope, rows, suppressed, lookups)
    if SUPPRESSED not in marked.columns:
        return rows, 0
    return without_suppressed(marked), marked.where(column(SUPPRESSED)).count()


def local_rows_without_erased(
    scope: Scope, rows: pa.Table, suppressed: Sequence[Suppression], lookups: Lookups
) -> tuple[pa.Table, int]:
    """The same without Spark, for these suppressions. Keys of dates and instants are of the years 1 to 9999."""
    ways = [(suppression, lookup) for suppression in suppressed for lookup in _distinct(lookups, suppression)]
    if not ways:
        return rows, 0
    entities = [
        ErasedEntities(
            suppression.entity,
            {key: lookup[key] for key in suppression.join_keys},
            scope.context.suppressed.hashes(scope.tenant_id, suppression.entity),
        )
        for suppression, lookup in ways
    ]
    marked = with_suppressed(rows, scope.tenant_id, entities, checked_secret(scope, suppressed).pads)
    kept = marked.filter(pc.invert(marked.column(SUPPRESSED))).drop_columns([SUPPRESSED])
    return kept, rows.num_rows - kept.num_rows


def suppressed_keys(scope: Scope, rows: DataFrame, suppression: Suppression, lookup: Mapping[str, str]) -> pa.Table:
    """The distinct join keys of the rows' entities that are on the suppression list."""
    marked = with_mark(scope, rows, [suppression], [lookup])
    named: list[Column] = [column(lookup[key]).alias(key) for key in suppression.join_keys]
    return marked.where(column(SUPPRESSED)).select(*named).distinct().toArrow()
