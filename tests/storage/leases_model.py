"""What leases promise, said once more in the plainest way: who was given what, and when."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headwater.ports.changes import CheckpointMove


class Grant(NamedTuple):
    """One lease that was given: of which partition, under which token."""

    subscription: str
    partition: int
    token: int


class Part(msgspec.Struct):
    """A partition: where it stands, and who has it under which grant until when."""

    position: int
    worker: str | None = None
    until: int = 0
    token: int = 0


class Told(NamedTuple):
    """What a worker must be told; the tokens of new leases (None) are the storage's choice."""

    leases: Sequence[tuple[int, int | None, int, bool]]
    fair: int
    workers: int


class LeasesModel:
    """Knows the one worker that may commit to each partition, if there is one."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Part]] = {}
        self._alive: dict[str, dict[str, int]] = {}
        self.grants: list[Grant] = []

    def open(self, name: str, partitions: int, start_after: int) -> None:
        """Make a subscription, unless it is there."""
        if name not in self.parts:
            self.parts[name] = [Part(start_after) for _ in range(partitions)]
            self._alive[name] = {}

    def drop(self, name: str) -> None:
        """Forget a subscription."""
        self.parts.pop(name, None)
        self._alive.pop(name, None)

    def reset(self, name: str, to: int, partitions: int) -> None:
        """Set all partitions to one place; nobody has them then."""
        self.parts[name] = [Part(to, token=part.token) for part in self.parts[name]][:partitions]
        self.parts[name] += [Part(to) for _ in range(partitions - len(self.parts[name]))]

    def lease(self, worker: str, name: str, *, now: int, until: int) -> Told:
        """Return what *worker* must be told; `gave` then says which tokens there were."""
        # Who was found dead stays so, whatever the clock does then.
        alive = {one: end for one, end in self._alive[name].items() if end > now}
        self._alive[name] = {**alive, worker: until}
        living = sorted(self._alive[name])
        parts = self.parts[name]
        first = living.index(worker) < len(parts) % len(living)
        due = len(parts) // len(living) + first
        has = sum(part.worker == worker for part in parts)
        leases: list[tuple[int, int | None, int, bool]] = []
        for number, part in enumerate(parts):
            if part.worker == worker:
                leases.append((number, part.token, part.position, False))
            elif has < due and (part.worker is None or part.until <= now):
                has += 1
                leases.append((number, None, part.position, part.worker is not None))
        return Told(leases, due, len(living))

    def gave(self, worker: str, name: str, tokens: Mapping[int, int], *, until: int) -> None:
        """Take note of what a storage gave, and that no token was there before."""
        for partition, token in tokens.items():
            part = self.parts[name][partition]
            if part.worker != worker:
                before = [g.token for g in self.grants if g[:2] == (name, partition)]
                assert token > max(before, default=0)
                self.grants.append(Grant(name, partition, token))
            part.worker, part.until, part.token = worker, until, token

    def release(self, worker: str, name: str, partitions: Collection[int] | None) -> None:
        """Take partitions, or all, from a worker."""
        if partitions is None:
            self._alive[name].pop(worker, None)
        for number, part in enumerate(self.parts[name]):
            if part.worker == worker and (partitions is None or number in partitions):
                part.worker = None

    def holds(self, grant: Grant) -> bool:
        """Return whether a commit may be made under *grant*."""
        parts = self.parts.get(grant.subscription, [])
        if not 0 <= grant.partition < len(parts):
            return False
        part = parts[grant.partition]
        return part.worker is not None and part.token == grant.token

    def commit(self, moves: Sequence[CheckpointMove]) -> str | None:
        """Return the name of the refusal of *moves*, or make them."""
        for move in moves:
            grant = Grant(move.subscription, move.partition, move.token or 0)
            if move.token is not None and not self.holds(grant):
                return "LeaseLostError"
        stands = {
            (name, number): part.position
            for name, parts in self.parts.items()
            for number, part in enumerate(parts)
        }
        for move in moves:
            place = move.subscription, move.partition
            if stands.get(place) != move.expected:
                return "CheckpointConflictError"
            stands[place] = move.to
        for (name, number), position in stands.items():
            self.parts[name][number].position = position
        return None
