"""Bounded contexts: what a part of the system registers, in one table."""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final, TypeVar, cast, overload

import msgspec

from headwater.domain.aggregate import Aggregate
from headwater.domain.decider import Decider
from headwater.domain.decision_model import DecisionModel
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError
from headwater.mediator.handlers import Handlers, call_site
from headwater.mediator.registrations import DeliveryRegistration
from headwater.mediator.scanning import modules_of
from headwater.mediator.signatures import name_of
from headwater.messages import Event
from headwater.metadata import Recorded
from headwater.projections.projection import Projection
from headwater.serialization.upcasting import Target, Upcast, Upcasters
from headwater.streams import check_context_name
from headwater.subscriptions.start import BEGINNING, Start
from headwater.subscriptions.subscription import PARTITIONS

T = TypeVar("T", bound=Callable[..., Any])
U = TypeVar("U", bound=Upcast)

SUBSCRIBER_PAGE_EVENTS: Final = 200
"""How many events a subscriber gets at most before their effects are committed."""


class SubscriberRegistration(msgspec.Struct, frozen=True, eq=False):
    """A durable handler, and how its subscription reads."""

    delivery: DeliveryRegistration
    name: str | None
    partitions: int
    start: Start
    page_events: int
    key: Callable[[Recorded[Any]], object] | None


class ProjectionRegistration(msgspec.Struct, frozen=True, eq=False):
    """A projection, and the database that its rows live in (None: with the log)."""

    projection: type[Projection[Any]]
    site: str
    database: str | None


