"""Messages that the tests of this folder send and publish."""

from typing import Protocol, runtime_checkable

from headwater.messages import Command, Event, Notification, Query


class PlaceOrder(Command[str]):
    article: str
    quantity: int = 1


class CancelOrder(Command[None]):
    article: str


class GetPrice(Query[int]):
    article: str


class ListArticles(Query[str]):
    count: int = 3


class OrderPlaced(Event):
    article: str = "tea"


class LargeOrderPlaced(OrderPlaced):
    reason: str = "many"


class OrderCancelled(Event):
    article: str = "tea"


class StockIsLow(Notification):
    article: str = "tea"


@runtime_checkable
class HasArticle(Protocol):
    @property
    def article(self) -> str: ...
