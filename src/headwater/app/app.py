"""The app: puts contexts on a storage, checks them at the start, runs them, and stops."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from headwater.app.catalogue import Catalogue
from headwater.app.context import BoundedContext
from headwater.app.personal_data import PersonalDataSettings, personal_data_of
from headwater.app.storages import storage_of
from headwater.app.wiring import Surroundings, Wiring
from headwater.clock import Clock, Duration, SystemClock, seconds_of
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError
from headwater.event_store import EventStore
from headwater.mediator.background import OnError
from headwater.mediator.dispatch import Unheard
from headwater.mediator.limits import DEFAULT_LIMITS, Limits
from headwater.mediator.mediator import Mediator
from headwater.mediator.registrations import Strategy
from headwater.mediator.sending import Publisher, Receipt, Sender
from headwater.mediator.streaming import Stream
from headwater.messages import Request
from headwater.metadata import MessageContext
from headwater.operations.retention import Pruner, Retention
from headwater.ports.container import Container, Scope
from headwater.ports.storage import Storage
from headwater.projections.projection import Projection
from headwater.serialization.personal.personal_data import PersonalData
from headwater.streams import check_context_name
from headwater.subscriptions.status import SubscriptionStatus
from headwater.subscriptions.subscriptions import GRACE_SECONDS, SETTLE_SECONDS, Subscriptions
from headwater.unit_of_work.row_type import Key
from headwater.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:
    from headwater.adapters.container.dishka import BaseProvider, DishkaContainer

T = TypeVar("T")
M = TypeVar("M", bound=ReadModel)
R = TypeVar("R")

_log = logging.getLogger("headwater")


class App:
    """Bounded contexts at work on one storage; use it as ``async with app``.

    ``App("shop", storage="sqlite:///shop.db")``, then `include` the contexts. Dependencies come
    from dishka *providers*, and from *provide*, a table of ready objects by type. *databases*
    are further storages by name, for projections that live in one. *personal_data* says where the
    keys of personal fields are. *on_error* hears of failures
    that no caller sees. *strategy* says how `publish` runs handlers, *unheard* what it does where
    there are none. *retention* says how long receipts and ids of erased events are kept; by
    default, for ever. With ``run_subscriptions=False`` this process sends and publishes only, and
    leaves the subscriptions to others.
    """

    def __init__(
        self,
        name: str,
        *,
        storage: str | Storage = "memory://",
        databases: Mapping[str, str | Storage] | None = None,
        personal_data: PersonalData | PersonalDataSettings | None = None,
        providers: "Sequence[BaseProvider]" = (),
        provide: Mapping[Any, Any] | None = None,
        clock: Clock | None = None,
        on_error: OnError | None = None,
        strategy: Strategy = Strategy.PARALLEL,
        unheard: Unheard = Unheard.WARN_ONCE,
        limits: Limits = DEFAULT_LIMITS,
        retention: Retention | None = None,
        run_subscriptions: bool = True,
    ) -> None:
        """Make an app called *name*, which is also the context of what belongs to no other.

        Raises:
            InvalidNameError: *name* can't be a context name.
            ConfigurationError: there is no storage for a URL.
        """
        self.name = check_context_name(name)
        self.clock: Clock = clock or SystemClock()
        self.storage = self._storage(storage)
        self._databases = {name: self._storage(url) for name, url in (databases or {}).items()}
        if isinstance(personal_data, PersonalDataSettings):
            personal_data = personal_data_of(personal_data, clock=self.clock)
        self._personal_data = personal_data
        self._providers = tuple(providers)
        self._provide = dict(provide or {})
        self._on_error, self._limits = on_error, limits
        self._retention = retention
        self._strategy, self._unheard = strategy, unheard
        self._run_subscriptions = run_subscriptions
        self._contexts: list[BoundedContext] = []
        self._container: Container | None = None
        self._wiring: Wiring | None = None
        self._subscriptions: Subscriptions | None = None
        self._closing: AsyncExitStack | None = None
        self._starting = False
        self._stopping = False

    @property
    def contexts(self) -> tuple[BoundedContext, ...]:
        """The contexts that were included."""
        return tuple(self._contexts)

    def include(self, *contexts: BoundedContext) -> None:
        """Take *contexts* into the app; before it starts.

        Raises:
            ConfigurationError: it has started, or was checked.
        """
        if self._wiring is not None:
            raise ConfigurationError(
                "The app has been wired already; include contexts before check() and start()."
            )
        self._contexts += contexts

    def override(self, dependency: Any, value: Any) -> None:
        """Give *value* wherever *dependency* is asked for; before the start. For tests.

        Raises:
            ConfigurationError: it has started, or was checked.
        """
        if self._wiring is not None:
            raise ConfigurationError("Override dependencies before check() and start().")
        self._provide[dependency] = value

    # --------------------------------------------------------------------- start and stop

    def check(self) -> None:
        """Plan everything without touching a storage.

        Raises:
            WiringError: with everything that is wrong, each fault with file, line and advice.
        """
        self._wired()

    def catalogue(self) -> Catalogue:
        """Return what the app consists of; no storage is touched.

        Raises:
            WiringError: something is wrong in the wiring.
        """
        wiring = self._wired()
        return Catalogue(
            wiring.codec, tuple(wiring.catalogued), self._databases, self._personal_data
        )

    async def start(self) -> None:
        """Check the wiring, open the storages, start the subscriptions.

        If any of it fails, what was opened is closed again.

        Raises:
            WiringError: something is wrong in the wiring.
            StorageError: a storage can't be used.
            ConfigurationError: it is running already.
        """
        if self._closing is not None or self._starting:
            raise ConfigurationError(f"App {self.name!r} is running already.")
        wiring = self._wired()
        self._starting = True
        try:
            self._closing = await self._open(wiring)
        except BaseException:
            self._wiring = self._container = None
            raise
        finally:
            self._starting = False

    async def _open(self, wiring: Wiring) -> AsyncExitStack:
        async with AsyncExitStack() as opened:
            if self._personal_data is not None:
                await opened.enter_async_context(self._personal_data)
            for storage in (self.storage, *self._databases.values()):
                opened.push_async_callback(storage.close)
                await storage.open()
            await wiring.units.prepare(
                aggregates=wiring.types.aggregates, models=wiring.types.models
            )
            if self._container is not None:
                opened.push_async_callback(self._container.close)
            opened.push_async_callback(wiring.mediator.aclose)
            await wiring.mediator.start()
            runners = wiring.runners if self._run_subscriptions else ()
            self._subscriptions = Subscriptions(self.storage, runners)
            await self._subscriptions.start()
            if self._retention is not None:
                for storage in (self.storage, *self._databases.values()):
                    pruner = Pruner(storage, self._retention, clock=self.clock)
                    opened.push_async_callback(pruner.stop)
                    pruner.start()
            return opened.pop_all()

    async def stop(self, *, grace: Duration = GRACE_SECONDS) -> None:
        """Drain within *grace*, then close everything: subscriptions, sends, background handlers.

        What a subscription has not finished by then is not acknowledged and comes again; a send
        that is still under way fails. Stopping twice is no error.
        """
        if self._closing is None or self._stopping:
            return
        self._stopping = True
        deadline = time.monotonic() + seconds_of(grace)
        try:
            # What is drained may still send and publish: the app runs until all is closed.
            async with self._closing:
                wiring = self._running()
                if self._subscriptions is not None:
                    await self._subscriptions.stop(grace=grace)
                await wiring.units.drain(seconds=max(0.0, deadline - time.monotonic()))
                await wiring.mediator.aclose(timeout=max(0.0, deadline - time.monotonic()))
        finally:
            self._closing = self._wiring = self._container = None
            self._stopping = False

    async def __aenter__(self) -> "App":
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    # -------------------------------------------------------------------------- messages

    @property
    def mediator(self) -> Mediator:
        """The mediator of the running app.

        Raises:
            ConfigurationError: the app is not running.
        """
        return self._running().mediator

    async def send(self, request: Request[R], /, *, id: UUID | None = None) -> R:
        """Hand *request* to its one handler; see `Mediator.send`."""
        mediator = self._running().mediator
        return await (mediator.send(request) if id is None else mediator.send(request, id=id))

    async def execute(self, request: Request[R], /, *, id: UUID | None = None) -> Receipt[R]:
        """Send *request*; return its answer with the position of its commit.

        The position is 0 if nothing was appended; waiting for it ends at once.
        """
        return await self._running().mediator.execute(request, id=id)

    async def publish(
        self,
        message: object,
        /,
        *,
        strategy: Strategy | None = None,
        after_commit: bool = False,
    ) -> None:
        """Hand *message* to all in this process who hear its type; see `Mediator.publish`."""
        mediator = self._running().mediator
        await mediator.publish(message, strategy=strategy, after_commit=after_commit)

    def stream(self, request: Request[R], /) -> Stream[R]:
        """Return the items that the handler of *request* yields; see `Mediator.stream`."""
        return self._running().mediator.stream(request)

    def subscribe(self, handler: Callable[..., Any], /, *messages: type) -> Callable[[], None]:
        """Let *handler* hear what is published from now on; return what undoes that."""
        return self._running().mediator.subscribe(handler, *messages)

    # ------------------------------------------------------------------- what is going on

    async def get(self, dependency: type[T]) -> T:
        """Return the dependency of the app's lifetime that *dependency* names.

        Raises:
            ConfigurationError: nobody provides it, or it only lives as long as a message.
        """
        instances = {
            **dict.fromkeys((Mediator, Sender, Publisher), self.mediator),
            EventStore: self.event_store,
            **self._instances(),
        }
        if dependency in instances:
            return cast("T", instances[dependency])
        provided = self._container.find(dependency) if self._container is not None else None
        if provided is None or provided.scope is not Scope.APP or self._container is None:
            reason = "nobody provides it" if provided is None else "it lives as long as a message"
            raise ConfigurationError(f"app.get({dependency.__name__}): {reason}.")
        return cast("T", await self._container.get(provided.key))

    @property
    def event_store(self) -> EventStore:
        """The event store of the running app, with the types that the app knows.

        Raises:
            ConfigurationError: the app is not running.
        """
        return self._running().event_store

    @property
    def personal_data(self) -> PersonalData:
        """The keys of personal fields, to forget somebody; open while the app runs.

        Raises:
            ConfigurationError: the app was given none.
        """
        if self._personal_data is None:
            raise ConfigurationError(f"App {self.name!r} has no keys: App(personal_data=…).")
        return self._personal_data

    def status(self) -> tuple[SubscriptionStatus, ...]:
        """Return what is known of each subscription of this process."""
        return self._subscribed().status()

    async def wait_for(
        self,
        subscription: Any,
        at: Receipt[Any] | int,
        *,
        timeout: Duration | None = SETTLE_SECONDS,  # noqa: ASYNC109 - a part of the promise
    ) -> None:
        """Return when a projection or subscriber of this process has come past *at*.

        *subscription* is the class or function, or its name; *at* a receipt or a position.

        Raises:
            SubscriptionFailedError: it stopped before.
            WaitTimeoutError: *timeout* has passed.
            ConfigurationError: there is no such subscription.
        """
        name = self._name_of(subscription)
        position = at.position if isinstance(at, Receipt) else at
        await self._subscribed().wait_for(name, position, timeout=timeout)

    async def settle(self, *, timeout: Duration = SETTLE_SECONDS) -> int:  # noqa: ASYNC109
        """Return the head of the log when all subscriptions of this process have reached it.

        Raises:
            SubscriptionFailedError: one has stopped.
            WaitTimeoutError: *timeout* has passed.
        """
        return await self._subscribed().settle(timeout=timeout)

    async def read_model_as_of(
        self, model: type[M] | type[Projection[M]], key: Key, *, at: int | datetime
    ) -> M | None:
        """Return a row as it was at a position of the log, or at an aware datetime.

        *model* may be its projection instead. None if there was none; see `ReadModelHistory.row`.
        """
        return await self._running().histories.of(model).row(key, at=at)

    async def read_models_as_of(
        self, model: type[M] | type[Projection[M]], *, at: int | datetime
    ) -> Mapping[str, M]:
        """Return all rows as they were, by the text of their key; see `ReadModelHistory.rows`."""
        return await self._running().histories.of(model).rows(at=at)

    async def restart(self, subscription: Any) -> None:
        """Run a subscription that has failed again, with the event that failed."""
        await self._subscribed().restart(self._name_of(subscription))

    # ------------------------------------------------------------------------- internals

    def _name_of(self, subscription: Any) -> str:
        if isinstance(subscription, str):
            return subscription
        name = self._running().names.get(subscription)
        if name is None:
            known = ", ".join(self._running().names.values()) or "(none)"
            raise ConfigurationError(
                f"{subscription!r} is no projection or subscriber of the app; there are: {known}."
            )
        return name

    def _sealed(self, storage: Storage) -> Storage:
        return self._personal_data.around(storage) if self._personal_data else storage

    def _storage(self, storage: str | Storage) -> Storage:
        return storage_of(storage, clock=self.clock) if isinstance(storage, str) else storage

    def _instances(self) -> dict[Any, Any]:
        return {App: self, Clock: self.clock, **self._provide}

    def _wired(self) -> Wiring:
        if self._wiring is None:
            if self._providers:
                self._container = self._dishka()
            surroundings = Surroundings(
                self.name,
                self._sealed(self.storage),
                {name: self._sealed(storage) for name, storage in self._databases.items()},
                self.clock,
                self._container,
                self._instances(),
                self._on_error,
                self._strategy,
                self._unheard,
                self._limits,
                personal=self._personal_data,
            )
            self._wiring = Wiring(self._contexts, surroundings)
        return self._wiring

    def _dishka(self) -> "DishkaContainer":
        # Importing dishka imports pydantic, where it is installed: only who uses it shall wait.
        from headwater.adapters.container.dishka import DishkaContainer  # noqa: PLC0415

        return DishkaContainer(
            *self._providers,
            from_message=(MessageContext, UnitOfWork, Sender, Publisher),
            overrides=self._instances(),
        )

    def _running(self) -> Wiring:
        if self._wiring is None or self._closing is None:
            raise ConfigurationError(
                f"App {self.name!r} is not running. Use it inside 'async with app:'."
            )
        return self._wiring

    def _subscribed(self) -> Subscriptions:
        self._running()
        if self._subscriptions is None:
            raise ConfigurationError(f"App {self.name!r} is not running.")
        return self._subscriptions
