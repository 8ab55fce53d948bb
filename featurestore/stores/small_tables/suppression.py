"""The suppression list: entities that were erased, as keyed hashes, and may not be written again."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from featurestore.columnar.schema import table_schema
from featurestore.errors import ConfigurationError
from featurestore.frames.columns import column
from featurestore.frames.keyed_hash import key_pads, keyed_hash
from featurestore.frames.rows.suppression import SUPPRESSED, identity_text
from featurestore.late_spark import Column, DataFrame, F
from featurestore.stores.arrow import to_spark
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.which_rows import equal
from featurestore.stores.small_tables.small_table import SmallTable, rows_of, small_table

SECRET = "FEATURESTORE_SUPPRESSION_SECRET"
# Someone could try all keys, so the secret must be too long to be guessed.
_SHORTEST = 16
_CHECK_TEXT = b"featurestore suppression list"
_INNER, _OUTER, _HASH = "__inner", "__outer", "__key_hash"
_SCHEMA = table_schema(
    "tenant_id string, entity string, join_keys array<string>, key_hash string, secret_check string, "
    "erasure_id string, suppressed_at timestamp"
)


@dataclass(frozen=True)
class Suppression:
    """The number of hashes of one entity's keys; ``secret_check``, a hash of a fixed text, identifies their secret."""

    entity: str
    join_keys: tuple[str, ...]
    secret_check: str
    hashes: int


class SuppressionSecret:
    """The key of the hashes. It never appears in a query's plan, which logs and Spark's UI show."""

    def __init__(self, secret: bytes) -> None:
        self.pads = key_pads(secret, hashlib.sha256(secret).digest())
        self.check = hmac.new(secret, _CHECK_TEXT, "sha256").hexdigest()

    @classmethod
    def of(cls, environ: Mapping[str, str], why: str) -> SuppressionSecret:
        """Read the secret from the environment; raises ConfigurationError if it is not set or too short."""
        text = environ.get(SECRET, "")
        if len(text) < _SHORTEST:
            problem = "is not set" if not text else f"has {len(text)} characters"
            raise ConfigurationError(
                f"{SECRET} {problem}, and {why}; set it in the environment to a random text of at least {_SHORTEST} "
                "characters, the same for all jobs, and keep it: hashes of different secrets cannot be compared"
            )
        return cls(text.encode())

    def with_hash(self, rows: DataFrame, tenant_id: str, entity: str, keys: Mapping[str, Column]) -> DataFrame:
        """Add the column ``__key_hash``, the hash of the entity by its join keys; null if one of them is null."""
        inner, outer = self.pads
        # The pads come from a joined row, because a literal would appear in the plan.
        pads = to_spark(rows.sparkSession, pa.table({_INNER: [inner], _OUTER: [outer]}))
        hashed = keyed_hash(identity_text(tenant_id, entity, keys), column(_INNER), column(_OUTER))
        return rows.crossJoin(F.broadcast(pads)).withColumn(_HASH, hashed).drop(_INNER, _OUTER)

    def hashes(self, keys: DataFrame, tenant_id: str, entity: str) -> list[str]:
        """Return the sorted hashes of a few entities; ``keys`` has one row for each."""
        columns = {name: column(name) for name in keys.columns}
        return sorted({row[_HASH] for row in self.with_hash(keys, tenant_id, entity, columns).select(_HASH).collect()})


@dataclass(frozen=True)
class SuppressionList:
    table: SmallTable

    @classmethod
    def of(cls, table: DeltaTable) -> SuppressionList:
        return cls(small_table(table, _SCHEMA, ["tenant_id"]))

    def of_tenant(self, tenant_id: str) -> list[Suppression]:
        """Return what is suppressed, one item per entity and secret; empty if no entity was ever erased."""
        rows = self.table.read(equal(tenant_id=tenant_id), ["entity", "join_keys", "secret_check"]).to_pylist()
        counted = Counter((row["entity"], tuple(row["join_keys"]), row["secret_check"]) for row in rows)
        return [Suppression(*key, hashes) for key, hashes in sorted(counted.items())]

    def add(
        self,
        tenant_id: str,
        entity: str,
        join_keys: Sequence[str],
        hashes: Sequence[str],
        secret: SuppressionSecret,
        erasure_id: str,
        now: datetime,
    ) -> None:
        """Add hashes to the list; those that are on it are not added again."""
        listed = self.hashes(tenant_id, entity)
        constants = {"tenant_id": tenant_id, "entity": entity, "join_keys": list(join_keys), "suppressed_at": now}
        constants |= {"secret_check": secret.check, "erasure_id": erasure_id}
        rows = [constants | {"key_hash": key_hash} for key_hash in hashes if key_hash not in listed]
        if rows:
            self.table.append(rows_of(_SCHEMA, rows))

    def hashes(self, tenant_id: str, entity: str) -> set[str]:
        """Return the hashes of the entity's suppressed keys."""
        return set(self.table.read(equal(tenant_id=tenant_id, entity=entity), ["key_hash"]).column(0).to_pylist())

    def mark(
        self,
        rows: DataFrame,
        tenant_id: str,
        suppressed: Sequence[tuple[Suppression, Mapping[str, Column]]],
        secret: SuppressionSecret,
    ) -> DataFrame:
        """Add the column ``SUPPRESSED``: whether one of the row's entities is on the list.

        Each suppression comes with the columns that hold its join keys in the rows.
        """
        marked = rows.withColumn(SUPPRESSED, F.lit(False))
        for suppression, keys in suppressed:
            hashes = pa.array(sorted(self.hashes(tenant_id, suppression.entity)), pa.string())
            listed = to_spark(rows.sparkSession, pa.table({"__listed": hashes}))
            hashed = secret.with_hash(marked, tenant_id, suppression.entity, keys)
            joined = hashed.join(listed, column(_HASH) == F.col("__listed"), "left")
            is_suppressed = column(SUPPRESSED) | F.col("__listed").isNotNull()
            marked = joined.withColumn(SUPPRESSED, is_suppressed).drop(_HASH, "__listed")
        return marked
