"""What the shop needs of mail: one method, so that a test or a bulk run can stand in for it."""

from decimal import Decimal
from typing import Protocol
from uuid import UUID

import msgspec

from headwater import RefusedError


class Confirmation(msgspec.Struct, frozen=True):
    """A letter to a customer; `message_id` is the same however often it is tried to be sent."""

    message_id: UUID
    to: str
    order_id: UUID
    total: Decimal


class AddressRefusedError(RefusedError):
    """The mail server takes no letters for an address. A refusal, which is never tried again."""

    def __init__(self, to: str) -> None:
        self.to = to
        super().__init__(f"The mail server takes no letters for {to}.")


class EmailService(Protocol):
    """Sends mail. May get one letter more than once, with the same `message_id`."""

    async def send(self, confirmation: Confirmation) -> None:
        """Return when the mail server has taken on *confirmation*.

        Raises:
            AddressRefusedError: it never will.
            OSError: it has not; `smtplib.SMTPException` is one.
        """
        ...


class CountingMail:
    """Sends nothing and counts: for the demo, which has real customers' purchases."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, confirmation: Confirmation) -> None:
        """Count *confirmation*."""
        self.sent += 1
