"""What a projection is, and what its methods say of themselves."""

import inspect
import typing
from collections.abc import Callable, Sequence
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, ClassVar, Final, Generic, TypeVar, Union, cast, get_args, get_origin

import msgspec

from headwater.clock import Duration
from headwater.domain.applies import AppliesMark, applies_methods, where_is
from headwater.domain.read_model import ReadModel, row_options
from headwater.errors import UnknownEventError, WiringError, WiringFault
from headwater.mediator.annotations import messages_in
from headwater.projections.happened import Happened
from headwater.subscriptions.failures.policy import (
    STOP_AT_ONCE,
    WAITING_MAX,
    FailurePolicy,
    OnFailure,
    failure_policy,
)
from headwater.subscriptions.subscription import PARTITIONS
from headwater.unit_of_work.row_type import key_text

M = TypeVar("M", bound=ReadModel)

_ADVICE: Final = "Write: def placed(self, event: OrderPlaced, row: OrderSummary | None)."


class Projection(Generic[M]):
    """Derive from it to compute rows of one read model, by pure methods::

        class OrderSummaries(Projection[OrderSummary]):
            @applies
            def placed(self, event: OrderPlaced, row: OrderSummary | None) -> OrderSummary: ...

    A method gets an event (or ``Recorded[OrderPlaced]``) and the row it belongs to, and returns
    the row as it is afterwards, or None to delete it. Where `row` can't be None, a missing row
    is an error. The row's key is the event's field of the same name as the read model's key, or
    what ``@applies(key=function)`` returns for the event. Events of any number of streams may
    belong to one row.

    An event that knows a row by something else than its key is applied to each row that has it:
    ``@applies(each="customer_id")``. What row an event meets then depends on all events before
    it, so such a projection has one partition.

    In the class header, `partitions` says how many run side by side (stored when the
    projection first runs, then fixed) and `name` replaces the derived name. `version` is counted
    up when the code computes other rows than before: they are then built anew, beside those that
    are live, and come into use by a switch. With ``inline=True`` rows are not computed from the
    log but by the unit of work that appends the events, and are committed together with them.

    An event that can't be folded stops the projection: a row that skipped one is a lie. With
    ``on_failure=OnFailure.PARK_KEY`` its row stands still instead, as a dead letter, and all
    others go on; `delayed` and `waiting_max` are those of a subscriber. The key is the row's;
    where a method is for each row that has a value, all rows have one.
    """

    partitions: ClassVar[int] = PARTITIONS
    projection_name: ClassVar[str | None] = None
    version: ClassVar[int] = 1
    inline: ClassVar[bool] = False
    failures: ClassVar[FailurePolicy] = STOP_AT_ONCE

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        partitions: int | None = None,
        version: int = 1,
        inline: bool = False,
        on_failure: OnFailure = OnFailure.STOP,
        delayed: Sequence[Duration] = (),
        waiting_max: int = WAITING_MAX,
        **further: Any,
    ) -> None:
        super().__init_subclass__(**further)
        if version < 1:
            raise ValueError(f"{cls.__qualname__}: a version is 1 or more, not {version}")
        cls.projection_name, cls.version, cls.inline = name, version, inline
        cls.failures = failure_policy(delayed=delayed, then=on_failure, waiting_max=waiting_max)
        if partitions is not None:
            cls.partitions = partitions


def model_of(projection: type[Projection[M]]) -> type[M]:
    """Return the read model that *projection* names in brackets.

    Raises:
        WiringError: it names none.
    """
    for cls in projection.__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Projection and isinstance(get_args(base)[0], type):
                return cast("type[M]", get_args(base)[0])
    raise WiringError(
        [
            WiringFault(
                f"{projection.__qualname__} does not say which read model it computes.",
                where=f"{projection.__module__}.{projection.__qualname__}",
                advice=f"Write: class {projection.__name__}(Projection[OrderSummary]).",
            )
        ]
    )


class Fold(msgspec.Struct, frozen=True):
    """One method: what it is called with, and for which events.

    `key` gives the key of the event's row; where the method is for each row that has a value in
    the field `each`, it gives that value.
    """

    function: Callable[[Any, Any, Any], Any]
    name: str
    events: tuple[type, ...]
    recorded: bool
    row_required: bool
    key: Callable[[Any], object]
    each: str | None = None

    def taken(self, event: Happened) -> Any:
        """Return what the method is called with for *event*."""
        return event.recorded if self.recorded else event.payload


