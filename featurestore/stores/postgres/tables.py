"""The tables of vectors in PostgreSQL: what each is called, which columns it has, and which there are.

One table is of one feature and model version, in a major version of its group, with a partition a tenant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.vector_index import MOST_DIMS_IN_A_GRAPH, USUAL_INDEX, Storage
from featurestore.errors import PostgresError

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable, Identifier

SCHEMA = "featurestore"
EMBEDDING = "_embedding"
TIMES = ("event_timestamp", "created_timestamp")
# What PostgreSQL keeps of a name, in bytes; the rest it would cut without a word, and two names could become one.
LONGEST_NAME = 63
_HASH_DIGITS = 16

# The types of keys and filters in PostgreSQL, as values are cast to them.
TYPES = {
    "string": "text",
    "boolean": "boolean",
    "long": "bigint",
    "int": "integer",
    "double": "double precision",
    "float": "real",
    "date": "date",
    "timestamp": "timestamptz",
}


def short_name(name: str) -> str:
    """The name, or its beginning and a hash of the whole where PostgreSQL would cut it."""
    text = name.encode()
    if len(text) <= LONGEST_NAME:
        return name
    begins = text[: LONGEST_NAME - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{begins}~{hashlib.sha256(text).hexdigest()[:_HASH_DIGITS]}"


def filter_time(name: str) -> str:
    """The column beside a filter's that holds the event timestamp of its value."""
    return short_name(f"_at_{name}")


@dataclass(frozen=True)
class VectorColumn:
    """A column, and the word of its type: a join key's or feature's, or ``vector`` or ``halfvec``."""

    name: str
    word: str


@dataclass(frozen=True)
class VectorTable:
    """One table. ``keys`` and ``filters``: pairs of name and type, as defined.

    ``timed``: each filter's value has its own event timestamp beside it (``filter_time``), because it is taken on its own
    and the group's TTL ends it: one whose timestamp is older than a search minus the TTL is null for that search.
    """

    group: str
    version: int
    feature: str
    model: str
    dims: int
    storage: Storage
    keys: tuple[tuple[str, str], ...]
    filters: tuple[tuple[str, str], ...]
    nulls: str
    timed: bool
    m: int
    ef_construction: int

    @classmethod
    def of(cls, group: FeatureGroup, feature: Feature, model_version: str) -> VectorTable:
        """As the definitions in force say; a feature that says nothing of an index has one without filters."""
        index, dims = feature.index or USUAL_INDEX, feature.feature_type.dims
        assert dims is not None
        words = {one.name: one.type for one in group.features}
        return cls(
            group=group.name,
            version=group.version,
            feature=feature.name,
            model=model_version,
            dims=dims,
            storage=index.storage_of(dims),
            keys=tuple(group.entity.join_keys.items()),
            filters=tuple((name, words[name]) for name in index.filters),
            nulls=group.nulls,
            timed=bool(index.filters) and group.ttl is not None and group.nulls == "skip",
            m=index.m,
            ef_construction=index.ef_construction,
        )

    @property
    def name(self) -> str:
        """Unlike any other's: names of groups and features have no colon."""
        return short_name(f"{self.group}_v{self.version}:{self.feature}:{self.model}")

    def partition(self, tenant_id: str) -> str:
        return short_name(f"{tenant_id}@{self.group}_v{self.version}:{self.feature}:{self.model}")

    def graph(self, tenant_id: str) -> str:
        """The HNSW index of a partition, with its parameters in the name."""
        return short_name(f"hnsw m{self.m} ef{self.ef_construction} {self.partition(tenant_id)}")

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.keys)

    @property
    def filter_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.filters)

    @property
    def filter_columns(self) -> tuple[VectorColumn, ...]:
        """The filters, and then their times, where they have such."""
        values = tuple(VectorColumn(name, word) for name, word in self.filters)
        times = tuple(VectorColumn(filter_time(name), "timestamp") for name, _ in self.filters)
        return (*values, *(times if self.timed else ()))

    @property
    def columns(self) -> tuple[VectorColumn, ...]:
        """All but the tenant, in the table's order."""
        return (
            *(VectorColumn(name, word) for name, word in self.keys),
            *(VectorColumn(name, "timestamp") for name in TIMES),
            VectorColumn(EMBEDDING, self.storage),
            *self.filter_columns,
        )

    @property
    def has_graph(self) -> bool:
        """Whether so many dims fit in a graph."""
        return self.dims <= MOST_DIMS_IN_A_GRAPH[self.storage]

    @property
    def vector_bytes(self) -> int:
        return self.dims * (4 if self.storage == "vector" else 2) + 8

    def sql_type(self, column: VectorColumn) -> str:
        if column.name == EMBEDDING:
            return f"{column.word}({self.dims})"
        # Text sorts by its bytes, as in Spark, whatever the database's own order is.
        return TYPES[column.word] + (' COLLATE "C"' if column.word == "string" else "")

    def same_rows(self, other: VectorTable) -> bool:
        """Whether rows of the one are rows of the other, whatever the graph is like."""
        mine, theirs = (_row_facts(one) for one in (self, other))
        return mine == theirs


