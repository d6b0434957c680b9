"""Leasing: this process's leases on the partitions of all its subscriptions in one storage."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterable
from typing import Final, Protocol
from uuid import uuid4

import msgspec

from headwater.errors import ConfigurationError, StorageError
from headwater.operations.control import CONTROL_ROWS
from headwater.ports.leases import Share
from headwater.ports.storage import Storage
from headwater.subscriptions.detachment import context_of_no_message
from headwater.subscriptions.ending import cut_off
from headwater.subscriptions.fail_points import reach
from headwater.subscriptions.flow import DEFAULT_WORKERS, Workers

BALANCING_SECONDS: Final = 0.2
"""How soon a worker asks again that has not got its due yet."""

_log = logging.getLogger("headwater")


class Member(Protocol):
    """A subscription that wants partitions."""

    @property
    def name(self) -> str:
        """The subscription's name."""
        ...

    def hear_share(self, share: Share) -> None:
        """Hear what is leased now; called after each renewal."""
        ...

    def hear_control(self, row_version: int) -> None:
        """Hear at which version the control row stands; called after each renewal."""
        ...

    def hear_unknown(self) -> None:
        """Hear that it is not stored any more; no leases are asked for until it joins again."""
        ...


def worker_name() -> str:
    """Return a name for a worker of this process that no other has: host, process, chance."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


class Leasing:
    """Takes, extends and gives up leases for its members, all in one call, as one worker.

    A lease counts here from before it was asked for: by this process's own clock it never lasts
    longer than by the storage's.
    """

    def __init__(self, target: Storage, *, workers: Workers = DEFAULT_WORKERS) -> None:
        """Lease partitions of subscriptions that have their checkpoints in *target*."""
        self._target, self._workers = target, workers
        self.worker = worker_name()
        self._members: dict[str, Member] = {}
        self._wanted: set[str] = set()
        self._shares: dict[str, Share] = {}
        self._giving_up: dict[str, set[tuple[int, int]]] = {}
        self._valid_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._soon = asyncio.Event()
        self._one = asyncio.Lock()
        self.alone = asyncio.Lock()
        """Held while one event is tried alone, so that it is to blame if the worker dies."""
        self._renewed = asyncio.Event()

    @property
    def valid(self) -> bool:
        """Whether the leases have surely not run out."""
        return time.monotonic() < self._valid_until

    async def until_valid(self) -> None:
        """Return when the leases have surely not run out."""
        while not self.valid:
            self._renewed.clear()
            self._soon.set()
            await self._renewed.wait()

    async def open(self, names: Iterable[str]) -> None:
        """Take what is this worker's due of *names*, whose members join later.

        Raises:
            StorageError: the storage can't be used.
        """
        new = set(names) - self._wanted
        self._wanted |= new
        try:
            await self._renew()
        except BaseException:
            # Nobody joins them now, so nobody would work what was leased.
            self._wanted -= new - self._members.keys()
            raise

    def join(self, member: Member) -> None:
        """Lease partitions for *member* from now on; it hears of them soon, or at once."""
        name = member.name
        self._members[name] = member
        self._wanted.add(name)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._run(), name="headwater leases", context=context_of_no_message()
            )
        if name in self._shares:
            member.hear_share(self._shares[name])
        else:
            self._soon.set()

    def share(self, name: str) -> Share | None:
        """Return what is leased of *name*, None if that is not known yet."""
        return self._shares.get(name)

    async def leave(self, name: str) -> None:
        """Give up all partitions of *name* and ask for no more; if there are none, do nothing.

        Raises:
            StorageError: the storage can't be used; the leases run out then.
        """
        self._members.pop(name, None)
        if name in self._wanted:
            self._wanted.discard(name)
            async with self._one:
                self._shares.pop(name, None)
                self._giving_up.pop(name, None)
                try:
                    await self._target.release_partitions(self.worker, name)
                except ConfigurationError:
                    _log.debug("Subscription %r is not stored any more", name)
                reach("partitions-released")
        if not self._wanted:
            await self.stop()

    def give_up(self, name: str, partition: int, token: int) -> None:
        """Give up one partition of *name* soon, on which nothing is at work any more."""
        self._giving_up.setdefault(name, set()).add((partition, token))
        if name in self._shares:
            self._shares[name] = self._without_given_up(name, self._shares[name])
        self._soon.set()

    def forget(self, name: str) -> None:
        """Take nothing for leased of *name* until it is asked for again, at once: it was lost."""
        self._shares.pop(name, None)
        self._soon.set()

    async def stop(self) -> None:
        """End renewing; what is still leased runs out."""
        task, self._task = self._task, None
        if task is not None:
            await cut_off(task)

    # ------------------------------------------------------------------------ the loop

    async def _run(self) -> None:
        while True:
            pause = BALANCING_SECONDS if self._unbalanced() else self._workers.renew_seconds
            try:
                async with asyncio.timeout(min(pause, self._workers.renew_seconds)):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - without leases everything would stand still
                _log.warning("Leases of worker %s could not be renewed: %s", self.worker, error)
                await asyncio.sleep(BALANCING_SECONDS)

    def _unbalanced(self) -> bool:
        return any(len(share.leases) != share.fair for share in self._shares.values())

    async def _renew(self) -> None:
        async with self._one:
            await self._release()
            if not self._wanted:
                return
            begun = time.monotonic()
            seconds = self._workers.lease_seconds
            names = tuple(sorted(self._wanted))
            unknown: list[Member] = []
            try:
                shares = await self._target.lease_partitions(self.worker, names, seconds=seconds)
            except ConfigurationError:
                shares, unknown = await self._lease_each(names, seconds)
            reach("partitions-leased")
            for name, share in shares.items():
                self._shares[name] = self._without_given_up(name, share)
            self._valid_until = begun + seconds
            self._renewed.set()
            rows = await self._target.get_rows(CONTROL_ROWS.name, tuple(self._members))
        for member in unknown:
            member.hear_unknown()
        for name, member in tuple(self._members.items()):
            if name in self._shares:
                member.hear_share(self._shares[name])
            member.hear_control(rows[name].version if name in rows else 0)

    async def _lease_each(
        self, names: Iterable[str], seconds: float
    ) -> tuple[dict[str, Share], list[Member]]:
        """Lease one by one, as one is not stored; ask no more for such, and return who they are."""
        shares: dict[str, Share] = {}
        unknown: list[Member] = []
        for name in names:
            try:
                shares |= await self._target.lease_partitions(self.worker, (name,), seconds=seconds)
            except ConfigurationError:
                self._wanted.discard(name)
                self._shares.pop(name, None)
                if (member := self._members.pop(name, None)) is not None:
                    unknown.append(member)
        return shares, unknown

    async def _release(self) -> None:
        while self._giving_up:
            name, given_up = self._giving_up.popitem()
            partitions = sorted(partition for partition, _ in given_up)
            try:
                await self._target.release_partitions(self.worker, name, partitions)
            except ConfigurationError:
                _log.debug("Subscription %r is not stored any more", name)
            except StorageError:
                self._giving_up.setdefault(name, set()).update(given_up)
                raise
            reach("partitions-released")

    def _without_given_up(self, name: str, share: Share) -> Share:
        """Return *share* as it will be, and with what is known of its leases from before."""
        given_up = self._giving_up.get(name, set())
        before = self._shares.get(name)
        unclean = {
            (one.partition, one.token) for one in (before.leases if before else ()) if one.unclean
        }
        leases = tuple(
            msgspec.structs.replace(one, unclean=True)
            if (one.partition, one.token) in unclean
            else one
            for one in share.leases
            if (one.partition, one.token) not in given_up
        )
        return msgspec.structs.replace(share, leases=leases)
