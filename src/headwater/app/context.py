"""Bounded contexts: what a part of the system registers, in one table."""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar, Unpack, cast, overload

from headwater.app.registrations import (
    ProjectionRegistration,
    SubscriberOptions,
    SubscriberRegistration,
)
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
from headwater.projections.projection import Projection
from headwater.serialization.upcasting import Target, Upcast, Upcasters
from headwater.streams import check_context_name
from headwater.subscriptions.failures.policy import OnFailure

T = TypeVar("T", bound=Callable[..., Any])
U = TypeVar("U", bound=Upcast)


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
    def subscriber(self, /, **options: Unpack[SubscriberOptions]) -> Callable[[T], T]: ...
    def subscriber(self, target: Any = None, /, **options: Unpack[SubscriberOptions]) -> Any:
        """Register a durable handler: it gets each event of its types after the commit.

        A function, or a class with ``handle…`` methods, that takes an event (or
        ``Recorded[OrderPlaced]``) and dependencies, such as its `Delivery`. What it collects is
        committed once, together with its checkpoint; what it does outside happens at least once.
        If it takes a list (``list[Recorded[OrderPlaced]]``), it gets several events of one
        partition at once; a list that fails is split, until the event that fails stands alone.
        A ``def`` runs in a worker thread.

        Args:
            name: replaces the derived name of the subscription, under which its checkpoints are
                stored: renaming the function without it starts again from the beginning.
            key: gives the key of an event; events of one key stay in order. By default the stream.
            partitions: how many there are, each worked on its own; stored when it first runs.
            start: where it begins when it first runs, see `Start`; by default at the beginning.
            categories: only events of these aggregates, or categories of streams (what stands
                before the first ``-`` of a stream id).
            tags: only events that have all of these tags.
            tenants: only events of one of these tenants.
            page_events: how many events are committed at a time at most.
            policy: stands around each event, or list of them; each attempt is a delivery of its
                own, with its behaviours, in a unit of work of its own. The partition waits for it.
            delayed: the waits (seconds or timedeltas) before further attempts, once the policy
                has given up. They are stored; meanwhile only the event's key waits.
            on_failure: what becomes of an event that failed after all of that.
            waiting_max: how many events may wait behind failed ones of their keys, per partition,
                before the subscription stops.
            batch: how many events a handler of lists gets at once, and how long it waits for them.
            external: whether it reaches outside of the storage, so that a dry run refuses to run
                it (unless it is given replacements for what it calls).
            inline: run a ``def`` in the event loop's thread.

        A refusal (`RefusedError`) is an answer and never tried again: the event has failed.
        """
        site = call_site()

        def register(target: T) -> T:
            self._deliver(target, site, options)
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
        on_failure: OnFailure | None = None,
        external: bool = False,
    ) -> Callable[[T], T]: ...
    def projection(
        self,
        target: Any = None,
        /,
        *,
        name: str | None = None,
        partitions: int | None = None,
        database: str | None = None,
        on_failure: OnFailure | None = None,
        external: bool = False,
    ) -> Any:
        """Register a projection: a class derived from `Projection`, or what writes rows itself.

        The latter is a function, or a class with ``handle…`` methods, that takes an event and
        collections: ``async def moved(event: CustomerMoved, cities: Collection[City])``. It may
        change any number of rows, so it has one partition unless *partitions* says that it
        keeps to the rows of its event's stream; *name* replaces its derived name. (A class
        derived from `Projection` says both in its header, and *on_failure*.)

        *on_failure* says what becomes of an event that failed: by default the projection stops.
        Its key is its stream, so park only where rows of other streams can do without it. A dry
        run may run it unless it is *external*.

        *database* names one of the app's databases: the rows of a `Projection`, and the
        checkpoints that are committed with them, then live there.
        """
        site = call_site()

        def register(target: T) -> T:
            folds = _fold_projection(target)
            if folds is not None:
                if external or (name, partitions, on_failure) != (None, None, None):
                    raise ConfigurationError(
                        f"{site}: {target.__name__} says its name, partitions and on_failure in "
                        f"the class header: class {target.__name__}(Projection[…], name=…). It is "
                        f"pure, and so never external."
                    )
                self.projections.append(ProjectionRegistration(folds, site, database))
                return target
            if database is not None:
                raise ConfigurationError(
                    f"{site}: {name_of(target)} writes rows itself, so they live with the log; "
                    f"only those of a class derived from Projection can live in a database."
                )
            self._deliver(
                target,
                site,
                SubscriberOptions(
                    name=name,
                    partitions=partitions or 1,
                    on_failure=on_failure or OnFailure.STOP,
                    external=external,
                ),
            )
            return target

        return register if target is None else register(target)

    def _deliver(self, target: Any, site: str, options: SubscriberOptions) -> None:
        rest: dict[str, Any] = {**options}
        delivery = DeliveryRegistration(
            target, site, rest.pop("inline", False), rest.pop("policy", None)
        )
        self.subscribers.append(SubscriberRegistration(delivery, **rest))
        self.deliveries.append(delivery)

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
