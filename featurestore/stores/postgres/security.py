"""Access to rows of PostgreSQL's tables: roles, row-level security, and the tenant of a transaction.

Every row belongs to a tenant, and every table of such rows has forced row-level security, which applies to its owner,
too. A transaction sees only rows of the tenant that it has entered, and no rows before that. The entered tenant is in a
setting, which any SQL can set. Therefore the setting includes a signature of the tenant, the connection and the
transaction, made with a key that only the owner can read. A forged signature, or one for another transaction, gives
access to no rows.
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

# HMAC (RFC 2104) with PostgreSQL's own sha256: the key is stored as its two padded blocks, so that this needs no XOR.
# The function uses its own search path and casts no text of the caller: an unsigned text gives null, never an error.
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
    """The key that signs tenants; its value is never displayed."""

    key: bytes = field(repr=False)

    def signature(self, tenant_id: str, backend: int, transaction: int) -> str:
        """Sign a tenant for one transaction.

        ``backend`` is the process id of the connection; ``transaction`` is when the transaction began, in microseconds
        since 1970.
        """
        signed = f"{tenant_id}|{backend}|{transaction}".encode()
        return hmac.new(self.key, signed, hashlib.sha256).hexdigest()


def ensure_schema(connection: Connection[Any]) -> None:
    """Create the schema unless an administrator did; raises PostgresError that says what the administrator must do."""
    # PostgreSQL refuses CREATE SCHEMA IF NOT EXISTS to roles without the privilege, even if the schema exists.
    if connection.execute("SELECT to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
        create_or_advise(
            connection,
            f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
            "an administrator must run once, in this database: "
            f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {connection.info.user}",
        )


def create_or_advise(connection: Connection[Any], statement: LiteralString, advice: str) -> None:
    """Run a statement that may need an administrator; if PostgreSQL refuses it, raise PostgresError with the advice."""
    from psycopg import errors

    try:
        connection.execute(statement)
    except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFile) as error:
        raise PostgresError(f"PostgreSQL: {error.diag.message_primary} ({error.sqlstate}); {advice}") from None


def install(connection: Connection[Any]) -> None:
    """Create schema, application role, key and function, as the owner, in the caller's transaction; safe to repeat.

    If the role is missing and the owner may not create roles, an administrator must once run
    ``CREATE ROLE featurestore_app``, and ``GRANT featurestore_app TO owner`` unless the application has its own login.
    """
    from psycopg import sql

    connection.execute("SELECT pg_advisory_xact_lock(hashtext('featurestore.install'))")
    role = sql.Identifier(APPLICATION_ROLE)
    ensure_schema(connection)
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION_ROLE]).fetchone():
        create_or_advise(
            connection,
            f"CREATE ROLE {APPLICATION_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE",
            f"an administrator must run once: CREATE ROLE {APPLICATION_ROLE}; and, unless "
            f"FEATURESTORE_POSTGRES_APP_DSN names a login for searches: GRANT {APPLICATION_ROLE} "
            f"TO {connection.info.user}",
        )
        # The role that created it may grant it, and needs this grant to use it.
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(role))
    connection.execute(
        "CREATE TABLE IF NOT EXISTS featurestore.signing_key "
        "(only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), inner_block bytea NOT NULL, "
        "outer_block bytea NOT NULL)"
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


def grant_read(connection: Connection[Any], table: str) -> None:
    """Let the application read a table of the schema that contains no tenant's data."""
    from psycopg import sql

    name, role = sql.Identifier(SCHEMA, table), sql.Identifier(APPLICATION_ROLE)
    connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(name, role))


def protect(connection: Connection[Any], table: str, partition: str | None = None) -> None:
    """Force row-level security on a table of the schema, and let the application select from it.

    With ``partition``, force it on that partition instead, and give the application no access: it reads through the
    parent table.
    """
    from psycopg import sql

    role = sql.Identifier(APPLICATION_ROLE)
    name = sql.Identifier(SCHEMA, partition or table)
    for statement in (
        "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} FORCE ROW LEVEL SECURITY",
        "DROP POLICY IF EXISTS of_tenant ON {}",
        # As a subquery, the function runs once per statement, not once per row.
        "CREATE POLICY of_tenant ON {} USING (tenant_id = (SELECT featurestore.current_tenant()))",
        "REVOKE ALL ON {} FROM PUBLIC",
    ):
        connection.execute(sql.SQL(statement).format(name))
    connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, role))
    if partition is None:
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(name, role))


def read_signing_key(connection: Connection[Any]) -> SigningKey | None:
    """Read the key, as the owner; None if nothing is installed yet."""
    if connection.execute("SELECT to_regclass('featurestore.signing_key')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT inner_block FROM featurestore.signing_key").fetchone()
    return None if row is None else SigningKey(bytes(byte ^ 0x36 for byte in row[0]))


def enter(connection: Connection[Any], key: SigningKey, tenant_id: str, settings: dict[str, str]) -> None:
    """Enter a tenant for the rest of the connection's transaction, and apply other settings for the same time."""
    from psycopg import sql

    row = connection.execute("SELECT pg_backend_pid(), (extract(epoch FROM now()) * 1000000)::bigint").fetchone()
    assert row is not None
    # The role comes last in the settings: the owner may set everything that the role may, but not the reverse.
    all_settings = {_SETTING: f"{tenant_id}|{key.signature(tenant_id, *row)}", **settings}
    calls = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, true)")] * len(all_settings))
    connection.execute(
        sql.SQL("SELECT {}").format(calls), [text for setting in all_settings.items() for text in setting]
    )
