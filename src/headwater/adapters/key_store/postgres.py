"""Keys in a PostgreSQL database of their own, for processes on several machines."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast
from urllib.parse import unquote, urlsplit

import asyncpg

from headwater.errors import (
    ConfigurationError,
    InvalidNameError,
    KeyStoreError,
    KeyStoreUnavailableError,
)
from headwater.ports.key_store import Forgotten, WrappedKey

if TYPE_CHECKING:
    import ssl

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

T = TypeVar("T")
Password = str | Callable[[], str] | Callable[[], Awaitable[str]]

CONNECTIONS_MAX: Final = 4
"""How many connections one process has to the key store, unless it is told otherwise."""

COMMAND_SECONDS: Final = 30.0
"""How long one statement may take."""

_SCHEMA_CHARS_MAX: Final = 48
# https://www.postgresql.org/docs/current/errcodes-appendix.html: connections, resources,
# operator intervention, rollbacks, locks that can't be had.
_PASSING: Final = ("08", "53", "57", "40", "55")

_TABLES: Final = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.keys (
    subject text COLLATE "C" PRIMARY KEY,
    master text NOT NULL,
    wrapped bytea,
    forgotten_at bigint,
    forgotten_by text NOT NULL DEFAULT '',
    forgotten_why text NOT NULL DEFAULT ''
)
"""


