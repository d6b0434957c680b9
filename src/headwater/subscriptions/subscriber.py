"""Subscribers: handlers that get every event of their types after its commit, at least once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from headwater.errors import ConflictError, HandlerCancelledError
from headwater.resilience import Guard
from headwater.resilience.failures import leaves_of
from headwater.subscriptions.faults import PASSING
from headwater.subscriptions.handing_over import HandingOver
from headwater.subscriptions.subscription import Arrival, Batch, Outcome, Worked
from headwater.unit_of_work.cancellation import cancelled_from_outside
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units

Handle = Callable[[Arrival], Awaitable[object]]
"""A compiled handler; it handles one event within the current unit of work."""


class SubscriberConsumer:
    """Hands events to a handler, each within a unit of work of its own.

    What the handlers of one batch collect is committed together with the checkpoint, so its
    effect in the storage happens once. What they do outside happens at least once.
    """

    together = False

    def __init__(
        self,
        subscription: str,
        handle: Handle,
        *,
        units: Units,
        key_of: Callable[[Arrival], str] | None = None,
        policy: Guard | None = None,
    ) -> None:
        """Keep the order of the events of one key; by default, of one stream.

        *policy* stands around each event, and decides how often it is tried on the spot.
        """
        self._subscription, self._units = subscription, units
        self._key_of = key_of
        self.policy = policy
        self.hand_over = HandingOver(
            subscription, lambda arrivals: handle(arrivals[0]), policy=policy, clock=units.clock
        )

    @property
    def keyed_by_stream(self) -> bool:
        """Whether the key is the stream."""
        return self._key_of is None

    def key_of(self, arrival: Arrival) -> str:
        """Return the key whose events stay in order."""
        return self._key_of(arrival) if self._key_of is not None else arrival.stored.stream_id

    async def prepare(self, arrivals: Sequence[Arrival]) -> None:
        """Nothing is read ahead."""

    async def work(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Hand over the batches side by side; each has a commit of its own."""
        if len(batches) == 1:
            return [await self._outcome(batches[0])]
        return await asyncio.gather(*map(self._outcome, batches))

    async def _outcome(self, batch: Batch) -> Outcome:
        async def handle_all(unit: UnitOfWork) -> Worked:
            return await self.hand_over_all(batch, unit)

        try:
            return (await self._units.run(handle_all, advance=batch.advance)).result
        except asyncio.CancelledError:
            if cancelled_from_outside():
                raise
            return HandlerCancelledError(self._subscription)
        except Exception as error:  # noqa: BLE001 - the runner decides what it means
            return error

    async def hand_over_all(self, batch: Batch, unit: UnitOfWork) -> Worked:
        """Hand over the events of *batch* up to the first that fails; collect into *unit*.

        Raises:
            ConflictError: *unit* can't be committed, and has to be run again.
        """
        done = 0
        for group in batch.groups():
            worked = await self._hand_over_group(group, unit)
            done += worked.done
            if worked.failure is not None:
                return Worked(done, worked.failure)
        return Worked(done)

    async def _hand_over_group(self, group: Sequence[Arrival], unit: UnitOfWork) -> Worked:
        """Hand over what was made of one stored event, all of it or nothing: a checkpoint can't
        stand between them.
        """
        done = 0
        around = unit if len(group) == 1 else unit.child()
        try:
            for arrival in group:
                failure = await self.failure_of((arrival,), around)
                if failure is not None:
                    return Worked(done, failure)
                done += 1
            if around is not unit:
                unit.merge(around)
        except ConflictError:
            raise
        except Exception as error:  # noqa: BLE001 - it is the event's, and the runner decides
            return Worked(done - 1, error)
        finally:
            if around is not unit:
                around.close()
        return Worked(done)

    async def failure_of(
        self,
        arrivals: Sequence[Arrival],
        unit: UnitOfWork,
        *,
        before: int = 0,
        of: Sequence[Arrival] | None = None,
    ) -> Exception | None:
        """Hand over *arrivals* at once, after *before* attempts; return why that failed, if so.

        *of* is the list that they are a part of, if it was handed over before.

        Raises:
            ConflictError: *unit* can't be committed, and has to be run again.
        """
        try:
            await self.hand_over(arrivals, unit, before=before, of=of)
        except asyncio.CancelledError:
            if cancelled_from_outside():
                raise
            return HandlerCancelledError(self._subscription)
        except Exception as error:  # noqa: BLE001 - the runner decides what it means
            storages = _storages_in(error)
            if isinstance(storages, ConflictError) and unit.conflicted:
                raise storages from storages.__cause__
            return storages if isinstance(storages, PASSING) else error
        return None


def _storages_in(error: Exception) -> BaseException:
    """Return the trouble of a storage that *error* is or, if it is a group, has in it."""
    types = (ConflictError, *PASSING)
    return next((one for one in leaves_of(error) if isinstance(one, types)), error)
