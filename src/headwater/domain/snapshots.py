"""How the streams of an aggregate or decider are loaded: as a whole, or from a state on."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from headwater.clock import Duration, seconds_of
from headwater.domain.applies import where_is
from headwater.errors import WiringError, WiringFault

SLOW_EVENTS_MIN: Final = 32
"""Loading fewer events than these is never what took long, whatever the clock says."""


class Snapshots(msgspec.Struct, frozen=True, kw_only=True):
    """When the state of a stream is stored, so that loading reads only the events after it.

    `every`: when so many events were read since the last snapshot. `slower_than`: when loading
    took longer, in seconds or as a timedelta, and read `SLOW_EVENTS_MIN` events at least. With
    both, whichever comes first; with neither, never.
    """

    every: int | None = None
    slower_than: Duration | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ValueError(f"Snapshots(every={self.every}): it is 1 event or more.")
        if self.slower_than is not None and seconds_of(self.slower_than) < 0:
            raise ValueError(f"Snapshots(slower_than={self.slower_than}): it is 0 or more.")

    @property
    def wanted(self) -> bool:
        """Whether snapshots are ever taken."""
        return self.every is not None or self.slower_than is not None

    def due(self, events: int, seconds: float) -> bool:
        """Return whether one is due after a load that read so many events in so many seconds."""
        if self.every is not None and events >= self.every:
            return True
        return (
            self.slower_than is not None
            and events >= SLOW_EVENTS_MIN
            and seconds > seconds_of(self.slower_than)
        )


class Loading(msgspec.Struct, frozen=True):
    """What a class or decider says of the loading of its streams.

    `snapshot_version` is the version of the state's form: a snapshot with another one is ignored
    and replaced. `cache` is how many loaded states each process keeps in memory, 0 for none.
    """

    snapshots: Snapshots = Snapshots()
    snapshot_version: int = 1
    cache: int = 0

    @property
    def plain(self) -> bool:
        """Whether streams are always read as a whole."""
        return not (self.cache or self.snapshots.wanted)

    def changed(
        self, *, snapshots: Snapshots | None, snapshot_version: int | None, cache: int | None
    ) -> "Loading":
        """Return this with what is not None put in its place."""
        return Loading(
            self.snapshots if snapshots is None else snapshots,
            self.snapshot_version if snapshot_version is None else snapshot_version,
            self.cache if cache is None else cache,
        )


def check_loading(owner: str, where: Callable[..., Any] | str, loading: Loading) -> Loading:
    """Return *loading* if a class or decider called *owner* can have it.

    Raises:
        WiringError: a number is out of its range.
    """
    problems: list[tuple[str, str]] = []
    if loading.snapshot_version < 1:
        problems.append(
            (f"snapshot_version={loading.snapshot_version}", "Count from 1, up with each change.")
        )
    if loading.cache < 0:
        problems.append((f"cache={loading.cache}", "Say how many states are kept; 0 for none."))
    if problems:
        place = where if isinstance(where, str) else where_is(where)
        raise WiringError(
            [
                WiringFault(f"{owner} has {problem}.", where=place, advice=advice)
                for problem, advice in problems
            ]
        )
    return loading


def checked_loading(cls: type, loading: Loading, *, stored_as_state: bool) -> Loading:
    """Return *loading* if the aggregate *cls* can have it.

    Raises:
        WiringError: a number is out of its range, or the class is stored as state and asks for
            snapshots or a cache.
    """
    where = f"{cls.__module__}.{cls.__qualname__}"
    if stored_as_state and not loading.plain:
        problem = f"{cls.__qualname__} is stored as state, and asks for snapshots or a cache."
        advice = "Leave them away: its state is one row already, and no stream is read."
        raise WiringError([WiringFault(problem, where=where, advice=advice)])
    return check_loading(cls.__qualname__, where, loading)
