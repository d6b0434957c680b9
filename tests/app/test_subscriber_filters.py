"""What a subscriber reads: by category, tag and tenant, and from where on."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from headwater import App, BoundedContext, Event, ManualClock, Recorded, Start, message_context
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import WiringError
from headwater.ports.storage import Storage
from headwater.testing import TestApp
from tests.app.orders import sales
from tests.app.shop import Order, OrderTagged

A = UUID(int=1)


async def append(
    app: App, stream: str, tag: str, *, tags: tuple[str, ...] = (), tenant: str | None = None
) -> None:
    async with app.event_store.unit_of_work() as unit:
        with message_context(tenant=tenant):
            unit.append(stream, OrderTagged(A, tag), tags=tags)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "abcdef"),
        ({"categories": ["sales.order"]}, "abc"),
        ({"categories": [Order, "crm.customer"]}, "abcde"),
        ({"tags": ["vip"]}, "bcd"),
        ({"tags": ["vip", "new"]}, "cd"),
        ({"tenants": ["acme"]}, "ae"),
        ({"tenants": ["acme", "umbra"]}, "aef"),
        ({"tenants": ["acme"], "categories": [Order], "tags": ()}, "a"),
        ({"tags": ["new"], "categories": ["crm.customer"]}, "d"),
    ],
)
async def test_only_what_it_asks_for_reaches_a_subscriber(
    storage: Storage, options: dict[str, Any], expected: str
) -> None:
    context, got = sales(projection=False), list[str]()

    @context.subscriber(**options)
    async def look(event: OrderTagged) -> None:
        got.append(event.tag)

    app = App("shop", storage=storage)
    app.include(context)
    async with app:
        await append(app, "sales.order-1", "a", tenant="acme")
        await append(app, "sales.order-2", "b", tags=("vip",))
        await append(app, "sales.order-1", "c", tags=("vip", "new"))
        await append(app, "crm.customer-1", "d", tags=("vip", "new"))
        await append(app, "crm.customer-2", "e", tenant="acme")
        await append(app, "stock.level-1", "f", tenant="umbra")
        assert await app.settle() == 6

    assert "".join(sorted(got)) == expected


async def test_a_subscriber_starts_where_it_is_told() -> None:
    clock = ManualClock(datetime(2024, 1, 1, tzinfo=UTC))
    storage, context = MemoryStorage(clock), sales(projection=False)
    got: dict[str, list[int]] = {}
    starts = {
        "beginning": Start.beginning(),
        "end": Start.end(),
        "position": Start.position(3),
        "time": Start.time(clock.now() + timedelta(seconds=1)),
    }

    def add(name: str, start: Start) -> None:
        got[name] = []

        @context.subscriber(name=name, start=start)
        async def look(event: Recorded[OrderTagged]) -> None:
            got[name].append(event.position)

    for name, start in starts.items():
        add(name, start)
    idle = App("shop", storage=storage, clock=clock, run_subscriptions=False)
    idle.include(sales(projection=False))
    async with idle:
        for tag in "abcd":
            await append(idle, "sales.order-1", tag)
            clock.advance(0.5)

    app = TestApp(context, storage=storage, clock=clock)
    async with app:
        await append(app.app, "sales.order-1", "e")
        await app.settle()

    assert got == {
        "beginning": [1, 2, 3, 4, 5],
        "end": [5],
        "position": [3, 4, 5],
        "time": [3, 4, 5],
    }


def faults_of(context: BoundedContext) -> list[str]:
    app = App("shop")
    app.include(context)
    with pytest.raises(WiringError) as told:
        app.check()
    return [str(fault) for fault in told.value.faults]


def test_options_that_can_not_be_meant_are_faults_with_the_advice() -> None:
    context = sales()
    a_text: Any = "vip"
    a_number: Any = 3

    @context.subscriber(tags=a_text)
    async def lone_text(event: OrderTagged) -> None: ...

    @context.subscriber(tenants=["vip", a_number])
    async def number(event: OrderTagged) -> None: ...

    @context.subscriber(delayed=(1, -1))
    async def negative(event: OrderTagged) -> None: ...

    @context.subscriber(waiting_max=0)
    async def none_may_wait(event: OrderTagged) -> None: ...

    @context.subscriber(policy=a_text)
    async def no_policy(event: OrderTagged) -> None: ...

    faults = faults_of(context)

    for wanted in (
        "lone_text has tags='vip', a text. Give several: tags=['vip'].",
        "number has tenants=['vip', 3], which are no texts.",
        "negative: A delay is 0 to",
        "none_may_wait: waiting_max is 1 or more",
        "the policy of",
    ):
        assert any(wanted in fault for fault in faults), (wanted, faults)
    assert len(faults) == 5


def test_an_option_that_there_is_not_is_refused_where_it_is_given() -> None:
    context = sales()
    options: Any = {"retries": 3}

    async def look(event: Event) -> None: ...

    with pytest.raises(TypeError, match="retries"):
        context.subscriber(**options)(look)
