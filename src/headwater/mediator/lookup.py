"""Lookup: from the concrete type of a message to its call, made at the first one."""

from collections.abc import Callable
from typing import Any, TypeVar

from headwater.mediator.dispatch import Composed, Dispatch
from headwater.mediator.injection import Constants
from headwater.mediator.registrations import Strategy
from headwater.mediator.scopes import Call
from headwater.mediator.transactions import Transactions
from headwater.metadata import CURRENT_CONTEXT, CausedContext

K = TypeVar("K")


class CallTable(dict[K, Call]):
    """Calls by key; one that is missing is made."""

    def __init__(self, make: Callable[[K], Call]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> Call:
        return self._make(key)


class Lookup:
    """The tables that a mediator dispatches by.

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
        self.senders: CallTable[type] = CallTable(self._sender)
        self.openers: CallTable[type] = CallTable(self._opener)
        self.publishers: CallTable[type] = CallTable(
            lambda cls: self._publisher(cls, strategy, self.publishers, cls)
        )
        self.publishers_by_strategy: CallTable[tuple[type, Strategy]] = CallTable(
            lambda key: self._publisher(*key, self.publishers_by_strategy, key)
        )
        self.bare: set[tuple[type, Strategy]] = set()

    def forget_publishers(self) -> None:
        """Make the calls of publishes anew, because who hears what has changed."""
        self.publishers.clear()
        self.publishers_by_strategy.clear()
        self.bare.clear()

    def _sender(self, request_type: type) -> Call:
        composed = self._dispatch.request(request_type)
        return self._ready(composed, self.senders, request_type, self._as_message)

    def _opener(self, request_type: type) -> Call:
        composed = self._dispatch.stream(request_type)
        return self._ready(composed, self.openers, request_type, lambda call: call)

    def _publisher(
        self, message_type: type, strategy: Strategy, table: CallTable[Any], key: Any
    ) -> Call:
        composed = self._dispatch.publish(message_type, strategy)
        if composed.bare:
            self.bare.add((message_type, strategy))
        in_context = self._as_message
        if self._transactions is None and self._propagates_context:
            in_context = in_context_of_its_own
        return self._ready(composed, table, key, in_context)

    def _as_message(self, call: Call) -> Call:
        return self._transactions.message_around(call) if self._transactions is not None else call

    def _ready(
        self,
        composed: Composed,
        table: CallTable[Any],
        key: Any,
        around: Callable[[Call], Call],
    ) -> Call:
        """Make the call and keep it in *table*, or return what first gets what it needs."""
        if self._constants.has(composed.needs):
            table[key] = call = around(composed.make())
            return call

        async def first(message: Any, *sending: Any) -> Any:
            await self._constants.get(composed.needs)
            return await table[key](message, *sending)

        return first


def in_context_of_its_own(call: Call) -> Call:
    """Return *call* with a message context that the current one causes."""

    async def in_context(message: Any) -> Any:
        token = CURRENT_CONTEXT.set(CausedContext(CURRENT_CONTEXT.get()))
        try:
            return await call(message)
        finally:
            CURRENT_CONTEXT.reset(token)

    return in_context
