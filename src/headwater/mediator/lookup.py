"""Lookup: from the concrete type of a message to its call, made at the first one."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from headwater.mediator.dispatch import Composed, Dispatch
from headwater.mediator.injection import Constants
from headwater.mediator.registrations import Strategy
from headwater.mediator.scopes import Call
from headwater.mediator.transactions import Transactions
from headwater.metadata import CURRENT_CONTEXT, CausedContext

K = TypeVar("K")


class Lookup:
    """The tables that a mediator dispatches by; they hold the calls that were made so far.

    `bare` holds the publishes of a single handler, whose errors come as they were raised.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        constants: Constants,
        *,
        transactions: Transactions | None,
        propagates_context: bool,
        strategy: Strategy,
    ) -> None:
        self._dispatch, self._constants = dispatch, constants
        self._transactions = transactions
        self._propagates_context = propagates_context
        self._strategy = strategy
        self.senders: dict[type, Call] = {}
        self.publishers: dict[type, Call] = {}
        self.bare: set[tuple[type, Strategy]] = set()
        self._openers: dict[type, Call] = {}
        self._publishers_by_strategy: dict[tuple[type, Strategy], Call] = {}

    def forget_publishers(self) -> None:
        """Make the calls of publishes anew, because who hears what has changed."""
        self.publishers.clear()
        self._publishers_by_strategy.clear()
        self.bare.clear()

    def sender(self, request_type: type) -> Call:
        """Return the call that answers *request_type*; raises as `Dispatch.request`."""
        return self._made(
            self.senders,
            request_type,
            lambda: self._dispatch.request(request_type),
            self._as_message,
        )

    def opener(self, request_type: type) -> Call:
        """Return the call that opens a stream; raises as `Dispatch.stream`."""
        return self._made(
            self._openers,
            request_type,
            lambda: self._dispatch.stream(request_type),
            lambda call: call,
        )

    def publisher(self, message_type: type, strategy: Strategy) -> Call:
        """Return the call that publishes *message_type*; raises as `Dispatch.publish`."""

        def compose() -> Composed:
            composed = self._dispatch.publish(message_type, strategy)
            if composed.bare:
                self.bare.add((message_type, strategy))
            return composed

        in_context = self._as_message
        if self._transactions is None and self._propagates_context:
            in_context = in_context_of_its_own
        if strategy is self._strategy:
            return self._made(self.publishers, message_type, compose, in_context)
        key = (message_type, strategy)
        return self._made(self._publishers_by_strategy, key, compose, in_context)

    def _as_message(self, call: Call) -> Call:
        return self._transactions.message_around(call) if self._transactions is not None else call

    def _made(
        self,
        table: dict[K, Call],
        key: K,
        compose: Callable[[], Composed],
        around: Callable[[Call], Call],
    ) -> Call:
        """Return the call in *table*, or make it; if it needs something, when that was got."""
        known = table.get(key)
        if known is not None:
            return known
        composed = compose()
        if self._constants.has(composed.needs):
            table[key] = call = around(composed.make())
            return call

        async def first(message: Any, *sending: Any) -> Any:
            await self._constants.get(composed.needs)
            return await self._made(table, key, compose, around)(message, *sending)

        return first


def in_context_of_its_own(call: Call) -> Call:
    """Return *call* with a message context that the current one causes."""
    current, put, put_back = CURRENT_CONTEXT.get, CURRENT_CONTEXT.set, CURRENT_CONTEXT.reset

    async def in_context(message: Any) -> Any:
        token = put(CausedContext(current()))
        try:
            return await call(message)
        finally:
            put_back(token)

    return in_context


def send_in_context(lookup: Lookup, send: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `Mediator.send` that gives each request a context of its own.

    One coroutine does what a dispatching function and a wrapper around the call would do, and
    it has its parts at hand: this is the difference between five and seven bare awaits.
    """
    senders, make = lookup.senders, lookup.sender
    current, put, put_back = CURRENT_CONTEXT.get, CURRENT_CONTEXT.set, CURRENT_CONTEXT.reset

    async def send_here(
        request: object,
        /,
        id: UUID | None = None,
        separate: bool = False,  # noqa: FBT001, FBT002 - as in `Mediator.send`
    ) -> Any:
        if id is not None or separate:
            return await send(request, id=id, separate=separate)
        cls = type(request)
        try:
            call = senders[cls]
        except KeyError:
            call = make(cls)
        token = put(CausedContext(current()))
        try:
            return await call(request)
        finally:
            put_back(token)

    return send_here
