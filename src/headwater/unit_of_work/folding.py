"""Folding: how the state of a stream is begun, carried on, copied, and written down."""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

import msgspec

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies_methods
from headwater.domain.decider import Decider
from headwater.domain.state import copied, copy_of_state, shared_part, state_of
from headwater.errors import RoundTripError
from headwater.serialization.codec import EventCodec
from headwater.unit_of_work.fold_digest import fold_digest

A = TypeVar("A", bound=Aggregate[Any])
S = TypeVar("S")

Id = UUID | str | int


class Attributes(dict[str, Any]):
    """The attributes of an aggregate by name."""


class Folding(Protocol[S]):
    """What one aggregate class or decider does with the events of a stream."""

    def begin(self, id: Id) -> S:
        """Return the state before the first event."""
        ...

    def fold(self, state: S, events: Sequence[Any], *, after: int, version: int) -> S:
        """Return the state at *version*, by *events* that follow on *state* at *after*.

        *state* itself may be changed.
        """
        ...

    def copy(self, state: S) -> Any:
        """Return what `revive` makes the state of again, untouched by what becomes of *state*.

        Raises:
            TypeError: something in it can't be copied.
        """
        ...

    def revive(self, id: Id, copy: Any, version: int) -> S:
        """Return the state that was copied; the copy can be used again."""
        ...

    def write(self, id: Id, state: S) -> str:
        """Return *state* as JSON text.

        Raises:
            RoundTripError: it would not come back equal.
            AggregateError: an attribute is not annotated, or has no value yet.
        """
        ...

    def read(self, id: Id, text: str, version: int) -> S:
        """Return the state that was written.

        Raises:
            SerializationError: *text* is not of this state's type.
        """
        ...

    def parts(self, state: S) -> Any:
        """Return what two states are compared by; nobody changes it."""
        ...

    def check_writable(self) -> None:
        """Raise `MessageTypeError` if states can't be read back from JSON at all, or have
        personal fields and there are no keys."""
        ...

    @property
    def code(self) -> str:
        """Tells whether a written state was folded by the code that is here now.

        It changes with the forms of state and events, their defaults, the upcasters, and the
        functions that apply them; see `fold_digest`.
        """
        ...


class AggregateFolding(Generic[A]):
    """The streams of an aggregate class."""

    def __init__(self, cls: type[A], codec: EventCodec) -> None:
        self._cls, self._codec = cls, codec
        self._code: str | None = None

    def begin(self, id: Id) -> A:
        return self._cls(id)

    def fold(self, state: A, events: Sequence[Any], *, after: int, version: int) -> A:
        state.replay(events, after=after, version=version)
        return state

    def copy(self, state: A) -> Any:
        return copy_of_state(vars(state), strict=True)

    def revive(self, id: Id, copy: Any, version: int) -> A:
        state = self._cls(id)
        attributes = vars(state)
        attributes.clear()
        attributes.update(copy_of_state(copy))
        state.replay((), after=version)
        return state

    def write(self, id: Id, state: A) -> str:
        kept = state_of(state)
        _refuse_shared(self._cls, [getattr(kept, name) for name in kept.__struct_fields__])
        state_type = self._cls.state_type()
        return self._codec.encode_value(kept, state_type, exact=True, around={"id": str(id)})

    def read(self, id: Id, text: str, version: int) -> A:
        state = self._cls(id)
        kept = self._codec.decode_value(text, self._cls.state_type())
        state.restore(cast("msgspec.Struct", kept), version)
        return state

    def parts(self, state: A) -> Any:
        names = self._cls.state_type().__struct_fields__
        return Attributes({name: getattr(state, name) for name in names if hasattr(state, name)})

    def check_writable(self) -> None:
        self._codec.is_personal(self._cls.state_type())

    @property
    def code(self) -> str:
        if self._code is None:
            state_type = self._cls.state_type()
            # What the state before the first event is made of.
            fields = msgspec.structs.fields(state_type)
            first = [(each.name, each.default, each.default_factory) for each in fields]
            self._code = fold_digest(
                state_type,
                first,
                events=self._cls.event_types(),
                functions=[method.function for method in applies_methods(self._cls)],
                codec=self._codec,
            )
        return self._code


class DeciderFolding(Generic[S]):
    """The streams of a decider."""

    def __init__(self, decider: Decider[Any, S, Any], codec: EventCodec) -> None:
        self._decider, self._codec = decider, codec
        self._code: str | None = None

    def begin(self, id: Id) -> S:
        return cast("S", copied(self._decider.initial, {}))

    def fold(self, state: S, events: Sequence[Any], *, after: int, version: int) -> S:
        return self._decider.fold_on(state, events, after=after)

    def copy(self, state: S) -> Any:
        return copied(state, {}, strict=True)

    def revive(self, id: Id, copy: Any, version: int) -> S:
        return cast("S", copied(copy, {}))

    def write(self, id: Id, state: S) -> str:
        _refuse_shared(type(state), [state])
        state_type = self._decider.state_type
        return self._codec.encode_value(state, state_type, exact=True, around={"id": str(id)})

    def read(self, id: Id, text: str, version: int) -> S:
        return cast("S", self._codec.decode_value(text, self._decider.state_type))

    def parts(self, state: S) -> Any:
        return state

    def check_writable(self) -> None:
        self._codec.is_personal(self._decider.state_type)

    @property
    def code(self) -> str:
        if self._code is None:
            decider = self._decider
            self._code = fold_digest(
                decider.state_type,
                decider.initial,
                events=decider.events,
                functions=[decider.evolve],
                codec=self._codec,
            )
        return self._code


def _refuse_shared(cls: type, values: Sequence[Any]) -> None:
    shared = shared_part(values)
    if shared is not None:
        problem = f"two places of the state of {cls.__name__} hold the same {shared}"
        raise RoundTripError(cls, f"{problem}, and would hold one each.")
