"""A small shop: an aggregate stored as events, one stored as state, and a decider."""

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from headwater.domain import Aggregate, Decider, applies
from headwater.errors import RefusedError
from headwater.messages import Event, Value


class OrderStatus(Enum):
    PLACED = "placed"
    SHIPPED = "shipped"


class Line(Value):
    sku: str
    quantity: int


class OrderPlaced(Event):
    order_id: UUID
    lines: tuple[Line, ...]


class LineAdded(Event):
    line: Line


class OrderShipped(Event):
    order_id: UUID
    tracking_number: str


class AlreadyShippedError(RefusedError):
    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id
        super().__init__(f"Order {order_id} is shipped already.")


class Order(Aggregate[UUID]):
    status: OrderStatus = OrderStatus.PLACED
    lines: list[Line] = []  # noqa: RUF012 - each instance gets a copy
    tracking_number: str | None = None

    @classmethod
    def place(cls, order_id: UUID, *lines: Line) -> "Order":
        order = cls(order_id)
        order.record(OrderPlaced(order_id, lines))
        return order

    def add(self, line: Line) -> None:
        if self.status is OrderStatus.SHIPPED:
            raise AlreadyShippedError(self.id)
        self.record(LineAdded(line))

    def ship(self, tracking_number: str) -> None:
        if self.tracking_number == tracking_number:
            return
        if self.status is OrderStatus.SHIPPED:
            raise AlreadyShippedError(self.id)
        self.record(OrderShipped(order_id=self.id, tracking_number=tracking_number))

    @applies
    def _placed(self, event: OrderPlaced) -> None:
        self.lines.extend(event.lines)

    @applies
    def _added(self, event: LineAdded) -> None:
        self.lines.append(event.line)
        if event.line.quantity < 0:
            raise ValueError("a negative quantity")

    @applies
    def _shipped(self, event: OrderShipped) -> None:
        self.status = OrderStatus.SHIPPED
        self.tracking_number = event.tracking_number


class CustomerRegistered(Event):
    email: str


class EmailChanged(Event):
    email: str


class Customer(Aggregate[str], stored="state", unique=("email",)):
    email: str
    _former: tuple[str, ...] = ()

    @applies
    def _email(self, event: CustomerRegistered | EmailChanged) -> None:
        if isinstance(event, EmailChanged):
            self._former = (*self._former, self.email)
        self.email = event.email

    @property
    def former(self) -> tuple[str, ...]:
        return self._former


class Deposit(Value):
    cents: int


class Withdraw(Value):
    cents: int


class Deposited(Event):
    cents: int


class Withdrawn(Event):
    cents: int


@dataclass(frozen=True)
class Account:
    balance_cents: int = 0


class InsufficientFundsError(RefusedError):
    pass


def decide(command: Deposit | Withdraw, state: Account) -> list[Deposited | Withdrawn]:
    match command:
        case Deposit(cents=0):
            return []
        case Deposit():
            return [Deposited(command.cents)]
        case Withdraw():
            if command.cents > state.balance_cents:
                raise InsufficientFundsError(f"only {state.balance_cents} cents are there")
            return [Withdrawn(command.cents)]


def evolve(state: Account, event: Deposited | Withdrawn) -> Account:
    match event:
        case Deposited():
            return Account(state.balance_cents + event.cents)
        case Withdrawn():
            return Account(state.balance_cents - event.cents)


account = Decider(name="account", initial=Account(), decide=decide, evolve=evolve)
