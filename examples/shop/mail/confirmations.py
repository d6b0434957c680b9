"""Sends a confirmation for each confirmed order, after the commit, from its own checkpoint."""

from uuid import UUID

from examples.shop.customers.commands import GetEmail
from examples.shop.mail.context import mail
from examples.shop.mail.service import Confirmation, EmailService
from examples.shop.sales.events import OrderConfirmed
from headwater import (
    CircuitBreaker,
    Collection,
    Delivery,
    Policy,
    Query,
    ReadModel,
    Recorded,
    Retry,
    Sender,
    Timeout,
)


class SentConfirmation(ReadModel, key="order_id"):
    """A letter that was sent; `to` is empty if the customer has no known address."""

    order_id: UUID
    message_id: UUID
    to: str


class CountConfirmations(Query[int]):
    """How many confirmations were sent."""


def customer_of(recorded: Recorded[OrderConfirmed]) -> str:
    """Return whose letters stay in order, also behind one that can't be sent."""
    return recorded.payload.customer_id


# A moment's trouble is retried on the spot. While the mail server is away, the breaker holds all
# letters back and tries one now and then. What it refuses for good is a dead letter at once.
@mail.subscriber(
    key=customer_of,
    policy=Policy(
        Retry(3, delay=0.2, on=OSError),
        CircuitBreaker(5, open_for=3, counts=OSError, name="mail server"),
        Timeout(30),
    ),
    delayed=(30, 300, 3600),
)
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
