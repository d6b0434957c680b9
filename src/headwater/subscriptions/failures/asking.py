"""What operators ask of a subscription, read now and then for all its partitions together."""

from collections.abc import Mapping
from typing import Final

from headwater.clock import Clock, microseconds_since_epoch
from headwater.operations.dead_letters.requests import REQUESTS, DeliveryRequest, request_of
from headwater.ports.rows import Comparison, Condition, RowQuery
from headwater.ports.storage import Storage

REQUEST_SECONDS: Final = 1.0
"""How often requests are looked for, while something is held that they can be about."""

REQUESTS_PAGE: Final = 1000
"""How many requests are looked at, at a time; the first ones that may be done."""


class Asking:
    """The requests that may be done now, by the id of the delivery."""

    def __init__(self, subscription: str, target: Storage, clock: Clock) -> None:
        self._subscription, self._target, self._clock = subscription, target, clock
        self._requests: dict[str, DeliveryRequest] = {}
        self.next_look = 0.0
        self.looks = 0
        """How often they were read."""
        self.more = False
        """Whether there may be more of them than were read."""

    async def look(self) -> Mapping[str, DeliveryRequest]:
        """Return them, as last read; read them if that is long ago."""
        if self._clock.monotonic() >= self.next_look:
            now = microseconds_since_epoch(self._clock.now())
            rows = await self._target.find_rows(
                REQUESTS.name,
                RowQuery(
                    (
                        Condition("subscription", Comparison.EQUAL, self._subscription),
                        Condition("not_before", Comparison.LESS_OR_EQUAL, now),
                    ),
                    order_by=(("not_before", False),),
                    limit=REQUESTS_PAGE,
                ),
            )
            self._requests = {row.key: request_of(row) for row in rows}
            self.looks += 1
            self.more = len(rows) == REQUESTS_PAGE
            self.next_look = self._clock.monotonic() + REQUEST_SECONDS
        return self._requests

    def wants(self, request: DeliveryRequest) -> bool:
        """Return whether *request* still counts."""
        return self._requests.get(request.delivery) is request

    def done(self, delivery: str) -> None:
        """Forget what was asked for *delivery*."""
        self._requests.pop(delivery, None)

    def look_again(self) -> None:
        """Have the requests read when they are asked for next."""
        self.next_look = 0.0
