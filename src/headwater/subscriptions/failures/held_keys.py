"""The keys of a partition that are held, and the events that wait behind them, in order."""

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

import msgspec

from headwater.operations.dead_letters.deliveries import DeliveryState, HeldDelivery, delivery_id
from headwater.subscriptions.status import HeldCounts


class Held(msgspec.Struct, frozen=True):
    """What is kept in memory of a held delivery; the rest is in its row.

    `due_at` (microseconds since 1970 UTC) is when it is tried, None if not by itself.
    """

    id: str
    key: str
    position: int
    event_id: str
    stream: str
    type: str
    state: DeliveryState
    held_at: int
    due_at: int | None = None
    parks: bool = True
    tries: int = 0

    @staticmethod
    def of(row: HeldDelivery) -> "Held":
        """Return what is kept in memory of *row*."""
        return Held(
            row.id,
            row.key,
            row.position,
            row.event_id,
            row.stream,
            row.type,
            row.state,
            row.held_at,
            row.due_at,
            row.parks,
            row.tries,
        )

    def row(self, subscription: str) -> HeldDelivery:
        """Return its row, if nothing was tried yet."""
        return HeldDelivery(
            subscription,
            self.key,
            self.position,
            self.event_id,
            self.stream,
            self.type,
            self.state,
            self.held_at,
            due_at=self.due_at,
        )

    @property
    def holds_key(self) -> bool:
        """Whether later events of its key have to wait."""
        return self.parks or self.state is not DeliveryState.DEAD


class HeldKeys:
    """Who is held in one partition. Of each key that is held, the first is tried or dead; all
    others wait. What parks nobody once it is dead stands aside."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Held]] = {}
        self._aside: dict[str, Held] = {}
        self._due: list[tuple[int, int, str]] = []
        self._by_id: dict[str, Held] = {}
        self._furthest = 0
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._by_id)

    # -------------------------------------------------------------------------- looking

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all that are held."""
        return tuple(self._by_id)

    def get(self, id: str) -> Held | None:
        """Return the held delivery of that id, None if there is none."""
        return self._by_id.get(id)

    def at(self, position: int) -> Sequence[Held]:
        """Return what is held of the event at *position*."""
        return [held for held in self._by_id.values() if held.position == position]

    def holds(self, key: str) -> bool:
        """Return whether events of *key* have to wait."""
        return key in self._queues

    def first_due(self) -> Held | None:
        """Return the one that is due first, None if none is by itself."""
        while self._due:
            due_at, _, id = self._due[0]
            held = self._by_id.get(id)
            if held is not None and held.due_at == due_at and not self.waits(held):
                return held
            heappop(self._due)
        return None

    def parked(self, position: int) -> Sequence[str]:
        """Return the keys that stand behind a dead letter at or before *position*."""
        keys = {
            queue[0].key: None
            for queue in self._queues.values()
            if queue[0].state is DeliveryState.DEAD and queue[0].position <= position
        }
        keys |= {held.key: None for held in self._aside.values() if held.position <= position}
        return tuple(keys)

    def pending(self, position: int) -> bool:
        """Return whether one at or before *position* is to be tried by itself."""
        return any(
            queue[0].position <= position and queue[0].state is not DeliveryState.DEAD
            for queue in self._queues.values()
        )

    def counts(self) -> HeldCounts:
        """Return how much is held."""
        parked = sum(queue[0].state is DeliveryState.DEAD for queue in self._queues.values())
        dead = parked + len(self._aside)
        return HeldCounts(len(self) - self.waiting - dead, self.waiting, dead, parked)

    # ------------------------------------------------------------------------- changing

    def take(self, found: Iterable[Held]) -> None:
        """Take over what was stored, in any order."""
        for held in sorted(found, key=lambda each: each.position):
            self.put(held)

    def put(self, held: Held) -> None:
        """Hold *held*, behind all earlier events of its key; in the place of the one with its id.

        One that is dead and parks nobody goes aside; `promoted` says who has its turn then.
        """
        self.remove(held.id)
        self._by_id[held.id] = held
        self._furthest = max(self._furthest, held.position)
        if not held.holds_key:
            self._aside[held.id] = held
            return
        queue = self._queues.setdefault(held.key, deque())
        if not queue or queue[-1].position < held.position:
            queue.append(held)
        elif held.position < queue[0].position:
            queue.appendleft(held)
        else:
            ordered = list(queue)
            insort(ordered, held, key=lambda each: each.position)
            self._queues[held.key] = deque(ordered)
        self.waiting += held.state is DeliveryState.WAITING
        self._note_due(held)

    def remove(self, id: str) -> None:
        """Hold it no longer; who waited behind it waits on until it is `put` with another state."""
        held = self._by_id.pop(id, None)
        if held is None or self._aside.pop(id, None) is not None:
            return
        queue = self._queues[held.key]
        if queue[0] is held:
            queue.popleft()
        else:
            queue.remove(held)
        if not queue:
            del self._queues[held.key]
        else:
            self._note_due(queue[0])
        self.waiting -= held.state is DeliveryState.WAITING

    def next_after(self, held: Held) -> Held | None:
        """Return who has the turn of *held* if that goes: None if nobody waits for it."""
        queue = self._queues.get(held.key)
        if queue is None or queue[0].id != held.id or len(queue) == 1:
            return None
        return queue[1]

    def forget_after(self, position: int) -> None:
        """Forget what stands after *position*: it was never committed."""
        if self._furthest <= position:
            return
        self._furthest = position
        for held in [each for each in self._by_id.values() if each.position > position]:
            self.remove(held.id)

    def _note_due(self, held: Held) -> None:
        if held.due_at is not None:
            heappush(self._due, (held.due_at, held.position, held.id))

    def waits(self, held: Held) -> bool:
        """Return whether *held* waits for an earlier event of its key."""
        queue = self._queues.get(held.key)
        return held.id not in self._aside and queue is not None and queue[0].id != held.id


def waiting(
    subscription: str, key: str, *, position: int, event_id: bytes, stream: str, type: str, now: int
) -> Held:
    """Return what holds the place of an event behind another one of its key."""
    return Held(
        delivery_id(subscription, key, position),
        key,
        position,
        event_id.hex(),
        stream,
        type,
        DeliveryState.WAITING,
        now,
    )
