"""The customer: decides like any aggregate, but one row holds how it stands now.

Nobody needs a customer's past to decide, so it is not read back from the events. They stand in
the log all the same, written in one commit with the row.
"""

from datetime import datetime

from examples.shop.customers.errors import EmailInvalidError
from examples.shop.customers.events import CustomerRegistered, EmailChanged
from headwater import Aggregate, applies


class Customer(Aggregate[str], stored="state", unique=("email",)):
    """A customer; no two have one e-mail address."""

    email: str = ""

    @classmethod
    def register(cls, customer_id: str, email: str, at: datetime) -> "Customer":
        """Return a new customer.

        Raises:
            EmailInvalidError: *email* is no address.
        """
        customer = cls(customer_id)
        registered = CustomerRegistered(customer_id, checked_email(email))
        customer.record(registered, occurred_at=at)
        return customer

    def change_email(self, email: str, at: datetime) -> None:
        """Move to another address; the same one again is no change.

        Raises:
            EmailInvalidError: *email* is no address.
        """
        if checked_email(email) != self.email:
            self.record(EmailChanged(self.id, checked_email(email), self.email), occurred_at=at)

    @applies
    def _registered(self, event: CustomerRegistered) -> None:
        self.email = event.email

    @applies
    def _email_changed(self, event: EmailChanged) -> None:
        self.email = event.email


def checked_email(email: str) -> str:
    """Return *email* in lower case, so that one mailbox has one spelling.

    Raises:
        EmailInvalidError: it is not of the form ``name@domain``, or can't stand in a header.
    """
    name, at, domain = email.strip().lower().rpartition("@")
    if not (name and at and domain) or not email.isprintable() or " " in email.strip():
        raise EmailInvalidError(email)
    return f"{name}@{domain}"
