"""Aggregates: the objects that decide, and change only by the events they record."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic

import msgspec

from headwater.domain.appliers import Appliers, apply_error, event_name
from headwater.domain.header import Header, Stored, read_header
from headwater.domain.identity import IdT, is_id
from headwater.domain.recording import RECORDERS, Pending
from headwater.domain.snapshots import Loading, Snapshots
from headwater.domain.state import copied, copy_of_state, default_makers, make_state_type
from headwater.errors import (
    AggregateError,
    UnknownEventError,
    WiringError,
)
from headwater.messages import OPTIONS_ATTRIBUTE, MessageOptions


class Aggregate(Generic[IdT]):
    """Derive from it to decide by recording events, and to change by applying them::

        class Order(Aggregate[UUID]):
            status: OrderStatus = OrderStatus.PLACED

            def ship(self, tracking_number: str) -> None:
                if self.status is not OrderStatus.CONFIRMED:
                    raise OrderNotConfirmedError(self.id, self.status)
                self.record(OrderShipped(order_id=self.id, tracking_number=tracking_number))

            @applies
            def _shipped(self, event: OrderShipped) -> None:
                self.status = OrderStatus.SHIPPED

    State is in annotated attributes; a list, dict or set given as default is copied for each
    instance. The type in brackets is that of the id (without it, any of UUID, str and int).

    In the class header: `name` replaces the derived name (``order``), `context` names the
    bounded context that owns the class, ``stored="state"`` keeps the attributes in one row
    instead of reading the stream back, and `unique` names attributes of which no two such
    rows may have the same value. `snapshots` says when the state is stored beside the stream
    (``Snapshots(every=100)``; never, by default), `snapshot_version` is the version of its form,
    and `cache` how many states a process keeps in memory. Subclasses inherit all of these.
    """

    __slots__ = (
        "__applying",
        "__committed",
        "__dict__",
        "__id",
        "__past",
        "__pending",
        "__weakref__",
    )

    stored_as_state: ClassVar[bool] = False
    __header: ClassVar[Header] = Header()
    __appliers: ClassVar[Appliers]
    __makers: ClassVar[dict[str, Callable[[], Any]]] = {}
    __state_type: ClassVar[type[msgspec.Struct] | None] = None

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        context: str | None = None,
        stored: Stored | None = None,
        unique: Sequence[str] = (),
        snapshots: Snapshots | None = None,
        snapshot_version: int | None = None,
        cache: int | None = None,
    ) -> None:
        super().__init_subclass__()
        cls.__header = read_header(
            cls,
            Aggregate,
            cls.__header,
            name=name,
            context=context,
            stored=stored,
            unique=unique,
            snapshots=snapshots,
            snapshot_version=snapshot_version,
            cache=cache,
        )
        setattr(cls, OPTIONS_ATTRIBUTE, MessageOptions(name, context))
        cls.stored_as_state = cls.__header.stored_as_state
        cls.__state_type = None
        cls.__appliers = Appliers(cls)
        cls.__makers = default_makers(cls, Aggregate)

    def __init__(self, id: IdT) -> None:
        """Make an aggregate that nothing has happened to yet.

        Raises:
            TypeError: *id* is no UUID, str or int.
        """
        if not is_id(id):
            raise TypeError(f"The id of {type(self).__name__} is UUID, str or int, not {id!r}")
        self.__id = id
        self.__committed = 0
        self.__pending: list[Pending] = []
        self.__applying = self.__past = False
        for attribute, make in self.__makers.items():
            self.__dict__[attribute] = make()

    # ------------------------------------------------------------------- what a class says

    @classmethod
    def aggregate_name(cls) -> str:
        """Return the name used in stream ids and collections: ``customer_account``."""
        return cls.__header.name

    @classmethod
    def event_types(cls) -> tuple[type, ...]:
        """Return the event types that the class's @applies methods name.

        Raises:
            WiringError: an annotation can't be resolved, or two methods claim one type.
        """
        return cls.__appliers.types()

    @classmethod
    def unique_fields(cls) -> tuple[str, ...]:
        """Return the attributes of which no two stored states may have the same value."""
        return cls.__header.unique

    @classmethod
    def loading_options(cls) -> Loading:
        """Return what the class header says of snapshots and cache."""
        return cls.__header.loading

    @classmethod
    def state_type(cls) -> type[msgspec.Struct]:
        """Return the record type of the state: the annotated attributes of the class.

        A field is stored without the leading underscores of its attribute: ``_lines`` as
        ``lines`` (`__struct_encode_fields__` has these names in the order of the fields).

        Raises:
            ConfigurationError: an annotation can't be resolved, or two fields get one name.
        """
        if cls.__state_type is None:
            cls.__state_type = make_state_type(cls, Aggregate)
        return cls.__state_type

    # --------------------------------------------------------------------- what it knows

    @property
    def id(self) -> IdT:
        """The id, unique within the class."""
        return self.__id

    @property
    def version(self) -> int:
        """The place in the stream of the last event that was applied, stored or not."""
        return self.__committed + len(self.__pending)

    @property
    def committed_version(self) -> int:
        """The place in the stream of the last stored event that was applied."""
        return self.__committed

    @property
    def pending(self) -> tuple[Pending, ...]:
        """What was recorded and is not stored yet, with times and tags: a snapshot."""
        return tuple(self.__pending)

    @property
    def uncommitted_events(self) -> tuple[Any, ...]:
        """The events that were recorded and are not stored yet: a snapshot."""
        return tuple([pending.event for pending in self.__pending])

    # ---------------------------------------------------------------------- what it does

    def record(
        self, event: object, *, occurred_at: datetime | None = None, tags: Sequence[str] = ()
    ) -> None:
        """Apply *event* and keep it for the commit.

        If it can't be applied, the aggregate is as it was before.

        Raises:
            UnknownEventError: no @applies method takes it.
            ApplyError: the @applies method failed; its error is the cause.
            AggregateError: called inside an @applies method, or on a state of the past.
            ValueError: *occurred_at* has no time zone.
        """
        if self.__past:
            raise AggregateError(
                f"{type(self).__name__} {self.id} is shown as of version {self.version}, to look "
                f"at. Get it without as_of= to change it."
            )
        if self.__applying:
            raise AggregateError(
                f"{type(self).__name__} {self.id}: record({event_name(event)}) inside an @applies "
                f"method. Applying only changes state; decide and record in the calling method."
            )
        if occurred_at is not None and occurred_at.tzinfo is None:
            raise ValueError(f"{occurred_at!r} has no time zone; use an aware datetime such as UTC")
        apply = self.__applier_of(event, self.version + 1)
        # The state may take over a list of the event and change it later; what happened stays.
        kept = copied(event, {})
        before = copy_of_state(self.__dict__)
        self.__applying = True
        try:
            apply(self, event)
        except BaseException as error:
            self.__dict__.clear()
            self.__dict__.update(before)
            if isinstance(error, Exception):
                name = type(self).__name__
                version = self.version + 1
                raise apply_error(name, self.id, event, error, version=version) from error
            raise
        finally:
            self.__applying = False
        self.__pending.append(Pending(kept, occurred_at, tuple(tags)))
        if (recorders := RECORDERS.get()) is not None and len(self.__pending) == 1:
            recorders.append(self)

    def replay(
        self,
        events: Iterable[object],
        *,
        after: int | None = None,
        version: int | None = None,
        past: bool = False,
    ) -> None:
        """Apply stored *events* that follow on version *after*. For repositories.

        By default that is `committed_version`. The stream is at *version* after them, by default
        as many further as there are *events*: upcasting may have made more or fewer of them.
        Nothing can be recorded on a state of the *past*.

        Raises:
            UnknownEventError: no @applies method takes one of them.
            ApplyError: an @applies method failed. The aggregate is not usable then.
            AggregateError: events were recorded before.
        """
        if self.__pending:
            raise AggregateError(
                f"{type(self).__name__} {self.id} has uncommitted events; stored ones come first."
            )
        appliers = self.__appliers
        reached = self.__committed if after is None else after
        event: object = None
        self.__applying = True
        try:
            for event in events:
                appliers[type(event)](self, event)
                reached += 1
        except (UnknownEventError, WiringError):
            self.__applier_of(event, reached + 1)
            raise
        except Exception as error:
            name = type(self).__name__
            raise apply_error(name, self.id, event, error, version=reached + 1) from error
        finally:
            self.__applying, self.__past = False, past
            self.__committed = reached
        if version is not None:
            self.__committed = version

    def changes_committed(self, count: int | None = None) -> None:
        """Note that the first *count* uncommitted events (default: all) are stored now.

        The aggregate can go on from there. For repositories.

        Raises:
            ValueError: there are not that many.
        """
        count = len(self.__pending) if count is None else count
        if not 0 <= count <= len(self.__pending):
            raise ValueError(f"{count} of {len(self.__pending)} events can't be committed")
        del self.__pending[:count]
        self.__committed += count

    def restore(self, state: msgspec.Struct, version: int) -> None:
        """Take over a stored *state* that is the result of *version* events. For repositories."""
        for name in state.__struct_fields__:
            setattr(self, name, getattr(state, name))
        self.__committed = version

    def __applier_of(self, event: object, version: int) -> Callable[[Any, Any], object]:
        try:
            return self.__appliers[type(event)]
        except UnknownEventError:
            owner = f"{type(self).__name__} {self.id}, version {version},"
            raise UnknownEventError(owner, event_name(event)) from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} version {self.version}>"
