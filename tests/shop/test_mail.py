"""Mail, in a conversation with a real SMTP server on a free port of this machine."""

import asyncio
import email
from collections.abc import AsyncIterator
from decimal import Decimal
from email.message import Message
from uuid import UUID

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from examples.shop.analytics.baskets import CountingSink
from examples.shop.app import make_shop
from examples.shop.customers.commands import RegisterCustomer
from examples.shop.mail.confirmations import CountConfirmations
from examples.shop.mail.smtp import SmtpMail
from examples.shop.sales.commands import ConfirmOrder, PlaceOrder
from examples.shop.sales.events import OrderLine
from headwater.errors import ParkedKeyError


class Postbox:
    """Takes letters, but first refuses as many as `busy` says."""

    def __init__(self) -> None:
        self.busy = 0
        self.refused = ""
        self.letters: list[tuple[list[str], Message]] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: object
    ) -> str:
        if address == self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.busy:
            self.busy -= 1
            return "451 try again later"
        content = envelope.content
        assert isinstance(content, bytes)
        self.letters.append((envelope.rcpt_tos, email.message_from_bytes(content)))
        return "250 taken"


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
async def smtp(postbox: Postbox) -> AsyncIterator[SmtpMail]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(postbox), "127.0.0.1", 0)
    async with server:
        yield SmtpMail("127.0.0.1", server.sockets[0].getsockname()[1], sender="shop@example.org")


async def test_a_confirmed_order_is_written_about(smtp: SmtpMail, postbox: Postbox) -> None:
    lines = (OrderLine("cd", 1, Decimal("11.77")),)
    async with make_shop("memory://", email=smtp, sink=CountingSink()) as shop:
        await shop.send(RegisterCustomer("1", "ada@example.org"))
        order_id = await shop.send(PlaceOrder(UUID(int=7), "1", lines))
        await shop.send(ConfirmOrder(order_id))

        await shop.settle()

    [(to, letter)] = postbox.letters
    assert (to, letter["To"]) == (["ada@example.org"], "ada@example.org")
    assert letter["Subject"] == f"Your order {order_id}"
    assert "11.77 dollars" in str(letter.get_payload())


async def test_a_letter_that_a_busy_server_puts_off_is_sent_a_moment_later(
    smtp: SmtpMail, postbox: Postbox
) -> None:
    postbox.busy = 1
    lines = (OrderLine("cd", 1, Decimal("11.77")),)
    async with make_shop("memory://", email=smtp, sink=CountingSink()) as shop:
        await shop.send(RegisterCustomer("1", "ada@example.org"))
        await shop.send(ConfirmOrder(await shop.send(PlaceOrder(UUID(int=7), "1", lines))))

        await shop.settle()

        assert postbox.busy == 0
        assert await shop.send(CountConfirmations()) == len(postbox.letters) == 1


async def test_an_address_that_is_refused_parks_its_customer(
    smtp: SmtpMail, postbox: Postbox
) -> None:
    postbox.refused = "ada@example.org"
    lines = (OrderLine("cd", 1, Decimal("11.77")),)
    async with make_shop("memory://", email=smtp, sink=CountingSink()) as shop:
        await shop.send(RegisterCustomer("1", "ada@example.org"))
        await shop.send(RegisterCustomer("2", "bob@example.org"))
        for id, customer in ((7, "1"), (8, "2")):
            order = await shop.send(PlaceOrder(UUID(int=id), customer, lines))
            await shop.send(ConfirmOrder(order))

        with pytest.raises(ParkedKeyError, match="send-confirmation") as parked:
            await shop.settle()

        assert list(parked.value.keys) == ["1"]
        assert [to for to, _ in postbox.letters] == [["bob@example.org"]]
