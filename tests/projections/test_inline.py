"""Inline projections: rows that are committed with the events they are made of."""

import asyncio

import pytest

from headwater import App, Projection, Recorded, applies
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import RowMissingError, WiringError
from headwater.operations.projections.meeting import Meeting
from headwater.ports.storage import Storage
from tests.projections.conftest import OpenStorage
from tests.projections.inline_tallies import Count, Forget, inline_app
from tests.projections.tallies import (
    Counted,
    Forgot,
    InlineTallies,
    Tallies,
    Tally,
    app_of,
    count,
    counts,
)


async def test_rows_are_there_as_soon_as_the_command_is_done(storage: Storage) -> None:
    async with inline_app(storage) as app:
        receipt = await app.execute(Count("a", 3))
        assert await counts(app) == {"a": 3}
        await app.wait_for(InlineTallies, receipt)

        await app.send(Count("b"))
        await app.send(Forget("a"))

        assert await counts(app) == {"b": 1}
        assert app.status() == ()


async def test_what_a_projection_refuses_is_not_appended() -> None:
    class Strict(Projection[Tally], name="tallies", inline=True):
        @applies
        def forgot(self, event: Forgot, row: Tally) -> None:
            return None

    async with inline_app(MemoryStorage(), Strict) as app:
        with pytest.raises(RowMissingError):
            await app.send(Forget("a"))

        assert await app.storage.head() == 0


async def test_commands_at_once_in_two_processes_lose_no_change(opened: OpenStorage) -> None:
    one, other = inline_app(await opened()), inline_app(await opened())
    async with one, other:
        sent = (app.send(Count("a")) for _ in range(25) for app in (one, other))

        await asyncio.gather(*sent)

        assert await counts(one) == await counts(other) == {"a": 50}


async def test_it_is_said_that_records_have_no_position_yet() -> None:
    class Late(Projection[Tally], name="tallies", inline=True):
        @applies
        def counted(self, event: Recorded[Counted], row: Tally | None) -> Tally | None:
            return row

    with pytest.raises(WiringError, match="which has no position yet"):
        inline_app(MemoryStorage(), Late).check()
    with pytest.raises(WiringError, match="in another database"):
        app_of(InlineTallies, MemoryStorage(), database=MemoryStorage()).check()


async def test_what_came_past_units_of_work_is_found_and_mended(storage: Storage) -> None:
    async with inline_app(storage) as app:
        await app.send(Count("a"))
        await count(app, "a", "b")
        assert await counts(app) == {"a": 1}

        found = await app.projections.verify(InlineTallies)
        assert (found.changed, found.added) == (1, 1)
        await app.projections.rebuild(InlineTallies)
        done = await app.projections.switch(InlineTallies)

        assert done.live is not None
        assert await counts(app) == {"a": 2, "b": 1}
        await app.send(Count("b"))
        assert await counts(app) == {"a": 2, "b": 2}


async def test_a_projection_becomes_inline_by_a_switch_while_commands_go_on(
    opened: OpenStorage,
) -> None:
    async with inline_app(await opened(), Tallies) as app:
        for name in ("a", "b", "a"):
            await app.send(Count(name))
        await app.settle()
    one, other = inline_app(await opened()), inline_app(await opened())
    async with one, other:
        switched = asyncio.Event()
        sent = 0

        async def go_on(app: App) -> None:
            nonlocal sent
            while not switched.is_set():
                await app.send(Count("a"))
                sent += 1

        async def switch() -> None:
            try:
                await one.projections.wait(InlineTallies)
                done = await one.projections.switch(InlineTallies)
                assert done.live is not None
                assert done.live.inline
            finally:
                switched.set()

        async with asyncio.timeout(50):
            await asyncio.gather(go_on(one), go_on(other), switch())
        await other.send(Count("b"))

        assert await counts(one) == await counts(other) == {"a": 2 + sent, "b": 2}
        assert (await one.projections.verify(InlineTallies)).equal


async def test_rows_that_are_written_all_the_time_are_compared_where_they_stand(
    opened: OpenStorage,
) -> None:
    async with inline_app(await opened()) as one, inline_app(await opened()) as other:
        names = [f"n{number}" for number in range(20)]
        done = asyncio.Event()

        async def write() -> None:
            while not done.is_set():
                for name in names:
                    await other.send(Count(name))

        writing = [asyncio.create_task(write()) for _ in range(3)]
        try:
            await one.projections.rebuild(InlineTallies)
            await one.projections.wait(InlineTallies, timeout=20)
            switched = await one.projections.switch(InlineTallies, agreed=_are_equal)
            assert switched.live is not None
            assert (await one.projections.verify(InlineTallies)).equal
        finally:
            done.set()
            await asyncio.gather(*writing)


def _are_equal(meeting: Meeting) -> bool:
    return meeting.differences is not None and meeting.differences.equal
