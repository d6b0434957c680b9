"""Whatever handlers take, fail at and whenever workers come and go: each event once, in order."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import SubscriptionError
from headwater.subscriptions.flow import Flow, Workers
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.subscription import Arrival
from tests.subscriptions.trails import faults, trailing
from tests.subscriptions.workbench import Workbench

WORKERS, EVENTS = 3, 80


class Trouble:
    """What happens to one run, all of it by *seed*."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.flow = Flow(
            in_flight_events=self._chance.choice([1, 3, 20, 8000]),
            batch_events=self._chance.choice([1, 2, 50]),
        )
        self.partitions = self._chance.choice([1, 2, 5])
        self.page_events = self._chance.choice([1, 3, 100])
        self.keys = self._chance.choice([1, 4, 9])

    async def meanwhile(self, _arrival: Arrival) -> None:
        """Take some time, and fail now and then."""
        for _ in range(self._chance.choice([0, 0, 0, 1, 5, 30])):
            await asyncio.sleep(0)
        if self._chance.random() < 0.03:
            raise RuntimeError("now and then")

    async def run(self) -> list[str]:
        """Append and work; return what is wrong afterwards."""
        storage = MemoryStorage()
        await storage.open()
        benches = [Workbench(storage) for _ in range(WORKERS)]
        for bench in benches:
            bench.workers = Workers(0.2, 0.005)
        booked = 0
        while booked < EVENTS:
            bench = self._chance.choice(benches)
            match self._chance.choice(["book", "book", "book", "start", "stop", "cut", "wait"]):
                case "book":
                    for _ in range(self._chance.randint(1, 10)):
                        await bench.book(f"a{self._chance.randrange(self.keys)}")
                        booked += 1
                case "start":
                    await bench.stop()
                    await bench.start(await self._runner(bench))
                case "stop":
                    await bench.stop()
                case "cut" if bench.subscriptions is not None:
                    await bench.subscriptions.stop(grace=0)
                case _:
                    for _ in range(self._chance.randint(1, 40)):
                        await asyncio.sleep(0)
        await self._settle(benches[0])
        found = await faults(benches[0])
        for bench in benches:
            await bench.stop()
        await storage.close()
        return found

    async def _settle(self, bench: Workbench) -> None:
        await bench.stop()
        subscriptions = await bench.start(await self._runner(bench))
        async with asyncio.timeout(30):
            while True:
                try:
                    await subscriptions.settle()
                except SubscriptionError:
                    await subscriptions.restart("mail")
                else:
                    return

    async def _runner(self, bench: Workbench) -> Runner:
        made = await trailing(
            bench, self.meanwhile, partitions=self.partitions, page_events=self.page_events
        )
        made.flow = self.flow
        return made


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_per_key_the_effects_of_all_events_are_there_once_and_in_order(seed: int) -> None:
    assert asyncio.run(Trouble(seed).run()) == []
