"""Streams: an async generator answers, and is closed when its reader stops early."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

from headwater.adapters.container.instances import Instances
from headwater.errors import HandlerNotFoundError
from headwater.mediator import Handlers, Mediator, Next
from headwater.metadata import MessageContext, current_context, message_context
from tests.mediator.sessions import Session, Sessions
from tests.mediator.shop import GetPrice, ListArticles

SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


def counting(closed: list[str]) -> Mediator:
    table = Handlers()

    @table.handler
    async def articles(query: ListArticles) -> AsyncIterator[str]:
        try:
            for number in range(query.count):
                yield str(number)
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    return Mediator(table)


async def test_the_items_come_one_by_one() -> None:
    closed: list[str] = []

    items = [item async for item in counting(closed).stream(ListArticles(3))]

    assert items == ["0", "1", "2"]
    assert closed == ["closed"]


async def test_nothing_runs_before_the_first_item_is_asked_for() -> None:
    closed: list[str] = []
    stream = counting(closed).stream(ListArticles())

    await stream.aclose()
    await stream.aclose()

    assert closed == []


async def test_leaving_the_block_closes_the_handler() -> None:
    closed: list[str] = []

    async with counting(closed).stream(ListArticles()) as items:
        async for _ in items:
            break

    assert closed == ["closed"]


async def test_a_break_closes_the_handler_soon() -> None:
    closed: list[str] = []
    mediator = counting(closed)

    async for _ in mediator.stream(ListArticles()):
        break
    gc.collect()
    for _ in range(10):
        await asyncio.sleep(0)

    assert closed == ["closed"]


async def test_cancelling_the_reader_closes_the_handler() -> None:
    closed: list[str] = []
    waiting = asyncio.Event()
    table = Handlers()

    @table.handler
    async def articles(query: ListArticles) -> AsyncIterator[str]:
        try:
            yield "first"
            waiting.set()
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    async def read() -> None:
        async for _ in Mediator(table).stream(ListArticles()):
            pass

    reading = asyncio.create_task(read())
    await waiting.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert closed == ["closed"]


async def test_what_the_handler_raises_reaches_the_reader() -> None:
    table = Handlers()

    @table.handler
    async def articles(query: ListArticles) -> AsyncIterator[str]:
        yield "first"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        async for _ in Mediator(table).stream(ListArticles()):
            pass


async def test_the_handlers_context_variables_are_its_own() -> None:
    seen: list[str] = []
    table = Handlers()

    @table.handler
    async def articles(query: ListArticles) -> AsyncIterator[str]:
        SEEN.set("handler")
        for _ in range(2):
            yield "item"
            await asyncio.sleep(0)
            seen.append(SEEN.get())

    async for _ in Mediator(table).stream(ListArticles()):
        assert SEEN.get() != "handler"
        SEEN.set("reader")

    assert seen == ["handler", "handler"]


async def test_the_message_context_stays_with_the_handler() -> None:
    table = Handlers()
    contexts: list[MessageContext | None] = []

    @table.handler
    async def articles(query: ListArticles) -> AsyncIterator[str]:
        for _ in range(2):
            contexts.append(current_context())
            yield ""

    mediator = Mediator(table, propagate_context=True)
    with message_context() as around:
        async for _ in mediator.stream(ListArticles()):
            assert current_context() == around

    first, second = contexts
    assert first is not None
    assert first is second
    assert first.causation_id == around.message_id


async def test_the_request_scope_is_open_as_long_as_the_stream() -> None:
    made = Sessions()
    table = Handlers()

    @table.handler
    async def articles(query: ListArticles, session: Session) -> AsyncIterator[str]:
        for _ in range(2):
            yield str(session.closed)

    mediator = Mediator(table, container=Instances(per_request={Session: made}))
    async with mediator.stream(ListArticles()) as items:
        assert [await anext(items), await anext(items)] == ["False", "False"]

    assert [session.closed for session in made.made] == [True]


async def test_behaviours_stand_around_the_opening() -> None:
    seen: list[str] = []
    table = Handlers()

    @table.behaviour
    async def refuses(query: ListArticles, next: Next[ListArticles, Any]) -> Any:
        seen.append("asked")
        if query.count > 3:
            raise PermissionError
        return await next(query)

    @table.handler
    async def articles(query: ListArticles) -> AsyncIterator[str]:
        seen.append("opened")
        yield ""

    mediator = Mediator(table)
    async for _ in mediator.stream(ListArticles(1)):
        pass
    with pytest.raises(PermissionError):
        async for _ in mediator.stream(ListArticles(4)):
            pass

    assert seen == ["asked", "opened", "asked"]


async def test_a_request_with_one_answer_is_no_stream_and_says_so() -> None:
    table = Handlers()

    @table.handler
    async def price(query: GetPrice) -> int:
        return 7

    with pytest.raises(HandlerNotFoundError, match=r"gives one answer: use send\(\)"):
        Mediator(table).stream(GetPrice("tea"))
