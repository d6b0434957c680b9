"""Repositories: one instance per id, committed at the end, guarded, or nothing at all."""

from uuid import uuid4

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    AggregateError,
    AggregateExistsError,
    AggregateNotFoundError,
    ConcurrencyError,
    DuplicateValueError,
    UnitOfWorkError,
    UnknownTypeError,
)
from headwater.messages import RawEvent
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units
from tests.unit_of_work.shop import Account, Customer


async def opened(units: Units, id: str = "7", cents: int = 100) -> None:
    async with units.unit_of_work() as unit:
        account = Account.open(id, "Ada")
        account.deposit(cents)
        unit.repository(Account).add(account)


async def balance(units: Units, id: str = "7") -> int:
    return (await units.new(reads_only=True).repository(Account).get(id)).cents


async def test_what_was_recorded_is_there_after_the_commit(units: Units) -> None:
    await opened(units)

    account = await units.new().repository(Account).get("7")

    assert (account.owner, account.cents, account.version) == ("Ada", 100, 2)
    assert account.uncommitted_events == ()


async def test_one_instance_per_id_within_a_unit(units: Units) -> None:
    await opened(units)
    accounts = units.new().repository(Account)

    assert await accounts.get("7") is await accounts.get("7")


async def test_a_missing_aggregate_is_named(units: Units) -> None:
    accounts = units.new().repository(Account)

    assert await accounts.find("nobody") is None
    with pytest.raises(AggregateNotFoundError, match="Account nobody does not exist"):
        await accounts.get("nobody")


async def test_an_event_that_nobody_knows_is_told_with_its_place(units: Units) -> None:
    await opened(units)
    stream_id = units.aggregate_type(Account).stream_id("7")
    async with units.unit_of_work() as unit:
        unit.append(stream_id, RawEvent("bank.account-frozen", b"{}"))

    with pytest.raises(UnknownTypeError) as refusal:
        await units.new().repository(Account).get("7")

    assert (refusal.value.stream_id, refusal.value.version) == (stream_id, 3)
    assert f"version 3, stream {stream_id!r}" in str(refusal.value)


async def test_a_block_that_raises_writes_nothing(units: Units, storage: MemoryStorage) -> None:
    async def change_my_mind() -> None:
        async with units.unit_of_work() as unit:
            unit.repository(Account).add(Account.open("7", "Ada"))
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await change_my_mind()

    assert await storage.head() == 0


async def test_an_aggregate_that_was_found_missing_must_still_be_missing_at_the_commit(
    units: Units,
) -> None:
    unit = units.new()
    assert await unit.repository(Account).find("7") is None
    unit.repository(Account).add(Account.open("8", "Bob"))
    await opened(units, "7")

    with pytest.raises(ConcurrencyError):
        await unit.commit()


async def test_what_was_only_read_is_guarded_when_something_is_written(units: Units) -> None:
    await opened(units, "7")
    await opened(units, "8")
    unit = units.new()
    await unit.repository(Account).get("7")
    (await unit.repository(Account).get("8")).deposit(1)
    await units.run(lambda other: deposit(other, "7"))

    with pytest.raises(ConcurrencyError, match="account-7"):
        await unit.commit()

    assert await balance(units, "8") == 100


async def deposit(unit: UnitOfWork, id: str, cents: int = 1) -> None:
    (await unit.repository(Account).get(id)).deposit(cents)


async def test_reading_alone_commits_nothing_and_conflicts_with_nothing(units: Units) -> None:
    await opened(units)
    unit = units.new()
    await unit.repository(Account).get("7")
    await units.run(lambda other: deposit(other, "7"))

    committed = await unit.commit()

    assert committed.position == 0


async def test_adding_an_id_that_is_taken_is_said_at_once(units: Units) -> None:
    await opened(units)
    tries = 0

    async def work(unit: UnitOfWork) -> None:
        nonlocal tries
        tries += 1
        unit.repository(Account).add(Account.open("7", "Eve"))

    with pytest.raises(AggregateExistsError, match=r"Account can't be added: .*'app\.account-7'"):
        await units.run(work)

    assert tries == 1


async def test_who_looked_before_adding_runs_again_and_finds_it(units: Units) -> None:
    seen: list[bool] = []

    async def work(unit: UnitOfWork) -> None:
        accounts = unit.repository(Account)
        account = await accounts.find("7")
        seen.append(account is not None)
        if account is None:
            await opened(units)
            accounts.add(Account.open("7", "Eve"))
        else:
            account.deposit(1)

    await units.run(work)

    assert seen == [False, True]
    assert await balance(units) == 101


