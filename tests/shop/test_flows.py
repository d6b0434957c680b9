"""The whole shop: what becomes of commands, on each storage."""

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import pytest

from examples.shop.analytics.baskets import CountingSink
from examples.shop.audit.trail import GetTrail
from examples.shop.crm.cards import CustomerCard, FindCards
from examples.shop.customers.commands import ChangeEmail, GetEmail, RegisterCustomer
from examples.shop.customers.errors import EmailTakenError
from examples.shop.mail.confirmations import CountConfirmations
from examples.shop.mail.service import CountingMail
from examples.shop.sales.commands import CancelOrder, ConfirmOrder, PlaceOrder, ShipOrder
from examples.shop.sales.errors import OrderNotConfirmedError
from examples.shop.sales.events import OrderLine
from examples.shop.sales.projections import CustomerHistory, OrderSummaries, RevenueDay
from examples.shop.sales.queries import (
    GetCustomerHistory,
    GetOrder,
    ListCustomerHistories,
    ListRevenue,
)
from examples.shop.sales.status import OrderStatus
from examples.shop.stock.levels import DELIVERY_ITEMS, ListStock, StockLevel
from headwater import App, message_context

AT: Final = datetime(1997, 1, 2, tzinfo=UTC)
DAY: Final = date(1997, 1, 2)


def place(
    number: int, customer_id: str = "1", *, cds: int = 2, dollars: str = "9.99"
) -> PlaceOrder:
    lines = (OrderLine("cd", cds, Decimal(dollars)),)
    return PlaceOrder(UUID(int=number), customer_id, lines, AT)


async def test_an_order_goes_all_the_way(
    shop: App, mailbox: CountingMail, sink: CountingSink
) -> None:
    await shop.send(RegisterCustomer("1", "ada@example.org", AT))
    order_id = await shop.send(place(7))
    await shop.send(ConfirmOrder(order_id, AT))
    receipt = await shop.execute(ShipOrder(order_id, "X1", AT))

    await shop.wait_for(OrderSummaries, receipt)
    summary = await shop.send(GetOrder(order_id))
    await shop.settle()

    assert summary is not None
    assert (summary.status, summary.tracking_number) == (OrderStatus.SHIPPED, "X1")
    assert await shop.send(ListRevenue()) == [RevenueDay(DAY, 1, Decimal("9.99"))]
    assert await shop.send(ListStock()) == [StockLevel("cd", DELIVERY_ITEMS, 0, 2)]
    assert await shop.send(FindCards("ada@example.org")) == [
        CustomerCard("1", "ada@example.org", 1, DAY)
    ]
    assert await shop.send(CountConfirmations()) == mailbox.sent == 1
    assert sink.counts == {"2": 1}


async def test_a_cancelled_order_gives_back_goods_and_money(shop: App) -> None:
    await shop.send(place(1))
    await shop.send(place(2, dollars="5.00"))
    await shop.send(CancelOrder(UUID(int=1), "changed my mind"))

    await shop.settle()

    history = CustomerHistory("1", 1, Decimal("5.00"), DAY)
    assert await shop.send(GetCustomerHistory("1")) == history
    assert await shop.send(ListRevenue()) == [RevenueDay(DAY, 1, Decimal("5.00"))]
    assert await shop.send(ListStock()) == [StockLevel("cd", DELIVERY_ITEMS, 2, 0)]


async def test_a_refused_command_changes_nothing(shop: App) -> None:
    order_id = await shop.send(place(1))

    with pytest.raises(OrderNotConfirmedError):
        await shop.send(ShipOrder(order_id, "X1"))

    await shop.settle()
    summary = await shop.send(GetOrder(order_id))
    assert summary is not None
    assert summary.status is OrderStatus.PLACED


async def test_of_racing_registrations_one_gets_the_address(shop: App) -> None:
    commands = [RegisterCustomer(str(n), "ada@example.org") for n in range(10)]

    outcomes = await asyncio.gather(*map(shop.send, commands), return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, EmailTakenError)]
    assert (outcomes.count(True), len(refused)) == (1, 9)
    await shop.settle()
    assert len(await shop.send(FindCards("ada@example.org"))) == 1


async def test_an_address_that_was_left_is_free_again(shop: App) -> None:
    await shop.send(RegisterCustomer("1", "ada@example.org"))
    await shop.send(ChangeEmail("1", "ada@example.net"))
    await shop.send(RegisterCustomer("2", "ada@example.org"))

    with pytest.raises(EmailTakenError, match=r"ada@example\.net"):
        await shop.send(ChangeEmail("2", "ada@example.net"))

    assert await shop.send(GetEmail("2")) == "ada@example.org"


async def test_a_customer_is_registered_once(shop: App) -> None:
    command = RegisterCustomer("1", "ada@example.org")

    assert [await shop.send(command), await shop.send(command)] == [True, False]


async def test_the_trail_says_who_did_what(shop: App) -> None:
    with message_context(actor="ada"):
        order_id = await shop.send(place(1))
    with message_context(actor="sales desk"):
        await shop.send(ConfirmOrder(order_id))

    await shop.settle()

    trail = await shop.send(GetTrail(f"sales.order-{order_id}"))
    assert [(entry.action, entry.actor) for entry in trail] == [
        ("OrderPlaced", "ada"),
        ("OrderConfirmed", "sales desk"),
    ]
    assert {(entry.entity_type, entry.entity_id) for entry in trail} == {
        ("sales.order", str(order_id))
    }
    assert all(entry.at.tzinfo is UTC for entry in trail)


async def test_the_shelf_is_filled_when_it_runs_short(shop: App) -> None:
    await shop.send(place(1, cds=DELIVERY_ITEMS - 1))
    await shop.send(place(2, cds=2))

    await shop.settle()

    assert await shop.send(ListStock()) == [
        StockLevel("cd", 2 * DELIVERY_ITEMS, DELIVERY_ITEMS + 1, 0)
    ]
    trail = await shop.send(GetTrail("stock.article-cd"))
    assert [entry.action for entry in trail] == ["StockReplenished"] * 2


async def test_who_spent_most_comes_first(shop: App) -> None:
    await shop.send(place(1, "1", dollars="9.99"))
    await shop.send(place(2, "2", dollars="100.00"))
    await shop.send(place(3, "3", dollars="20.00"))

    await shop.settle()

    best = await shop.send(ListCustomerHistories(limit=2))
    assert [history.customer_id for history in best] == ["2", "3"]
