"""What happens to customers."""

from headwater import Event


class CustomerRegistered(Event):
    """Somebody became a customer."""

    customer_id: str
    email: str


class EmailChanged(Event):
    """A customer is reached elsewhere now."""

    customer_id: str
    email: str
    email_before: str
