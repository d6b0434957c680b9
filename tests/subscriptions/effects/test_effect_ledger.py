"""Effects outside happen once: recorded ones are not repeated, uncertain ones are found out."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from headwater.clock import ManualClock
from headwater.errors import (
    CallTimeoutError,
    ConfigurationError,
    RefusedError,
    RoundTripError,
    UncertainEffectError,
)
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.subscriptions.effect_calls import Happened
from headwater.subscriptions.effect_ledger import EffectLedger
from headwater.subscriptions.effects import UncertainEffect
from tests.subscriptions.effects.till import KEY, Paid, Till

Made = Callable[[], EffectLedger]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def process(storage: Storage, clock: ManualClock) -> Made:
    """Make the ledger of another process on the same storage."""
    return lambda: EffectLedger(storage, codec=EventCodec(TypeRegistry()), clock=clock)


async def pay(ledger: EffectLedger, till: Till, **options: Any) -> Paid:
    return await ledger.once("pay", till.pay, returns=Paid, key=KEY, **options)


async def cut_off(ledger: EffectLedger) -> None:
    """Let a payment begin, and be cut off before anybody knows what came of it."""
    begun = asyncio.Event()

    async def hang() -> Paid:
        begun.set()
        await asyncio.Event().wait()
        return Paid(0)

    task = asyncio.create_task(ledger.once("pay", hang, returns=Paid, key=KEY))
    await begun.wait()
    task.cancel()
    await asyncio.wait((task,))


async def advance_until_done(clock: ManualClock, task: "asyncio.Task[Any]") -> float:
    """Move the clock until *task* is done; return for how many seconds."""
    seconds = 0.0
    while not task.done():
        for _ in range(8):
            await asyncio.sleep(0.001)
            if task.done():
                return seconds
        clock.advance(0.5)
        seconds += 0.5
    return seconds


# ------------------------------------------------------------------------------- recorded


async def test_what_was_recorded_is_not_done_again_by_anybody(process: Made) -> None:
    till = Till()

    first = await pay(process(), till)

    assert await pay(process(), till) == first == Paid(1)
    assert till.paid == [Paid(1)]


async def test_names_and_keys_that_read_alike_together_are_effects_of_their_own(
    process: Made,
) -> None:
    ledger, till = process(), Till()

    for _ in range(2):
        await ledger.once("refund/pay", till.pay, returns=Paid, key="7")
        await ledger.once("pay", till.pay, returns=Paid, key="7/refund")
        await ledger.once("pay", till.pay, returns=Paid, key="7/refund/")

    assert len(till.paid) == 3


async def test_name_and_key_tell_effects_apart(process: Made) -> None:
    ledger, done = process(), list[str]()

    async def note() -> None:
        done.append("x")

    for name, key in (("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")):
        await ledger.once(name, note, key=key)

    assert len(done) == 3


@pytest.mark.parametrize(
    ("result", "returns"),
    [
        (Paid(3, ("a", "b")), Paid),
        (UUID(int=3), UUID),
        (datetime(2024, 1, 1, tzinfo=UTC), datetime),
        ([1, 2], list[int]),
        ("", str),
        (b"\0", bytes),
    ],
)
async def test_a_result_comes_back_as_it_was(
    process: Made, result: object, returns: type[Any]
) -> None:
    async def give() -> Any:
        return result

    async def again() -> Any:
        raise AssertionError("it was recorded")

    first = await process().once("give", give, returns=returns, key="1")
    second = await process().once("give", again, returns=returns, key="1")

    assert first == second == result
    assert type(second) is type(result)


async def test_a_result_that_can_not_come_back_leaves_the_effect_uncertain(process: Made) -> None:
    async def give() -> Any:
        return 3

    with pytest.raises(RoundTripError):
        await process().once("give", give, key="1")

    with pytest.raises(UncertainEffectError, match="RoundTripError"):
        await process().once("give", give, key="1")


# ------------------------------------------------------------------------------ uncertain


async def test_what_was_cut_off_is_found_out_after_its_time_and_not_repeated(
    process: Made, clock: ManualClock
) -> None:
    till = Till()
    till.paid.append(Paid(1))
    await cut_off(process())

    ledger = process()
    task = asyncio.create_task(pay(ledger, till, reconcile=till.find_out))
    waited = await advance_until_done(clock, task)

    assert task.result() == Paid(1)
    assert till.paid == [Paid(1)]
    assert [(effect.name, effect.key, effect.problem) for effect in till.asked] == [
        ("pay", str(KEY), "")
    ]
    assert waited >= 30
    assert await pay(process(), till) == Paid(1)


async def test_what_did_not_happen_is_done_when_that_was_found_out(
    process: Made, clock: ManualClock
) -> None:
    till = Till()
    await cut_off(process())

    task = asyncio.create_task(pay(process(), till, reconcile=till.find_out))
    await advance_until_done(clock, task)

    assert task.result() == Paid(1)
    assert len(till.asked) == 1
    assert till.paid == [Paid(1)]


async def test_a_process_knows_at_once_what_it_has_cut_off_itself(process: Made) -> None:
    till, ledger = Till(), process()
    await cut_off(ledger)

    assert await pay(ledger, till, reconcile=till.find_out) == Paid(1)
    assert len(till.asked) == 1


async def test_what_has_failed_is_uncertain_at_once_whoever_asks(process: Made) -> None:
    till = Till()
    till.lost = ConnectionError("reset")
    with pytest.raises(ConnectionError):
        await pay(process(), till)
    till.lost = None

    with pytest.raises(UncertainEffectError, match=r"ConnectionError: reset.*EffectLedger.settle"):
        await pay(process(), till)
    assert await pay(process(), till, reconcile=till.find_out) == Paid(1)

    assert till.paid == [Paid(1)]
    assert till.asked[0].problem == "ConnectionError: reset"


async def test_where_nobody_can_find_out_it_stays_uncertain(process: Made) -> None:
    till = Till()
    till.lost = ConnectionError("reset")
    with pytest.raises(ConnectionError):
        await pay(process(), till)

    async def away(effect: UncertainEffect) -> Happened[Paid] | None:
        raise RefusedError("ask tomorrow")

    for _ in range(2):
        with pytest.raises(RefusedError, match="tomorrow"):
            await pay(process(), till, reconcile=away)

    assert till.paid == [Paid(1)]
    [effect] = await process().uncertain()
    assert effect.problem == "RefusedError: ask tomorrow"


@pytest.mark.parametrize("error", [ConnectionRefusedError("closed"), RefusedError("no money")])
async def test_what_says_that_nothing_happened_is_simply_done_again(
    process: Made, error: Exception
) -> None:
    till = Till()
    till.broken = error
    with pytest.raises(type(error)):
        await pay(process(), till, undone=(ConnectionRefusedError,))
    till.broken = None

    assert await pay(process(), till) == Paid(1)


async def test_what_takes_too_long_is_ended_and_uncertain(
    process: Made, clock: ManualClock
) -> None:
    async def hang() -> Paid:
        await asyncio.Event().wait()
        return Paid(0)

    task = asyncio.create_task(process().once("pay", hang, returns=Paid, key=KEY, within=3))
    waited = await advance_until_done(clock, task)

    assert isinstance(task.exception(), CallTimeoutError)
    assert waited == 3
    with pytest.raises(UncertainEffectError, match="CallTimeoutError"):
        await process().once("pay", hang, returns=Paid, key=KEY)


# --------------------------------------------------------------------------- two at once


@pytest.mark.parametrize("same_process", [True, False])
async def test_of_two_at_once_one_does_it_and_both_get_what_came_of_it(
    process: Made, clock: ManualClock, *, same_process: bool
) -> None:
    first, till = process(), Till()
    second = first if same_process else process()
    go_on = asyncio.Event()

    async def slowly() -> Paid:
        await go_on.wait()
        return await till.pay()

    both = [
        asyncio.create_task(ledger.once("pay", slowly, returns=Paid, key=KEY))
        for ledger in (first, second)
    ]
    for _ in range(4):
        await asyncio.sleep(0.002)
        clock.advance(0.5)
    go_on.set()
    for task in both:
        await advance_until_done(clock, task)

    assert [task.result() for task in both] == [Paid(1), Paid(1)]
    assert till.paid == [Paid(1)]


# ----------------------------------------------------------------------------- operators


async def test_somebody_who_has_looked_can_say_what_happened(process: Made) -> None:
    till = Till()
    till.lost = ConnectionError("reset")
    with pytest.raises(ConnectionError):
        await pay(process(), till)
    [effect] = await process().uncertain()

    await process().settle(effect.name, effect.key, Happened(Paid(1)), returns=Paid)

    assert await process().uncertain() == []
    assert await pay(process(), till) == Paid(1)
    assert till.paid == [Paid(1)]


async def test_somebody_who_has_looked_can_say_that_it_did_not_happen(process: Made) -> None:
    till = Till()
    till.broken = ConnectionError("reset")
    with pytest.raises(ConnectionError):
        await pay(process(), till)
    till.broken = None

    await process().settle("pay", KEY, None)

    assert await pay(process(), till) == Paid(1)
    with pytest.raises(ConfigurationError, match="is not uncertain: it is done"):
        await process().settle("pay", KEY, None)
    with pytest.raises(ConfigurationError, match="is not uncertain: there is none"):
        await process().settle("pay", "other", None)


async def test_what_was_done_long_ago_is_forgotten_what_is_uncertain_is_not(
    process: Made, clock: ManualClock
) -> None:
    ledger, till = process(), Till()
    await pay(ledger, till)
    till.lost = ConnectionError("reset")
    with pytest.raises(ConnectionError):
        await ledger.once("pay", till.pay, returns=Paid, key="other")
    clock.advance(3600)
    await ledger.once("pay", Till().pay, returns=Paid, key="late")

    assert await ledger.prune(before=clock.now() - timedelta(seconds=60)) == 1

    assert [effect.key for effect in await ledger.uncertain()] == ["other"]
    till.lost = None
    assert await pay(ledger, till) == Paid(3)


# --------------------------------------------------------------------------------- misuse


async def test_outside_of_a_delivery_a_key_must_be_given(process: Made) -> None:
    with pytest.raises(ConfigurationError, match=r"no event is handed over here.*key=…"):
        await process().once("pay", Till().pay, returns=Paid)


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("", {"key": KEY}, "name of an effect has 1 to 200"),
        ("x" * 201, {"key": KEY}, "name of an effect has 1 to 200"),
        ("pay", {"key": ""}, "key of an effect has 1 to 200"),
        ("pay", {"key": KEY, "within": 0}, "takes above 0"),
        ("pay", {"key": KEY, "within": timedelta(hours=2)}, "at most 3600 seconds"),
    ],
)
async def test_arguments_out_of_range_are_refused(
    process: Made, name: str, options: dict[str, Any], problem: str
) -> None:
    till = Till()

    with pytest.raises(ConfigurationError, match=problem):
        await process().once(name, till.pay, returns=Paid, **options)

    assert till.paid == []
