"""The states of a circuit breaker, and what its listeners are told of them."""

import inspect
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from headwater.errors import ConfigurationError
from headwater.resilience.thresholds import Tally

SUBJECTS_MAX: Final = 1000
"""Of so many subjects, the last ones, a breaker knows that their failure is counted already."""


class BreakerState(Enum):
    """What a circuit breaker does with calls."""

    CLOSED = "closed"
    """Lets them through and counts their failures."""

    OPEN = "open"
    """Rejects them, until its time is up."""

    HALF_OPEN = "half-open"
    """Lets a few through, as probes, and rejects the others."""


class BreakerChange(msgspec.Struct, frozen=True):
    """A change of state: of `breaker` (its name), from `before` to `after`, because of `reason`.

    `number` counts the changes of one breaker from 1; listeners in several threads may be told
    out of order. `until`: until when it is open, None if it isn't.
    """

    breaker: str
    number: int
    before: BreakerState
    after: BreakerState
    at: datetime
    until: datetime | None
    reason: str


Listener: TypeAlias = Callable[[BreakerChange], object]
"""A plain function; it is called in the thread that made the change, and must not block."""


def check_listener(listener: object) -> None:
    """Check that *listener* is a plain function.

    Raises:
        ConfigurationError: it is an ``async def``, or can't be called.
    """
    if not callable(listener) or inspect.iscoroutinefunction(listener):
        raise ConfigurationError(
            f"A listener is a plain function that takes a BreakerChange, not {listener!r}. To do "
            f"more, let it set an event or start a task."
        )


class Phase:
    """One stay in one state. What was admitted in an earlier phase can't change a later one."""

    __slots__ = (
        "ends",
        "number",
        "probes",
        "reason",
        "state",
        "subjects",
        "successes",
        "tally",
        "until",
        "watches_successes",
    )

    def __init__(
        self,
        state: BreakerState,
        number: int,
        *,
        tally: Tally,
        until: float = 0.0,
        ends: datetime | None = None,
        reason: str = "",
    ) -> None:
        self.state, self.number, self.tally = state, number, tally
        self.until, self.ends, self.reason = until, ends, reason
        """Until when it is open, by the monotonic and the other clock; why it has opened."""
        self.probes = 0
        """How many probes are under way."""
        self.successes = 0
        """How many probes have succeeded."""
        self.subjects: OrderedDict[str, None] = OrderedDict()
        """Whose failure is counted."""
        self.watches_successes = True
        """Whether a call that succeeds has to be noted; read without the breaker's lock."""
        self.look()

    def look(self) -> None:
        """Find out whether successes change anything now."""
        self.watches_successes = (
            self.state is not BreakerState.CLOSED
            or bool(self.subjects)
            or self.tally.watches_successes
        )

    def counted(self, subjects: tuple[str, ...]) -> bool:
        """Return whether a failure of any of *subjects* is counted already; from now on it is."""
        known = any(subject in self.subjects for subject in subjects)
        for subject in subjects:
            self.subjects[subject] = None
        while len(self.subjects) > SUBJECTS_MAX:
            self.subjects.popitem(last=False)
        return known
