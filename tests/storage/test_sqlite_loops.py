"""A storage belongs to one event loop at a time, and can go on in the next."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import ConfigurationError, StorageClosedError
from headwater.testing.conformance.builders import appending, new_event


@pytest.fixture
def storage(tmp_path: Path) -> SqliteStorage:
    return SqliteStorage(tmp_path / "log.db")


@pytest.fixture
def left_open(storage: SqliteStorage) -> SqliteStorage:
    """A storage with one event, whose event loop was closed before it was."""

    async def use() -> None:
        await storage.open()
        await storage.commit(appending("order-1", new_event()))

    asyncio.run(use())
    return storage


@pytest.fixture
def other_loop() -> Iterator[asyncio.Runner]:
    """A loop beside that of the test, for a thread to run something in."""
    with asyncio.Runner() as runner:
        yield runner


def threads() -> list[threading.Thread]:
    names = ("headwater-writer", "headwater-reader", "headwater-news")
    return [one for one in threading.enumerate() if one.name.startswith(names)]


def end_of(some: list[threading.Thread]) -> bool:
    """Return whether *some* threads end, soon."""
    for one in some:
        one.join(5)
    return not any(one.is_alive() for one in some)


def test_a_storage_whose_event_loop_was_closed_can_be_opened_in_the_next(
    left_open: SqliteStorage,
) -> None:
    before = threads()

    async def use() -> int:
        await left_open.open()
        position = (await left_open.commit(appending("order-1", new_event()))).position
        await left_open.close()
        return position

    assert asyncio.run(use()) == 2
    assert end_of(before)


def test_a_storage_whose_event_loop_was_closed_can_be_closed_in_the_next(
    left_open: SqliteStorage,
) -> None:
    before = threads()

    asyncio.run(left_open.close())

    assert end_of(before)


def test_a_storage_whose_event_loop_was_closed_says_to_open_it_again(
    left_open: SqliteStorage,
) -> None:
    with pytest.raises(ConfigurationError, match="was closed; open the storage again"):
        asyncio.run(left_open.head())

    asyncio.run(left_open.close())


async def test_a_storage_of_a_living_event_loop_is_neither_opened_nor_closed_in_another(
    storage: SqliteStorage, other_loop: asyncio.Runner
) -> None:
    await storage.open()

    for work in (storage.open(), storage.close(), storage.head()):
        with pytest.raises(ConfigurationError, match="Close it there"):
            await asyncio.to_thread(other_loop.run, work)

    assert await storage.head() == 0
    await storage.close()


async def test_a_storage_that_is_closed_while_it_opens_is_closed(storage: SqliteStorage) -> None:
    await asyncio.gather(storage.open(), storage.close())

    with pytest.raises(StorageClosedError):
        await storage.head()
    assert end_of(threads())


async def test_closing_that_is_cancelled_before_its_turn_leaves_the_storage_open(
    storage: SqliteStorage,
) -> None:
    opening = asyncio.ensure_future(storage.open())
    closing = asyncio.ensure_future(storage.close())
    await asyncio.sleep(0)

    closing.cancel()
    await opening

    assert await storage.head() == 0
    await storage.close()
    assert end_of(threads())
