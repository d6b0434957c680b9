"""Every driver stages in the transaction of its user, and in no other."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from headwater.errors import ConfigurationError
from tests.integrations.guests import House, Invited


class StopError(Exception):
    """What rolls a transaction back."""


class Mine:
    """A user's open transaction: stages, writes rows of its own, and has savepoints."""

    def __init__(self, house: House, connection: Any) -> None:
        self.house, self.connection = house, connection

    async def stage(self, name: str) -> None:
        await self.house.outbox.stage(self.connection, f"guest-{name}", [Invited(name)])

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        nested = getattr(self.connection, "begin_nested", None) or self.connection.transaction
        async with nested():
            yield


class MineSync(Mine):
    async def stage(self, name: str) -> None:
        self.house.outbox.stage_sync(self.connection, f"guest-{name}", [Invited(name)])

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        nested = getattr(self.connection, "begin_nested", None) or self.connection.transaction
        with nested():
            yield


@asynccontextmanager
async def of_asyncpg(house: House) -> AsyncGenerator[Mine]:
    connection = await house.connect()
    try:
        async with connection.transaction():
            yield Mine(house, connection)
    finally:
        await connection.close()


@asynccontextmanager
async def of_asyncpg_pool(house: House) -> AsyncGenerator[Mine]:
    async with (
        asyncpg.create_pool(house.url, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(isolation="serializable"),
    ):
        # A user's own codec for JSON must not get into the way.
        await connection.set_type_codec(
            "json", schema="pg_catalog", encoder=repr, decoder=lambda text: {"text": text}
        )
        yield Mine(house, connection)


@asynccontextmanager
async def of_psycopg(house: House) -> AsyncGenerator[Mine]:
    async with await psycopg.AsyncConnection[Any].connect(house.url) as connection:
        # A user's own kind of rows must not get into the way.
        connection.row_factory = dict_row
        yield Mine(house, connection)


@asynccontextmanager
async def of_psycopg_autocommit(house: House) -> AsyncGenerator[Mine]:
    async with (
        await psycopg.AsyncConnection.connect(house.url, autocommit=True) as connection,
        connection.transaction(),
    ):
        yield Mine(house, connection)


@asynccontextmanager
async def of_psycopg_sync(house: House) -> AsyncGenerator[Mine]:
    with psycopg.connect(house.url) as connection:
        yield MineSync(house, connection)


def alchemy(house: House, driver: str) -> str:
    return house.url.replace("postgresql://", f"postgresql+{driver}://")


@asynccontextmanager
async def of_async_session(house: House) -> AsyncGenerator[Mine]:
    engine = create_async_engine(alchemy(house, "asyncpg"))
    try:
        async with AsyncSession(engine) as session, session.begin():
            # Not by the library's call: a driver that connects looks for files, which blocks.
            _ = await session.connection()
            yield Mine(house, session)
    finally:
        await engine.dispose()


@asynccontextmanager
async def of_async_connection(house: House) -> AsyncGenerator[Mine]:
    engine = create_async_engine(alchemy(house, "psycopg"))
    try:
        async with engine.begin() as connection:
            yield Mine(house, connection)
    finally:
        await engine.dispose()


@asynccontextmanager
async def of_session(house: House) -> AsyncGenerator[Mine]:
    engine = sqlalchemy.create_engine(alchemy(house, "psycopg"))
    try:
        with Session(engine) as session, session.begin():
            yield MineSync(house, session)
    finally:
        engine.dispose()


@asynccontextmanager
async def of_connection(house: House) -> AsyncGenerator[Mine]:
    engine = sqlalchemy.create_engine(alchemy(house, "psycopg"))
    try:
        with engine.begin() as connection:
            yield MineSync(house, connection)
    finally:
        engine.dispose()


Transaction: TypeAlias = Callable[[House], AbstractAsyncContextManager[Mine]]

USERS: list[Transaction] = [
    of_asyncpg,
    of_asyncpg_pool,
    of_psycopg,
    of_psycopg_autocommit,
    of_psycopg_sync,
    of_async_session,
    of_async_connection,
    of_session,
    of_connection,
]


@pytest.fixture(params=USERS, ids=lambda user: user.__name__)
def transaction(request: pytest.FixtureRequest) -> Transaction:
    chosen: Transaction = request.param
    return chosen


async def test_what_is_committed_is_moved_in_its_order(
    house: House, transaction: Transaction
) -> None:
    async with transaction(house) as mine:
        for name in ("ada", "bob", "cyd"):
            await mine.stage(name)
        assert await house.waiting() == 0

    await house.mover.move()

    assert [(stored.position, stored.name) for stored in await house.log()] == [
        (1, "ada"),
        (2, "bob"),
        (3, "cyd"),
    ]


async def test_a_rollback_leaves_nothing(house: House, transaction: Transaction) -> None:
    async def fail_in_the_middle() -> None:
        async with transaction(house) as mine:
            await mine.stage("ada")
            raise StopError

    with pytest.raises(StopError):
        await fail_in_the_middle()

    assert await house.waiting() == 0
    await house.mover.move()
    assert await house.log() == []


async def test_a_savepoint_that_is_rolled_back_takes_its_events_with_it(
    house: House, transaction: Transaction
) -> None:
    async def fail_within(mine: Mine) -> None:
        async with mine.savepoint():
            await mine.stage("bob")
            raise StopError

    async with transaction(house) as mine:
        await mine.stage("ada")
        with pytest.raises(StopError):
            await fail_within(mine)
        async with mine.savepoint():
            await mine.stage("cyd")

    await house.mover.move()

    assert [stored.name for stored in await house.log()] == ["ada", "cyd"]


async def test_a_connection_without_a_transaction_is_refused(house: House) -> None:
    connection = await house.connect()
    with psycopg.connect(house.url, autocommit=True) as blocking:
        with pytest.raises(ConfigurationError, match="No transaction is open"):
            await house.outbox.stage(connection, "guest-1", [Invited("ada")])
        with pytest.raises(ConfigurationError, match="No transaction is open"):
            house.outbox.stage_sync(blocking, "guest-1", [Invited("ada")])
    await connection.close()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_connection_of_sqlalchemy_that_commits_by_itself_is_refused(
    house: House, driver: str
) -> None:
    engine = create_async_engine(alchemy(house, driver), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection, AsyncSession(connection) as session:
        for target in (connection, session):
            with pytest.raises(ConfigurationError, match="No transaction is open"):
                await house.outbox.stage(target, "guest-1", [Invited("ada")])
    await engine.dispose()

    assert await house.sql("SELECT FROM @.outbox") == []


async def test_a_blocking_connection_of_sqlalchemy_that_commits_by_itself_is_refused(
    house: House,
) -> None:
    engine = sqlalchemy.create_engine(alchemy(house, "psycopg"))
    with engine.connect() as transactional:
        connection = transactional.execution_options(isolation_level="AUTOCOMMIT")
        with Session(connection) as session:
            for target in (connection, session):
                with pytest.raises(ConfigurationError, match="No transaction is open"):
                    house.outbox.stage_sync(target, "guest-1", [Invited("ada")])
    engine.dispose()

    assert await house.sql("SELECT FROM @.outbox") == []


async def test_a_connection_of_the_other_kind_or_of_none_is_refused(house: House) -> None:
    connection = await house.connect()
    wrong: Any = object()
    other: Any = connection
    with psycopg.connect(house.url) as blocking:
        blocking_one: Any = blocking
        with pytest.raises(ConfigurationError, match="there is stage_sync"):
            await house.outbox.stage(blocking_one, "guest-1", [Invited("ada")])
    with pytest.raises(ConfigurationError, match=r"there is stage\(\)"):
        house.outbox.stage_sync(other, "guest-1", [Invited("ada")])
    with pytest.raises(ConfigurationError, match="object is not an asyncpg connection"):
        await house.outbox.stage(wrong, "guest-1", [Invited("ada")])
    await connection.close()


async def test_a_session_on_another_database_is_refused(house: House) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with (
        Session(engine) as session,
        pytest.raises(ConfigurationError, match="connection is one to sqlite"),
    ):
        house.outbox.stage_sync(session, "guest-1", [Invited("ada")])
    engine.dispose()
