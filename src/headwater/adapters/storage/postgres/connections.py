"""Connections to the server: how they are made, watched and ended."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from headwater.adapters.storage.postgres.failures import is_lost, is_refused, translated
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import StorageUnavailableError

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

KEEPALIVE_SECONDS: Final = 30
"""An idle connection is asked after so long whether the other end is still there."""

_ANY: Final = SessionAttribute.any
_READ_WRITE: Final = SessionAttribute.read_write


async def connect(settings: PostgresSettings, *, first: bool = False) -> Connection:
    """Return a new connection on which ids are 16 bytes and JSON is text.

    Of several hosts it is to the first that can be written to. Behind PgBouncer no statement is
    prepared by name and nothing is set for the session.

    A server that refuses the *first* connection is told of wrongly. One that took such a
    connection before is being restored, or has this user locked out: it may pass.

    Raises:
        ConfigurationError: the server refuses the first connection.
        StorageUnavailableError: it can't be reached, or takes no connections.
        StorageError: it can't be used; the error says why.
    """
    tls = await asyncio.to_thread(_tls, settings)
    try:
        connection = await _connect(settings, tls)
        with let_go_of(connection):
            _watch(connection, settings.connect_seconds)
            await connection.set_type_codec(
                "uuid", schema="pg_catalog", format="binary", encoder=bytes, decoder=bytes
            )
            return connection
    except Exception as error:
        told = translated(error, settings)
        if is_refused(error) and not first:
            told = StorageUnavailableError(str(told), where=settings.where)
        raise told from error


def _watch(connection: Any, seconds: float) -> None:
    """Have the system end *connection* where the network loses it without a word.

    What was sent and is not acknowledged for *seconds* counts as lost; a server that is merely
    slow still acknowledges.
    """
    transport: asyncio.Transport = connection._transport
    found = transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # Event loops other than asyncio's own don't let their sockets be configured.
    with socket.socket(found.family, found.type, fileno=os.dup(found.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", KEEPALIVE_SECONDS),
            ("TCP_KEEPINTVL", KEEPALIVE_SECONDS // 3),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", round(seconds * 1000)),
        ):
            option: int | None = getattr(socket, name, None)  # not every system has them all
            if option is not None:
                same.setsockopt(socket.IPPROTO_TCP, option, max(1, value))


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
