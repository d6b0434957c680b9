"""A bank whose log is in one database and whose balances are in another, named by variables."""

import os

from headwater import (
    Aggregate,
    App,
    BoundedContext,
    Collection,
    Command,
    Event,
    Projection,
    Query,
    ReadModel,
    Repository,
    applies,
)

LOG, REPORTS = "HEADWATER_TEST_LOG", "HEADWATER_TEST_REPORTS"

bank = BoundedContext("bank")


class Deposited(Event, context="bank"):
    account: str
    cents: int


class Account(Aggregate[str], cache=10):
    cents: int = 0

    def deposit(self, cents: int) -> None:
        self.record(Deposited(self.id, cents))

    @applies
    def _deposited(self, event: Deposited) -> None:
        self.cents += event.cents


class Deposit(Command[int]):
    account: str
    cents: int


@bank.handler
async def deposit(command: Deposit, accounts: Repository[Account]) -> int:
    """Return what the account has then, as far as its aggregate knows."""
    account = await accounts.find(command.account)
    if account is None:
        account = Account(command.account)
        accounts.add(account)
    account.deposit(command.cents)
    return account.cents


class Balance(ReadModel, key="account", context="bank"):
    account: str
    cents: int = 0
    deposits: int = 0


class Statement(ReadModel, key="account", context="bank"):
    account: str
    cents: int = 0


@bank.projection(database="reports")
class Balances(Projection[Balance]):
    @applies
    def deposited(self, event: Deposited, row: Balance | None) -> Balance:
        before = row or Balance(event.account)
        return Balance(event.account, before.cents + event.cents, before.deposits + 1)


@bank.projection
class Statements(Projection[Statement]):
    @applies
    def deposited(self, event: Deposited, row: Statement | None) -> Statement:
        before = row or Statement(event.account)
        return Statement(event.account, before.cents + event.cents)


class Sums(Query[tuple[dict[str, int], dict[str, int], dict[str, int]]]): ...


@bank.handler
async def sums(
    query: Sums, balances: Collection[Balance], statements: Collection[Statement]
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Return the cents and the number of deposits of each balance, the cents of each statement."""
    found = await balances.find()
    return (
        {one.account: one.cents for one in found},
        {one.account: one.deposits for one in found},
        {one.account: one.cents for one in await statements.find()},
    )


def app() -> App:
    """Return the bank's app."""
    app = App("bank", storage=os.environ[LOG], databases={"reports": os.environ[REPORTS]})
    app.include(bank)
    return app