class PostgresKeyStore:
    """Keeps keys in the table ``keys`` of *schema*, in a database that is not the storage's.

    Back it up apart from the storage, and keep its backups for a shorter time. PostgreSQL keeps
    the bytes of a destroyed key, wrapped as they are, until the table is vacuumed, and in archived
    write-ahead logs; only who has the master key too could use them.
    """

    def __init__(
        self,
        url: str,
        *,
        password: Password | None = None,
        schema: str = "headwater_keys",
        ssl_context: "ssl.SSLContext | None" = None,
        connections: int = CONNECTIONS_MAX,
    ) -> None:
        """Connect to ``postgresql://user@host/database`` when it is opened.

        *password*, or what returns it for each new connection, goes before the URL's, and
        *ssl_context* before its ``sslmode``, which means what it does in libpq.

        Raises:
            ConfigurationError: *url* is no URL of PostgreSQL, or *connections* below 1.
            InvalidNameError: *schema* can't name a schema.
        """
        if urlsplit(url).scheme not in ("postgresql", "postgres") or connections < 1:
            raise ConfigurationError(
                "The keys' URL is postgresql://user@host/database, with 1 connection or more."
            )
        if not (schema.isidentifier() and schema.isascii() and schema == schema.lower()) or (
            len(schema) > _SCHEMA_CHARS_MAX
        ):
            raise InvalidNameError(
                "schema", schema, f"it must hold at most {_SCHEMA_CHARS_MAX} of a-z, 0-9 and _"
            )
        self._url, self._password, self._ssl = url, password, ssl_context
        self._schema, self._connections = schema, connections
        self._pool: Pool | None = None

    def __repr__(self) -> str:
        return f"PostgresKeyStore({self._where})"

    @property
    def _where(self) -> str:
        parts = urlsplit(self._url)
        return f"postgresql://{parts.hostname or ''}{parts.path}?schema={self._schema}"

    async def open(self) -> None:
        """Connect, and make the table if it is missing and this user may."""
        if self._pool is None:
            self._pool = await self._translating(self._connect)
            try:
                await self._with(self._prepare)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Close the connections once what is under way on them is done."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def get(self, subjects: Collection[str]) -> Mapping[str, WrappedKey]:
        """As `KeyStore.get`."""
        return await self._with(lambda connection: self._get(connection, subjects))

    async def add(self, keys: Sequence[WrappedKey]) -> Mapping[str, WrappedKey]:
        """As `KeyStore.add`."""
        # In one order for all, so that two who add the same keys don't wait for each other.
        ordered = sorted(keys, key=lambda key: key.subject)

        async def insert(connection: "Connection") -> Mapping[str, WrappedKey]:
            await connection.execute(
                f"INSERT INTO {self._schema}.keys (subject, master, wrapped)"  # noqa: S608
                " SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])"
                " ON CONFLICT (subject) DO NOTHING",
                [key.subject for key in ordered],
                [key.master for key in ordered],
                [key.wrapped for key in ordered],
            )
            return await self._get(connection, [key.subject for key in ordered])

        return await self._with(insert)

    async def destroy(self, forgotten: Sequence[Forgotten]) -> int:
        """As `KeyStore.destroy`."""
        first = {entry.subject: entry for entry in reversed(forgotten)}
        ordered = [first[subject] for subject in sorted(first)]

        async def update(connection: "Connection") -> int:
            done = await connection.execute(
                f"INSERT INTO {self._schema}.keys AS known"  # noqa: S608
                " (subject, master, forgotten_at, forgotten_by, forgotten_why)"
                " SELECT s, '', at, by, why FROM"
                " unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS new (s, at, by, why)"
                " ON CONFLICT (subject) DO UPDATE SET master = '', wrapped = NULL,"
                " forgotten_at = excluded.forgotten_at, forgotten_by = excluded.forgotten_by,"
                " forgotten_why = excluded.forgotten_why WHERE known.wrapped IS NOT NULL",
                [entry.subject for entry in ordered],
                [entry.at for entry in ordered],
                [entry.by for entry in ordered],
                [entry.why for entry in ordered],
            )
            return int(done.split()[-1])

        return await self._with(update)

    async def forgotten(self) -> Sequence[Forgotten]:
        """As `KeyStore.forgotten`."""
        rows = await self._fetch(
            f"SELECT subject, forgotten_at, forgotten_by, forgotten_why FROM {self._schema}.keys"  # noqa: S608
            " WHERE wrapped IS NULL ORDER BY forgotten_at, subject"
        )
        return [Forgotten(*row) for row in rows]

    async def outdated(self, master: str, *, after: str, limit: int) -> Sequence[WrappedKey]:
        """As `Rewrapping.outdated`."""
        rows = await self._fetch(
            f"SELECT subject, master, wrapped FROM {self._schema}.keys"  # noqa: S608
            " WHERE wrapped IS NOT NULL AND master <> $1 AND subject > $2"
            " ORDER BY subject LIMIT $3",
            master,
            after,
            limit,
        )
        return [WrappedKey(*row) for row in rows]

    async def rewrap(self, keys: Sequence[tuple[WrappedKey, WrappedKey]]) -> int:
        """As `Rewrapping.rewrap`."""

        async def update(connection: "Connection") -> int:
            done = await connection.execute(
                f"UPDATE {self._schema}.keys AS known"  # noqa: S608
                " SET master = new.master, wrapped = new.wrapped FROM unnest($1::text[],"
                " $2::text[], $3::bytea[], $4::text[], $5::bytea[])"
                " AS new (subject, old_master, old, master, wrapped)"
                " WHERE known.subject = new.subject AND known.master = new.old_master"
                " AND known.wrapped = new.old",
                [old.subject for old, _ in keys],
                [old.master for old, _ in keys],
                [old.wrapped for old, _ in keys],
                [new.master for _, new in keys],
                [new.wrapped for _, new in keys],
            )
            return int(done.split()[-1])

        return await self._with(update)

    # --------------------------------------------------------------------- connections

    async def _connect(self) -> "Pool":
        # Not None: asyncpg would look for one in the environment and in files.
        written = unquote(urlsplit(self._url).password or "")
        options: dict[str, Any] = {"password": self._password or written}
        if self._ssl is not None:
            options["ssl"] = self._ssl
        # Without prepared statements a pooler may stand between.
        pool = await asyncpg.create_pool(
            self._url,
            min_size=1,
            max_size=self._connections,
            command_timeout=COMMAND_SECONDS,
            statement_cache_size=0,
            **options,
        )
        return cast("Pool", pool)

    async def _prepare(self, connection: "Connection") -> None:
        table = await connection.fetchval("SELECT to_regclass($1)::text", f"{self._schema}.keys")
        if table is None:
            async with connection.transaction():
                await connection.execute(
                    "SELECT pg_advisory_xact_lock(hashtext($1))", f"{self._schema}.keys"
                )
                await connection.execute(_TABLES.format(schema=self._schema))

    async def _get(
        self, connection: "Connection", subjects: Collection[str]
    ) -> dict[str, WrappedKey]:
        rows = await connection.fetch(
            f"SELECT subject, master, wrapped FROM {self._schema}.keys"  # noqa: S608
            " WHERE subject = ANY($1::text[])",
            list(subjects),
        )
        return {row["subject"]: WrappedKey(*row) for row in rows}

    async def _fetch(self, query: str, *args: object) -> Sequence[Any]:
        return await self._with(lambda connection: connection.fetch(query, *args))

    async def _with(self, work: "Callable[[Connection], Awaitable[T]]") -> T:
        async def on_connection() -> T:
            if self._pool is None:
                raise KeyStoreError(f"The key store {self._where} is not open.")
            async with self._pool.acquire() as connection:
                return await work(connection)

        try:
            return await self._translating(on_connection)
        except KeyStoreUnavailableError:
            # A connection that was lost while nobody used it is only noticed now. Everything
            # that is asked of a key store can be asked again.
            return await self._translating(on_connection)

    async def _translating(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except (
            OSError,
            TimeoutError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            # The driver calls it internal where it notices on the way that a connection is lost.
            raise self._error(KeyStoreUnavailableError, error) from error
        except asyncpg.PostgresError as error:
            passing = (error.sqlstate or "").startswith(_PASSING)
            raise self._error(
                KeyStoreUnavailableError if passing else KeyStoreError, error
            ) from error

    def _error(self, kind: type[KeyStoreError], error: Exception) -> KeyStoreError:
        return kind(
            f"The key store {self._where} can't be used: {type(error).__name__}: {error}. "
            f"What was asked of it was not done, as far as is known; nothing was written to the "
            f"storage."
        )
