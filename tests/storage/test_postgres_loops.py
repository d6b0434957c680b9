"""A PostgreSQL storage belongs to one event loop of one process, and can go on in the next."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from headwater.adapters.storage.postgres import PostgresStorage
from headwater.errors import ConfigurationError, ForkedProcessError, StorageClosedError
from headwater.testing.conformance.builders import appending, new_event


@pytest.fixture
def storage(postgres_url: str, postgres_schema: str) -> PostgresStorage:
    url = f"{postgres_url}?sslmode=disable&auto_migrate=true&schema={postgres_schema}"
    return PostgresStorage(url)


@pytest.fixture
def left_open(storage: PostgresStorage) -> PostgresStorage:
    """A storage with one event and somebody who waited, whose loop was closed before it was."""

    async def use() -> None:
        await storage.open()
        await storage.commit(appending("order-1", new_event()))
        await storage.wait_for_news(1, seconds=0.01)

    asyncio.run(use())
    return storage


@pytest.fixture
def other_loop() -> Iterator[asyncio.Runner]:
    """A loop beside that of the test, for a thread to run something in."""
    with asyncio.Runner() as runner:
        yield runner


def test_a_storage_whose_event_loop_was_closed_can_be_opened_in_the_next(
    left_open: PostgresStorage,
) -> None:
    async def use() -> int:
        await left_open.open()
        position = (await left_open.commit(appending("order-1", new_event()))).position
        await left_open.close()
        return position

    assert asyncio.run(use()) == 2


def test_a_storage_whose_event_loop_was_closed_can_be_closed_in_the_next(
    left_open: PostgresStorage,
) -> None:
    asyncio.run(left_open.close())


def test_a_storage_whose_event_loop_was_closed_says_to_open_it_again(
    left_open: PostgresStorage,
) -> None:
    with pytest.raises(ConfigurationError, match="was closed; open the storage again"):
        asyncio.run(left_open.head())

    asyncio.run(left_open.close())


async def test_a_storage_of_a_living_event_loop_is_neither_opened_nor_closed_in_another(
    storage: PostgresStorage, other_loop: asyncio.Runner
) -> None:
    await storage.open()

    for work in (storage.open(), storage.close(), storage.head()):
        with pytest.raises(ConfigurationError, match="Close it there"):
            await asyncio.to_thread(other_loop.run, work)

    assert await storage.head() == 0
    await storage.close()


async def test_a_storage_that_is_closed_while_it_opens_is_closed(storage: PostgresStorage) -> None:
    await asyncio.gather(storage.open(), storage.close())

    with pytest.raises(StorageClosedError):
        await storage.head()


def test_a_loop_that_ends_with_commits_under_way_leaves_a_storage_that_can_be_opened_again(
    storage: PostgresStorage,
) -> None:
    async def leave() -> None:
        await storage.open()
        commits = [
            asyncio.ensure_future(storage.commit(appending(f"order-{n}", new_event())))
            for n in range(50)
        ]
        await asyncio.wait(commits, return_when=asyncio.FIRST_COMPLETED)

    async def go_on() -> tuple[int, int]:
        await storage.open()
        before = await storage.head()
        position = (await storage.commit(appending("order-1", new_event()))).position
        await storage.close()
        return before, position

    asyncio.run(leave())

    before, position = asyncio.run(go_on())
    assert 1 <= before <= 50
    assert position == before + 1


async def test_a_forked_process_is_told_to_make_a_storage_of_its_own(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.open()

    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: 1)
        for work in (storage.head(), storage.open(), storage.close()):
            with pytest.raises(ForkedProcessError, match="make a new PostgresStorage here"):
                await work

    await storage.close()
