"""The query cache: who gets a kept answer, and until when."""

import asyncio
from typing import Any

import pytest

from headwater.clock import ManualClock
from headwater.mediator import Handlers, Mediator
from headwater.mediator.behaviours import (
    QueryCache,
)
from headwater.messages import Query
from tests.mediator.shop import GetPrice, ListArticles


def caching(cache: QueryCache, **options: Any) -> tuple[Mediator, list[str]]:
    asked: list[str] = []
    table = Handlers()
    table.behaviour(cache, on=GetPrice)

    @table.handler
    async def price(query: GetPrice) -> int:
        asked.append(query.article)
        await asyncio.sleep(0)
        if query.article == "nothing":
            raise LookupError(query.article)
        return len(asked)

    return Mediator(table, **options), asked


async def test_an_equal_query_gets_the_earlier_answer() -> None:
    mediator, asked = caching(QueryCache())

    answers = [await mediator.send(GetPrice(article)) for article in ("tea", "tea", "milk", "tea")]

    assert answers == [1, 1, 2, 1]
    assert asked == ["tea", "milk"]


async def test_equal_queries_at_the_same_time_are_handled_once() -> None:
    mediator, asked = caching(QueryCache())

    answers = await asyncio.gather(*[mediator.send(GetPrice("tea")) for _ in range(5)])

    assert answers == [1] * 5
    assert asked == ["tea"]


async def test_those_who_wait_share_a_failure_and_it_is_not_kept() -> None:
    mediator, asked = caching(QueryCache())

    answers = await asyncio.gather(
        *[mediator.send(GetPrice("nothing")) for _ in range(3)], return_exceptions=True
    )
    with pytest.raises(LookupError):
        await mediator.send(GetPrice("nothing"))

    assert [type(answer) for answer in answers] == [LookupError] * 3
    assert asked == ["nothing"] * 2


async def test_if_who_handles_it_is_cancelled_somebody_who_waits_does() -> None:
    mediator, asked = caching(QueryCache())
    first = asyncio.create_task(mediator.send(GetPrice("tea")))
    second = asyncio.create_task(mediator.send(GetPrice("tea")))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == 2
    assert asked == ["tea", "tea"]


async def test_an_answer_called_invalid_is_made_anew() -> None:
    cache = QueryCache()
    mediator, asked = caching(cache)
    for article in ("tea", "milk"):
        await mediator.send(GetPrice(article))

    cache.invalidate(GetPrice("tea"))
    await mediator.send(GetPrice("milk"))
    await mediator.send(GetPrice("tea"))
    cache.invalidate_where(GetPrice, lambda query: query.article == "milk")
    await mediator.send(GetPrice("tea"))
    await mediator.send(GetPrice("milk"))
    cache.invalidate_where()
    await mediator.send(GetPrice("tea"))

    assert asked == ["tea", "milk", "tea", "milk", "tea"]


async def test_an_answer_being_made_when_it_becomes_invalid_is_not_kept() -> None:
    cache = QueryCache()
    mediator, asked = caching(cache)
    first = asyncio.create_task(mediator.send(GetPrice("tea")))
    await asyncio.sleep(0)

    cache.invalidate(GetPrice("tea"))

    assert await mediator.send(GetPrice("tea")) == 2
    assert await first >= 1
    assert asked == ["tea", "tea"]


async def test_an_answer_is_kept_no_longer_than_its_time(clock: ManualClock) -> None:
    mediator, asked = caching(QueryCache(ttl=10, clock=clock))

    await mediator.send(GetPrice("tea"))
    clock.advance(9.9)
    await mediator.send(GetPrice("tea"))
    clock.advance(0.1)
    await mediator.send(GetPrice("tea"))

    assert asked == ["tea", "tea"]


async def test_it_keeps_the_answers_used_last_up_to_its_limit() -> None:
    mediator, asked = caching(QueryCache(entries_max=2))

    for article in ("tea", "milk", "tea", "salt", "tea", "milk"):
        await mediator.send(GetPrice(article))

    assert asked == ["tea", "milk", "salt", "milk"]


async def test_a_key_tells_apart_what_the_query_doesnt() -> None:
    tenants = iter(["a", "b", "a"])
    mediator, asked = caching(QueryCache(key=lambda _: next(tenants)))

    assert [await mediator.send(GetPrice("tea")) for _ in range(3)] == [1, 2, 1]
    assert asked == ["tea", "tea"]


async def test_streams_are_not_kept() -> None:
    table = Handlers()
    table.behaviour(QueryCache(), on=Query)

    @table.handler
    async def articles(query: ListArticles) -> Any:
        yield "tea"

    mediator = Mediator(table)

    for _ in range(2):
        assert [item async for item in mediator.stream(ListArticles())] == ["tea"]
