"""What operators ask of a subscription, read now and then for all its partitions together."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from headwater.clock import Clock, microseconds_since_epoch
from headwater.operations.dead_letters.requests import REQUESTS, DeliveryRequest, request_of
from headwater.ports.rows import Comparison, Condition, RowQuery
from headwater.ports.storage import Storage

REQUEST_SECONDS: Final = 1.0
"""How often requests are looked for, while something is held that they can be about."""

REQUESTS_PAGE: Final = 1000
"""How many requests are looked at, at a time; the first ones that may be done."""

DELIVERIES_AT_ONCE: Final = 500
"""For how many deliveries requests are looked for with one read, if there are more than that."""


class Asking:
    """The requests that may be done now, by the id of the delivery."""

    def __init__(self, subscription: str, target: Storage, clock: Clock) -> None:
        self._subscription, self._target, self._clock = subscription, target, clock
        self._requests: dict[str, DeliveryRequest] = {}
        self.next_look = 0.0
        self.looks = 0
        """How often they were read."""
        self.full = False
        """Whether there may be more of them than were read; then `look_for` one's own."""

    @property
    def requests(self) -> Sequence[DeliveryRequest]:
        """They, as last read."""
        return tuple(self._requests.values())

    async def look(self) -> None:
        """Read them if they were read long ago."""
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
            self.full = len(rows) == REQUESTS_PAGE
            self.next_look = self._clock.monotonic() + REQUEST_SECONDS

    async def look_for(self, deliveries: Iterable[str]) -> None:
        """Read what is asked for *deliveries*, however much is asked for others."""
        now = microseconds_since_epoch(self._clock.now())
        left = iter(deliveries)
        while some := tuple(islice(left, DELIVERIES_AT_ONCE)):
            rows = await self._target.get_rows(REQUESTS.name, some)
            for request in map(request_of, rows.values()):
                if request.not_before <= now:
                    self._requests.setdefault(request.delivery, request)

    def wants(self, request: DeliveryRequest) -> bool:
        """Return whether *request* still counts."""
        return self._requests.get(request.delivery) is request

    def done(self, delivery: str) -> None:
        """Forget what was asked for *delivery*."""
        self._requests.pop(delivery, None)

    def look_again(self) -> None:
        """Have the requests read when they are asked for next."""
        self.next_look = 0.0
