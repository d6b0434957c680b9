"""What a partition tries again: when it is due, or because an operator asks for it."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from headwater.errors import UnknownTypeError, WorkerDiedError
from headwater.operations.dead_letters.deliveries import delivery_gone, delivery_row
from headwater.operations.dead_letters.requests import (
    REQUESTS,
    DeliveryRequest,
    RequestAction,
    request_gone,
)
from headwater.operations.dead_letters.suspects import suspect_gone, suspect_row
from headwater.ports.changes import RowChange
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import ROWS_MAX, Comparison, Condition, RowQuery
from headwater.subscriptions.fail_points import reach
from headwater.subscriptions.failure import Charge, Stop, Suspend, Work
from headwater.subscriptions.failures.crash_watch import DIED_ALONE_MAX, CrashWatch
from headwater.subscriptions.failures.held_keys import Held, HeldKeys
from headwater.subscriptions.failures.keeping import Keeping
from headwater.subscriptions.failures.means import Means
from headwater.subscriptions.failures.records import taken_back
from headwater.subscriptions.failures.redelivery import Gone, Unknown, Unreadable
from headwater.subscriptions.failures.ruling import ruling_on, stopped_over
from headwater.subscriptions.failures.settling import Settling
from headwater.subscriptions.failures.suspension import Suspended
from headwater.subscriptions.subscription import Arrival, Batch, Worked, partition_of

REDELIVERIES_MAX: Final = 100
"""How many held events are handed over at most before new ones have their turn."""

UNKNOWN_SECONDS: Final = 5.0
"""How long a held event of an unknown type is left for a worker that knows it, each time."""

_MICROSECONDS: Final = 1_000_000


class Retrying:
    """Hands held events over again, one by one and each in a commit of its own."""

    def __init__(
        self,
        lane: Suspended,
        charge: Charge,
        means: Means,
        *,
        keeping: Keeping,
        keys: HeldKeys,
        watch: CrashWatch,
    ) -> None:
        self._lane, self._charge, self._means = lane, charge, means
        self._keeping, self._keys, self._watch = keeping, keys, watch
        self._settling = Settling(means, keeping=keeping, keys=keys)
        self._taken_back: dict[str, int] = {}
        self._looked = self._looked_for = 0
        self._lets_others = False

    def take_back(self, id: str, *, due_in: float) -> None:
        """Have a delivery get back the attempt it used last, and be due in *due_in* seconds."""
        self._taken_back[id] = self._means.now() + round(due_in * _MICROSECONDS)

    @property
    def due_at(self) -> float | None:
        """When there is something to do, in the clock's monotonic time; None: never."""
        if not self._keys:
            return None
        now, asking = self._means.clock.monotonic(), self._means.asking
        if self._taken_back or asking.looks != self._looked:
            return now
        if (first := self._keys.first_due()) is None or first.due_at is None:
            return asking.next_look
        due_at = now + (first.due_at - self._means.now()) / _MICROSECONDS
        turn = self._means.suspension.due_at(self._lane, due_at)
        return asking.next_look if turn is None else min(turn, asking.next_look)

    async def work_due(self, at: Checkpoint, work: Work) -> Suspend | Stop | None:
        """Do some of what is due; see `Failures.work_due`."""
        self._keys.forget_after(at.position)
        await self._give_back(at)
        left = REDELIVERIES_MAX
        for request in await self._asked():
            if not left:
                self._looked = 0
                return None
            if not self._means.asking.wants(request) or self._has_to_wait(request):
                continue
            left -= 1
            if (ended := await self._carry_out(request, at, work)) is not None:
                return ended
        while left and (held := self._due()) is not None:
            left -= 1
            if self._means.suspension.suspend is not None and self._lets_others:
                # Of two probes in a row not both are of what is held, if there is anything new.
                self._lets_others = False
                return None
            if not self._means.suspension.may_go(self._lane):
                return self._means.suspension.suspend
            if (ended := await self._redeliver(held, at, work, None)) is not None:
                return ended
        return None

    def _due(self) -> Held | None:
        held = self._keys.first_due()
        return held if held is not None and (held.due_at or 0) <= self._means.now() else None

    async def _give_back(self, at: Checkpoint) -> None:
        """Commit that attempts were taken back."""
        given: list[Held] = []
        rows: list[RowChange] = []
        for id, due_at in [*self._taken_back.items()]:
            held = self._keys.get(id)
            if held is not None:
                record = taken_back(await self._keeping.record(held), due_at=due_at)
                rows.append(delivery_row(record))
                given.append(Held.of(record))
        if rows:
            await self._keeping.commit(at, rows)
        for held in given:
            self._keys.put(held)
        self._taken_back.clear()

    # ------------------------------------------------------------------------ operators

    async def _asked(self) -> Sequence[DeliveryRequest]:
        asking, charge = self._means.asking, self._charge
        await asking.look()
        while asking.full and self._looked_for != asking.looks:
            # Who is to be discarded must not be handed over before it is known.
            self._looked_for = asking.looks
            await asking.look_for(self._keys.ids)
        self._looked = asking.looks
        return [
            request
            for request in asking.requests
            if partition_of(request.key, charge.partitions) == charge.partition
        ]

    def _has_to_wait(self, request: DeliveryRequest) -> bool:
        """Return whether nothing may be handed over now, because what it needs is away."""
        if request.action is RequestAction.DISCARD:
            return False
        now = self._means.clock.monotonic()
        return self._means.suspension.due_at(self._lane, now) != now

    async def _carry_out(
        self, request: DeliveryRequest, at: Checkpoint, work: Work
    ) -> Suspend | Stop | None:
        held = self._keys.get(request.delivery)
        if held is None or held.held_at != request.held_at:
            await self._drop(request, at)
        elif request.action is RequestAction.DISCARD:
            audit = self._settling.audit(held, "discarded", by=request.by, reason=request.reason)
            await self._settling.settle(held, at, (audit, request_gone(held.id)))
            self._means.asking.done(held.id)
        elif self._keys.waits(held):
            await self._drop(request, at)
        elif self._means.suspension.may_go(self._lane):
            return await self._redeliver(held, at, work, request)
        return None

    async def _drop(self, request: DeliveryRequest, at: Checkpoint) -> None:
        """Delete a request that there is nothing to do for, any more or yet."""
        await self._keeping.commit(at, (request_gone(request.delivery),))
        self._means.asking.done(request.delivery)

    async def _drop_others(self, request: DeliveryRequest, at: Checkpoint) -> None:
        """Delete what was asked for together with *request*."""
        together = Condition("together", Comparison.EQUAL, request.together)
        query = RowQuery((together,), limit=ROWS_MAX)
        rows = await self._means.target.find_rows(REQUESTS.name, query)
        await self._keeping.commit(at, [request_gone(row.key) for row in rows])
        for row in rows:
            self._means.asking.done(row.key)

    # ---------------------------------------------------------------------- handing over

    async def _redeliver(
        self, held: Held, at: Checkpoint, work: Work, request: DeliveryRequest | None
    ) -> Suspend | Stop | None:
        again = await self._means.redelivery.of(held, self._charge.partition)
        if isinstance(again, Unknown):
            self._leave(held)
            return None
        if isinstance(again, Gone):
            gone = self._settling.audit(held, "dropped", reason=again.why)
            await self._settling.settle(held, at, (gone, request_gone(held.id)))
            self._means.suspension.end_turn(self._lane)
            return None
        if isinstance(again, Unreadable):
            return await self._failed(held, again.error, at, request)
        if self._watch.alone:
            died = self._watch.died(held.position, held.id)
            if died >= DIED_ALONE_MAX:
                deadly = WorkerDiedError(self._means.name, position=held.position, times=died)
                self._watch.acquit()
                gone = suspect_gone(self._means.name, self._charge.partition)
                return await self._failed(held, deadly, at, request, final=True, beside=(gone,))
            suspect = self._watch.trying(held.position, held.id)
            await self._keeping.commit(at, (suspect_row(suspect),))
        error = await self._hand_over(held, again, at, work, request)
        self._watch.survived()
        if error is not None:
            # Counted here also where nothing is stored, because what it needs is away.
            held = replace(held, tries=max(held.tries, *(one.tried for one in again)))
            self._keys.put(held)
        if isinstance(error, UnknownTypeError):
            self._leave(held)
            return None
        if error is not None:
            return await self._failed(held, error, at, request)
        self._means.suspension.succeeded(self._lane)
        return None

    async def _hand_over(
        self,
        held: Held,
        arrivals: Sequence[Arrival],
        at: Checkpoint,
        work: Work,
        request: DeliveryRequest | None,
    ) -> Exception | None:
        """Hand *arrivals* over, with what is written if all goes well; return what went wrong."""
        beside: tuple[RowChange, ...] = ()
        if request is not None:
            audit = self._settling.audit(held, "replayed", by=request.by, reason=request.reason)
            beside = (audit, request_gone(held.id))
        following = self._settling.following(held)
        batch = Batch(
            self._means.name,
            self._charge.partition,
            arrivals,
            before=at,
            scanned_to=at,
            guards=self._charge.guards(),
            token=self._keeping.token,
            settles=(delivery_gone(held.id), *self._settling.row_of(following), *beside),
        )
        reach("redelivery-taken")
        outcome = await work(batch)
        reach("redelivery-worked")
        if isinstance(outcome, Worked):
            if outcome.failure is None:
                self._settling.settled(held, following)
            return outcome.failure
        if not isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _failed(
        self,
        held: Held,
        error: Exception,
        at: Checkpoint,
        request: DeliveryRequest | None,
        *,
        final: bool = False,
        beside: tuple[RowChange, ...] = (),
    ) -> Suspend | Stop | None:
        suspension = self._means.suspension
        opened = suspension.judge(self._lane, error)
        if opened is not None and not opened.probe:
            return opened.suspend
        record = replace(await self._keeping.record(held), tries=held.tries)
        ruled = ruling_on(self._means, record, error, opened=opened, final=final)
        if isinstance(ruled, Stop):
            stopped = stopped_over(self._means, record, error)
            await self._keeping.commit(at, (delivery_row(stopped), *beside))
            self._keys.put(Held.of(stopped))
            return ruled
        rows = [delivery_row(ruled.record), *ruled.audit, *beside]
        changed = Held.of(ruled.record)
        following = None if changed.holds_key else self._settling.following(held)
        rows += self._settling.row_of(following)
        if request is not None:
            audit = self._settling.audit(
                held, "failed again", by=request.by, reason=ruled.record.error
            )
            rows += (audit, request_gone(held.id))
            self._means.asking.done(held.id)
        await self._keeping.commit(at, rows)
        self._keys.put(changed)
        if following is not None:
            self._keys.put(following)
        if request is not None and request.stop_on_failure:
            await self._drop_others(request, at)
        self._lets_others = opened is not None
        if opened is not None:
            return opened.suspend
        suspension.used(self._lane, held.id, error)
        return None

    def _leave(self, held: Held) -> None:
        """Leave an event that this process does not know for a worker that does."""
        due_at = self._means.now() + round(UNKNOWN_SECONDS * _MICROSECONDS)
        self._keys.put(replace(held, due_at=due_at))
        self._means.suspension.end_turn(self._lane)
