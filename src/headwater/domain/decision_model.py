"""Decision models: the little state that one decision needs, folded from events of any stream."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from headwater.domain.appliers import Appliers, apply_error
from headwater.domain.state import default_makers
from headwater.errors import ConfigurationError, UnitOfWorkError


class EventCriteria:
    """Events that carry all of *tags* and are of one of *types*, or of a class derived from one.

    Without *types* those count that the decision model has ``@applies`` methods for.
    """

    __slots__ = ("tags", "types")

    def __init__(self, *tags: str, types: Sequence[type] = ()) -> None:
        self.tags: Final = tuple(dict.fromkeys(tags))
        self.types: Final = tuple(types)

    def __repr__(self) -> str:
        names = [cls.__name__ for cls in self.types]
        parts = [*map(repr, self.tags), *([f"types=[{', '.join(names)}]"] if names else [])]
        return f"EventCriteria({', '.join(parts)})"


class DecisionModel:
    """What a decision has to know, in whichever streams it happened::

        class Seats(DecisionModel):
            capacity: int = 0
            taken: int = 0

            def __init__(self, course_id: str) -> None:
                super().__init__(EventCriteria(f"course:{course_id}"))

            @applies
            def _opened(self, event: CourseOpened) -> None:
                self.capacity = event.capacity

    `UnitOfWork.load` folds the events that meet any of the criteria into it, each once, in the
    order of the log; the commit passes only if no further one has come. A list, dict or set
    given as default of an annotated attribute is copied for each instance.
    """

    __appliers: ClassVar[Appliers]
    __makers: ClassVar[dict[str, Callable[[], Any]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__appliers = Appliers(cls)
        cls.__makers = default_makers(cls, DecisionModel)

    def __init__(self, *criteria: EventCriteria) -> None:
        """Say which events it is made of: those that meet any of *criteria*.

        Raises:
            ConfigurationError: there are no criteria, or some name neither tags nor types and
                the model applies no events.
        """
        if not criteria:
            raise ConfigurationError(
                f"{type(self).__name__} does not say which events it is made of. Give criteria: "
                f"super().__init__(EventCriteria('course:7'))."
            )
        own = self.event_types()
        self.__criteria = tuple(
            each if each.types else EventCriteria(*each.tags, types=own) for each in criteria
        )
        if not all(each.types for each in self.__criteria):
            raise ConfigurationError(f"{type(self).__name__} has no @applies methods.")
        self.__position: int | None = None
        for attribute, make in self.__makers.items():
            self.__dict__[attribute] = make()

    @property
    def position(self) -> int | None:
        """The log position up to which it was read, None before it is loaded."""
        return self.__position

    def begin(self, position: int) -> None:
        """Note that what the log holds up to *position* is about to be applied.

        Raises:
            UnitOfWorkError: it was loaded before, and everything would count twice.
        """
        if self.__position is not None:
            raise UnitOfWorkError(f"{type(self).__name__} was loaded before; make a new one.")
        self.__position = position

    @property
    def criteria(self) -> tuple[EventCriteria, ...]:
        """The criteria, each with the types that count for it."""
        return self.__criteria

    @classmethod
    def event_types(cls) -> tuple[type, ...]:
        """Return the event types that ``@applies`` methods name.

        Raises:
            WiringError: two methods claim one event, or an annotation can't be resolved.
        """
        return cls.__appliers.types()

    def apply(self, event: object, *, stream_id: str = "", version: int = 0) -> None:
        """Change the state by *event*; where it stands is named by errors alone.

        Raises:
            UnknownEventError: no ``@applies`` method takes it.
            ApplyError: such a method failed; its error is the cause.
        """
        method = self.__appliers[type(event)]
        try:
            method(self, event)
        except Exception as error:
            name = type(self).__name__
            raise apply_error(name, stream_id, event, error, version=version) from error
