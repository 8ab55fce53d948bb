"""The suppression list: entities that were erased, as keyed hashes, and may not be written again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.errors import ConfigurationError
from featurestore.frames.columns import column
from featurestore.frames.keyed_hash import key_pads, keyed_hash
from featurestore.frames.rows.suppression import SUPPRESSED, identity_text
from featurestore.frames.schema import table_schema
from featurestore.stores.arrow import to_spark
from featurestore.stores.delta.table import DeltaTable

SECRET = "FEATURESTORE_SUPPRESSION_SECRET"
# Keys are few enough to be tried; a secret that can be tried too protects nothing.
_SHORTEST = 16
_CHECKED = b"featurestore suppression list"
_INNER, _OUTER, _HASH = "__inner", "__outer", "__key_hash"
_SCHEMA = table_schema(
    "tenant_id string, entity string, join_keys array<string>, key_hash string, secret_check string, erasure_id string, "
    "suppressed_at timestamp"
)


@dataclass(frozen=True)
class Suppression:
    """How many hashes there are of one entity's keys, and by which secret (its own hash of a fixed text) they were made."""

    entity: str
    join_keys: tuple[str, ...]
    secret_check: str
    hashes: int


class SuppressionSecret:
    """The key of the hashes. It never stands in a query's plan, which logs and Spark's pages show."""

    def __init__(self, secret: bytes) -> None:
        self._pads = key_pads(secret, hashlib.sha256(secret).digest())
        self.check = hmac.new(secret, _CHECKED, "sha256").hexdigest()

    @classmethod
    def of(cls, environ: Mapping[str, str], why: str) -> SuppressionSecret:
        """From the environment; raises ConfigurationError where it is not set, or is too short to protect anything."""
        text = environ.get(SECRET, "")
        if len(text) < _SHORTEST:
            found = "is not set" if not text else f"has {len(text)} characters"
            raise ConfigurationError(
                f"{SECRET} {found}, and {why}; set it in the environment to a random text of at least {_SHORTEST} characters, "
                "the same for all jobs, and keep it: hashes that were made with it cannot be compared with another's"
            )
        return cls(text.encode())

    def with_hash(self, rows: DataFrame, tenant_id: str, entity: str, keys: Mapping[str, Column]) -> DataFrame:
        """The rows with the column ``__key_hash``: of the entity by its join keys; null where one is null."""
        inner, outer = self._pads
        # A row that is joined: a literal would stand in the plan.
        pads = to_spark(rows.sparkSession, pa.table({_INNER: [inner], _OUTER: [outer]}))
        hashed = keyed_hash(identity_text(tenant_id, entity, keys), column(_INNER), column(_OUTER))
        return rows.crossJoin(F.broadcast(pads)).withColumn(_HASH, hashed).drop(_INNER, _OUTER)

    def hashes(self, keys: DataFrame, tenant_id: str, entity: str) -> list[str]:
        """Of a few entities, a row each; sorted."""
        named = {name: column(name) for name in keys.columns}
        return sorted({row[_HASH] for row in self.with_hash(keys, tenant_id, entity, named).select(_HASH).collect()})


@dataclass(frozen=True)
class SuppressionList:
    table: DeltaTable

    def of_tenant(self, spark: SparkSession, tenant_id: str) -> list[Suppression]:
        """What is suppressed, a line an entity and secret; nothing where nobody was ever erased."""
        if not self.table.exists(spark):
            return []
        rows = self.table.read(spark).where(F.col("tenant_id") == F.lit(tenant_id))
        counted = rows.groupBy("entity", "join_keys", "secret_check").agg(F.count(F.lit(1)).alias("hashes")).collect()
        found = [
            Suppression(row["entity"], tuple(row["join_keys"]), row["secret_check"], row["hashes"]) for row in counted
        ]
        return sorted(found, key=lambda one: (one.entity, one.join_keys, one.secret_check))

    def add(
        self,
        spark: SparkSession,
        tenant_id: str,
        entity: str,
        join_keys: Sequence[str],
        hashes: Sequence[str],
        secret: SuppressionSecret,
        erasure_id: str,
        now: datetime,
    ) -> None:
        """Put hashes on the list; those that are there are not doubled."""
        self.table.create(spark, _SCHEMA, ["tenant_id"])
        there = {row["key_hash"] for row in self._of_entity(spark, tenant_id, entity).select("key_hash").collect()}
        rows = [
            (tenant_id, entity, list(join_keys), one, secret.check, erasure_id, now)
            for one in hashes
            if one not in there
        ]
        if rows:
            self.table.append(spark.createDataFrame(rows, _SCHEMA).coalesce(1))

    def mark(
        self,
        rows: DataFrame,
        tenant_id: str,
        suppressed: Sequence[tuple[Suppression, Mapping[str, Column]]],
        secret: SuppressionSecret,
    ) -> DataFrame:
        """The rows with the column ``SUPPRESSED``: whether one of the entities that a row is of is on the list.

        With each suppression go the columns that hold its join keys in the rows.
        """
        marked = rows.withColumn(SUPPRESSED, F.lit(False))
        for suppression, keys in suppressed:
            listed = self._of_entity(rows.sparkSession, tenant_id, suppression.entity)
            listed = listed.select(F.col("key_hash").alias("__listed")).distinct()
            hashed = secret.with_hash(marked, tenant_id, suppression.entity, keys)
            met = hashed.join(listed, column(_HASH) == F.col("__listed"), "left")
            also = column(SUPPRESSED) | F.col("__listed").isNotNull()
            marked = met.withColumn(SUPPRESSED, also).drop(_HASH, "__listed")
        return marked

    def _of_entity(self, spark: SparkSession, tenant_id: str, entity: str) -> DataFrame:
        rows = self.table.read(spark)
        return rows.where((F.col("tenant_id") == F.lit(tenant_id)) & (F.col("entity") == F.lit(entity)))
