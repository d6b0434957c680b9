"""The table of a class that says which of its methods applies an event."""

from collections.abc import Callable
from typing import Any

from headwater.domain.applies import AppliesMethod, applies_methods
from headwater.errors import ApplyError, UnknownEventError, WiringError, WiringFault
from headwater.messages import RawEvent

Applier = Callable[[Any, Any], object]


class Appliers(dict[type, Applier]):
    """Maps the type of an event to the function that applies it, found on first use.

    The lookup of a type that was seen before is a plain dict lookup, because loading an
    aggregate does one per event.
    """

    def __init__(self, owner: type) -> None:
        """Find the marked methods of *owner*.

        Raises:
            WiringError: one has no event, no annotation, or two claim one event.
        """
        super().__init__()
        self._owner = owner
        self._methods = applies_methods(owner)
        self._declared: dict[type, AppliesMethod] | None = None
        try:
            self.declared()
        except NameError:
            # An annotation names a class further down in its module; it is there at first use.
            self._declared = None

    def declared(self) -> dict[type, AppliesMethod]:
        """Return the event types that annotations name, each with its method.

        Raises:
            WiringError: two methods claim one event, or an annotation can't be resolved.
            NameError: only while the class is being made, an annotation's name is unknown.
        """
        if self._declared is None:
            self._declared = self._resolve()
        return self._declared

    def types(self) -> tuple[type, ...]:
        """Return the event types that annotations name.

        Raises:
            WiringError: two methods claim one event, or an annotation can't be resolved.
        """
        try:
            return tuple(self.declared())
        except NameError as error:
            raise self._unresolved(error) from error

    def __missing__(self, event_type: type) -> Applier:
        try:
            declared = self.declared()
        except NameError as error:
            raise self._unresolved(error) from error
        for base in event_type.__mro__:
            if base in declared:
                function: Applier = declared[base].function
                self[event_type] = function
                return function
        raise UnknownEventError(self._owner.__qualname__, event_type.__qualname__)

    def _resolve(self) -> dict[type, AppliesMethod]:
        declared: dict[type, AppliesMethod] = {}
        faults: list[WiringFault] = []
        for method in self._methods:
            try:
                types = method.event_types()
            except WiringError as error:
                faults += error.faults
                continue
            for event_type in types:
                first = declared.setdefault(event_type, method)
                if first.name != method.name:
                    faults.append(self._claimed_twice(event_type, first, method))
        if faults:
            raise WiringError(faults)
        return declared

    def _claimed_twice(
        self, event_type: type, first: AppliesMethod, second: AppliesMethod
    ) -> WiringFault:
        return WiringFault(
            f"{self._owner.__qualname__}.{second.name} applies {event_type.__qualname__}, and so "
            f"does {first.name} ({first.where}).",
            where=second.where,
            advice="Keep one; a subclass replaces a method by giving its own the same name.",
        )

    def _unresolved(self, error: NameError) -> WiringError:
        faults: list[WiringFault] = []
        for method in self._methods:
            try:
                method.event_types()
            except NameError as missing:
                problem = f"{self._owner.__qualname__}.{method.name}: {missing}."
                advice = f"The annotation of {method.parameter!r} must name a class of its module."
                faults.append(WiringFault(problem, where=method.where, advice=advice))
        return WiringError(faults or [WiringFault(str(error), where="", advice="")])


def event_name(event: object) -> str:
    """Return how an error names an event: its class, or what a `RawEvent` is stored as."""
    return event.type if isinstance(event, RawEvent) else type(event).__qualname__


def apply_error(
    owner: str, id: object, event: object, error: Exception, *, version: int
) -> ApplyError:
    """Return what says that *owner* could not apply *event*; raise it from *error*."""
    return ApplyError(
        owner,
        id,
        event_type=event_name(event),
        version=version,
        problem=f"{type(error).__name__}: {error}",
    )