def _row_facts(table: VectorTable) -> tuple[Any, ...]:
    return (table.dims, table.storage, table.keys, table.filters, table.nulls, table.timed)


def names(columns: Sequence[str]) -> Composable:
    """Column names, as SQL lists them."""
    from psycopg import sql

    return sql.SQL(", ").join(map(sql.Identifier, columns))


def in_schema(name: str) -> Identifier:
    from psycopg import sql

    return sql.Identifier(SCHEMA, name)


def upsert(connection: Connection[Any], table: str, key: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Insert a row of one of the schema's own tables, or put its facts in the place of those under the same key."""
    from psycopg import sql

    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}").format(
            in_schema(table),
            names(list(facts)),
            sql.SQL(", ").join(map(sql.Placeholder, facts)),
            names(key),
            sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in facts),
        ),
        facts,
    )


_REGISTERED = (
    "SELECT feature_group, group_version, feature, model_version, dims, storage, keys, filters, nulls, timed, m, "
    "ef_construction FROM featurestore.vector_tables WHERE "
)


def _table(row: Sequence[Any]) -> VectorTable:
    group, version, feature, model, dims, storage, keys, filters, nulls, timed, m, ef_construction = row
    pairs = [tuple((name, word) for name, word in given) for given in (keys, filters)]
    return VectorTable(
        group, version, feature, model, dims, storage, pairs[0], pairs[1], nulls, timed, m, ef_construction
    )


def is_set_up(connection: Connection[Any]) -> bool:
    """Whether the schema is there: not before anything was synced."""
    told = connection.execute("SELECT to_regclass('featurestore.watermarks') IS NOT NULL").fetchone()
    return told == (True,)


def registered(connection: Connection[Any], group: str, version: int, feature: str | None = None) -> list[VectorTable]:
    """The tables of a group's feature, or of all of its features, by model version, as they are in the database."""
    found = connection.execute(
        _REGISTERED
        + "feature_group = %s AND group_version = %s AND (%s::text IS NULL OR feature = %s) ORDER BY feature, model_version",
        [group, version, feature, feature],
    )
    return [_table(row) for row in found.fetchall()]


def find(connection: Connection[Any], table: VectorTable, lock: str = "") -> VectorTable | None:
    """The table as it is in the database; ``lock``: ``FOR UPDATE`` or ``FOR SHARE``, to the transaction's end.

    Raises PostgresError where another table has its name.
    """
    assert lock in ("", "FOR UPDATE", "FOR SHARE")
    row = connection.execute(f"{_REGISTERED} table_name = %s {lock}", [table.name]).fetchone()
    if row is None:
        return None
    found = _table(row)
    identity = (table.group, table.version, table.feature, table.model)
    if (found.group, found.version, found.feature, found.model) != identity:
        raise PostgresError(f"table {table.name!r} is of {found.group}:{found.feature}, model version {found.model!r}")
    return found


def has_partition(connection: Connection[Any], table: VectorTable, tenant_id: str) -> bool:
    told = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE relname = %s "
        "AND relnamespace = 'featurestore'::regnamespace)",
        [table.partition(tenant_id)],
    ).fetchone()
    return told == (True,)
