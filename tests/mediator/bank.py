"""A small domain with writes, for the tests of units of work."""

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.read_model import ReadModel
from headwater.messages import Command, Event, Query, Value


class Deposited(Event):
    cents: int


class Account(Aggregate[str]):
    cents: int = 0

    def deposit(self, cents: int) -> None:
        self.record(Deposited(cents))

    @applies
    def _deposited(self, event: Deposited) -> None:
        self.cents += event.cents


class Balance(ReadModel, key="account"):
    account: str
    cents: int


class Deposit(Command[int]):
    account: str
    cents: int = 1


class Transfer(Command[None]):
    source: str
    target: str
    cents: int = 1


class GetCents(Query[int]):
    account: str


class Ask(Query[int]):
    """Asks for what a test likes."""


class ListCents(Query[int]):
    """Answered by a stream."""


class Summary(Value):
    accounts: tuple[str, ...]
    total: int


class Summarize(Command[Summary]):
    accounts: tuple[str, ...]


class Changed(Event):
    """Published in this process; nobody stores it."""

    account: str
