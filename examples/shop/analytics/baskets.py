"""Basket sizes, told to an analytics service that lives somewhere else."""

from collections import Counter
from typing import Protocol

from examples.shop.analytics.context import analytics
from examples.shop.sales.events import OrderPlaced

LARGE_BASKET_ITEMS = 10


class AnalyticsSink(Protocol):
    """A service that counts; it may be told one thing twice after a crash."""

    def count(self, what: str) -> None:
        """Count one more of *what*."""
        ...


class CountingSink:
    """Counts in this process, for the demo and for tests."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, what: str) -> None:
        """Count one more of *what*."""
        self.counts[what] += 1


@analytics.subscriber
class BasketSizes:
    """Gets its service through the constructor, once; not with each event."""

    def __init__(self, sink: AnalyticsSink) -> None:
        self._sink = sink

    async def handle(self, event: OrderPlaced) -> None:
        items = sum(line.quantity for line in event.lines)
        self._sink.count(f"{items}" if items < LARGE_BASKET_ITEMS else f"{LARGE_BASKET_ITEMS}+")
