"""Personal fields in read models and in aggregates that are stored as state; apps with keys."""

import logging
from typing import Annotated
from uuid import UUID

import pytest

from headwater import (
    App,
    BoundedContext,
    Collection,
    Command,
    Delivery,
    ReadModel,
    Repository,
    where,
)
from headwater.app.personal_data import PersonalDataSettings
from headwater.errors import ConfigurationError, WiringError
from headwater.serialization.personal import Personal
from tests.personal_data.people import (
    EMAIL,
    MASTER,
    Account,
    Cellar,
    Customer,
    CustomerCard,
    CustomerCards,
    CustomerRegistered,
)

ACCOUNT = UUID(int=7)


class Register(Command[CustomerCard], context="crm"):
    customer_id: str
    email: Annotated[str, Personal(subject="customer_id")]


class Call(Command[None], context="crm"):
    customer_id: str


class OpenAccount(Command[None], context="crm"):
    owner: str


class Deposit(Command[str], context="crm"):
    amount: int


class FindCards(Command[list[CustomerCard]], context="crm"):
    calls: int


def app_in(cellar: Cellar, mails: list[str] | None = None) -> App:
    """Return an app on the cellar's files, as another process would have it."""
    crm = BoundedContext("crm")

    @crm.handler
    async def register(command: Register, customers: Repository[Customer]) -> CustomerCard:
        customers.add(Customer.register(command.customer_id, command.email))
        return CustomerCard(command.customer_id, command.email, "welcome")

    @crm.handler
    async def call(command: Call, customers: Repository[Customer]) -> None:
        (await customers.get(command.customer_id)).call(5)

    @crm.handler
    async def open_account(command: OpenAccount, accounts: Repository[Account]) -> None:
        accounts.add(Account.open(ACCOUNT, command.owner))

    @crm.handler
    async def deposit(command: Deposit, accounts: Repository[Account]) -> str:
        account = await accounts.get(ACCOUNT)
        account.deposit(command.amount)
        return account.owner

    @crm.handler
    async def find(command: FindCards, cards: Collection[CustomerCard]) -> list[CustomerCard]:
        return await cards.find(where("calls") >= command.calls)

    @crm.subscriber
    async def mail(event: CustomerRegistered, delivery: Delivery) -> None:
        if mails is not None:
            mails.append(event.email)

    _ = register, call, open_account, deposit, find, mail
    crm.projection(CustomerCards)
    app = App("shop", storage=cellar.storage(), personal_data=cellar.personal_data())
    app.include(crm)
    return app


async def test_rows_of_a_projection_follow_without_being_touched(cellar: Cellar) -> None:
    mails: list[str] = []
    async with app_in(cellar, mails) as app:
        await app.send(Register("ada", EMAIL))
        await app.send(Register("bob", "bob@x.y"))
        await app.settle()
        assert await app.send(FindCards(0)) == [
            CustomerCard("ada", EMAIL, f"Dear {EMAIL}"),
            CustomerCard("bob", "bob@x.y", "Dear bob@x.y"),
        ]
        assert EMAIL.encode() not in cellar.bytes_of_storage()

        await app.personal_data.forget("ada")

        assert await app.send(FindCards(0)) == [
            CustomerCard("ada", "(erased)", None),
            CustomerCard("bob", "bob@x.y", "Dear bob@x.y"),
        ]
    assert mails == [EMAIL, "bob@x.y"]


async def test_a_projection_goes_on_with_the_rows_of_the_forgotten(cellar: Cellar) -> None:
    async with app_in(cellar) as app:
        await app.send(Register("ada", EMAIL))
        await app.settle()
        await app.personal_data.forget("ada")

        await app.send(Call("ada"))
        await app.settle()

        assert await app.send(FindCards(1)) == [CustomerCard("ada", "(erased)", None, 1)]


async def test_a_projection_that_is_built_after_forgetting_has_placeholders(
    cellar: Cellar,
) -> None:
    async with cellar.store() as store:
        await store.repository(Customer).add(Customer.register("ada", EMAIL))
        await store.repository(Customer).add(Customer.register("bob", "bob@x.y"))
    async with cellar.personal_data() as personal:
        await personal.forget("ada")

    async with app_in(cellar) as app:
        await app.settle()

        # What the projection made of the placeholder is as little stored as the placeholder.
        assert await app.send(FindCards(0)) == [
            CustomerCard("ada", "(erased)", None),
            CustomerCard("bob", "bob@x.y", "Dear bob@x.y"),
        ]


