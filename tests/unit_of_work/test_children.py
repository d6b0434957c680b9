"""Children: parallel work within a unit, merged at the end."""

from decimal import Decimal

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import UnitOfWorkError
from headwater.messages import Event
from headwater.metadata import current_context, message_context
from headwater.unit_of_work.units import Units
from tests.unit_of_work.shop import Account, Product
from tests.unit_of_work.test_repository import balance, deposit, opened


class Noted(Event):
    text: str


async def test_what_a_child_collects_is_committed_with_its_parent(units: Units) -> None:
    await opened(units)
    unit = units.new()
    child = unit.child()
    await deposit(child, "7", 5)

    unit.merge(child)
    await unit.commit()

    assert await balance(units) == 105


async def test_a_child_that_is_not_merged_leaves_nothing(units: Units) -> None:
    await opened(units)
    unit = units.new()
    await deposit(unit, "7", 1)
    await deposit(unit.child(), "7", 5)

    await unit.commit()

    assert await balance(units) == 101


async def test_a_child_sees_what_its_parent_has_recorded(units: Units) -> None:
    await opened(units)
    unit = units.new()
    account = await unit.repository(Account).get("7")
    account.deposit(20)
    child = unit.child()

    seen = await child.repository(Account).get("7")
    seen.deposit(3)
    unit.merge(child)

    assert seen.cents == account.cents == 123
    await unit.commit()
    assert await balance(units) == 123


async def test_a_child_sees_an_aggregate_that_its_parent_has_added(units: Units) -> None:
    unit = units.new()
    unit.repository(Account).add(Account.open("9", "Ada"))
    child = unit.child()

    await deposit(child, "9", 3)
    unit.merge(child)
    await unit.commit()

    assert await balance(units, "9") == 3


async def test_children_of_children_merge_upwards(units: Units) -> None:
    await opened(units)
    unit = units.new()
    await deposit(unit, "7", 1)
    child = unit.child()
    await deposit(child, "7", 2)
    grandchild = child.child()
    await deposit(grandchild, "7", 4)

    child.merge(grandchild)
    unit.merge(child)
    await unit.commit()

    assert await balance(units) == 107


async def test_two_children_that_write_one_stream_are_an_error(units: Units) -> None:
    await opened(units)
    unit = units.new()
    one, two = unit.child(), unit.child()
    await deposit(one, "7")
    await deposit(two, "7")
    unit.merge(one)

    with pytest.raises(UnitOfWorkError, match=r"'app\.account-7' was written by two handlers"):
        unit.merge(two)


async def test_two_children_that_write_different_streams_are_fine(units: Units) -> None:
    await opened(units, "7")
    await opened(units, "8")
    unit = units.new()
    one, two = unit.child(), unit.child()
    await deposit(one, "7")
    await deposit(two, "8")
    await two.repository(Account).get("7")

    unit.merge(one)
    unit.merge(two)
    await unit.commit()

    assert (await balance(units, "7"), await balance(units, "8")) == (101, 101)


async def test_two_children_that_write_one_row_are_an_error(units: Units) -> None:
    unit = units.new()
    one, two = unit.child(), unit.child()
    one.collection(Product).put(Product("a", "apple", Decimal(1)))
    two.collection(Product).put(Product("a", "apricot", Decimal(2)))
    unit.merge(one)

    with pytest.raises(UnitOfWorkError, match="Row 'a' of 'app_product'"):
        unit.merge(two)


async def test_a_poisoned_unit_does_not_commit_and_says_why(units: Units) -> None:
    await opened(units)
    unit = units.new()
    await deposit(unit, "7")
    unit.poison(RuntimeError("half done"))

    with pytest.raises(UnitOfWorkError, match="half done"):
        await unit.commit()

    assert await balance(units) == 100


async def test_each_event_carries_the_context_in_which_it_was_recorded(
    units: Units, storage: MemoryStorage
) -> None:
    unit = units.new()
    with message_context(actor="ada") as first:
        unit.repository(Account).add(Account.open("7", "Ada"))
        unit.seal()
    with message_context(actor="bob", headers={"trace": "on"}):
        await deposit(unit, "7")
        unit.append("app.notes-1", Noted("hello"))
        await unit.commit()

    events = (await storage.read_log()).events

    assert [event.actor for event in events] == ["ada", "bob", "bob"]
    assert events[0].correlation_id == first.correlation_id.bytes
    assert events[0].causation_id == first.message_id.bytes
    assert events[1].headers == '{"trace":"on"}'
    assert current_context() is None