async def test_adding_what_the_unit_has_already_is_an_error(units: Units) -> None:
    await opened(units)
    unit = units.new()
    await unit.repository(Account).get("7")

    with pytest.raises(UnitOfWorkError, match="in this unit of work already"):
        unit.repository(Account).add(Account.open("7", "Eve"))


async def test_an_instance_can_go_on_in_no_other_unit(units: Units) -> None:
    async with units.unit_of_work() as unit:
        account = Account.open("7", "Ada")
        unit.repository(Account).add(account)
    account.deposit(5)

    with pytest.raises(UnitOfWorkError, match="was stored before"):
        units.new().repository(Account).add(account)


async def test_an_aggregate_that_recorded_and_was_never_added_is_not_lost_in_silence(
    units: Units, storage: MemoryStorage
) -> None:
    async def forgets(unit: UnitOfWork) -> None:
        unit.repository(Account)
        Account.open("7", "Ada")

    with pytest.raises(UnitOfWorkError, match=r"Account 7 recorded 1 event.*repository\.add"):
        await units.run(forgets)

    assert await storage.head() == 0
    assert Account.open("8", "Bob").version == 1


async def test_what_was_left_out_beside_other_writes_is_warned_of(
    units: Units, caplog: pytest.LogCaptureFixture
) -> None:
    async def previews(unit: UnitOfWork) -> None:
        unit.repository(Account).add(Account.open("7", "Ada"))
        Account.open("8", "Bob")

    await units.run(previews)

    assert "Account 8 recorded 1 event(s), but is not part of this unit" in caplog.text


async def test_a_query_may_play_with_an_aggregate(units: Units) -> None:
    async def previews(_unit: UnitOfWork) -> int:
        return Account.open("8", "Bob").version

    assert (await units.run(previews, reads_only=True)).result == 1


async def test_a_repository_does_not_outlive_its_unit(units: Units) -> None:
    async with units.unit_of_work() as unit:
        accounts = unit.repository(Account)

    with pytest.raises(UnitOfWorkError, match="done"):
        await accounts.find("7")


async def test_a_reading_unit_refuses_to_write(units: Units) -> None:
    await opened(units)
    unit = units.new(reads_only=True)
    await deposit(unit, "7")

    with pytest.raises(UnitOfWorkError, match="query collects nothing"):
        await unit.commit()

    assert await balance(units) == 100


async def test_many_pages_of_a_long_stream_are_loaded(units: Units) -> None:
    await opened(units, cents=1)
    async with units.unit_of_work() as unit:
        account = await unit.repository(Account).get("7")
        for _ in range(2_500):
            account.deposit(1)

    assert await balance(units) == 2_501


class TestStoredAsState:
    """The same calls, one row."""

    async def test_the_row_and_the_events_come_with_one_commit(
        self, units: Units, storage: MemoryStorage
    ) -> None:
        id = uuid4()
        async with units.unit_of_work() as unit:
            unit.repository(Customer).add(Customer.register(id, "ada@example.org"))
        async with units.unit_of_work() as unit:
            (await unit.repository(Customer).get(id)).move("Turin")

        customer = await units.new().repository(Customer).get(id)
        events = await storage.read_stream(f"app.customer-{id}")
        assert (customer.email, customer.city, customer.version) == ("ada@example.org", "Turin", 2)
        assert [event.type for event in events] == ["app.registered", "app.moved"]

    async def test_a_value_that_must_be_unique_is(self, units: Units) -> None:
        async with units.unit_of_work() as unit:
            unit.repository(Customer).add(Customer.register(uuid4(), "ada@example.org"))

        with pytest.raises(DuplicateValueError, match=r"email 'ada@example\.org' is taken"):
            async with units.unit_of_work() as unit:
                unit.repository(Customer).add(Customer.register(uuid4(), "ada@example.org"))

    async def test_a_stale_row_conflicts(self, units: Units) -> None:
        id = uuid4()
        async with units.unit_of_work() as unit:
            unit.repository(Customer).add(Customer.register(id, "ada@example.org"))
        stale = units.new()
        (await stale.repository(Customer).get(id)).move("Rome")
        async with units.unit_of_work() as unit:
            (await unit.repository(Customer).get(id)).move("Turin")

        with pytest.raises(ConcurrencyError):
            await stale.commit()

    async def test_an_attribute_that_would_not_be_stored_is_refused(self, units: Units) -> None:
        unit = units.new()
        customer = Customer.register(uuid4(), "ada@example.org")
        customer.nickname = "Countess"  # type: ignore[attr-defined] # the point
        unit.repository(Customer).add(customer)

        with pytest.raises(AggregateError, match="has set 'nickname', which its class does not"):
            await unit.commit()