async def test_an_aggregate_stored_as_state_names_its_own_id_as_subject(cellar: Cellar) -> None:
    async with app_in(cellar) as app:
        await app.send(OpenAccount("Ada Lovelace"))
        assert await app.send(Deposit(10)) == "Ada Lovelace"
        assert b"Lovelace" not in cellar.bytes_of_storage()

        await app.personal_data.forget(str(ACCOUNT))

        assert await app.send(Deposit(10)) == "(erased)"
        assert await app.send(Deposit(10)) == "(erased)"


async def test_answers_that_are_kept_for_repetitions_are_encrypted_and_follow(
    cellar: Cellar,
) -> None:
    message_id = UUID(int=1)
    card = CustomerCard("ada", EMAIL, "welcome")
    async with app_in(cellar) as app:
        assert await app.send(Register("ada", EMAIL), id=message_id) == card
        assert EMAIL.encode() not in cellar.bytes_of_storage()
    async with app_in(cellar) as app:
        assert await app.send(Register("ada", EMAIL), id=message_id) == card

        await app.personal_data.forget("ada")

        repeated = await app.send(Register("ada", EMAIL), id=message_id)
        assert repeated == CustomerCard("ada", "(erased)", None)


def test_a_personal_field_can_be_neither_key_nor_indexed(cellar: Cellar) -> None:
    class Indexed(ReadModel, key="id", indexed=("email",)):
        id: str
        email: Annotated[str, Personal(subject="id")]

    class Keyed(ReadModel, key="email"):
        id: str
        email: Annotated[str, Personal(subject="id")]

    crm = BoundedContext("crm")

    @crm.handler
    async def call(command: Call, a: Collection[Indexed], b: Collection[Keyed]) -> None: ...

    _ = call
    app = App("shop", personal_data=cellar.personal_data())
    app.include(crm)

    with pytest.raises(WiringError) as wrong:
        app.check()

    assert len(wrong.value.faults) == 2
    assert all("is personal" in fault.problem for fault in wrong.value.faults)


def test_an_app_without_keys_says_which_types_want_them(cellar: Cellar) -> None:
    crm = BoundedContext("crm")
    crm.projection(CustomerCards)
    crm.register(CustomerRegistered)
    app = App("shop")
    app.include(crm)

    with pytest.raises(WiringError, match="personal_data=") as wrong:
        app.check()

    text = str(wrong.value)
    assert "CustomerRegistered has personal fields" in text
    assert "CustomerCard has personal fields" in text


async def test_an_app_takes_settings(cellar: Cellar, caplog: pytest.LogCaptureFixture) -> None:
    settings = PersonalDataSettings(
        keys=f"sqlite:///{cellar.keys_file}",
        master_key=lambda: MASTER,
        ledger=cellar.place / "elsewhere.jsonl",
    )
    assert repr(MASTER) not in repr(settings)
    caplog.set_level(logging.DEBUG)

    async with App("shop", personal_data=settings) as app:
        await app.personal_data.forget("ada", by="clerk", why="asked for it")

        (line,) = await app.personal_data.forgotten()

    assert (line.subject, line.by, line.why) == ("ada", "clerk", "asked for it")
    with pytest.raises(ConfigurationError, match="has no keys"):
        _ = App("shop").personal_data


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (PersonalDataSettings(keys="sqlite:///k.db", master_key=MASTER), "wants a ledger"),
        (PersonalDataSettings(keys="memory://"), "wants a master_key"),
        (PersonalDataSettings(keys="memory://", master_key=b"short"), "32 bytes"),
        (PersonalDataSettings(keys="redis://x", master_key=MASTER, ledger="l"), "No key store"),
        (PersonalDataSettings(keys="sqlite://", master_key=MASTER, ledger="l"), "names no file"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: PersonalDataSettings, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        App("shop", personal_data=settings)


async def test_personal_rows_are_built_beside_compared_and_forgotten_in_every_generation(
    cellar: Cellar,
) -> None:
    async with app_in(cellar) as app:
        await app.send(Register("ada", EMAIL))
        await app.send(Register("bob", "bob@example.org"))
        await app.settle()
        await app.projections.rebuild(CustomerCards)
        await app.projections.wait(CustomerCards)

        done = await app.projections.switch(CustomerCards)

        assert done.meeting.differences is not None
        assert (done.meeting.differences.same, done.meeting.differences.equal) == (2, True)
        async with app.event_store.unit_of_work() as unit:
            card = await unit.collection(CustomerCard).get("ada")
        assert card is not None
        assert card.email == EMAIL
    assert EMAIL.encode() not in cellar.bytes_of_storage()
