"""The tables, how an older schema gets the newest, and who may work with which."""

from importlib import resources
from typing import Final

import asyncpg
import msgspec

from headwater.adapters.storage.postgres.connections import Connection, Read, close, connect
from headwater.adapters.storage.postgres.failures import translated
from headwater.adapters.storage.postgres.objects import made_by, missing
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import MigrationNeededError, SchemaVersionError


class Migration(msgspec.Struct, frozen=True):
    """Brings a schema from the version before it to its own; what was released never changes.

    `scripts` are the files in ``sql/``. `min_reader` and `min_writer` are the oldest schema
    versions whose code can still read and write once this one is in. Functions whose names end
    in ``_vN`` are called by code of version N and later: a migration that raises `min_writer` to
    M brings a set with ``_vM``, and those before it refuse from then on, in processes that had
    opened the schema before, too.
    """

    scripts: tuple[str, ...]
    min_reader: int
    min_writer: int


MIGRATIONS: Final = (
    Migration(
        (
            "0001_tables.sql",
            "0001_locks.sql",
            "0001_append.sql",
            "0001_commit.sql",
            "0001_leases.sql",
            "0001_steps.sql",
            "0001_commit_each.sql",
            "0001_outbox.sql",
        ),
        min_reader=1,
        min_writer=1,
    ),
)
"""Number n brings a schema from version n - 1 to n."""

CODE_VERSION: Final = len(MIGRATIONS)
_UNLIMITED: Final = 24 * 3600.0
"""Seconds: a migration of a large log takes its time; asyncpg has no word for no limit at all."""

_FIND: Final = """
SELECT to_regnamespace(quote_ident($1)) IS NOT NULL AS there,
    to_regclass(format('%I.meta', $1)) IS NOT NULL AS ours,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1))) AS used
"""


class SchemaStatus(msgspec.Struct, frozen=True):
    """The version of a stored schema (0: there is none), and what this code can do with it.

    `min_reader` and `min_writer` are the oldest versions whose code can read and write it;
    `missing` is what its migrations have made and what is not there any more.
    """

    where: str
    stored: int
    code: int
    min_reader: int = 0
    min_writer: int = 0
    missing: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[int, ...]:
        """The numbers of the migrations that `upgrade` would run."""
        return tuple(range(self.stored + 1, self.code + 1))

    @property
    def readable(self) -> bool:
        """Whether this code can read what is stored."""
        return not self.pending and not self.missing and self.code >= self.min_reader

    @property
    def writable(self) -> bool:
        """Whether this code can write as well."""
        return self.readable and self.code >= self.min_writer

    def check(self) -> None:
        """Pass if this code can read what is stored.

        Raises:
            MigrationNeededError: the schema is missing, or older than this code needs.
            SchemaVersionError: it is too new for this code, or not all of it is there.
        """
        if self.missing:
            raise SchemaVersionError(
                f"{self.where}: the schema is not whole, and no upgrade makes it so. It lacks "
                f"{', '.join(self.missing)}. If a backup is being restored right now, wait until "
                f"that is done; if not, restore one.",
                where=self.where,
            )
        if self.stored == 0:
            raise MigrationNeededError(
                f"{self.where}: there are no tables yet. Run: headwater db init {self.where}",
                where=self.where,
            )
        if self.pending:
            raise MigrationNeededError(
                f"{self.where} has schema version {self.stored}, this code needs {self.code}. "
                f"Run: headwater db upgrade {self.where}",
                where=self.where,
            )
        if not self.readable:
            raise SchemaVersionError(
                f"{self.where} has schema version {self.stored}, which needs code of version "
                f"{self.min_reader}; this code knows {self.code}. Run the newer Headwater.",
                where=self.where,
            )


async def status(settings: PostgresSettings) -> SchemaStatus:
    """Return what is stored under *settings*; nothing is changed.

    Raises:
        SchemaVersionError: the schema is there, and somebody else's.
        StorageError: the server can't be reached or used.
    """
    return await _connected(settings, lambda connection: stored_status(connection, settings))


