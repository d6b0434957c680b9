"""A mail room: an app whose subscriber writes down what it has sent, and fails as it is told."""

import asyncio
from collections.abc import Awaitable, Callable

from headwater import App, BoundedContext, Event, ReadModel
from headwater.clock import Clock
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.subscriptions.failures.policy import OnFailure
from headwater.unit_of_work.collection import Collection

NAME = "post.send"


class Written(Event, context="post"):
    box: str
    number: int
    text: str = "hello"


class Sent(ReadModel, key="number", context="post"):
    number: int
    box: str
    order: int
    text: str


class PostOffice:
    """What the subscriber reaches outside of the storage."""

    def __init__(self) -> None:
        self.fails: Callable[[Written], Exception | None] = lambda _: None
        self.tried: list[int] = []

    def send(self, event: Written) -> None:
        """Send it, or fail."""
        self.tried.append(event.number)
        failure = self.fails(event)
        if failure is not None:
            raise failure


def post(
    storage: Storage | str,
    clock: Clock,
    office: PostOffice,
    *,
    delayed: tuple[float, ...] = (),
    on_failure: OnFailure = OnFailure.PARK_KEY,
    waiting_max: int = 1000,
    external: bool = True,
    runs: bool = True,
) -> App:
    """Return an app with one subscriber of four partitions."""
    context = BoundedContext("post")

    @context.subscriber(
        name="send",
        partitions=4,
        delayed=delayed,
        on_failure=on_failure,
        waiting_max=waiting_max,
        external=external,
    )
    async def send(event: Written, office: PostOffice, sent: Collection[Sent]) -> None:
        office.send(event)
        order = len(office.tried)
        sent.put(Sent(event.number, event.box, order, event.text))

    context.register(Written)
    app = App(
        "post",
        storage=storage,
        clock=clock,
        provide={PostOffice: office},
        run_subscriptions=runs,
    )
    app.include(context)
    return app


async def write(app: App, *written: tuple[str, int]) -> int:
    """Append an event per box and number; return the last position."""
    position = 0
    for box, number in written:
        appended = await app.event_store.append(
            f"post.box-{box}", [Written(box, number)], expected=ExpectedVersion.any()
        )
        position = appended.position
    return position


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when *condition* holds."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - it is the storage that is asked
            await asyncio.sleep(0.01)
