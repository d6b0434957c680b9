"""Customer cards: one subscriber class hears several events."""

from collections.abc import Sequence
from datetime import date

import msgspec

from examples.shop.crm.context import crm
from examples.shop.customers.events import CustomerRegistered, EmailChanged
from examples.shop.sales.events import OrderPlaced
from headwater import Collection, Query, ReadModel, Recorded, Retry


class CustomerCard(ReadModel, key="customer_id", indexed=("email",)):
    """Whom to write to, and since when and how often they have ordered."""

    customer_id: str
    email: str = ""
    orders: int = 0
    customer_since: date | None = None


class FindCards(Query[Sequence[CustomerCard]]):
    """The card with an e-mail address, if there is one."""

    email: str


class CountCards(Query[int]):
    """How many cards there are."""


def customer_of(recorded: Recorded[CustomerRegistered | EmailChanged | OrderPlaced]) -> str:
    """Return whose events stay in order; by default it would be those of one stream."""
    return recorded.payload.customer_id


@crm.subscriber(key=customer_of, policy=Retry(3, delay=0.1), external=False)
class CustomerCards:
    """Keeps the cards."""

    async def handle_registered(
        self, event: Recorded[CustomerRegistered], cards: Collection[CustomerCard]
    ) -> None:
        card = await _card(event.payload.customer_id, cards)
        since = event.occurred_at.date()
        email = event.payload.email
        cards.put(msgspec.structs.replace(card, email=email, customer_since=since))

    async def handle_email_changed(
        self, event: EmailChanged, cards: Collection[CustomerCard]
    ) -> None:
        card = await _card(event.customer_id, cards)
        cards.put(msgspec.structs.replace(card, email=event.email))

    async def handle_placed(self, event: OrderPlaced, cards: Collection[CustomerCard]) -> None:
        card = await _card(event.customer_id, cards)
        cards.put(msgspec.structs.replace(card, orders=card.orders + 1))


async def _card(customer_id: str, cards: Collection[CustomerCard]) -> CustomerCard:
    return await cards.get(customer_id) or CustomerCard(customer_id)


@crm.handler
async def find_cards(query: FindCards, cards: Collection[CustomerCard]) -> Sequence[CustomerCard]:
    return await cards.find(email=query.email)


@crm.handler
async def count_cards(query: CountCards, cards: Collection[CustomerCard]) -> int:
    return await cards.count()