async def upgrade(settings: PostgresSettings) -> SchemaStatus:
    """Make the tables, or bring older ones up to date, and return what there is then.

    All pending migrations are done in one transaction, and by one process at a time; others
    wait for it. Code of a version from `min_writer` on goes on working meanwhile and after it.

    Raises:
        SchemaVersionError: the schema is somebody else's, or too new for this code.
        StorageError: the server can't be reached or used.
    """

    async def work(connection: Connection) -> SchemaStatus:
        async with connection.transaction(isolation="read_committed"):
            key = f"headwater migration {settings.schema}"
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key, timeout=_UNLIMITED
            )
            found = await stored_status(connection, settings)
            if found.pending:
                text = _script(found.stored, settings.schema, make=not found.stored)
                await connection.execute(text, timeout=_UNLIMITED)
            return await stored_status(connection, settings)

    found = await _connected(settings, work)
    found.check()
    return found


def sql(from_version: int = 0, *, schema: str = "headwater") -> str:
    """Return the SQL that `upgrade` runs on a schema at *from_version*, as one transaction.

    Raises:
        ValueError: there is no such version.
    """
    if not 0 <= from_version <= CODE_VERSION:
        raise ValueError(f"a schema version is 0 to {CODE_VERSION}, not {from_version}")
    return f"BEGIN;\n{_script(from_version, schema, make=from_version == 0)}\nCOMMIT;\n"


async def stored_status(connection: Connection, settings: PostgresSettings) -> SchemaStatus:
    """Return what is stored, as `status` does, on a connection that is there."""
    schema, where = settings.schema, settings.where
    found = await connection.fetchrow(_FIND, schema)
    if found is None or not found["ours"]:
        if found is not None and found["used"]:
            raise _somebody_elses(settings)
        return SchemaStatus(where, 0, CODE_VERSION)
    try:
        rows = await connection.fetch(f"SELECT name, value FROM {settings.quoted_schema}.meta")
        meta = {str(name): int(value) for name, value in rows}
        version = meta["schema_version"]
        wanted = made_by(
            _SCRIPTS[name] for migration in MIGRATIONS[:version] for name in migration.scripts
        )
        lost = await missing(connection, schema, wanted)
        return SchemaStatus(
            where, version, CODE_VERSION, meta["min_reader"], meta["min_writer"], lost
        )
    except (KeyError, ValueError, asyncpg.UndefinedColumnError) as error:
        raise _somebody_elses(settings) from error


def _somebody_elses(settings: PostgresSettings) -> SchemaVersionError:
    return SchemaVersionError(
        f"{settings.where}: schema {settings.schema!r} holds something that Headwater did not "
        f"make. Name another one: ?schema=…",
        where=settings.where,
    )


def _script(from_version: int, schema: str, *, make: bool) -> str:
    parts: list[str] = []
    if make:
        parts.append(
            "CREATE SCHEMA IF NOT EXISTS @schema@;\n"
            "CREATE TABLE @schema@.meta (name text PRIMARY KEY, value text NOT NULL);"
        )
    for number, migration in enumerate(MIGRATIONS, 1):
        if number <= from_version:
            continue
        parts += [_SCRIPTS[name] for name in migration.scripts]
        parts += [_REFUSES.format(version) for version in range(1, migration.min_writer)]
        values = {
            "schema_version": number,
            "min_reader": migration.min_reader,
            "min_writer": migration.min_writer,
        }
        rows = ", ".join(f"('{name}', '{value}')" for name, value in values.items())
        parts.append(
            f"INSERT INTO @schema@.meta VALUES {rows}\n"
            f"ON CONFLICT (name) DO UPDATE SET value = excluded.value;"
        )
    return "\n\n".join(parts).replace("@schema@", f'"{schema}"').replace("@name@", schema)


_REFUSES: Final = """
CREATE OR REPLACE FUNCTION @schema@.enter_v{}(p_lock_ms integer) RETURNS text LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'newer than the code that calls' USING ERRCODE = 'HW003'; END $$;
"""


async def _connected(settings: PostgresSettings, work: Read[SchemaStatus]) -> SchemaStatus:
    connection = await connect(settings, first=True)
    try:
        return await work(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise translated(error, settings) from error
    finally:
        await close(connection)


_SCRIPTS: Final = {
    name: (resources.files("headwater.adapters.storage.postgres") / "sql" / name).read_text(
        encoding="utf-8"
    )
    for migration in MIGRATIONS
    for name in migration.scripts
}
"""Read when the module is imported, so that an event loop never waits for a disk."""
