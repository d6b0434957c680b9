"""A handler that notes what it gets."""

import asyncio

from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.subscription import Arrival


class Seen:
    """A handler that remembers what it got."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.deliveries: list[Delivery] = []
        self.fail_at: int | None = None

    async def __call__(self, arrival: Arrival, delivery: Delivery) -> None:
        await asyncio.sleep(0)
        if arrival.stored.position == self.fail_at:
            raise RuntimeError("mail server is down")
        self.positions.append(arrival.stored.position)
        self.deliveries.append(delivery)
