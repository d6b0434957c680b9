"""A small domain that the tests of this folder act on."""

from decimal import Decimal
from uuid import UUID

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.decider import Decider
from headwater.domain.read_model import ReadModel
from headwater.errors import RefusedError
from headwater.messages import Event, Value


class AccountOpened(Event):
    owner: str


class Deposited(Event):
    cents: int


class Account(Aggregate[str]):
    owner: str = ""
    cents: int = 0

    @classmethod
    def open(cls, id: str, owner: str) -> "Account":
        account = cls(id)
        account.record(AccountOpened(owner))
        return account

    def deposit(self, cents: int) -> None:
        if cents <= 0:
            raise RefusedError(f"{cents} cents can't be deposited")
        self.record(Deposited(cents))

    @applies
    def _opened(self, event: AccountOpened) -> None:
        self.owner = event.owner

    @applies
    def _deposited(self, event: Deposited) -> None:
        self.cents += event.cents


class Registered(Event):
    email: str


class Moved(Event):
    city: str


class Customer(Aggregate[UUID], stored="state", unique=("email",)):
    email: str
    city: str | None = None

    @classmethod
    def register(cls, id: UUID, email: str) -> "Customer":
        customer = cls(id)
        customer.record(Registered(email))
        return customer

    def move(self, city: str) -> None:
        self.record(Moved(city))

    @applies
    def _registered(self, event: Registered) -> None:
        self.email = event.email

    @applies
    def _moved(self, event: Moved) -> None:
        self.city = event.city


class Product(ReadModel, key="sku", indexed=("price",), unique=("name",)):
    sku: str
    name: str
    price: Decimal


class Level(Value):
    pieces: int


class Received(Event):
    pieces: int


class Taken(Event):
    pieces: int


def decide_stock(command: int, level: Level) -> list[Received | Taken]:
    if command < 0 and level.pieces + command < 0:
        raise RefusedError(f"{level.pieces} pieces are left")
    return [Received(command)] if command > 0 else [Taken(-command)] if command else []


def evolve_stock(level: Level, event: Received | Taken) -> Level:
    change = event.pieces if isinstance(event, Received) else -event.pieces
    return Level(level.pieces + change)


STOCK = Decider(name="stock", initial=Level(0), decide=decide_stock, evolve=evolve_stock)
