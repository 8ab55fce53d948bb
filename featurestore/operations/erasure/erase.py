"""Erase entities from every table and export of a tenant, and keep them from coming back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

import pyarrow as pa

from featurestore.definitions.entity import Entity
from featurestore.display.description import Display, Mark, Table, count, counted, size
from featurestore.display.displayed import Displayed, Listing
from featurestore.errors import ErasureError, FeatureStoreError, InvalidArgumentError, NotFoundError, nearest
from featurestore.object_stores import is_object_store
from featurestore.operations.context import Context, Scope
from featurestore.operations.entities import EntityKey, entity_rows
from featurestore.operations.erasure.erasing import ErasedTable, Erasing
from featurestore.operations.erasure.exports import erase_exports
from featurestore.operations.erasure.groups import erase_groups, groups_not_searched, groups_outside
from featurestore.operations.erasure.runs import RUNS, erase_run_errors
from featurestore.operations.erasure.suppress import checked_secret, suppressions
from featurestore.operations.erasure.training_sets import erase_training_sets
from featurestore.operations.erasure.vectors import erase_vectors
from featurestore.operations.job_run import recorded_run
from featurestore.stores.arrow import to_spark
from featurestore.stores.object_commits import why_not_erased
from featurestore.stores.small_tables.erasures import Erasure, ErasureLog
from featurestore.stores.small_tables.suppression import SuppressionSecret

ERASE = "erase"
# The store cannot recognise a key in free text, and does not know where data went that people took out of it.
_NEVER_SEARCHED = (
    "what people wrote: batch ids, definitions and their SQL, and texts in features of other entities",
    "what was taken out of the store: reports and catalogue pages, files of notebooks, backups, Spark's event logs, "
    "and versions of files that an object store keeps",
)


@dataclass(frozen=True)
class ErasureCertificate(Displayed):
    """What an erasure removed, and where. Entities appear only as keyed hashes (HMAC-SHA256), in no particular order.

    ``tables``: every table that was searched. ``exports``: folders that were removed. ``left``: what could not be
    searched yet, and why; erase again once the reason is gone. ``out_of_reach``: places that may still hold the keys
    and that no erasure can search, and who is responsible for them. ``finished_at``: by the store's clock, ISO 8601.
    """

    erasure_id: str
    tenant_id: str
    entity: str
    join_keys: tuple[str, ...]
    key_hashes: tuple[str, ...] = field(repr=False)
    finished_at: str
    code_version: str
    tables: tuple[ErasedTable, ...] = field(repr=False)
    exports: tuple[str, ...] = ()
    left: tuple[str, ...] = field(default=())
    out_of_reach: tuple[str, ...] = field(default=(), repr=False)

    @property
    def rows(self) -> int:
        """The number of rows removed. Runs do not count: they stay and only lose their message."""
        return sum(table.rows for table in self.tables if table.kind != RUNS)

    def require_complete(self) -> None:
        """Raise ErasureError if something could not be searched yet."""
        if self.left:
            places = "".join(f"\n- {place}" for place in self.left)
            raise ErasureError(
                f"erasure {self.erasure_id} removed {self.rows} rows, but could not search everything; erase again "
                f"once these are resolved:{places}"
            )

    def display(self) -> Display:
        """One line per searched table, the exports that were removed, and what could not be searched."""
        columns = ("kind", "name", "version", "rows", "files removed", "size removed")
        rows = tuple(
            (
                table.kind,
                table.name,
                table.version,
                count(table.rows),
                count(table.files_removed),
                size(table.bytes_removed),
            )
            for table in self.tables
        )
        return Display(
            f"Erasure {self.erasure_id}: {counted(self.rows, 'row')} removed",
            lines=(
                *(f"Removed {folder}" for folder in self.exports),
                *(Mark(f"Not searched yet: {place}", "bad") for place in self.left),
                *(f"Out of reach: {place}" for place in self.out_of_reach),
            ),
            facts=(
                ("entity", f"{self.entity} ({', '.join(self.join_keys)})"),
                ("entities", count(len(self.key_hashes))),
                ("finished at", self.finished_at),
            ),
            tables=(Table(columns, rows),),
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ErasureCertificate:
        """The certificate in a parsed document of ``to_json``."""
        # Certificates of older code lack out_of_reach.
        names = ("join_keys", "key_hashes", "exports", "left", "out_of_reach")
        lists = {name: tuple(document.get(name, ())) for name in names}
        tables = tuple(ErasedTable(**table) for table in document["tables"])
        return cls(**(dict(document) | lists | {"tables": tables}))


def describe_certificates(done: Sequence[ErasureCertificate]) -> Display:
    """One line per erasure."""
    rows = tuple((each.erasure_id, each.entity, each.finished_at, count(each.rows)) for each in done)
    return Display(counted(len(done), "erasure"), tables=(Table(("erasure", "entity", "finished at", "rows"), rows),))


def erase(scope: Scope, entity: str, keys: EntityKey | Sequence[EntityKey]) -> ErasureCertificate:
    """Remove everything that the tenant stores about some entities, keep it from coming back, and return a certificate.

    ``keys``: the join keys of one entity, or of several. First the keys go on the suppression list, as hashes keyed
    with the secret in ``FEATURESTORE_SUPPRESSION_SECRET``: from then on no write and no new training set has rows of
    these entities. Then their rows are removed from every group of the entity, and from groups of every entity that has
    these join keys and more, in every major version; from rejected rows; from vectors in PostgreSQL; from saved
    training sets; and from messages of failed runs. Exports that may hold the entities are deleted. Afterwards no old
    version, change file or log entry of a table holds anything about them.

    Old versions of a table that held the entities can no longer be read, so training sets that were built from these
    versions cannot be built again. Safe to repeat: an interrupted erasure continues where it stopped. Raises
    ConfigurationError (the secret is missing, or differs from the earlier one; nothing is done), NotFoundError,
    InvalidArgumentError, ErasureError (interrupted; erase again).
    """
    definition = _entity(scope.context, entity)
    typed = _typed(scope.context, definition, keys)
    secret = _secret(scope)
    spark, now = scope.spark, scope.context.clock
    log, listed = scope.context.erasures, scope.context.suppressed
    hashes = secret.hashes(to_spark(spark, typed), scope.tenant_id, entity)
    unfinished = log.unfinished(scope.tenant_id, entity, hashes)
    erasure = Erasure(scope.tenant_id, unfinished or uuid4().hex, entity, tuple(hashes))
    with recorded_run(scope, ERASE) as job:
        job.report({"erasure_id": erasure.erasure_id, "entity": entity, "key_hashes": hashes})
        try:
            listed.add(scope.tenant_id, entity, definition.keys, hashes, secret, erasure.erasure_id, now())
            scope.step("erase.suppressed")
            if unfinished is None:
                log.record(erasure, "begun", {}, now())
            certificate = _erase(scope.context, definition, typed, erasure, log)
            log.record(erasure, "certified", asdict(certificate), now())
            scope.step("erase.certified")
        except FeatureStoreError:
            raise
        except Exception as error:
            # Messages of Spark and file systems may quote the keys, which the ledger must not hold.
            raise ErasureError(
                f"erasure {erasure.erasure_id} of {len(hashes)} of {entity!r} stopped before its end "
                f"({type(error).__name__}); erase again, and it continues where it stopped"
            ) from error
    return certificate


def _erase(context: Context, entity: Entity, keys: pa.Table, erasure: Erasure, log: ErasureLog) -> ErasureCertificate:
    erasing = Erasing.of(context, entity, keys, erasure, log)
    exports_not_removed = erase_exports(erasing)
    groups, vectors = erase_groups(erasing), erase_vectors(erasing)
    sets, sets_not_searched = erase_training_sets(erasing)
    runs = erase_run_errors(erasing)
    return ErasureCertificate(
        erasure_id=erasure.erasure_id,
        tenant_id=erasure.tenant_id,
        entity=entity.name,
        join_keys=tuple(entity.keys),
        key_hashes=erasure.key_hashes,
        finished_at=context.clock().isoformat(),
        code_version=context.code_version,
        tables=(*groups, *vectors.tables, *sets, *runs),
        exports=tuple(erasing.removed_folders()),
        left=(*exports_not_removed, *groups_not_searched(context), *sets_not_searched),
        out_of_reach=(*groups_outside(erasing), *vectors.out_of_reach, *_kept_versions(context), *_NEVER_SEARCHED),
    )


def _kept_versions(context: Context) -> list[str]:
    """What is known of older versions of objects; where only Spark reaches the warehouse, nothing is."""
    warehouse = context.settings.warehouse
    kept = why_not_erased(warehouse) if context.is_native and is_object_store(warehouse) else None
    return [] if kept is None else [kept]


def _entity(context: Context, name: str) -> Entity:
    state = context.refresh()
    entity = state.entity(name) if isinstance(name, str) else None
    if entity is None:
        known = [known for kind, known, _ in state.entries if kind == "entity"]
        raise NotFoundError(f"entity {name!r} was never applied. {nearest(str(name), known)}")
    return entity


def _typed(context: Context, entity: Entity, keys: EntityKey | Sequence[EntityKey]) -> pa.Table:
    all_keys: list[Any] = list(keys) if isinstance(keys, list | tuple) else [keys]
    if not all_keys:
        raise InvalidArgumentError(f"no keys of {entity.name!r} are given; name at least one entity to erase")
    return entity_rows(entity, all_keys, context.settings.timestamp_zone)


def _secret(scope: Scope) -> SuppressionSecret:
    earlier = suppressions(scope)
    if earlier:
        return checked_secret(scope, earlier)
    return SuppressionSecret.of(scope.context.environ, "an erasure is remembered by hashes that are made with it")


def certificates(scope: Scope) -> Listing[ErasureCertificate]:
    """The certificates of the tenant's erasures, oldest first."""
    log = scope.context.erasures
    done = log.certificates(scope.tenant_id, lambda text: ErasureCertificate.of(json.loads(text)))
    return Listing(done, describe_certificates)
