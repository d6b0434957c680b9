"""The schema of a storage by URL: how it stands, and how it is brought up to date."""

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.adapters.storage.sqlite.status import CODE_VERSION, schema_of
from headwater.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from headwater.adapters.storage.postgres.schema import SchemaStatus

_NO_TABLES = "A storage in memory has no tables, so nothing is to be done for it."


class StorageSchema(msgspec.Struct, frozen=True):
    """How the tables of a storage stand: their version (0: there are none), and the code's.

    `pending` are the migrations that `upgrade` would run; `readable` and `writable` say whether
    this code can work with what is there. `missing` names what migrations have made and what is
    not there any more: no upgrade brings that back, only a backup does.
    """

    where: str
    stored: int
    code: int
    pending: tuple[int, ...]
    readable: bool
    writable: bool
    missing: tuple[str, ...] = ()


async def status(url: str) -> StorageSchema:
    """Return how the tables of the storage at *url* stand; nothing is changed.

    Raises:
        ConfigurationError: there is no storage with tables for the URL.
        SchemaVersionError: the tables are somebody else's, or a file's are too new.
        StorageError: the storage can't be reached or read.
    """
    if url.startswith("sqlite:"):
        return await _sqlite_status(SqliteSettings.from_url(url))
    _check_postgres(url)
    from headwater.adapters.storage.postgres import PostgresSettings, schema  # noqa: PLC0415

    return _shown(await schema.status(PostgresSettings.from_url(url)))


async def upgrade(url: str) -> StorageSchema:
    """Make the tables of the storage at *url*, or bring older ones up to date.

    Raises:
        ConfigurationError: there is no storage with tables for the URL.
        SchemaVersionError: the tables are somebody else's, or too new for this code.
        StorageError: the storage can't be reached or written.
    """
    if url.startswith("sqlite:"):
        settings = SqliteSettings.from_url(url)
        storage = SqliteStorage(settings)
        await storage.open()
        await storage.close()
        return await _sqlite_status(settings)
    _check_postgres(url)
    from headwater.adapters.storage.postgres import PostgresSettings, schema  # noqa: PLC0415

    return _shown(await schema.upgrade(PostgresSettings.from_url(url)))


def sql(*, from_version: int, schema: str) -> str:
    """Return the SQL that brings a PostgreSQL *schema* from a version to the code's.

    Raises:
        ConfigurationError: there is no such version.
    """
    _check_postgres("postgresql:")
    from headwater.adapters.storage.postgres import schema as tables  # noqa: PLC0415

    try:
        return tables.sql(from_version, schema=schema)
    except ValueError as error:
        raise ConfigurationError(f"{error}.") from error


async def _sqlite_status(settings: SqliteSettings) -> StorageSchema:
    stored, lost = await asyncio.to_thread(schema_of, settings)
    pending = tuple(range(stored + 1, CODE_VERSION + 1))
    # A file is brought up to date by whoever opens it.
    usable = stored > 0 and not lost
    return StorageSchema(
        str(settings.path), stored, CODE_VERSION, pending, usable, usable, missing=lost
    )


def _shown(found: "SchemaStatus") -> StorageSchema:
    return StorageSchema(
        *(found.where, found.stored, found.code, found.pending, found.readable, found.writable),
        missing=found.missing,
    )


def _check_postgres(url: str) -> None:
    if url.startswith("memory:"):
        raise ConfigurationError(_NO_TABLES)
    if not url.startswith(("postgresql:", "postgres:")):
        raise ConfigurationError(f"No storage for {url.partition(':')[0]!r} URLs has tables.")
    if find_spec("asyncpg") is None:
        raise MissingExtraError("asyncpg", "postgres")
