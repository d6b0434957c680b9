"""An app parks, delays, waits, replays and discards on every storage, across restarts."""

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.app.storages import storage_of
from headwater.clock import ManualClock, SystemClock
from headwater.errors import ConfigurationError, ParkedKeyError
from headwater.operations.dead_letters.deliveries import DeliveryState
from headwater.operations.dead_letters.selecting import Selection
from headwater.ports.storage import Storage
from tests.storage.conftest import postgres, postgres_run_folder, postgres_schema, postgres_url
from tests.subscriptions.failures.posting import NAME, PostOffice, post, until, write

__all__ = ["postgres", "postgres_run_folder", "postgres_schema", "postgres_url"]

EVERYTHING_HELD = Selection(states=frozenset())


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Storage]:
    """Opens the same storage again, as a restart does."""
    if request.param == "memory":
        memory = MemoryStorage()
        return lambda: memory
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'log.db'}"
    else:
        # An app that opens it imports the driver, which reads files, within the event loop.
        importlib.import_module("headwater.adapters.storage.postgres")
        server = request.getfixturevalue("postgres_url")
        schema = request.getfixturevalue("postgres_schema")
        url = f"{server}?schema={schema}&auto_migrate=true"
    return lambda: storage_of(url, clock=SystemClock())


async def test_a_key_is_parked_waited_for_and_replayed_in_order_after_a_restart(
    place: Callable[[], Storage],
) -> None:
    office = PostOffice()
    office.fails = lambda event: ValueError("no stamp") if event.number == 1 else None
    async with post(place(), SystemClock(), office) as app:
        at = await write(app, ("a", 1), ("b", 2), ("a", 3))
        with pytest.raises(ParkedKeyError, match="box-a"):
            await app.wait_for(NAME, at)
        with pytest.raises(ParkedKeyError):
            await app.settle()
        dead, behind = await app.dead_letters.list(EVERYTHING_HELD)
        assert (dead.state, behind.state) == (DeliveryState.DEAD, DeliveryState.WAITING)
        assert len(dead.code) == 16
    office.fails = lambda _: None

    async with post(place(), SystemClock(), office) as app:
        await write(app, ("a", 4))
        await app.dead_letters.replay(await app.dead_letters.list(), by="ada")

        async def nothing_held() -> bool:
            return await app.dead_letters.count(EVERYTHING_HELD) == 0

        await until(nothing_held)
        await app.settle()
        actions = [one.action for one in await app.dead_letters.history()]

    assert [number for number in office.tried if number != 2] == [1, 1, 3, 4]
    assert actions == ["replayed", "replay asked for", "parked"]


async def test_a_delayed_event_is_due_across_a_restart(place: Callable[[], Storage]) -> None:
    office, clock = PostOffice(), ManualClock()
    office.fails = lambda event: ValueError("busy") if len(office.tried) < 3 else None
    async with post(place(), clock, office, delayed=(60, 60)) as app:
        await write(app, ("a", 1), ("a", 2))

        async def delayed() -> bool:
            return await app.dead_letters.count(EVERYTHING_HELD) == 2

        await until(delayed)
    clock.advance(60)

    async with post(place(), clock, office, delayed=(60, 60)) as app:

        async def tried_again() -> bool:
            return [one.counted for one in await app.dead_letters.list(EVERYTHING_HELD)] == [2, 0]

        await until(tried_again)
        clock.advance(60)
        await app.settle()

    assert office.tried == [1, 1, 1, 2]


async def test_what_is_edited_and_replayed_is_read_in_the_place_of_what_the_log_holds(
    place: Callable[[], Storage],
) -> None:
    office = PostOffice()
    office.fails = lambda event: ValueError("rude") if event.text == "hello" else None
    async with post(place(), SystemClock(), office) as app:
        at = await write(app, ("a", 1))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(NAME, at)
        (dead,) = await app.dead_letters.list()
        with pytest.raises(Exception, match="number"):
            await app.dead_letters.edit(
                dead.id, '{"box":"a","number":"one"}', author="ada", reason="a try"
            )
        await app.dead_letters.edit(
            dead.id, '{"box":"a","number":1,"text":"good day"}', author="ada", reason="rude"
        )
        await app.dead_letters.replay([dead], by="ada")
        await until(lambda: _is_empty(app.dead_letters.count))
        await app.settle()
        rows = await app.storage.get_rows("post_sent", ["1"])
        (stored,) = await app.storage.read_stream("post.box-a")

    assert office.tried == [1, 1]
    assert '"text":"good day"' in rows["1"].data
    assert stored.data == '{"box":"a","number":1,"text":"hello"}'


async def test_a_partition_that_holds_too_much_goes_on_when_there_is_room(
    place: Callable[[], Storage],
) -> None:
    office = PostOffice()
    office.fails = lambda event: ValueError() if event.number == 1 else None
    async with post(place(), SystemClock(), office, waiting_max=2) as app:
        await write(app, ("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 5))
        await until(lambda: _counts(app.dead_letters.count, 3))
        office.fails = lambda _: None
        (dead,) = await app.dead_letters.list()
        await app.dead_letters.discard([dead], by="ada", reason="not worth it")
        await app.settle()

    assert office.tried == [1, 2, 3, 4, 5]


async def test_a_dry_run_shows_what_the_handler_would_write_and_writes_nothing(
    place: Callable[[], Storage],
) -> None:
    office, other = PostOffice(), PostOffice()
    office.fails = lambda _: ValueError("no stamp")
    async with post(place(), SystemClock(), office) as app:
        at = await write(app, ("a", 1))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(NAME, at)
        (dead,) = await app.dead_letters.list()
        with pytest.raises(ConfigurationError, match="external=False"):
            await app.dead_letters.dry_run(dead.id)

        run = await app.dead_letters.dry_run(dead.id, replacements={PostOffice: other})
        other.fails = office.fails
        again = await app.dead_letters.dry_run(
            dead.id, data='{"box":"a","number":7}', replacements={PostOffice: other}
        )

        assert run.failure is None
        assert [(row.collection, row.key) for row in run.rows] == [("post_sent", "1")]
        assert again.failure is not None
        assert again.failure.message == "no stamp"
        assert await app.dead_letters.count() == 1
    assert (office.tried, other.tried) == ([1], [1, 7])


async def _is_empty(count: Callable[[], Awaitable[int]]) -> bool:
    return await count() == 0


async def _counts(count: Callable[[Selection], Awaitable[int]], number: int) -> bool:
    return await count(EVERYTHING_HELD) == number
