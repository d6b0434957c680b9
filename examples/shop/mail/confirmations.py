"""Sends a confirmation for each confirmed order, after the commit, from its own checkpoint."""

from uuid import UUID

from examples.shop.customers.commands import GetEmail
from examples.shop.mail.context import mail
from examples.shop.mail.service import Confirmation, EmailService
from examples.shop.sales.events import OrderConfirmed
from headwater import Collection, Delivery, Query, ReadModel, Sender


class SentConfirmation(ReadModel, key="order_id"):
    """A letter that was sent; `to` is empty if the customer has no known address."""

    order_id: UUID
    message_id: UUID
    to: str


class CountConfirmations(Query[int]):
    """How many confirmations were sent."""


@mail.subscriber
async def send_confirmation(
    event: OrderConfirmed,
    delivery: Delivery,
    service: EmailService,
    sender: Sender,
    sent: Collection[SentConfirmation],
) -> None:
    # The row is committed once, together with the checkpoint. The letter is sent before that,
    # so after a crash in between it is sent again, under the same message id.
    to = await sender.send(GetEmail(event.customer_id)) or ""
    letter = Confirmation(delivery.idempotency_key, to, event.order_id, event.total)
    if to:
        await service.send(letter)
    sent.put(SentConfirmation(event.order_id, letter.message_id, to))


@mail.handler
async def count_confirmations(query: CountConfirmations, sent: Collection[SentConfirmation]) -> int:
    return await sent.count()
