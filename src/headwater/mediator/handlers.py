"""Handlers: a table of handlers and behaviours, filled by decorators, read by a mediator."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, TypeVar, overload

from headwater.errors import ConfigurationError
from headwater.mediator import scanning
from headwater.mediator.registrations import (
    BehaviourRegistration,
    DeliveryRegistration,
    ExpectedRequest,
    HandlerRegistration,
    ListenerRegistration,
    Stage,
    Strategy,
)
from headwater.mediator.signatures import place
from headwater.resilience import Guard

T = TypeVar("T", bound=Callable[..., Any])

OWN_STRATEGIES: Final = (Strategy.ISOLATED, Strategy.BACKGROUND)
"""The strategies that a single handler can have among others."""


class Handlers:
    """A table of handlers, for one mediator or for several; nothing in it is global.

    The decorators return what they decorate unchanged, so that it can be called directly in a
    test. They look at nothing: annotations are read, and faults reported all at once, when a
    mediator compiles the table.
    """

    def __init__(self) -> None:
        self.handlers: list[HandlerRegistration] = []
        self.listeners: list[ListenerRegistration] = []
        self.behaviours: list[BehaviourRegistration] = []
        self.deliveries: list[DeliveryRegistration] = []
        self.expected: list[ExpectedRequest] = []

    # ------------------------------------------------------------------------ registering

    @overload
    def handler(self, target: T, /) -> T: ...
    @overload
    def handler(
        self, /, *, policy: Guard | None = None, inline: bool = False
    ) -> Callable[[T], T]: ...
    def handler(
        self,
        target: Any = None,
        /,
        *,
        policy: Guard | None = None,
        inline: bool = False,
    ) -> Any:
        """Register the one handler of the request type that its first parameter names.

        A function, or a class whose ``handle…`` methods take requests and whose constructor
        takes dependencies. A ``def`` runs in a worker thread unless *inline*; an async
        generator answers `Mediator.stream`.

        *policy* stands around each attempt, which is the handler with its behaviours of order 0
        and above, in a unit of work of its own; what failed attempts collected is dropped. The
        commit comes after it, and a conflict runs all of it again.
        """
        site = call_site()

        def register(target: T) -> T:
            self.handlers.append(HandlerRegistration(target, site, inline, policy))
            return target

        return register if target is None else register(target)

    @overload
    def on(self, target: T, /) -> T: ...
    @overload
    def on(
        self,
        /,
        *,
        strategy: Strategy | None = None,
        after_commit: bool = False,
        order: int = 0,
        policy: Guard | None = None,
        inline: bool = False,
    ) -> Callable[[T], T]: ...
    def on(
        self,
        target: Any = None,
        /,
        *,
        strategy: Strategy | None = None,
        after_commit: bool = False,
        order: int = 0,
        policy: Guard | None = None,
        inline: bool = False,
    ) -> Any:
        """Register a handler of published messages, of a class, a union, or a Protocol.

        Handlers of base classes get what derives from them. They run by *order*, lowest first,
        then as registered. *strategy* can isolate this one handler or put it in the background;
        with *after_commit* it waits for the commit of the unit of work around the publish, and
        its failures are reported. A ``def`` runs in a worker thread unless *inline*. *policy*
        stands around it as around a `handler`.

        Raises:
            ConfigurationError: *strategy* says how several handlers run together.
        """
        site = call_site()
        check_own_strategy(strategy)

        def register(target: T) -> T:
            self.listeners.append(
                ListenerRegistration(
                    target, site, strategy, after_commit, order, inline, policy=policy
                )
            )
            return target

        return register if target is None else register(target)

    @overload
    def behaviour(self, target: T, /) -> T: ...
    @overload
    def behaviour(
        self,
        target: T,
        /,
        *,
        on: Any = None,
        when: Callable[[type], bool] | None = None,
        order: int | None = None,
        stage: Stage = Stage.REQUEST,
    ) -> T: ...
    @overload
    def behaviour(
        self,
        /,
        *,
        on: Any = None,
        when: Callable[[type], bool] | None = None,
        order: int | None = None,
        stage: Stage = Stage.REQUEST,
    ) -> Callable[[T], T]: ...
    def behaviour(
        self,
        target: Any = None,
        /,
        *,
        on: Any = None,
        when: Callable[[type], bool] | None = None,
        order: int | None = None,
        stage: Stage = Stage.REQUEST,
    ) -> Any:
        """Register ``async def behaviour(message, next, …dependencies)`` around handlers.

        It applies to the messages that its first parameter names: a class (``Command`` for
        all commands), a union, a Protocol, or ``object``; *on* replaces that, and *when*
        narrows it by the message type. The lowest *order* stands outermost, equal ones as
        registered; below 0 is outside of the unit of work, 0 and above runs again with it.
        Without *order* it is the behaviour's own attribute of that name, else 0.
        """
        site = call_site()

        def register(target: T) -> T:
            place_in_order = order if order is not None else getattr(target, "order", 0)
            self.behaviours.append(
                BehaviourRegistration(target, site, on, when, place_in_order, stage)
            )
            return target

        return register if target is None else register(target)

    def expects(self, *request_types: type) -> None:
        """Say that these requests must have a handler; one without is a fault at the start."""
        site = call_site()
        self.expected += [ExpectedRequest(request_type, site) for request_type in request_types]

    # -------------------------------------------------------------------------- gathering

    def include(self, *others: "Handlers") -> None:
        """Take over everything that stands in *others* now."""
        for other in others:
            self.handlers += other.handlers
            self.listeners += other.listeners
            self.behaviours += other.behaviours
            self.deliveries += other.deliveries
            self.expected += other.expected

    def scan(self, package: ModuleType | str) -> None:
        """Import *package* with all its modules, and register what is marked in them.

        What `marks` marked is registered here, and so is what decorators of this table
        register by being imported. Request classes defined there are expected to have a
        handler, unless they have subclasses or abstract methods. It reads files, so do it
        before the event loop runs.

        Raises:
            ImportError: a module can't be imported.
        """
        for module in scanning.modules_of(package):
            for apply, target in scanning.marks_in(module):
                apply(self, target)
            self.expected += scanning.requests_in(module)


def check_own_strategy(strategy: Strategy | None) -> None:
    """Raise `ConfigurationError` if a single handler can't have *strategy*."""
    if strategy is not None and strategy not in OWN_STRATEGIES:
        raise ConfigurationError(
            f"A single handler can't be {strategy.name}: that says how several run together. "
            f"Give it to publish(…, strategy=…) or to the Mediator; here stands ISOLATED or "
            f"BACKGROUND."
        )


def call_site(depth: int = 2) -> str:
    """Return ``file:line`` of the code that called the caller of this function."""
    frame = sys._getframe(depth)  # pyright: ignore[reportPrivateUsage] # inspect.stack reads files
    return place(frame.f_code.co_filename, frame.f_lineno)
