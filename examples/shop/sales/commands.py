"""What can be asked of sales, and the handlers that do it."""

from datetime import datetime
from uuid import UUID

from examples.shop.sales.context import sales
from examples.shop.sales.events import OrderLine
from examples.shop.sales.order import Order
from headwater import Clock, Command, Repository, Sender


class PlaceOrder(Command[UUID]):
    """Place a new order; answers with its id. `at` is now, unless something else is known."""

    order_id: UUID
    customer_id: str
    lines: tuple[OrderLine, ...]
    at: datetime | None = None


class ConfirmOrder(Command[None]):
    """Take on a placed order."""

    order_id: UUID
    at: datetime | None = None


class ShipOrder(Command[None]):
    """Ship a confirmed order."""

    order_id: UUID
    tracking_number: str
    at: datetime | None = None


class FulfilOrder(Command[None]):
    """Confirm a placed order and ship it, both or neither: everything is on the shelf."""

    order_id: UUID
    tracking_number: str
    at: datetime | None = None


class CancelOrder(Command[None]):
    """Cancel an order that is not shipped."""

    order_id: UUID
    reason: str
    at: datetime | None = None


@sales.handler
async def place_order(command: PlaceOrder, orders: Repository[Order], clock: Clock) -> UUID:
    at = command.at or clock.now()
    orders.add(Order.place(command.order_id, command.customer_id, command.lines, at))
    return command.order_id


@sales.handler
async def confirm_order(command: ConfirmOrder, orders: Repository[Order], clock: Clock) -> None:
    order = await orders.get(command.order_id)
    order.confirm(command.at or clock.now())


@sales.handler
async def ship_order(command: ShipOrder, orders: Repository[Order], clock: Clock) -> None:
    order = await orders.get(command.order_id)
    order.ship(command.tracking_number, command.at or clock.now())


@sales.handler
async def fulfil_order(command: FulfilOrder, sender: Sender) -> None:
    # What is sent from within a handler joins its unit of work: one load, one commit.
    await sender.send(ConfirmOrder(command.order_id, command.at))
    await sender.send(ShipOrder(command.order_id, command.tracking_number, command.at))


@sales.handler
async def cancel_order(command: CancelOrder, orders: Repository[Order], clock: Clock) -> None:
    order = await orders.get(command.order_id)
    order.cancel(command.reason, command.at or clock.now())
