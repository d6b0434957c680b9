"""Replay: what an aggregate is must follow from what it has recorded, and from nothing else."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

from headwater.domain.aggregate import Aggregate
from headwater.testing.outcome import failure

_MISSING: Final = object()


def check_replay(aggregate: Aggregate[Any], history: Sequence[object]) -> None:
    """Fail unless replaying *history* and what *aggregate* has recorded gives the same state.

    A state that was changed outside of an @applies method is lost when the aggregate is loaded
    again. Attributes whose class does not say when two are equal are not compared.
    """
    __tracebackhide__ = True
    again = type(aggregate)(aggregate.id)
    again.replay(deepcopy([*history, *aggregate.uncommitted_events]))
    now, replayed = vars(aggregate), vars(again)
    for name in dict.fromkeys((*now, *replayed)):
        mine, theirs = now.get(name, _MISSING), replayed.get(name, _MISSING)
        if mine != theirs and _says_when_equal(mine):
            shown = "not set" if theirs is _MISSING else repr(theirs)
            raise failure(
                f"{type(aggregate).__name__} {aggregate.id}: {name} is {mine!r}, but replaying its "
                f"events gives {shown}. Change state in @applies methods only; whatever else sets "
                f"is lost when the aggregate is loaded again."
            )


def _says_when_equal(value: object) -> bool:
    return any("__eq__" in vars(base) for base in type(value).__mro__ if base is not object)
