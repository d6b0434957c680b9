"""A shop in two contexts, small: what the tests of this folder run."""

from decimal import Decimal
from uuid import UUID

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.read_model import ReadModel
from headwater.errors import RefusedError
from headwater.messages import Command, Event, Notification, Query
from headwater.metadata import Recorded
from headwater.projections.projection import Projection


class OrderPlaced(Event, context="sales"):
    order_id: UUID
    total: Decimal


class OrderShipped(Event, context="sales"):
    order_id: UUID


class OrderTagged(Event, context="sales"):
    order_id: UUID
    tag: str


class ShopOpened(Notification, context="sales"):
    name: str


class PlaceOrder(Command[UUID], context="sales"):
    order_id: UUID
    total: Decimal = Decimal("9.99")


class ShipOrder(Command[None], context="sales"):
    order_id: UUID


class TagOrder(Command[int], context="sales"):
    order_id: UUID
    tag: str


class GetOrder(Query["OrderSummary | None"], context="sales"):
    order_id: UUID


class ListTags(Query[str], context="sales"):
    order_id: UUID


class AlreadyShippedError(RefusedError):
    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id
        super().__init__(f"Order {order_id} is shipped already.")


class Order(Aggregate[UUID], context="sales"):
    total: Decimal = Decimal(0)
    shipped: bool = False
    tags: tuple[str, ...] = ()

    @classmethod
    def place(cls, order_id: UUID, total: Decimal) -> "Order":
        order = cls(order_id)
        order.record(OrderPlaced(order_id, total))
        return order

    def ship(self) -> None:
        if self.shipped:
            raise AlreadyShippedError(self.id)
        self.record(OrderShipped(self.id))

    def tag(self, tag: str) -> None:
        self.record(OrderTagged(self.id, tag))

    @applies
    def _placed(self, event: OrderPlaced) -> None:
        self.total = event.total

    @applies
    def _shipped(self, event: OrderShipped) -> None:
        self.shipped = True

    @applies
    def _tagged(self, event: OrderTagged) -> None:
        self.tags = (*self.tags, event.tag)


class OrderSummary(ReadModel, key="order_id", indexed=("total",), context="sales"):
    order_id: UUID
    total: Decimal
    shipped: bool = False
    tags: int = 0
    position: int = 0


class OrderSummaries(Projection[OrderSummary]):
    @applies
    def placed(self, event: Recorded[OrderPlaced], row: OrderSummary | None) -> OrderSummary:
        placed = event.payload
        return OrderSummary(placed.order_id, placed.total, position=event.position)

    @applies
    def shipped(self, event: OrderShipped, row: OrderSummary) -> OrderSummary:
        return OrderSummary(row.order_id, row.total, True, row.tags, row.position)

    @applies
    def tagged(self, event: OrderTagged, row: OrderSummary) -> OrderSummary | None:
        if event.tag == "test":
            return None
        return OrderSummary(row.order_id, row.total, row.shipped, row.tags + 1, row.position)


class Contact(Event, context="crm"):
    customer_id: str


class CustomerRegistered(Contact, context="crm"):
    email: str


class CustomerMoved(Contact, context="crm"):
    city: str


class Register(Command[None], context="crm"):
    customer_id: str
    email: str


class EmailTakenError(RefusedError):
    pass


class Customer(Aggregate[str], stored="state", unique=("email",), context="crm"):
    email: str = ""
    city: str | None = None

    @classmethod
    def register(cls, id: str, email: str) -> "Customer":
        customer = cls(id)
        customer.record(CustomerRegistered(id, email))
        return customer

    @applies
    def _registered(self, event: CustomerRegistered) -> None:
        self.email = event.email

    @applies
    def _moved(self, event: CustomerMoved) -> None:
        self.city = event.city
