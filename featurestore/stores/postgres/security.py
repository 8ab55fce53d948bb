"""Who may see which rows of PostgreSQL's tables: roles, row-level security, and the tenant of a transaction.

Every row belongs to a tenant, and row-level security is forced on every table of such rows, on its owner, too. A
transaction sees the rows of the tenant that it has entered, and none before. What it has entered is a setting, which SQL can
set; so the setting carries a signature, by a key that the owner alone reads, of the tenant, the connection and the
transaction: what is forged, or was signed for another transaction, is no tenant's.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString

from featurestore.errors import PostgresError

if TYPE_CHECKING:
    from psycopg import Connection

APPLICATION_ROLE = "featurestore_app"
SCHEMA = "featurestore"
_SETTING = "featurestore.tenant"
_BLOCK = 64  # bytes, of SHA-256

# HMAC (RFC 2104) of PostgreSQL's own sha256: the key is kept as its two padded blocks, so that no XOR is needed here.
# No search path of a caller's, and no cast of what the caller gave: a text that is not signed gives null, never an error.
_CURRENT_TENANT = """
CREATE OR REPLACE FUNCTION featurestore.current_tenant() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    told text := current_setting('featurestore.tenant', true);
    tenant text := split_part(told, '|', 1);
    signed bytea := convert_to(
        tenant || '|' || pg_backend_pid() || '|' || (extract(epoch FROM now()) * 1000000)::bigint, 'UTF8');
    key record;
BEGIN
    SELECT inner_block, outer_block INTO key FROM featurestore.signing_key;
    IF split_part(told, '|', 2)
        = encode(sha256(key.outer_block || sha256(key.inner_block || signed)), 'hex') THEN
        RETURN tenant;
    END IF;
    RETURN NULL;
END
$function$
"""


@dataclass(frozen=True)
class SigningKey:
    """The key that tenants are signed by; never shown."""

    key: bytes = field(repr=False)

    def signature(self, tenant_id: str, backend: int, transaction: int) -> str:
        """``backend``: the connection's process; ``transaction``: when it began, in microseconds since 1970."""
        signed = f"{tenant_id}|{backend}|{transaction}".encode()
        return hmac.new(self.key, signed, hashlib.sha256).hexdigest()


def ensure_schema(connection: Connection[Any]) -> None:
    """The schema, which an administrator may have made for the owner; raises PostgresError, with what to do."""
    # CREATE SCHEMA IF NOT EXISTS is refused to who may not make one, even where it is there.
    if connection.execute("SELECT to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
        create_or_advise(
            connection,
            f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
            f"an administrator runs once, in this database: CREATE SCHEMA {SCHEMA} AUTHORIZATION {connection.info.user}",
        )


def create_or_advise(connection: Connection[Any], statement: LiteralString, advice: str) -> None:
    """Run a statement that an administrator may have to run; where it is refused, raise PostgresError with the advice."""
    from psycopg import errors

    try:
        connection.execute(statement)
    except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFile) as error:
        raise PostgresError(f"PostgreSQL: {error.diag.message_primary} ({error.sqlstate}); {advice}") from None


def install(connection: Connection[Any]) -> None:
    """Schema, application role, key and function; by the owner, safe to repeat, within the caller's transaction.

    The role is made where it is missing; where the owner may not make roles, an administrator does once, with
    ``CREATE ROLE featurestore_app`` and, unless the application has a login of its own, ``GRANT featurestore_app TO owner``.
    """
    from psycopg import sql

    connection.execute("SELECT pg_advisory_xact_lock(hashtext('featurestore.install'))")
    role = sql.Identifier(APPLICATION_ROLE)
    ensure_schema(connection)
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION_ROLE]).fetchone():
        create_or_advise(
            connection,
            f"CREATE ROLE {APPLICATION_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE",
            f"an administrator runs once: CREATE ROLE {APPLICATION_ROLE}; and, unless FEATURESTORE_POSTGRES_APP_DSN names a login "
            f"for searches: GRANT {APPLICATION_ROLE} TO {connection.info.user}",
        )
        # Its maker may give it to others, and take it itself by this.
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(role))
    connection.execute(
        "CREATE TABLE IF NOT EXISTS featurestore.signing_key "
        "(only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), inner_block bytea NOT NULL, outer_block bytea NOT NULL)"
    )
    connection.execute("REVOKE ALL ON featurestore.signing_key FROM PUBLIC")
    padded = secrets.token_bytes(32).ljust(_BLOCK, b"\0")
    connection.execute(
        "INSERT INTO featurestore.signing_key (inner_block, outer_block) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        [bytes(byte ^ 0x36 for byte in padded), bytes(byte ^ 0x5C for byte in padded)],
    )
    connection.execute(_CURRENT_TENANT)
    connection.execute("REVOKE ALL ON FUNCTION featurestore.current_tenant() FROM PUBLIC")
    connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION featurestore.current_tenant() TO {}").format(role))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA featurestore TO {}").format(role))


def show(connection: Connection[Any], table: str) -> None:
    """Let the application read a table of the schema that holds nothing of any tenant's."""
    from psycopg import sql

    name, role = sql.Identifier(SCHEMA, table), sql.Identifier(APPLICATION_ROLE)
    connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(name, role))


def protect(connection: Connection[Any], table: str, partition: str | None = None) -> None:
    """Force row-level security on a table of the schema, which the application may then select from.

    With ``partition`` the same on that partition, which the application may not touch: it reads through the parent.
    """
    from psycopg import sql

    role = sql.Identifier(APPLICATION_ROLE)
    name = sql.Identifier(SCHEMA, partition or table)
    for statement in (
        "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} FORCE ROW LEVEL SECURITY",
        "DROP POLICY IF EXISTS of_tenant ON {}",
        # A query of its own is computed once a statement, not once a row.
        "CREATE POLICY of_tenant ON {} USING (tenant_id = (SELECT featurestore.current_tenant()))",
        "REVOKE ALL ON {} FROM PUBLIC",
    ):
        connection.execute(sql.SQL(statement).format(name))
    connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, role))
    if partition is None:
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(name, role))


def read_signing_key(connection: Connection[Any]) -> SigningKey | None:
    """The key, as the owner; None where nothing is installed yet."""
    if connection.execute("SELECT to_regclass('featurestore.signing_key')").fetchone() == (None,):
        return None
    found = connection.execute("SELECT inner_block FROM featurestore.signing_key").fetchone()
    return None if found is None else SigningKey(bytes(byte ^ 0x36 for byte in found[0]))


def enter(connection: Connection[Any], key: SigningKey, tenant_id: str, settings: dict[str, str]) -> None:
    """Enter a tenant for the rest of the connection's transaction, with other settings that end with it, too."""
    from psycopg import sql

    told = connection.execute("SELECT pg_backend_pid(), (extract(epoch FROM now()) * 1000000)::bigint").fetchone()
    assert told is not None
    # The role last: what it may set, the owner may, and not always the other way.
    entered = {_SETTING: f"{tenant_id}|{key.signature(tenant_id, *told)}", **settings}
    calls = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, true)")] * len(entered))
    connection.execute(
        sql.SQL("SELECT {}").format(calls), [word for name, value in entered.items() for word in (name, value)]
    )
