"""What the suites of leases share: short ways to lease, and to wait until leases have run out."""

import asyncio
from collections.abc import Mapping
from typing import Final

from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.leases import Share
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import appending, new_event
from headwater.testing.conformance.suite import StorageSuite, UnsteadyClock

LONG_SECONDS: Final = 600.0
"""Longer than any test takes."""

SHORT_SECONDS: Final = 0.2
"""Short enough to be waited for where the time is that of a server."""


async def lease(
    storage: Storage, worker: str, subscription: str = "totals", *, seconds: float = LONG_SECONDS
) -> Share:
    """Return what *worker* has of one subscription, from now on for *seconds*."""
    shares = await storage.lease_partitions(worker, [subscription], seconds=seconds)
    assert list(shares) == [subscription]
    return shares[subscription]


def held(share: Share) -> list[int]:
    """Return which partitions a worker has."""
    return [lease.partition for lease in share.leases]


def tokens(share: Share) -> Mapping[int, int]:
    """Return the token of each partition that a worker has."""
    return {lease.partition: lease.token for lease in share.leases}


def moving(
    partition: int,
    expected: int,
    to: int,
    *,
    token: int | None,
    event_id: bytes | None = None,
    of: str = "totals",
) -> Changes:
    """Return changes that move one checkpoint under a token."""
    move = CheckpointMove(of, partition, expected, to, event_id, token)
    return Changes(checkpoints=(move,))


async def places(storage: Storage, subscription: str = "totals") -> list[int]:
    """Return where the partitions of a subscription stand."""
    states = await storage.partition_states(subscription)
    return [state.checkpoint.position for state in states]


async def owners(storage: Storage, subscription: str = "totals") -> list[str | None]:
    """Return who has each partition of a subscription."""
    return [state.worker for state in await storage.partition_states(subscription)]


class LeasesSuite(StorageSuite):
    """Lets time pass for storages that take it from a clock, and for those of a server."""

    async def run_out(
        self, storage: Storage, clock: UnsteadyClock, subscription: str = "totals"
    ) -> None:
        """Return when all leases of a subscription that were taken for `SHORT_SECONDS` ran out."""
        states = await storage.partition_states(subscription)
        ends = [state.expires_at for state in states if state.expires_at is not None]
        clock.advance(SHORT_SECONDS)
        now = await self.now(storage)
        soon = now + 10_000_000
        while now < max([end for end in ends if end < soon], default=0):
            await asyncio.sleep(SHORT_SECONDS / 10)
            now = await self.now(storage)

    async def now(self, storage: Storage) -> int:
        """Return the storage's time, which it writes beside each event."""
        await storage.commit(appending("$moment-1", new_event()))
        (event,) = await storage.read_stream("$moment-1", backwards=True, limit=1)
        return event.recorded_at
