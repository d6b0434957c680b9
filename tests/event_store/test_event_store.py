"""The event store's face: append, read a stream, read all; nothing else to set up."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from headwater import Aggregate, Event, EventData, EventStore, RawEvent, applies, message_context
from headwater.errors import (
    AggregateExistsError,
    AggregateNotFoundError,
    ConcurrencyError,
    IdempotencyConflictError,
    RoundTripError,
)
from headwater.streams import ExpectedVersion


class Priced(Event):
    price: Decimal


class Reduced(Priced):
    percent: int


class Discontinued(Event):
    reason: str


class Product(Aggregate[str]):
    price: Decimal = Decimal(0)

    @applies
    def _priced(self, event: Priced) -> None:
        self.price = event.price


ANY = ExpectedVersion.any()


async def test_what_is_appended_comes_back_with_its_record(store: EventStore) -> None:
    when = datetime(1997, 1, 1, tzinfo=UTC)
    with message_context(actor="ada", tenant="acme", headers={"a": "b"}) as context:
        appended = await store.append(
            "product-1",
            [
                Priced(Decimal("9.90")),
                EventData(Discontinued("old"), occurred_at=when, tags=("x",)),
            ],
            expected=ExpectedVersion.no_stream(),
        )

    first, second = [event async for event in store.read_stream("product-1")]

    assert (appended.version, appended.position) == (2, 2)
    assert first.payload == Priced(Decimal("9.90"))
    assert (first.type, first.version, first.position) == ("app.priced", 1, 1)
    assert (first.actor, first.tenant, first.headers) == ("ada", "acme", {"a": "b"})
    assert first.correlation_id == context.correlation_id
    assert (second.occurred_at, second.tags) == (when, ("x",))
    assert second.recorded_at >= first.recorded_at > when


async def test_streams_are_read_backwards_and_from_any_version(store: EventStore) -> None:
    prices = [Priced(Decimal(n)) for n in range(1, 2501)]
    await store.append("product-1", prices, expected=ANY)

    backwards = [e.version async for e in store.read_stream("product-1", backwards=True)]
    tail = [e.version async for e in store.read_stream("product-1", from_version=2499)]
    head = [e.version async for e in store.read_stream("product-1", from_version=2, backwards=True)]

    assert backwards == list(range(2500, 0, -1))
    assert (tail, head) == ([2499, 2500], [2, 1])
    assert [e async for e in store.read_stream("nothing-1")] == []


async def test_the_log_is_read_by_type_category_and_tag(store: EventStore) -> None:
    await store.append("product-1", [Priced(Decimal(1))], expected=ANY)
    await store.append(
        "offer-1", [EventData(Reduced(Decimal(1), 5), tags=("a", "b"))], expected=ANY
    )
    await store.append("product-2", [EventData(Discontinued("x"), tags=("a",))], expected=ANY)
    await store.append("$timers-1", [Discontinued("y")], expected=ANY)

    async def positions(**wanted: object) -> list[int]:
        return [e.position async for e in store.read_all(**wanted)]  # type: ignore[arg-type] # passed on

    assert await positions() == [1, 2, 3]
    assert await positions(internal=True) == [1, 2, 3, 4]
    assert await positions(types=[Priced]) == [1, 2]
    assert await positions(types=[Reduced, Discontinued]) == [2, 3]
    assert await positions(categories=["product"]) == [1, 3]
    assert await positions(tags=["a"]) == [2, 3]
    assert await positions(tags=["a", "b"]) == [2]
    assert await positions(after=2) == [3]


async def test_a_type_nobody_ever_registered_matches_nothing(store: EventStore) -> None:
    class Unheard(Event):
        pass

    await store.append("product-1", [Priced(Decimal(1))], expected=ANY)

    assert [e async for e in store.read_all(types=[Unheard])] == []


async def test_an_append_that_comes_again_gives_the_first_result(store: EventStore) -> None:
    data = EventData(Priced(Decimal(1)), id=uuid4())
    first = await store.append("product-1", [data], expected=ExpectedVersion.no_stream())

    assert await store.append("product-1", [data], expected=ExpectedVersion.no_stream()) == first
    other = EventData(Priced(Decimal(2)), id=data.id)
    with pytest.raises(IdempotencyConflictError):
        await store.append("product-1", [other], expected=ANY)


async def test_a_wrong_expectation_names_both_versions(store: EventStore) -> None:
    await store.append("product-1", [Priced(Decimal(1))], expected=ANY)

    with pytest.raises(ConcurrencyError, match="expected version 5, found version 1"):
        await store.append("product-1", [Priced(Decimal(2))], expected=ExpectedVersion.exactly(5))


async def test_an_event_that_would_not_come_back_equal_is_refused(store: EventStore) -> None:
    with pytest.raises(RoundTripError, match=r"Priced\.price"):
        await store.append("product-1", [Priced(9.9)], expected=ANY)  # type: ignore[arg-type] # the point

    assert await store.head() == 0


async def test_raw_events_are_stored_and_read_as_they_are(store: EventStore) -> None:
    raw = RawEvent("legacy.thing-happened", b'{"a": [1, 2]}', 3)
    await store.append("legacy-1", [raw], expected=ANY)

    [event] = [e async for e in store.read_all()]

    assert event.payload == raw


async def test_a_repository_of_the_store_commits_each_call(store: EventStore) -> None:
    products = store.repository(Product)
    product = Product("cd")
    product.record(Priced(Decimal(10)))
    await products.add(product)

    def reduce(found: Product) -> Decimal:
        found.record(Reduced(found.price / 2, 50))
        return found.price

    assert await products.update("cd", reduce) == Decimal(5)
    assert (await products.get("cd")).version == 2
    assert await products.find("lp") is None
    with pytest.raises(AggregateNotFoundError):
        await products.update("lp", reduce)
    again = Product("cd")
    again.record(Priced(Decimal(1)))
    with pytest.raises(
        AggregateExistsError, match=r"'app\.product-cd' exists already, at version 2"
    ):
        await products.add(again)