class BoundedContext(Handlers):
    """A part of the system with a language of its own: its handlers, events and read models.

    What is defined in the package that creates a context, or below it, belongs to it: its name
    stands in stored type names, stream ids and collections. A class header can say otherwise
    with ``context="…"``.
    """

    def __init__(self, name: str) -> None:
        """Name the context in lower-case words, such as ``sales``.

        Raises:
            InvalidNameError: *name* can't be a context name.
        """
        super().__init__()
        self.name = check_context_name(name)
        caller = sys._getframe(1).f_globals  # pyright: ignore[reportPrivateUsage] # as call_site
        self.package = str(caller.get("__package__") or caller.get("__name__", ""))
        self.site = call_site()
        self.subscribers: list[SubscriberRegistration] = []
        self.projections: list[ProjectionRegistration] = []
        self.known: list[type] = []
        self.deciders: list[Decider[Any, Any, Any]] = []
        self.upcasters = Upcasters()

    @overload
    def subscriber(self, target: T, /) -> T: ...
    @overload
    def subscriber(
        self,
        /,
        *,
        name: str | None = None,
        key: Callable[[Recorded[Any]], object] | None = None,
        partitions: int = PARTITIONS,
        start: Start = BEGINNING,
        page_events: int = SUBSCRIBER_PAGE_EVENTS,
        inline: bool = False,
    ) -> Callable[[T], T]: ...
    def subscriber(
        self,
        target: Any = None,
        /,
        *,
        name: str | None = None,
        key: Callable[[Recorded[Any]], object] | None = None,
        partitions: int = PARTITIONS,
        start: Start = BEGINNING,
        page_events: int = SUBSCRIBER_PAGE_EVENTS,
        inline: bool = False,
    ) -> Any:
        """Register a durable handler: it gets each event of its types after the commit.

        A function, or a class with ``handle…`` methods, that takes an event (or
        ``Recorded[OrderPlaced]``) and dependencies. What it collects is committed once,
        together with its checkpoint; what it does outside happens at least once. Events of
        one *key* stay in order (default: of one stream). *name* replaces the derived name of
        the subscription, under which the checkpoints are stored: renaming the function without
        it starts again from the beginning. *partitions* is stored when it first runs.
        """
        site = call_site()

        def register(target: T) -> T:
            self._deliver(
                target,
                site,
                name=name,
                partitions=partitions,
                start=start,
                page_events=page_events,
                key=key,
                inline=inline,
            )
            return target

        return register if target is None else register(target)

    @overload
    def projection(self, target: T, /) -> T: ...
    @overload
    def projection(
        self,
        /,
        *,
        name: str | None = None,
        partitions: int | None = None,
        database: str | None = None,
    ) -> Callable[[T], T]: ...
    def projection(
        self,
        target: Any = None,
        /,
        *,
        name: str | None = None,
        partitions: int | None = None,
        database: str | None = None,
    ) -> Any:
        """Register a projection: a class derived from `Projection`, or what writes rows itself.

        The latter is a function, or a class with ``handle…`` methods, that takes an event and
        collections: ``async def moved(event: CustomerMoved, cities: Collection[City])``. It may
        change any number of rows, so it has one partition unless *partitions* says that it
        keeps to the rows of its event's stream; *name* replaces its derived name. (A class
        derived from `Projection` says both in its header.)

        *database* names one of the app's databases: the rows of a `Projection`, and the
        checkpoints that are committed with them, then live there.
        """
        site = call_site()

        def register(target: T) -> T:
            folds = _fold_projection(target)
            if folds is not None:
                if name is not None or partitions is not None:
                    raise ConfigurationError(
                        f"{site}: {target.__name__} says its name and partitions in the class "
                        f"header: class {target.__name__}(Projection[…], name=…, partitions=…)."
                    )
                self.projections.append(ProjectionRegistration(folds, site, database))
                return target
            if database is not None:
                raise ConfigurationError(
                    f"{site}: {name_of(target)} writes rows itself, so they live with the log; "
                    f"only those of a class derived from Projection can live in a database."
                )
            self._deliver(target, site, name=name, partitions=partitions or 1)
            return target

        return register if target is None else register(target)

    def _deliver(
        self,
        target: Any,
        site: str,
        *,
        name: str | None = None,
        partitions: int = PARTITIONS,
        start: Start = BEGINNING,
        page_events: int = SUBSCRIBER_PAGE_EVENTS,
        key: Callable[[Recorded[Any]], object] | None = None,
        inline: bool = False,
    ) -> None:
        delivery = DeliveryRegistration(target, site, inline)
        self.deliveries.append(delivery)
        self.subscribers.append(
            SubscriberRegistration(delivery, name, partitions, start, page_events, key)
        )

    def upcaster(
        self, name: str, *, version: int, to: Target | Sequence[Target] | None = None
    ) -> Callable[[U], U]:
        """Register a function for stored events of an older form; see `Upcasters.upcaster`.

        What is common, such as renaming a field, is one call of `upcasters`.

        Raises:
            InvalidNameError: *name* or one of *to* can't be a stored type name.
            ValueError: a version is below 1.
        """
        return self.upcasters.upcaster(name, version=version, to=to, site=call_site())

    def include(self, *others: Handlers) -> None:
        """Take over everything that stands in *others* now."""
        super().include(*others)
        for other in others:
            if isinstance(other, BoundedContext):
                self.subscribers += other.subscribers
                self.projections += other.projections
                self.known += other.known
                self.deciders += other.deciders
                self.upcasters.include(other.upcasters)

    def register(self, *types: type) -> None:
        """Make event types, aggregates and read models known that no handler names."""
        self.known += types

    def decider(self, decider: Decider[Any, Any, Any]) -> None:
        """Make the events of *decider* known; handlers call ``unit.decide(decider, …)``."""
        self.deciders.append(decider)

    def scan(self, package: ModuleType | str) -> None:
        """Import *package* with all its modules and make known what stands there.

        Besides what `Handlers.scan` registers: event types, aggregates and read models.

        Raises:
            ImportError: a module can't be imported.
        """
        super().scan(package)
        for module in modules_of(package):
            self.known += [
                defined
                for defined in vars(module).values()
                if isinstance(defined, type)
                and defined.__module__ == module.__name__
                and issubclass(defined, Event | Aggregate | ReadModel | DecisionModel)
            ]


def _fold_projection(target: Any) -> type[Projection[Any]] | None:
    if isinstance(target, type) and Projection in target.__mro__:
        return cast("type[Projection[Any]]", target)
    return None
