"""Ids made of what a line says and where it stands: the same line, the same order."""

import re
from typing import Final
from uuid import UUID

from examples.shop.intake.purchases import Purchase
from headwater.ids import derived_id

CONSUMER: Final = "shop.intake"

_PLAIN = re.compile(r"[a-z0-9._-]+")


def order_id_of(purchase: Purchase) -> UUID:
    """Return the id of the order that *purchase* becomes.

    255 purchases repeat another in full, so the line counts. It also makes the time prefix,
    for ids that rise with the lines.
    """
    cause = UUID(int=purchase.line << 80)
    content = f"{purchase.customer_id}|{purchase.day}|{purchase.cds}|{purchase.dollars}"
    return derived_id(cause, CONSUMER, "purchase", content)


def command_id_of(order_id: UUID, command: type) -> UUID:
    """Return the id of the one *command* of its type for an order."""
    return derived_id(order_id, CONSUMER, command.__name__, 0)


def email_of(customer_id: str) -> str:
    """Return an address for a customer of the file, which has none; no two get the same."""
    if _PLAIN.fullmatch(customer_id):
        return f"customer.{customer_id}@cdnow.example"
    return f"customer-{customer_id.encode().hex()}@cdnow.example"
