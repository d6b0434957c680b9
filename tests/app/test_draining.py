"""A stop waits for what is under way, within its grace."""

import asyncio

import pytest

from headwater import App, BoundedContext, Command, Notification, Strategy
from headwater.errors import HandlerNotFoundError, StorageClosedError
from headwater.mediator import Unheard

pub = BoundedContext("pub")


class Steps:
    """Where a handler has come, and whether it may go on; new for each test's event loop."""

    def __init__(self) -> None:
        self.entered, self.release = asyncio.Event(), asyncio.Event()


class Brew(Command[str]):
    pass


class Closing(Notification):
    pass


@pub.handler
async def brew(_command: Brew, steps: Steps) -> str:
    steps.entered.set()
    await steps.release.wait()
    return "ale"


@pub.on
async def clean(_event: Closing, steps: Steps) -> None:
    steps.entered.set()
    await asyncio.Event().wait()


def new_app(steps: Steps) -> App:
    app = App("town", provide={Steps: steps})
    app.include(pub)
    return app


async def test_a_send_that_is_under_way_is_waited_for() -> None:
    steps = Steps()
    app = new_app(steps)
    await app.start()
    sent = asyncio.create_task(app.send(Brew()))
    await steps.entered.wait()

    stopping = asyncio.create_task(app.stop(grace=30))
    steps.release.set()

    assert await sent == "ale"
    await stopping


async def test_a_background_handler_does_not_hold_a_stop_up_past_its_grace() -> None:
    steps = Steps()
    app = new_app(steps)
    await app.start()
    await app.publish(Closing(), strategy=Strategy.BACKGROUND)
    await steps.entered.wait()

    async with asyncio.timeout(20):
        await app.stop(grace=0.05)


async def test_a_send_that_takes_longer_than_the_grace_fails_or_ends_without_a_commit() -> None:
    steps = Steps()
    app = new_app(steps)
    await app.start()
    sent = asyncio.create_task(app.send(Brew()))
    await steps.entered.wait()

    await app.stop(grace=0)
    steps.release.set()

    assert isinstance(
        (await asyncio.gather(sent, return_exceptions=True))[0], str | StorageClosedError
    )


async def test_an_app_can_take_a_publish_that_nobody_hears_as_an_error() -> None:
    async with App("town", unheard=Unheard.RAISE) as app:
        with pytest.raises(HandlerNotFoundError):
            await app.publish(Closing())
