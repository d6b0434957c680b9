"""Handlers written as ``def``: in worker threads, with the caller's context."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from headwater.mediator import Handlers, Limits, Mediator
from tests.mediator.shop import GetPrice, OrderPlaced, PlaceOrder

WORD: ContextVar[str] = ContextVar("word", default="")


async def test_a_plain_def_runs_in_a_worker_thread_and_inline_in_none() -> None:
    table = Handlers()

    @table.handler
    def place(command: PlaceOrder) -> str:
        return threading.current_thread().name

    @table.handler(inline=True)
    def price(query: GetPrice) -> int:
        return threading.get_ident()

    async with Mediator(table) as mediator:
        assert (await mediator.send(PlaceOrder("tea"))).startswith("headwater-handler")
        assert await mediator.send(GetPrice("tea")) == threading.get_ident()


async def test_context_variables_follow_into_the_thread() -> None:
    table = Handlers()

    @table.handler
    def place(command: PlaceOrder) -> str:
        return WORD.get()

    WORD.set("from outside")
    async with Mediator(table) as mediator:
        assert await mediator.send(PlaceOrder("tea")) == "from outside"


async def test_the_event_loop_goes_on_meanwhile() -> None:
    release = threading.Event()
    table = Handlers()

    @table.on
    def waits(event: OrderPlaced) -> None:
        assert release.wait(10)

    async with Mediator(table) as mediator:
        publishing = asyncio.create_task(mediator.publish(OrderPlaced()))
        await asyncio.sleep(0)
        release.set()
        await publishing


async def test_no_more_threads_run_than_the_limit_says() -> None:
    running, most = 0, 0
    lock = threading.Lock()
    full = threading.Barrier(2)
    table = Handlers()
    for _ in range(6):

        def listener(event: OrderPlaced) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            full.wait(10)
            with lock:
                running -= 1

        table.on(listener)

    async with Mediator(table, limits=Limits(threads=2)) as mediator:
        await mediator.publish(OrderPlaced())

    assert most == 2


async def test_a_cancelled_caller_waits_until_its_thread_has_ended() -> None:
    started, release, ended = threading.Event(), threading.Event(), list[str]()
    table = Handlers()

    @table.handler
    def place(command: PlaceOrder) -> str:
        started.set()
        assert release.wait(10)
        ended.append("ended")
        return ""

    async with Mediator(table) as mediator:
        sending = asyncio.create_task(mediator.send(PlaceOrder("tea")))
        await asyncio.to_thread(started.wait)
        sending.cancel()
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.sleep(0)
        assert not sending.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await sending

    assert ended == ["ended"]


async def test_a_cancelled_caller_takes_back_what_has_not_begun() -> None:
    started, release, ran = threading.Event(), threading.Event(), list[str]()
    table = Handlers()

    @table.handler
    def place(command: PlaceOrder) -> str:
        started.set()
        assert release.wait(10)
        ran.append(command.article)
        return ""

    async with Mediator(table, limits=Limits(threads=1)) as mediator:
        first = asyncio.create_task(mediator.send(PlaceOrder("first")))
        await asyncio.to_thread(started.wait)
        second = asyncio.create_task(mediator.send(PlaceOrder("second")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        release.set()
        await first

    assert ran == ["first"]
