"""What the status of a worker says is held, as soon as it is so."""

from headwater import OnFailure
from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.subscriptions.status import HeldCounts
from tests.subscriptions.failures.posting import PostOffice, post, until, write


async def test_the_status_follows_what_is_parked_and_replayed_at_once() -> None:
    """The clock stands, so nothing is looked at again after a while."""
    office = PostOffice()
    office.fails = lambda event: ValueError() if event.number in (1, 4) else None
    async with post(MemoryStorage(), ManualClock(), office) as app:

        async def holds(counts: HeldCounts) -> bool:
            return app.status()[0].held == counts

        await write(app, ("a", 1), ("a", 2), ("b", 3), ("c", 4))
        await until(lambda: holds(HeldCounts(waiting=1, dead=2, parked_keys=2)))
        assert not app.status()[0].healthy
        office.fails = lambda _: None

        await app.dead_letters.replay(await app.dead_letters.list(), by="ada")

        await until(lambda: holds(HeldCounts()))
        assert await app.dead_letters.count() == 0
        assert app.status()[0].healthy


async def test_what_was_put_aside_and_what_is_delayed_is_told_too() -> None:
    office, clock = PostOffice(), ManualClock()
    office.fails = lambda event: ValueError() if event.number == 1 else None
    app = post(MemoryStorage(), clock, office, delayed=(60,), on_failure=OnFailure.PARK_EVENT)
    async with app:

        async def holds(counts: HeldCounts) -> bool:
            return app.status()[0].held == counts

        await write(app, ("a", 1), ("a", 2))
        await until(lambda: holds(HeldCounts(delayed=1, waiting=1)))

        clock.advance(60)

        await until(lambda: holds(HeldCounts(dead=1)))
