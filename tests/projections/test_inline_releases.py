"""Inline projections while releases follow each other: no event is missing in the rows."""

import asyncio

import pytest

from headwater import App, BoundedContext, Event, ExpectedVersion, Projection, applies
from headwater.errors import InlineVersionError
from headwater.unit_of_work.unit import UnitOfWork
from tests.projections.conftest import OpenStorage
from tests.projections.inline_tallies import Count, inline_app
from tests.projections.tallies import Counted, InlineTallies, Tallies, Tally, counts
from tests.subscriptions.failures.posting import until


class Asked(Event, context="asked"):
    name: str


class DoubledInline(Projection[Tally], name="tallies", partitions=4, inline=True, version=2):
    @applies
    def counted(self, event: Counted, row: Tally | None) -> Tally:
        count = (row.count if row else 0) + event.by
        return Tally(event.name, count, 2 * count)


async def test_an_event_of_code_that_does_not_compute_the_live_rows_is_refused(
    opened: OpenStorage,
) -> None:
    async with inline_app(await opened()) as old, inline_app(await opened(), DoubledInline) as new:
        await old.send(Count("a"))

        with pytest.raises(InlineVersionError, match=r"version 1 .*this code has version 2"):
            await new.send(Count("a"))
        assert await counts(old) == await counts(new) == {"a": 1}

        await new.projections.wait(DoubledInline, timeout=20)
        await new.projections.switch(DoubledInline)
        with pytest.raises(InlineVersionError, match=r"version 2 .*this code has version 1"):
            await old.send(Count("a"))
        receipt = await new.execute(Count("a"))
        await new.wait_for(DoubledInline, receipt)
        await old.wait_for(InlineTallies, receipt)

        assert await counts(old) == await counts(new) == {"a": 2}


async def test_code_of_the_live_version_keeps_inline_rows_though_it_is_not_inline_itself(
    opened: OpenStorage,
) -> None:
    one, other = inline_app(await opened(), Tallies), inline_app(await opened())
    async with one:
        await one.send(Count("a"))
        await one.settle()
        async with other:
            await other.projections.wait(InlineTallies, timeout=20)
            await other.projections.switch(InlineTallies)

            await asyncio.gather(*(app.send(Count("a")) for app in (one, other) for _ in range(5)))

            assert await counts(one) == await counts(other) == {"a": 11}
            assert (await other.projections.verify(InlineTallies)).equal


async def test_a_process_that_has_not_seen_a_switch_goes_on_after_the_old_rows_are_dropped(
    opened: OpenStorage,
) -> None:
    async with inline_app(await opened()) as one, inline_app(await opened()) as other:
        await other.send(Count("a"))
        await one.projections.rebuild(InlineTallies)
        await one.projections.wait(InlineTallies, timeout=20)
        await one.projections.switch(InlineTallies)
        await one.projections.drop(InlineTallies, 1)

        await other.send(Count("a"))

        assert await counts(one) == await counts(other) == {"a": 2}


async def test_a_subscription_whose_events_are_refused_waits_and_parks_nothing(
    opened: OpenStorage,
) -> None:
    asked = BoundedContext("asked")

    @asked.subscriber
    async def count_it(event: Asked, unit: UnitOfWork) -> None:
        unit.append(f"tally.all-{event.name}", Counted(event.name))

    new = inline_app(await opened(), DoubledInline)
    new.include(asked)
    async with inline_app(await opened()) as old:
        await old.send(Count("a"))
        async with new:
            await append(new, Asked("a"))

            async def waits() -> bool:
                return any(one.error is not None for one in new.status())

            await until(waits)
            assert not await new.dead_letters.list()
            await new.projections.wait(DoubledInline, timeout=20)
            await new.projections.switch(DoubledInline)

            await new.settle(timeout=20)

            assert await counts(new) == {"a": 2}


async def append(app: App, event: Event) -> None:
    await app.event_store.append("asked.all-1", [event], expected=ExpectedVersion.any())