class Folds(dict[type, Fold]):
    """Finds the method for an event's type; the most specific one counts."""

    def __init__(self, projection: type[Projection[Any]]) -> None:
        """Read the methods of *projection*.

        Raises:
            WiringError: with all that is wrong with them.
        """
        super().__init__()
        self._owner = projection
        self.model = model_of(projection)
        self._by_event: dict[type, Fold] = {}
        faults: list[WiringFault] = []
        methods = applies_methods(projection)
        for method in methods:
            try:
                fold = _fold(method.function, method.mark, self.model)
            except WiringError as error:
                faults += error.faults
                continue
            for event in fold.events:
                first = self._by_event.setdefault(event, fold)
                if first is not fold:
                    problem = f"{fold.name} and {first.name} both apply {event.__name__}."
                    faults.append(WiringFault(problem, where=method.where, advice="Keep one."))
        if not methods:
            where = f"{projection.__module__}.{projection.__qualname__}"
            problem = f"{projection.__qualname__} has no @applies method."
            faults.append(WiringFault(problem, where=where, advice=_ADVICE))
        self.each = any(fold.each is not None for fold in self._by_event.values())
        faults += self._header_faults()
        if faults:
            raise WiringError(faults)

    def _header_faults(self) -> list[WiringFault]:
        """Return where the class header and the methods don't go together."""
        owner = self._owner
        where = f"{owner.__module__}.{owner.__qualname__}"
        faults: list[WiringFault] = []
        if self.each and (owner.inline or owner.partitions != 1):
            problem = f"{owner.__qualname__} has a method for each row that has a value"
            faults.append(
                WiringFault(
                    f"{problem}, so it can't be computed inline."
                    if owner.inline
                    else f"{problem}, so its events can't be worked side by side.",
                    where=where,
                    advice="Leave inline= away."
                    if owner.inline
                    else f"Write: class {owner.__name__}(Projection[…], partitions=1).",
                )
            )
        if owner.inline and not owner.failures.stops_at_once:
            faults.append(
                WiringFault(
                    f"{owner.__qualname__} is computed inline, where an event that fails refuses "
                    f"the append: there is nothing to park.",
                    where=where,
                    advice="Leave on_failure= and delayed= away, or inline=.",
                )
            )
        if owner.inline:
            faults += [
                WiringFault(
                    f"{fold.name} takes the record of its event, which has no position yet "
                    f"where {owner.__qualname__} is computed inline.",
                    where=where_is(fold.function),
                    advice="Take the bare event, or leave inline= away.",
                )
                for fold in self.folds
                if fold.recorded
            ]
        return faults

    @property
    def version(self) -> int:
        """That of the projection's code."""
        return self._owner.version

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The methods, each once."""
        return tuple({id(fold): fold for fold in self._by_event.values()}.values())

    @property
    def events(self) -> tuple[type, ...]:
        """The event types that the methods name."""
        return tuple(self._by_event)

    def __missing__(self, event: type) -> Fold:
        for base in event.__mro__:
            if base in self._by_event:
                fold = self[event] = self._by_event[base]
                return fold
        raise UnknownEventError(self._owner.__qualname__, event.__qualname__)

    def key_of(self, event: Happened) -> str:
        """Return the key of the row that *event* belongs to.

        Raises:
            ValueError: it is empty or of a type that can't be a key.
        """
        payload = event.payload
        fold = self[payload.__class__]
        return key_text(fold.key(event.recorded if fold.recorded else payload))


def _fold(function: Callable[..., Any], mark: AppliesMark, model: type[ReadModel]) -> Fold:
    name, where = function.__qualname__, where_is(function)
    parameters = list(inspect.signature(function).parameters)
    try:
        hints = typing.get_type_hints(function)
        events, recorded = messages_in(hints[parameters[1]])
        row = hints[parameters[2]]
    except (NameError, KeyError, IndexError, ValueError) as error:
        problem = f"{name} does not say what it takes: {error}."
        raise WiringError([WiringFault(problem, where=where, advice=_ADVICE)]) from error
    members = get_args(row) if get_origin(row) in (Union, UnionType) else (row,)
    if [member for member in members if member is not NoneType] != [model]:
        problem = f"{name} takes a row of {row}, but the projection is of {model.__name__}."
        raise WiringError([WiringFault(problem, where=where, advice=_ADVICE)])
    options = row_options(model)
    if mark.each is not None and mark.each not in (*options.indexed, *options.unique):
        problem = f"{name} is for each row by {mark.each!r}, which {model.__name__} does not index."
        advice = f"Write: class {model.__name__}(ReadModel, key=…, indexed=({mark.each!r},))."
        raise WiringError([WiringFault(problem, where=where, advice=advice)])
    field = mark.each or options.key
    return Fold(
        function,
        name,
        events,
        recorded,
        NoneType not in members,
        mark.key or _value_of_field(name, where, events, field, recorded=recorded),
        mark.each,
    )


def _value_of_field(
    name: str, where: str, events: tuple[type, ...], field: str, *, recorded: bool
) -> Callable[[Any], object]:
    missing = [event.__name__ for event in events if not _has_field(event, field)]
    if missing:
        problem = f"{name}: {', '.join(missing)} has no field {field!r} to find the row by."
        advice = "Write: @applies(key=lambda event: event.…)."
        raise WiringError([WiringFault(problem, where=where, advice=advice)])
    get = attrgetter(field)
    return (lambda event: get(event.payload)) if recorded else get


def _has_field(event: type, field: str) -> bool:
    annotated = any(field in vars(base).get("__annotations__", {}) for base in event.__mro__)
    return annotated or hasattr(event, field)
