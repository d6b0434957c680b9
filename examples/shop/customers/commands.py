"""What can be asked of customers, and the handlers that do it."""

from datetime import datetime

from examples.shop.customers.context import customers
from examples.shop.customers.customer import Customer
from examples.shop.customers.errors import EmailTakenError
from headwater import Clock, Command, Query, Repository
from headwater.errors import DuplicateValueError
from headwater.mediator.behaviours import ExceptionMapping


class RegisterCustomer(Command[bool]):
    """Register a customer; answers whether it is a new one."""

    customer_id: str
    email: str
    at: datetime | None = None


class ChangeEmail(Command[None]):
    """Reach a customer elsewhere from now on."""

    customer_id: str
    email: str
    at: datetime | None = None


class GetEmail(Query[str | None]):
    """The address of a customer, None if there is no such customer."""

    customer_id: str


@customers.handler
async def register_customer(
    command: RegisterCustomer, repository: Repository[Customer], clock: Clock
) -> bool:
    if await repository.find(command.customer_id) is not None:
        return False
    at = command.at or clock.now()
    repository.add(Customer.register(command.customer_id, command.email, at))
    return True


@customers.handler
async def change_email(
    command: ChangeEmail, repository: Repository[Customer], clock: Clock
) -> None:
    customer = await repository.get(command.customer_id)
    customer.change_email(command.email, command.at or clock.now())


@customers.handler
async def get_email(query: GetEmail, repository: Repository[Customer]) -> str | None:
    customer = await repository.find(query.customer_id)
    return customer.email if customer is not None else None


def email_taken(error: DuplicateValueError) -> EmailTakenError:
    """Return what a duplicate in the storage means to the business."""
    return EmailTakenError(str(error.value))


# Only the commit can tell for sure that an address is free: two registrations may be under way
# at once. So the handlers don't look, and what the commit says is put into the shop's words.
customers.behaviour(
    ExceptionMapping({DuplicateValueError: email_taken}), on=RegisterCustomer | ChangeEmail
)
