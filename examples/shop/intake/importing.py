"""Sends the commands for each purchase: many customers at once, each one's in order."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time
from itertools import islice
from typing import Final
from zlib import crc32

from examples.shop.customers.commands import RegisterCustomer
from examples.shop.intake.ids import command_id_of, email_of, order_id_of
from examples.shop.intake.purchases import Purchase
from examples.shop.sales.commands import FulfilOrder, PlaceOrder
from examples.shop.sales.events import OrderLine
from headwater import App, RefusedError, message_context

ARTICLE: Final = "cd"

LANES: Final = 256
"""How many purchases are worked at once: their commits share a write to the disk."""

LANE_PURCHASES_MAX: Final = 256
"""How many purchases may wait in a lane before the reader waits: more than one customer has."""

READ_AHEAD: Final = 256
"""How many purchases are read at a time, in a thread: the file may be a slow pipe."""

Lane = asyncio.Queue[Purchase | None]


async def import_purchases(
    app: App,
    purchases: Iterator[Purchase],
    *,
    done: Callable[[], None],
    refused: Callable[[Purchase, RefusedError], None],
) -> None:
    """Make an order of each of *purchases*, and see it confirmed and shipped.

    Every command has an id derived from its line, so what an earlier run has done is not done
    again. Memory stays flat. *done* is called after each purchase, *refused* for each that the
    shop has said no to.
    """
    lanes = [Lane(LANE_PURCHASES_MAX) for _ in range(LANES)]
    async with asyncio.TaskGroup() as tasks:
        for lane in lanes:
            tasks.create_task(_work(app, lane, done, refused))
        while ahead := await asyncio.to_thread(list, islice(purchases, READ_AHEAD)):
            for purchase in ahead:
                await lanes[crc32(purchase.customer_id.encode()) % LANES].put(purchase)
        for lane in lanes:
            await lane.put(None)


async def _work(
    app: App,
    lane: Lane,
    done: Callable[[], None],
    refused: Callable[[Purchase, RefusedError], None],
) -> None:
    known_customer = ""
    while (purchase := await lane.get()) is not None:
        try:
            if purchase.customer_id != known_customer:
                await _register(app, purchase)
                known_customer = purchase.customer_id
            await _sell(app, purchase)
        except RefusedError as error:
            refused(purchase, error)
        done()


async def _register(app: App, purchase: Purchase) -> None:
    with message_context(actor=f"customer:{purchase.customer_id}"):
        email = email_of(purchase.customer_id)
        await app.send(RegisterCustomer(purchase.customer_id, email, _moment(purchase)))


async def _sell(app: App, purchase: Purchase) -> None:
    order_id, at = order_id_of(purchase), _moment(purchase)
    lines = (OrderLine(ARTICLE, purchase.cds, purchase.dollars),)
    with message_context(actor=f"customer:{purchase.customer_id}"):
        place = PlaceOrder(order_id, purchase.customer_id, lines, at)
        await app.send(place, id=command_id_of(order_id, PlaceOrder))
    with message_context(actor="warehouse"):
        fulfil = FulfilOrder(order_id, f"CD{purchase.line:07}", at)
        await app.send(fulfil, id=command_id_of(order_id, FulfilOrder))


def _moment(purchase: Purchase) -> datetime:
    return datetime.combine(purchase.day, time(), tzinfo=UTC)
