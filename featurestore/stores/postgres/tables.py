"""The tables of vectors in PostgreSQL: their names, their columns, and which of them exist.

There is one table per feature, model version and major version of its group, with one partition per tenant.
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
# The longest name in bytes; PostgreSQL silently truncates longer ones, so that two names could become the same.
LONGEST_NAME = 63
_HASH_DIGITS = 16

# PostgreSQL's types for the types of keys and filters; values are cast to these.
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
    """Return the name, or its beginning and a hash of the whole if PostgreSQL would truncate it."""
    text = name.encode()
    if len(text) <= LONGEST_NAME:
        return name
    beginning = text[: LONGEST_NAME - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{beginning}~{hashlib.sha256(text).hexdigest()[:_HASH_DIGITS]}"


def filter_time(name: str) -> str:
    """Return the name of the column that holds the event timestamp of a filter's value."""
    return short_name(f"_at_{name}")


@dataclass(frozen=True)
class VectorColumn:
    """A column and its type: ``word`` is the type of a join key or feature, or ``vector`` or ``halfvec``."""

    name: str
    word: str


@dataclass(frozen=True)
class VectorTable:
    """One table. ``keys`` and ``filters`` are pairs of name and type, as defined.

    If ``timed``, each filter's value has its own event timestamp in another column (``filter_time``), because the
    values of a row may come from different rows of the group and the group has a TTL: in a search, a value is null if
    it is older than the TTL.
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
        """Return the table that the definitions in force require; a feature without an index has no filters."""
        index, dims = feature.index or USUAL_INDEX, feature.feature_type.dims
        assert dims is not None
        words = {column.name: column.type for column in group.features}
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
        """The table's name, which is unique because names of groups and features contain no colon."""
        return short_name(f"{self.group}_v{self.version}:{self.feature}:{self.model}")

    def partition(self, tenant_id: str) -> str:
        return short_name(f"{tenant_id}@{self.group}_v{self.version}:{self.feature}:{self.model}")

    def graph(self, tenant_id: str) -> str:
        """Return the name of a partition's HNSW index, which contains its parameters."""
        return short_name(f"hnsw m{self.m} ef{self.ef_construction} {self.partition(tenant_id)}")

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.keys)

    @property
    def filter_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.filters)

    @property
    def filter_columns(self) -> tuple[VectorColumn, ...]:
        """The columns of the filters, followed by the columns of their times if there are any."""
        values = tuple(VectorColumn(name, word) for name, word in self.filters)
        times = tuple(VectorColumn(filter_time(name), "timestamp") for name, _ in self.filters)
        return (*values, *(times if self.timed else ()))

    @property
    def columns(self) -> tuple[VectorColumn, ...]:
        """All columns except the tenant, in the table's order."""
        return (
            *(VectorColumn(name, word) for name, word in self.keys),
            *(VectorColumn(name, "timestamp") for name in TIMES),
            VectorColumn(EMBEDDING, self.storage),
            *self.filter_columns,
        )

    @property
    def has_graph(self) -> bool:
        """Whether the vectors have few enough dims for a graph."""
        return self.dims <= MOST_DIMS_IN_A_GRAPH[self.storage]

    @property
    def vector_bytes(self) -> int:
        return self.dims * (4 if self.storage == "vector" else 2) + 8

    def sql_type(self, column: VectorColumn) -> str:
        if column.name == EMBEDDING:
            return f"{column.word}({self.dims})"
        # Text sorts by its bytes, as in Spark, whatever the database's collation is.
        return TYPES[column.word] + (' COLLATE "C"' if column.word == "string" else "")

    def same_rows(self, other: VectorTable) -> bool:
        """Return whether both tables have the same rows; their graphs may differ."""
        return _row_facts(self) == _row_facts(other)


def _row_facts(table: VectorTable) -> tuple[Any, ...]:
    return (table.dims, table.storage, table.keys, table.filters, table.nulls, table.timed)


def names(columns: Sequence[str]) -> Composable:
    """Return column names as a list in SQL."""
    from psycopg import sql

    return sql.SQL(", ").join(map(sql.Identifier, columns))


def in_schema(name: str) -> Identifier:
    from psycopg import sql

    return sql.Identifier(SCHEMA, name)


def upsert(connection: Connection[Any], table: str, key: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Insert a row in one of the schema's own tables, or update the row with the same key."""
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
    key_pairs, filter_pairs = (tuple((name, word) for name, word in pairs) for pairs in (keys, filters))
    return VectorTable(
        group, version, feature, model, dims, storage, key_pairs, filter_pairs, nulls, timed, m, ef_construction
    )


def is_set_up(connection: Connection[Any]) -> bool:
    """Return whether the schema exists; the first sync creates it."""
    row = connection.execute("SELECT to_regclass('featurestore.watermarks') IS NOT NULL").fetchone()
    return row == (True,)


def registered(connection: Connection[Any], group: str, version: int, feature: str | None = None) -> list[VectorTable]:
    """Return the tables of a group's feature, or of all its features, by model version, as they are in the database."""
    rows = connection.execute(
        _REGISTERED + "feature_group = %s AND group_version = %s AND (%s::text IS NULL OR feature = %s) "
        "ORDER BY feature, model_version",
        [group, version, feature, feature],
    )
    return [_table(row) for row in rows.fetchall()]


def find(connection: Connection[Any], table: VectorTable, lock: str = "") -> VectorTable | None:
    """Return the table as it is in the database, or None.

    ``lock`` is ``FOR UPDATE`` or ``FOR SHARE``, held to the end of the transaction. Raises PostgresError if another
    table has its name.
    """
    assert lock in ("", "FOR UPDATE", "FOR SHARE")
    row = connection.execute(f"{_REGISTERED} table_name = %s {lock}", [table.name]).fetchone()
    if row is None:
        return None
    current = _table(row)
    identity = (table.group, table.version, table.feature, table.model)
    if (current.group, current.version, current.feature, current.model) != identity:
        raise PostgresError(
            f"table {table.name!r} is of {current.group}:{current.feature}, model version {current.model!r}"
        )
    return current


def has_partition(connection: Connection[Any], table: VectorTable, tenant_id: str) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE relname = %s "
        "AND relnamespace = 'featurestore'::regnamespace)",
        [table.partition(tenant_id)],
    ).fetchone()
    return row == (True,)
