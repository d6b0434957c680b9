"""A whole app for a test: in memory, with a clock moved by hand, and everything recorded."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from headwater.adapters.container.dishka import BaseProvider
from headwater.app.app import App
from headwater.app.context import BoundedContext
from headwater.clock import Clock, Duration, ManualClock
from headwater.event_store import EventStore
from headwater.mediator.background import OnError
from headwater.mediator.registrations import Strategy
from headwater.mediator.sending import Receipt
from headwater.mediator.streaming import Stream
from headwater.messages import Request
from headwater.ports.storage import Storage
from headwater.subscriptions.status import SubscriptionStatus
from headwater.subscriptions.subscriptions import SETTLE_SECONDS
from headwater.testing.recorder import Recorder

T = TypeVar("T")
R = TypeVar("R")


class AppFactory(Protocol):
    """Makes the app that is tested, on the storage and the clock that the test gives."""

    def __call__(self, *, storage: str | Storage, clock: Clock) -> App:
        """Return an app that has not been started, with its contexts included."""
        ...


class TestApp:
    """An app under test; use it as ``async with``::

        async with TestApp(sales, provide={EmailService: FakeEmail()}) as app:
            await app.send(PlaceOrder(...))
            await app.settle()
            app.recorder.assert_sent(...)

    It is in memory unless another *storage* is given, and its *clock* stands still until the
    test advances it. *provide* replaces dependencies wherever they are asked for, also those
    of *providers*. It can be started again, on the storage as it was left.
    """

    __test__ = False
    """Tells pytest that this is no class of tests, though it is called Test…"""

    def __init__(
        self,
        *contexts: BoundedContext,
        name: str = "test",
        storage: str | Storage = "memory://",
        databases: Mapping[str, str | Storage] | None = None,
        providers: Sequence[BaseProvider] = (),
        provide: Mapping[Any, Any] | None = None,
        clock: ManualClock | None = None,
        on_error: OnError | None = None,
        run_subscriptions: bool = True,
    ) -> None:
        """Make an app called *name* of *contexts*; the rest is as for `App`."""
        self.clock = clock or ManualClock()
        self.recorder = Recorder()
        self._listening: BoundedContext | None = None
        self.app = App(
            name,
            storage=storage,
            databases=databases,
            providers=providers,
            provide=provide,
            clock=self.clock,
            on_error=on_error,
            run_subscriptions=run_subscriptions,
        )
        self.app.include(*contexts)

    @classmethod
    def of(
        cls,
        factory: AppFactory,
        *,
        storage: str | Storage = "memory://",
        provide: Mapping[Any, Any] | None = None,
        clock: ManualClock | None = None,
    ) -> "TestApp":
        """Return the app that *factory* makes, the same as in production, under test.

        Raises:
            ConfigurationError: the factory has started or checked it already.
        """
        test = cls.__new__(cls)
        test.clock = clock or ManualClock()
        test.recorder = Recorder()
        test._listening = None
        test.app = factory(storage=storage, clock=test.clock)
        for dependency, value in (provide or {}).items():
            test.app.override(dependency, value)
        return test

    async def __aenter__(self) -> "TestApp":
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the app; raises as `App.start`."""
        if self._listening is None:
            self._listening = self.recorder.listening(self.app.contexts)
            self.app.include(self._listening)
        await self.app.start()
        self.recorder.read_from(await self.app.get(EventStore))

    async def stop(self) -> None:
        """Drain and stop the app; twice is no error."""
        await self.app.stop()

    # -------------------------------------------------------------------------- messages

    def send(self, request: Request[R], /, *, id: UUID | None = None) -> Coroutine[Any, Any, R]:
        """Hand *request* to its one handler; see `Mediator.send`."""
        return self.app.send(request, id=id)

    def execute(
        self, request: Request[R], /, *, id: UUID | None = None
    ) -> Coroutine[Any, Any, Receipt[R]]:
        """Send *request*; return its answer with the position of its commit."""
        return self.app.execute(request, id=id)

    def publish(
        self,
        message: object,
        /,
        *,
        strategy: Strategy | None = None,
        after_commit: bool = False,
    ) -> Coroutine[Any, Any, None]:
        """Hand *message* to all who hear its type; see `Mediator.publish`."""
        return self.app.publish(message, strategy=strategy, after_commit=after_commit)

    def stream(self, request: Request[R], /) -> Stream[R]:
        """Return the items that the handler of *request* yields; see `Mediator.stream`."""
        return self.app.stream(request)

    def subscribe(self, handler: Callable[..., Any], /, *messages: type) -> Callable[[], None]:
        """Let *handler* hear what is published from now on; return what undoes that."""
        return self.app.subscribe(handler, *messages)

    # ------------------------------------------------------------------- what is going on

    async def get(self, dependency: type[T]) -> T:
        """Return a dependency of the app's lifetime; raises as `App.get`."""
        return await self.app.get(dependency)

    async def settle(self, *, timeout: Duration = SETTLE_SECONDS) -> int:  # noqa: ASYNC109
        """Return the head of the log when all subscriptions have reached it; see `App.settle`."""
        return await self.app.settle(timeout=timeout)

    async def wait_for(
        self,
        subscription: Any,
        at: Receipt[Any] | int,
        *,
        timeout: Duration | None = SETTLE_SECONDS,  # noqa: ASYNC109 - a part of the promise
    ) -> None:
        """Return when a projection or subscriber has come past *at*; see `App.wait_for`."""
        await self.app.wait_for(subscription, at, timeout=timeout)

    async def restart(self, subscription: Any) -> None:
        """Run a subscription that has failed again, with the event that failed."""
        await self.app.restart(subscription)

    def status(self) -> tuple[SubscriptionStatus, ...]:
        """Return what is known of each subscription."""
        return self.app.status()
