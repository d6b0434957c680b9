"""The app: puts contexts on a storage, checks them at the start, runs them, and stops."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from headwater.app.catalogue import Catalogue
from headwater.app.context import BoundedContext
from headwater.app.dead_letters import AppDeadLetters
from headwater.app.dry_running import DryStorage
from headwater.app.personal_data import PersonalDataSettings, personal_data_of
from headwater.app.projection_worker import projection_worker
from headwater.app.projections import Projections
from headwater.app.rebuilding import rebuild
from headwater.app.run import Run
from headwater.app.storages import storage_of
from headwater.app.surroundings import Surroundings, dishka_container
from headwater.app.wiring import Wiring
from headwater.clock import Clock, Duration, Moment, SystemClock, seconds_of
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError
from headwater.event_store import EventStore
from headwater.mediator.background import OnError
from headwater.mediator.dispatch import Unheard
from headwater.mediator.limits import DEFAULT_LIMITS, Limits
from headwater.mediator.mediator import Mediator
from headwater.mediator.registrations import Strategy
from headwater.mediator.sending import Receipt
from headwater.mediator.streaming import Stream
from headwater.messages import Request
from headwater.monitoring.settings import Monitoring
from headwater.monitoring.stalls import STALLED_SECONDS
from headwater.monitoring.worker import WorkerMonitoring
from headwater.operations.rebuilding import Rebuild
from headwater.operations.retention import Retention
from headwater.ports.storage import Storage
from headwater.projections.projection import Projection
from headwater.serialization.personal.personal_data import PersonalData
from headwater.streams import check_context_name
from headwater.subscriptions.flow import DEFAULT_WORKERS, Workers
from headwater.subscriptions.status import SubscriptionStatus
from headwater.subscriptions.subscriptions import GRACE_SECONDS, SETTLE_SECONDS
from headwater.unit_of_work.row_type import Key

if TYPE_CHECKING:
    from headwater.adapters.container.dishka import BaseProvider

T = TypeVar("T")
M = TypeVar("M", bound=ReadModel)
R = TypeVar("R")


class App:
    """Bounded contexts at work on one storage; use it as ``async with app``.

    ``App("shop", storage="sqlite:///shop.db")``, then `include` the contexts. Dependencies come
    from dishka *providers*, and from *provide*, a table of ready objects by type. *databases*
    are further storages by name, for projections that live in one. *personal_data* says where the
    keys of personal fields are. *on_error* hears of failures
    that no caller sees. *strategy* says how `publish` runs handlers, *unheard* what it does where
    there are none. *retention* says how long receipts and ids of erased events are kept; by
    default, for ever. With ``run_subscriptions=False`` this process sends and publishes only, and
    leaves the subscriptions to others; *workers* says how processes share them. *monitoring*
    gives it a port for probes and metrics; *stalled_after* is how long a subscription may be
    behind without coming further.
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
        workers: Workers = DEFAULT_WORKERS,
        monitoring: Monitoring | None = None,
        stalled_after: Duration = STALLED_SECONDS,
    ) -> None:
        """Make an app called *name*, which is also the context of what belongs to no other.

        Raises:
            InvalidNameError: *name* can't be a context name.
            ConfigurationError: there is no storage for a URL, or *stalled_after* is not above 0.
        """
        self.name = check_context_name(name)
        self.clock: Clock = clock or SystemClock()
        self.storage = self._storage(storage)
        self._databases = {name: self._storage(url) for name, url in (databases or {}).items()}
        if isinstance(personal_data, PersonalDataSettings):
            storages = (self.storage, *self._databases.values())
            personal_data = personal_data_of(personal_data, clock=self.clock, beside=storages)
        self._personal_data = personal_data
        self._providers = tuple(providers)
        self._provide = dict(provide or {})
        self._on_error, self._limits = on_error, limits
        self._retention = retention
        self._strategy, self._unheard = strategy, unheard
        self._run_subscriptions, self._workers = run_subscriptions, workers
        self._monitoring, self._stalled_seconds = monitoring, seconds_of(stalled_after)
        if self._stalled_seconds <= 0:
            raise ConfigurationError(f"stalled_after must be above 0 s, not {stalled_after}.")
        self._contexts: list[BoundedContext] = []
        self._wiring: Wiring | None = None
        self._run: Run | None = None
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
            wiring.codec, tuple(wiring.subscribed.catalogued), self._databases, self._personal_data
        )

    async def start(self) -> None:
        """Check the wiring, open the storages, start the subscriptions.

        If any of it fails, what was opened is closed again.

        Raises:
            WiringError: something is wrong in the wiring.
            StorageError: a storage can't be used.
            ConfigurationError: it is running already, or the port of its monitoring is taken.
        """
        if self._run is not None or self._starting:
            raise ConfigurationError(f"App {self.name!r} is running already.")
        wiring = self._wired()
        self._starting = True
        try:
            self._run = await Run.start(
                wiring,
                (self.storage, *self._databases.values()),
                monitoring=WorkerMonitoring(
                    self._monitoring,
                    app=self.name,
                    log=self.storage,
                    clock=self.clock,
                    stalled_seconds=self._stalled_seconds,
                ),
                retention=self._retention,
                subscribe=self._run_subscriptions,
                workers=self._workers,
            )
        except BaseException:
            self._wiring = None
            raise
        finally:
            self._starting = False

    async def stop(self, *, grace: Duration = GRACE_SECONDS) -> None:
        """Drain within *grace*, then close everything: subscriptions, sends, background handlers.

        What a subscription has not finished by then is not acknowledged and comes again; a send
        that is still under way fails. Stopping twice is no error.
        """
        if self._run is None or self._stopping:
            return
        self._stopping = True
        try:
            # What is drained may still send and publish: the app runs until all is closed.
            await self._run.stop(grace=grace)
        finally:
            self._run = self._wiring = None
            self._stopping = False

    async def __aenter__(self) -> "App":
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it has started, and not stopped yet."""
        return self._run is not None

    # -------------------------------------------------------------------------- messages

    @property
    def mediator(self) -> Mediator:
        """The mediator of the running app.

        Raises:
            ConfigurationError: the app is not running.
        """
        return self._running().wiring.mediator

    async def send(self, request: Request[R], /, *, id: UUID | None = None) -> R:
        """Hand *request* to its one handler; see `Mediator.send`."""
        mediator = self._running().wiring.mediator
        return await (mediator.send(request) if id is None else mediator.send(request, id=id))

    async def execute(self, request: Request[R], /, *, id: UUID | None = None) -> Receipt[R]:
        """Send *request*; return its answer with the position of its commit.

        The position is 0 if nothing was appended; waiting for it ends at once.
        """
        return await self._running().wiring.mediator.execute(request, id=id)

    async def publish(
        self,
        message: object,
        /,
        *,
        strategy: Strategy | None = None,
        after_commit: bool = False,
    ) -> None:
        """Hand *message* to all in this process who hear its type; see `Mediator.publish`."""
        mediator = self._running().wiring.mediator
        await mediator.publish(message, strategy=strategy, after_commit=after_commit)

    def stream(self, request: Request[R], /) -> Stream[R]:
        """Return the items that the handler of *request* yields; see `Mediator.stream`."""
        return self._running().wiring.mediator.stream(request)

    def subscribe(self, handler: Callable[..., Any], /, *messages: type) -> Callable[[], None]:
        """Let *handler* hear what is published from now on; return what undoes that."""
        return self._running().wiring.mediator.subscribe(handler, *messages)

    # ------------------------------------------------------------------- what is going on

    async def get(self, dependency: type[T]) -> T:
        """Return the dependency of the app's lifetime that *dependency* names.

        Raises:
            ConfigurationError: nobody provides it, or it only lives as long as a message.
        """
        return await self._running().dependency(dependency)

    @property
    def event_store(self) -> EventStore:
        """The event store of the running app, with the types that the app knows.

        Raises:
            ConfigurationError: the app is not running.
        """
        return self._running().wiring.event_store

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
        """Return what is known of each subscription of this process.

        One that makes no progress for *stalled_after* is STALLED, with the likely cause.
        """
        return self._running().monitoring.statuses()

    @property
    def monitoring_address(self) -> tuple[str, int]:
        """The host and port on which ``/live``, ``/ready`` and ``/metrics`` are answered.

        Raises:
            ConfigurationError: the app is not running, or was given no `Monitoring`.
        """
        address = self._running().monitoring.address
        if address is None:
            raise ConfigurationError(f"App {self.name!r} has no port: App(monitoring=…).")
        return address

    async def wait_for(
        self,
        subscription: Any,
        at: Receipt[Any] | int,
        *,
        timeout: Duration | None = SETTLE_SECONDS,  # noqa: ASYNC109 - a part of the promise
    ) -> None:
        """Return when a projection or subscriber has come to *at*, whichever process works it.

        Of a projection, the rows that are live count. *subscription* is the class or function,
        or its name; *at* a receipt or a position.

        Raises:
            SubscriptionFailedError: it stopped before.
            WaitTimeoutError: *timeout* has passed.
            ConfigurationError: there is no such subscription.
        """
        run = self._running()
        position = at.position if isinstance(at, Receipt) else at
        await run.wait_for(subscription, position, timeout=timeout)

    async def settle(self, *, timeout: Duration = SETTLE_SECONDS) -> int:  # noqa: ASYNC109
        """Return the head of the log when all subscriptions of this process have reached it.

        Raises:
            SubscriptionFailedError: one has stopped.
            WaitTimeoutError: *timeout* has passed.
        """
        return await self._running().subscriptions.settle(timeout=timeout)

    async def read_model_as_of(
        self, model: type[M] | type[Projection[M]], key: Key, *, at: Moment
    ) -> M | None:
        """Return a row as it was at a position of the log, a receipt, or an aware datetime.

        *model* may be its projection instead. None if there was none; see `ReadModelHistory.row`.
        """
        return await self._running().wiring.subscribed.histories.of(model).row(key, at=at)

    async def read_models_as_of(
        self, model: type[M] | type[Projection[M]], *, at: Moment
    ) -> Mapping[str, M]:
        """Return all rows as they were, by the text of their key; see `ReadModelHistory.rows`."""
        return await self._running().wiring.subscribed.histories.of(model).rows(at=at)

    @property
    def projections(self) -> Projections:
        """What can be done with the projections of the running app: build anew, switch, verify.

        Raises:
            ConfigurationError: the app is not running.
        """
        return self._running().projections

    def projection_worker(
        self, name: str, *, storage: Storage | None = None
    ) -> AbstractAsyncContextManager[Projections]:
        """Run the projection *name* alone, as a worker of its own; this app must not be started.

        *storage* takes the place of the app's own, and is closed afterwards.

        Raises:
            ConfigurationError: there is no such projection, or the app is running.
            StorageError: a storage can't be used.
        """
        if self._run is not None or self._starting:
            raise ConfigurationError(f"App {self.name!r} is running already: app.projections.")
        storages = (storage or self.storage, *self._databases.values())
        wiring = (
            Wiring(self._contexts, self._surroundings(log=storage)) if storage else self._wired()
        )
        return projection_worker(wiring, storages, name, workers=self._workers)

    async def rebuild(self, projection: Any, *, models: Sequence[type[ReadModel]] = ()) -> Rebuild:
        """Delete a projection's rows in one commit and let it begin again at the start of the log.

        This is for what can't be built beside its live rows (`projections`): a function that
        writes rows itself, and rows that several projections compute. *projection* is the class,
        or its name; *models* are the read models whose rows go where it is a function. Workers
        elsewhere notice within seconds; what they had in hand is refused. `Rebuild.head` is where
        it has caught up: ``await app.wait_for(projection, rebuilt.head)``. Until then readers see
        rows missing or older than they were.

        Raises:
            ConfigurationError: it is none of the app's, was never run, or nobody knows its rows.
            StorageError: a storage can't be used.
        """
        return await rebuild(self._running(), projection, models=models)

    @property
    def dead_letters(self) -> AppDeadLetters:
        """What could not be delivered: look at it, correct it, try it out, replay or discard it.

        It works while the app runs, in any process, or while its storage was opened otherwise.
        """
        return AppDeadLetters(self._wired(), self._dry_wiring)

    def _dry_wiring(self, replacements: Mapping[Any, Any]) -> Wiring:
        return Wiring(self._contexts, self._surroundings(replacements, DryStorage))

    async def restart(self, subscription: Any) -> None:
        """Run a subscription that has failed again, with the event that failed.

        All workers in which it has failed begin again, those of other processes within about a
        second. A process that runs no subscriptions asks the others, and runs none.

        Raises:
            ConfigurationError: there is no such subscription, or no worker has ever run it.
            StorageError: a storage can't be used.
        """
        await self._running().restart(subscription)

    # ------------------------------------------------------------------------- internals

    def _sealed(self, storage: Storage) -> Storage:
        return self._personal_data.around(storage) if self._personal_data else storage

    def _storage(self, storage: str | Storage) -> Storage:
        return storage_of(storage, clock=self.clock) if isinstance(storage, str) else storage

    def _wired(self) -> Wiring:
        if self._wiring is None:
            self._wiring = Wiring(self._contexts, self._surroundings())
        return self._wiring

    def _surroundings(
        self,
        instead: Mapping[Any, Any] | None = None,
        around: Callable[[Storage], Storage] = lambda storage: storage,
        log: Storage | None = None,
    ) -> Surroundings:
        """Return what the contexts work with: each storage as *around* makes it; *log* in the
        place of the app's own."""
        instances = {App: self, Clock: self.clock, **self._provide, **(instead or {})}
        return Surroundings(
            self.name,
            around(self._sealed(log or self.storage)),
            {name: around(self._sealed(storage)) for name, storage in self._databases.items()},
            self.clock,
            dishka_container(self._providers, instances) if self._providers else None,
            instances,
            self._on_error,
            self._strategy,
            self._unheard,
            self._limits,
            personal=self._personal_data,
        )

    def _running(self) -> Run:
        if self._run is None:
            raise ConfigurationError(
                f"App {self.name!r} is not running. Use it inside 'async with app:'."
            )
        return self._run
