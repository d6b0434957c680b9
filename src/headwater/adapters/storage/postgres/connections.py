"""Connections to the server: how they are made, and the pool of those that read."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from headwater.adapters.storage.postgres.failures import is_lost, translated
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import StorageClosedError

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

_Result = TypeVar("_Result")
_Tls: TypeAlias = ssl.SSLContext | Literal[False]
Read: TypeAlias = Callable[[Connection], Awaitable[_Result]]

ATTEMPT_SECONDS: Final = 0.05
"""How long to wait after a failed attempt to connect; doubled each time."""

ATTEMPT_SECONDS_MAX: Final = 1.0

_ANY: Final = SessionAttribute.any
_READ_WRITE: Final = SessionAttribute.read_write


async def connect(settings: PostgresSettings) -> Connection:
    """Return a new connection on which ids are 16 bytes and JSON is text.

    Of several hosts it is to the first that can be written to. Behind PgBouncer no statement is
    prepared by name and nothing is set for the session.

    Raises:
        StorageUnavailableError: the server can't be reached, or takes no connections.
        StorageError: it refuses this one; the error says why.
    """
    tls = await asyncio.to_thread(_tls, settings)
    try:
        connection = await _connect(settings, tls)
        with let_go_of(connection):
            await connection.set_type_codec(
                "uuid", schema="pg_catalog", format="binary", encoder=bytes, decoder=bytes
            )
            return connection
    except Exception as error:
        raise translated(error, settings) from error


@contextmanager
def let_go_of(connection: Connection) -> Generator[None, None, None]:
    """Let go of *connection* at once where what is done on it is broken off.

    After a timeout it may belong to a server that does not answer any more, and after a
    cancellation the driver would wait for an answer to that.
    """
    try:
        yield
    except (TimeoutError, asyncio.CancelledError):
        connection.terminate()
        raise


async def _connect(settings: PostgresSettings, tls: _Tls) -> Connection:
    # One by one, because the driver's own time limit is for all of them together: a host that
    # gives no answer would keep it from the one that has taken over.
    away: list[Exception] = []
    for host, port in settings.hosts:
        try:
            return await _connect_to(host, port, settings, tls)
        except Exception as error:
            if not (is_lost(error) or isinstance(error, TimeoutError)):
                raise
            away.append(error)
    standbys = [one for one in away if isinstance(one, asyncpg.TargetServerAttributeNotMatched)]
    raise (standbys or away)[0]


async def _connect_to(host: str, port: int, settings: PostgresSettings, tls: _Tls) -> Connection:
    try:
        return await _connect_by(tls, host, port, settings)
    except ConnectionError as error:
        preferred = settings.sslmode == "prefer" and settings.ssl_context is None
        if not preferred or "rejected SSL" not in str(error):
            raise
    return await _connect_by(False, host, port, settings)


async def _connect_by(tls: _Tls, host: str, port: int, settings: PostgresSettings) -> Connection:
    pooled = settings.pooled_by_pgbouncer
    session = {
        "application_name": settings.application_name,
        "default_transaction_isolation": "read committed",
        "jit": "off",
    }
    connection: Connection = await asyncpg.connect(
        host=host,
        port=port,
        user=settings.user,
        # Not None: asyncpg would look for one in the environment and in files.
        password=settings.password or "",
        database=settings.database,
        # Never the name of a mode: asyncpg would look for certificates in files.
        ssl=tls,
        timeout=settings.connect_seconds,
        command_timeout=settings.command_seconds,
        statement_cache_size=0 if pooled else 256,
        max_cached_statement_lifetime=0,
        server_settings={} if pooled else session,
        target_session_attrs=_ANY if len(settings.hosts) == 1 else _READ_WRITE,
    )
    return connection


def _tls(settings: PostgresSettings) -> _Tls:
    """Return what asyncpg wants to know about TLS; reads the file of certificates."""
    if settings.ssl_context is not None:
        return settings.ssl_context
    match settings.sslmode:
        case "disable":
            return False
        case "prefer" | "require" if settings.sslrootcert is None or settings.sslmode == "prefer":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context
        case _:
            context = ssl.create_default_context(cafile=settings.sslrootcert)
            context.check_hostname = settings.sslmode == "verify-full"
            return context


class Readers:
    """Up to `PostgresSettings.readers` connections, made when they are needed.

    A read whose connection turns out to be lost is done again on a new one, for
    `patience_seconds`: nothing is written, so that is safe.
    """

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(settings.readers)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._ending: dict[Connection, asyncio.Task[None]] = {}
        self._closed = False

    async def run(self, read: Read[_Result]) -> _Result:
        """Return what *read* returns, given a connection for as long as it works.

        Raises:
            StorageClosedError: the pool was closed.
            StorageUnavailableError: the server can't be reached.
            StorageError: it can't do what was asked.
        """
        loop, delay = asyncio.get_running_loop(), ATTEMPT_SECONDS
        give_up_at = loop.time() + self._settings.patience_seconds
        async with self._places:
            while True:
                try:
                    return await self._once(read)
                except Exception as error:
                    if self._closed or not is_lost(error) or loop.time() + delay > give_up_at:
                        raise translated(error, self._settings) from error
                    # Those that stand idle were most likely lost with it.
                    self._drop_idle()
                await asyncio.sleep(delay)
                delay = min(2 * delay, ATTEMPT_SECONDS_MAX)

    async def close(self) -> None:
        """Close the connections once the reads that are under way have ended."""
        self._closed = True
        for _ in range(self._settings.readers):
            await self._places.acquire()
        idle, self._idle = self._idle, []
        for connection in idle:
            await close(connection)
        await asyncio.gather(*self._ending.values())
        for _ in range(self._settings.readers):
            self._places.release()

    def abandon(self) -> None:
        """Let go of all connections where the event loop was closed."""
        self._closed = True
        for connection in (*self._idle, *self._busy, *self._ending):
            abandon(connection)
        self._idle.clear()

    async def _once(self, read: Read[_Result]) -> _Result:
        if self._closed:
            raise StorageClosedError("The storage was closed.")
        connection = self._idle.pop() if self._idle else await connect(self._settings)
        self._busy.add(connection)
        try:
            if self._settings.pooled_by_pgbouncer:
                async with connection.transaction(isolation="read_committed"):
                    return await read(connection)
            return await read(connection)
        except (TimeoutError, asyncio.CancelledError):
            self._end(connection)
            raise
        finally:
            self._busy.discard(connection)
            if not connection.is_closed() and connection not in self._ending:
                self._idle.append(connection)

    def _end(self, connection: Connection) -> None:
        """Close *connection* once the server has broken off what it did, if it answers at all.

        Whoever got this connection next would have to wait for that.
        """
        self._ending[connection] = ending = asyncio.create_task(close(connection))
        ending.add_done_callback(lambda _ending: self._ending.pop(connection))

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()


async def close(connection: Connection, *, seconds: float = 5.0) -> None:
    """Close *connection* in good form, or let go of it if that does not work."""
    try:
        await connection.close(timeout=seconds)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        connection.terminate()


def abandon(connection: Any) -> None:
    """Close the socket of *connection*, whose event loop is closed and can't do it."""
    transport: Any = getattr(connection, "_transport", None)
    sock: Any = getattr(transport, "_sock", None)
    if sock is not None:
        sock.close()
        # asyncio's transport and asyncpg's connection would otherwise warn that nobody closed
        # them, and the latter would try to, on the loop that is closed.
        transport._sock = None
    connection._aborted = True
