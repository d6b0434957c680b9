"""The connections of users that can stage events, known by what they are; no driver is imported."""

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from headwater.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg
    import asyncpg.pool
    import psycopg
    import sqlalchemy
    import sqlalchemy.ext.asyncio
    import sqlalchemy.orm

    AsyncConnection: TypeAlias = (
        asyncpg.Connection[Any]
        | asyncpg.pool.PoolConnectionProxy[Any]
        | psycopg.AsyncConnection[Any]
        | sqlalchemy.ext.asyncio.AsyncConnection
        | sqlalchemy.ext.asyncio.AsyncSession
    )
    SyncConnection: TypeAlias = (
        psycopg.Connection[Any] | sqlalchemy.Connection | sqlalchemy.orm.Session
    )
else:
    AsyncConnection = SyncConnection = Any

_ASYNC: Final = (
    "an asyncpg connection, a psycopg AsyncConnection, or an AsyncConnection or AsyncSession of "
    "SQLAlchemy"
)
_SYNC: Final = "a psycopg Connection, or a Connection or Session of SQLAlchemy"


async def fetch_number(connection: AsyncConnection, sql: str, text: str) -> int:
    """Run *sql* with *text* as its one parameter, ``{}`` in it, and return the number it gives.

    Raises:
        ConfigurationError: *connection* is of no kind that is known, or in no transaction.
    """
    target: Any = connection
    match _package(connection):
        case "asyncpg":
            _require_transaction(open_=target.is_in_transaction())
            return int(await target.fetchval(sql.format("$1"), text))
        case "psycopg" if hasattr(connection, "__aenter__"):
            _require_transaction(open_=_psycopg_will_be_in_one(target))
            async with _psycopg_cursor(target) as cursor:
                await cursor.execute(sql.format("%s"), (text,))
                return int((await cursor.fetchone())[0])
        case "sqlalchemy" if hasattr(connection, "run_sync"):
            session = _is_session(target)
            _require_postgresql(target.sync_session if session else target)
            used = await target.connection() if session else target
            _require_transaction(open_=not _sqlalchemy_commits_by_itself(used.sync_connection))
            result = await target.execute(_sqlalchemy_text(sql), {"staged": text})
            return int(result.scalar_one())
        case _:
            raise _not_one_of(connection, _ASYNC, other="stage_sync")


def fetch_number_sync(connection: SyncConnection, sql: str, text: str) -> int:
    """As `fetch_number`, on a connection that blocks."""
    target: Any = connection
    match _package(connection):
        case "psycopg" if hasattr(connection, "__enter__"):
            _require_transaction(open_=_psycopg_will_be_in_one(target))
            with _psycopg_cursor(target) as cursor:
                cursor.execute(sql.format("%s"), (text,))
                return int(cursor.fetchone()[0])
        case "sqlalchemy" if not hasattr(connection, "run_sync"):
            _require_postgresql(target)
            used = target.connection() if hasattr(target, "get_bind") else target
            _require_transaction(open_=not _sqlalchemy_commits_by_itself(used))
            return int(target.execute(_sqlalchemy_text(sql), {"staged": text}).scalar_one())
        case _:
            raise _not_one_of(connection, _SYNC, other="stage")


def _package(connection: object) -> str:
    """Return the driver that *connection* is of, or that its class is derived from."""
    packages = [cls.__module__.partition(".")[0] for cls in type(connection).__mro__]
    known = (name for name in packages if name in {"asyncpg", "psycopg", "sqlalchemy"})
    return next(known, "")


def _psycopg_will_be_in_one(connection: Any) -> bool:
    """Return whether a statement is part of a transaction that its user ends."""
    from psycopg.pq import TransactionStatus  # noqa: PLC0415 - only where there is a connection

    status = connection.info.transaction_status
    return not connection.autocommit or status is not TransactionStatus.IDLE


def _psycopg_cursor(connection: Any) -> Any:
    from psycopg.rows import tuple_row  # noqa: PLC0415 - only where there is a connection

    return connection.cursor(row_factory=tuple_row)


def _sqlalchemy_text(sql: str) -> Any:
    import sqlalchemy  # noqa: PLC0415 - only where there is a connection

    return sqlalchemy.text(sql.format(":staged"))


def _sqlalchemy_commits_by_itself(connection: Any) -> bool:
    """Return whether each statement is committed at once, as with ``AUTOCOMMIT``.

    SQLAlchemy's own answer names the server's level of isolation, which is another thing.
    """
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))


def _is_session(connection: Any) -> bool:
    return hasattr(connection, "sync_session")


def _require_postgresql(connection: Any) -> None:
    bind = connection.get_bind() if hasattr(connection, "get_bind") else connection
    name = bind.dialect.name
    if name != "postgresql":
        raise ConfigurationError(
            f"This connection is one to {name}; events are staged in the PostgreSQL database "
            f"that holds the log."
        )


def _require_transaction(*, open_: bool) -> None:
    if not open_:
        raise ConfigurationError(
            "No transaction is open on this connection, so the events would be there whatever "
            "becomes of your own changes. Begin one: async with connection.transaction()."
        )


def _not_one_of(connection: object, known: str, *, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"{type(connection).__module__}.{type(connection).__qualname__} is not {known}. For the "
        f"other kind there is {other}()."
    )
