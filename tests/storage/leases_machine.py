"""Workers lease, oversleep and commit under all tokens they ever had, on a storage and a model."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headwater.clock import microseconds_since_epoch
from headwater.errors import CheckpointConflictError, ConfigurationError, LeaseLostError
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.leases import Checkpoint
from headwater.ports.storage import Storage
from headwater.testing.conformance import UnsteadyClock
from tests.storage.leases_model import Grant, LeasesModel

T = TypeVar("T")
WORKERS = ("a", "b", "ü", "Z")
NAMES = ("totals", "mail")
REFUSALS = (LeaseLostError, CheckpointConflictError)

workers = st.sampled_from(WORKERS)
names = st.sampled_from(NAMES)
some_names = st.lists(names, min_size=1, max_size=2)
partitions = st.integers(1, 5)
seconds = st.sampled_from([1.0, 5.0, 10.0, 10.0])
seldom = st.integers(0, 4).map(lambda number: number == 4)


class LeasesMachine(RuleBasedStateMachine):
    """A subclass says which storage it is; its time is that of `clock`."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="headwater-leases-"))
        self.clock = UnsteadyClock()
        self.model = LeasesModel()
        self.storage = self.make_storage()
        self.run(self.storage.open())
        for name in NAMES:
            self.open(name, 3)

    def make_storage(self) -> Storage:
        """Return a fresh storage; it may keep files in `directory`."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what came of *work*, done in the machine's event loop."""
        return self.runner.run(work)

    def teardown(self) -> None:
        """Close the storage, and forget it."""
        self.run(self.storage.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def now(self) -> int:
        """Return the storage's time."""
        return microseconds_since_epoch(self.clock.now())

    # ----------------------------------------------------------------------- workers, and time

    @rule(worker=workers, wanted=some_names, seconds=seconds)
    def lease(self, worker: str, wanted: list[str], seconds: float) -> None:
        self.grant(worker, wanted, seconds)

    def grant(self, worker: str, wanted: list[str], seconds: float) -> None:
        """Lease on the storage, and see that the worker is told what it must be."""
        now = self.now()
        until = now + round(seconds * 1_000_000)
        leasing = self.storage.lease_partitions(worker, wanted, seconds=seconds)
        if not all(name in self.model.parts for name in wanted):
            with pytest.raises(ConfigurationError):
                self.run(leasing)
            return
        shares = self.run(leasing)
        assert set(shares) == set(wanted)
        for name, share in shares.items():
            told = self.model.lease(worker, name, now=now, until=until)
            known = [token for _, token, _, _ in told.leases]
            assert [
                (one.partition, token and one.token, one.checkpoint.position, one.unclean)
                for one, token in zip(share.leases, known, strict=True)
            ] == told.leases
            assert (share.fair, share.workers) == (told.fair, told.workers)
            given = {one.partition: one.token for one in share.leases}
            self.model.gave(worker, name, given, until=until)

    @rule(worker=workers, name=names, some=st.one_of(st.none(), st.sets(st.integers(0, 4))))
    def release_of_anybody(self, worker: str, name: str, some: set[int] | None) -> None:
        self.release(worker, name, some)

    @rule(name=names, some=st.one_of(st.none(), st.sets(st.integers(0, 4), min_size=2)))
    def release_of_the_first(self, name: str, some: set[int] | None) -> None:
        for part in self.model.parts.get(name, []):
            if part.worker is not None:
                self.release(part.worker, name, some)
                return

    def release(self, worker: str, name: str, some: set[int] | None) -> None:
        """Release on both, or see it refused."""
        releasing = self.storage.release_partitions(worker, name, some)
        if name not in self.model.parts:
            with pytest.raises(ConfigurationError):
                self.run(releasing)
            return
        self.run(releasing)
        self.model.release(worker, name, some)

    @rule(seconds=st.sampled_from([-3, 1, 2, 5, 5, 20]))
    def sleep(self, seconds: int) -> None:
        if seconds < 0:
            self.clock.fall_back(-seconds)
        else:
            self.clock.advance(timedelta(seconds=seconds))

    # --------------------------------------------------------------------------------- commits

    def commit(self, moves: Sequence[CheckpointMove]) -> str | None:
        """Return the name of the refusal, None if there was none."""
        try:
            self.run(self.storage.commit(Changes(checkpoints=tuple(moves))))
        except REFUSALS as refusal:
            return type(refusal).__name__
        return None

    @rule(data=st.data(), count=st.integers(1, 3))
    def commit_under_some_tokens(self, data: st.DataObject, count: int) -> None:
        moves: list[CheckpointMove] = []
        for _ in range(count):
            if not any(map(self.model.holds, self.model.grants)):
                self.open("totals", 3)
                self.grant("a", ["totals"], 10.0)
            grants = self.model.grants
            if data.draw(st.integers(0, 3)):
                grants = list(filter(self.model.holds, grants)) or grants
            grant = data.draw(st.sampled_from(grants or [Grant("totals", 0, 1)]))
            parts = self.model.parts.get(grant.subscription, [])
            stands = parts[grant.partition].position if grant.partition < len(parts) else 0
            expected = stands - data.draw(st.sampled_from([0, 0, 0, 1]))
            token = data.draw(st.sampled_from([grant.token] * 8 + [None, grant.token + 1]))
            to = expected + data.draw(st.integers(0, 2))
            moves.append(CheckpointMove(*grant[:2], expected, to, None, token))
        before = self.places()

        refused = self.commit(moves)

        assert refused == self.model.commit(moves)
        if refused:
            assert self.places() == before

    @rule()
    def each_partition_can_be_moved_under_one_token_at_most(self) -> None:
        for grant in self.model.grants[-40:]:
            parts = self.model.parts.get(grant.subscription, [])
            at = parts[grant.partition].position if grant.partition < len(parts) else 0
            guard = CheckpointMove(*grant[:2], at, at, None, grant.token)
            assert (self.commit([guard]) is None) == self.model.holds(grant)

    # ------------------------------------------------------------------------------- operators

    @rule(name=names, partitions=partitions)
    def open_subscription(self, name: str, partitions: int) -> None:
        self.open(name, partitions)

    def open(self, name: str, partitions: int) -> None:
        """Make a subscription, unless it is there."""
        self.run(self.storage.open_subscription(name, partitions=partitions, start_after=0))
        self.model.open(name, partitions, 0)

    @rule(name=names, to=st.integers(0, 3), really=seldom)
    def reset(self, name: str, to: int, *, really: bool) -> None:
        if really and name in self.model.parts:
            self.run(self.storage.reset_subscription(name, to=Checkpoint(to)))
            self.model.reset(name, to, len(self.model.parts[name]))

    @rule(name=names, partitions=partitions, really=seldom)
    def repartition(self, name: str, partitions: int, *, really: bool) -> None:
        if not really:
            return
        working = self.storage.repartition(name, partitions=partitions)
        places = {part.position for part in self.model.parts.get(name, [])}
        if len(places) != 1:
            with pytest.raises(ConfigurationError):
                self.run(working)
            return
        self.run(working)
        self.model.reset(name, places.pop(), partitions)

    @rule(name=names, really=seldom)
    def drop(self, name: str, *, really: bool) -> None:
        if really:
            self.run(self.storage.drop_subscription(name))
            self.model.drop(name)

    @rule()
    def close_and_open(self) -> None:
        self.run(self.storage.close())
        self.run(self.storage.open())

    # ------------------------------------------------------------------------------ what holds

    def places(self) -> dict[str, list[int]]:
        """Return where all partitions stand."""
        return {
            one.name: [checkpoint.position for checkpoint in one.checkpoints]
            for one in self.run(self.storage.subscriptions())
        }

    @invariant()
    def the_storage_holds_what_the_model_holds(self) -> None:
        assert set(self.places()) == set(self.model.parts)
        for name, parts in self.model.parts.items():
            states = self.run(self.storage.partition_states(name))
            assert [
                (one.checkpoint.position, one.worker, one.expires_at or 0) for one in states
            ] == [(part.position, part.worker, part.until if part.worker else 0) for part in parts]
