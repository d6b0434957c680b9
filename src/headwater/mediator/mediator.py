"""The mediator: sends requests to their one handler, publishes messages to all who hear them."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import copy_context
from typing import Any, TypeVar, overload
from uuid import UUID

from headwater.clock import Duration
from headwater.errors import ConfigurationError, NestedExecuteError
from headwater.mediator.background import Background, OnError
from headwater.mediator.deliveries import Deliverer
from headwater.mediator.dispatch import Dispatch, Unheard
from headwater.mediator.handlers import Handlers, call_site, check_own_strategy
from headwater.mediator.injection import Injector, Resolver
from headwater.mediator.limits import DEFAULT_LIMITS, Limits
from headwater.mediator.lookup import Lookup, send_in_context
from headwater.mediator.own_values import context_value, scopes_of, unit_values
from headwater.mediator.registrations import DeliveryRegistration, ListenerRegistration, Strategy
from headwater.mediator.scopes import Call
from headwater.mediator.sending import Publisher, Receipt, Sender, Sending
from headwater.mediator.strategies import failures_of
from headwater.mediator.streaming import Ended, Stream, items_of, nothing_more
from headwater.mediator.threads import WorkerThreads
from headwater.mediator.transactions import Transactions
from headwater.mediator.wiring import Wiring
from headwater.messages import Request
from headwater.metadata import CURRENT_CONTEXT, CausedContext, MessageContext
from headwater.ports.container import Container
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units

R = TypeVar("R")


class Mediator:
    """Dispatches by the concrete type of a message to what the *tables* register.

    Everything is decided here and at the first message of a type, so that what is not used
    costs nothing. `container` gives dependencies by type, `instances` and `resolvers` give
    more; `from_message` names types that a message brings to its request scope, for what the
    container makes there. With `propagate_context` each message gets a `MessageContext`, the
    child of the current one. With `units` requests and publishes run in units of work, and
    each message gets its context too.
    `durable` tells whether a type has durable subscribers, so that publishing to nobody else
    is an error; `on_error` hears of failures that no caller sees.

    Raises:
        WiringError: with everything that is wrong in the tables, each fault with its place.
    """

    def __init__(
        self,
        *tables: Handlers,
        container: Container | None = None,
        instances: Mapping[Any, Any] | None = None,
        resolvers: Sequence[Resolver] = (),
        from_message: Sequence[Any] = (),
        propagate_context: bool = False,
        units: Units | None = None,
        strategy: Strategy = Strategy.PARALLEL,
        unheard: Unheard = Unheard.WARN_ONCE,
        durable: Callable[[type], bool] = lambda _: False,
        on_error: OnError | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._strategy = strategy
        self._propagates_context = propagate_context
        self._transactions = Transactions(units) if units is not None else None
        self._threads = WorkerThreads(limits.threads)
        self._background = Background(tasks_max=limits.background, on_error=on_error)
        mine: dict[Any, Any] = {Mediator: self, Sender: self, Publisher: self}
        known: list[Resolver] = [context_value, unit_values] if units else [context_value]
        injector = Injector(
            instances={**mine, **(instances or {})},
            resolvers=[*resolvers, *known],
            container=container,
        )
        self._constants = injector.constants
        unit = [UnitOfWork] if units is not None else []
        brought = [*mine, MessageContext, *unit, *from_message]
        self._wiring = Wiring(tables, injector)
        dispatch = self._dispatch = Dispatch(
            self._wiring,
            self._constants,
            scopes=scopes_of(container, injector, brought),
            transactions=self._transactions,
            threads=self._threads,
            background=self._background,
            unheard=unheard,
            durable=durable,
        )
        self._lookup = Lookup(
            dispatch,
            self._constants,
            transactions=self._transactions,
            propagates_context=propagate_context,
            strategy=strategy,
        )
        self._senders = self._lookup.senders
        self._publishers = self._lookup.publishers
        if propagate_context and units is None:
            self.__dict__["send"] = send_in_context(self._lookup, self.send)

    # --------------------------------------------------------------------------- sending

    @overload
    def send(self, request: Request[R], /) -> Coroutine[Any, Any, R]: ...
    @overload
    def send(
        self, request: Request[R], /, *, id: UUID | None = None, separate: bool = False
    ) -> Coroutine[Any, Any, R]: ...
    # By keyword only for type checkers; Python calls it much faster this way (3.11 to 3.13).
    def send(
        self,
        request: Request[Any],
        /,
        id: UUID | None = None,
        separate: bool = False,  # noqa: FBT001, FBT002
    ) -> Coroutine[Any, Any, Any]:
        """Hand *request* to its one handler and return the answer.

        A request class without a handler of its own goes to its nearest base class's. Inside a
        handler it joins the unit of work there, and if it raises, that one can't be committed;
        with *separate* it has a commit of its own, and must have an *id*. A request with an
        *id* that was handled before is not handled again: its stored answer is returned.

        Raises:
            HandlerNotFoundError: nobody handles it, or by `stream` only.
            AmbiguousHandlerError: two base classes with handlers are equally near.
            IdempotencyConflictError: *id* was used for another request.
            ConfigurationError: *id* or *separate* stand where they can't be kept, or at a query.
            UnitOfWorkError: a command inside a query, without *separate*.
        """
        if id is None and not separate:
            try:
                call = self._senders[type(request)]
            except KeyError:
                call = self._lookup.sender(type(request))
            return call(request)
        return self._send_as(request, Sending(id, separate))

    def _send_as(self, request: Request[Any], sending: Sending) -> Coroutine[Any, Any, Any]:
        sending.check(type(request), has_storage=self._transactions is not None)
        call: Callable[..., Coroutine[Any, Any, Any]] = self._lookup.sender(type(request))
        return call(request, sending)

    async def execute(self, request: Request[R], /, *, id: UUID | None = None) -> Receipt[R]:
        """Send *request* and return its answer with the log position of what it committed.

        Raises:
            NestedExecuteError: inside a handler; nothing is committed there yet.
            ConfigurationError: this mediator has no storage.
        """
        if self._transactions is None:
            raise ConfigurationError(
                f"execute({type(request).__name__}) returns a log position, and this mediator "
                f"has no storage. Give it units=…, or use an App; or use send()."
            )
        if self._transactions.around() is not None:
            raise NestedExecuteError(type(request))
        sending = Sending(id)
        result = await self._send_as(request, sending)
        return Receipt(result, sending.committed.position)

    def stream(self, request: Request[R], /) -> Stream[R]:
        """Return the items that the handler of *request*, an async generator, yields.

        The handler begins when the first item is asked for. See `Stream` for when it ends.

        Raises:
            UnitOfWorkError: at its end or early close, if the handler has recorded anything.
            HandlerNotFoundError: nobody handles it, or by `send` only.
            AmbiguousHandlerError: two base classes with handlers are equally near.
        """
        opened = self._lookup.opener(type(request))
        context = copy_context()
        if self._propagates_context or self._transactions is not None:
            context.run(CURRENT_CONTEXT.set, CausedContext(CURRENT_CONTEXT.get()))
        ended: Ended = nothing_more
        if self._transactions is not None:
            ended = self._transactions.read_in(context)
        return Stream(items_of(opened, request, ended), context)

    # ------------------------------------------------------------------------- publishing

    @overload
    async def publish(self, message: object, /) -> None: ...
    @overload
    async def publish(
        self,
        message: object,
        /,
        *,
        strategy: Strategy | None = None,
        after_commit: bool = False,
    ) -> None: ...
    async def publish(
        self,
        message: object,
        /,
        strategy: Strategy | None = None,
        after_commit: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Hand *message* to all in this process who hear its type, as *strategy* says.

        Handlers with a strategy of their own keep it. Inside a handler they join the unit of
        work there. With *after_commit* it waits for the outermost commit, is dropped if there
        is none, and its failures are reported, not raised. Cancelling cancels the handlers and
        waits until they have ended. Nothing is written to the log.

        Raises:
            ExceptionGroup: of what the handlers raised.
            ConflictError: with `units`, if a handler met one; the outermost runs again.
            NotPublishableError: only durable subscribers take this type.
            HandlerNotFoundError: nobody does, and the mediator was told to raise then.
        """
        if strategy is None and not after_commit:
            try:
                call = self._publishers[type(message)]
            except KeyError:
                call = self._lookup.publisher(type(message), self._strategy)
        else:
            call = self._lookup.publisher(type(message), strategy or self._strategy)
            call = self._after_commit(call) if after_commit else call
        try:
            await call(message)
        except Exception as error:
            if (type(message), strategy or self._strategy) not in self._lookup.bare:
                raise
            raise failures_of(message, [error]) from None

    def _after_commit(self, call: Call) -> Call:
        call = self._background.guarded(call, "publish(after_commit=True)")
        return self._transactions.after_commit(call) if self._transactions is not None else call

    def subscribe(
        self,
        handler: Callable[..., Any],
        /,
        *messages: type,
        strategy: Strategy | None = None,
        after_commit: bool = False,
        order: int = 0,
        inline: bool = False,
    ) -> Callable[[], None]:
        """Let *handler* hear what is published from now on; return what undoes that.

        It is registered as by `Handlers.on`, for *messages* if they are given, else for what
        its annotation says. A publish that is under way goes on as it began.

        Raises:
            WiringError: something is wrong with *handler*.
            ConfigurationError: *strategy* says how several handlers run together.
        """
        check_own_strategy(strategy)
        registration = ListenerRegistration(
            handler, call_site(), strategy, after_commit, order, inline, messages
        )
        plans = self._wiring.subscribe(registration)
        self._lookup.forget_publishers()

        def undo() -> None:
            self._wiring.unsubscribe(plans)
            self._lookup.forget_publishers()

        return undo

    def deliverer(self, registration: DeliveryRegistration) -> Deliverer:
        """Return what hands events of the log to a durable handler of the tables.

        For subscriptions. Behaviours of the stage DELIVERY stand around it; call it in a unit of
        work, after `start`.
        """
        return self._dispatch.deliverer(registration)

    # --------------------------------------------------------------------------- its life

    async def start(self) -> None:
        """Get all APP dependencies now, rather than with the first message that needs each."""
        await self._constants.get(self._wiring.needs())

    async def aclose(self, *, timeout: Duration | None = None) -> None:  # noqa: ASYNC109
        """Wait for what runs in the background; after *timeout* cancel what is left of it.

        The container stays open: it belongs to who made it.
        """
        await self._background.drain(timeout=timeout)
        self._threads.close()

    async def __aenter__(self) -> "Mediator":
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()
